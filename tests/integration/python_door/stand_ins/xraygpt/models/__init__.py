import os
from types import SimpleNamespace

from language import Language, Tokenizer
from record import record
from torch import Tensor

from xraygpt.common.registry import registry


class MiniGPT4:
    @classmethod
    def from_config(cls, cfg):
        tower = os.path.join(os.environ["TORCH_HOME"], "hub", "checkpoints", "eva_vit_g.pth")
        with open(tower) as file:
            record("from_config", tower=file.read(), beside=sorted(os.listdir(".")))
        return cls()

    def __init__(self):
        # transformers 4.28 puts a start token before what it generates from vectors.
        self.llama_model, self.llama_tokenizer = Language(start=[1]), Tokenizer()

    def parameters(self):
        return [SimpleNamespace(numel=lambda: 13)]

    def to(self, device):
        record("model to", device=device)
        return self

    def eval(self):
        return self

    def encode_img(self, image):
        return Tensor([[[0.0]] * 32]), None


registry.models["mini_gpt4"] = MiniGPT4
