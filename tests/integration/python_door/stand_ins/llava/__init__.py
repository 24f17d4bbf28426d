"""A stand-in for the package of the repository VILA, with the signatures of its documentation."""

from record import record

from llava import conversation
from llava.vila import Vila


def load(model_path, model_base=None, devices=None, **kwargs):
    record("load", path=model_path, base=model_base, devices=devices, more=kwargs)
    conversation.default_conversation = conversation.conv_templates["vicuna_v1"]
    return Vila()
