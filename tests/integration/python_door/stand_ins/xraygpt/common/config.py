import json
from types import SimpleNamespace

from record import record


class Config:
    def __init__(self, args):
        assert args.options is None
        with open(args.cfg_path) as file:
            told = json.load(file)
        record("config", **told)
        self.model_cfg = SimpleNamespace(**told["model"])
