from enum import Enum


class SeparatorStyle(Enum):
    AUTO = 0
    TWO = 1
    LLAMA_3 = 2


class Conversation:
    roles = ("user", "assistant")

    def __init__(self, name, sep_style, sep="", sep2=None):
        self.name, self.sep_style, self.sep, self.sep2, self.messages = name, sep_style, sep, sep2, []

    def append_message(self, role, message):
        self.messages.append([role, message])

    def get_prompt(self):
        turns = [f"{role}: {message}{self.sep}" if message else f"{role}:" for role, message in self.messages]
        return f"[{self.name}] " + "".join(turns)

    def copy(self):
        return Conversation(self.name, self.sep_style, self.sep, self.sep2)


conv_templates = {
    "auto": Conversation("auto", SeparatorStyle.AUTO),
    "vicuna_v1": Conversation("vicuna_v1", SeparatorStyle.TWO, " ", "</s>"),
    "llama_3": Conversation("llama_3", SeparatorStyle.LLAMA_3, "<|eot_id|>"),
}
default_conversation = conv_templates["vicuna_v1"]
