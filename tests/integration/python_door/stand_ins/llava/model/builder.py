from language import Tokenizer
from record import record

from llava.vila import Vila


def load_pretrained_model(model_path, model_name, model_base=None, device_map="auto", device="cuda", **kwargs):
    record("load_pretrained_model", path=model_path, name=model_name, base=model_base, device=device, more=kwargs)
    return Tokenizer(), Vila(), "the processor", 4096
