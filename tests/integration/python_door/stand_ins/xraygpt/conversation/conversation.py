import copy

from record import record
from torch import Tensor


class Conversation:
    roles, sep = ("Patient", "Doctor"), "###"

    def __init__(self):
        self.system, self.messages = "words of the authors", []

    def append_message(self, role, message):
        self.messages.append([role, message])

    def get_prompt(self):
        turns = [f"{role}: {message}{self.sep}" if message else f"{role}:" for role, message in self.messages]
        return self.system + self.sep + "".join(turns)

    def copy(self):
        return copy.deepcopy(self)


CONV_VISION = Conversation()


class Chat:
    def __init__(self, model, vis_processor, device="cuda:0"):
        self.model, self.vis_processor, self.device = model, vis_processor, device

    def ask(self, text, conv):
        if conv.messages and conv.messages[-1][0] == conv.roles[0] and conv.messages[-1][1][-6:] == "</Img>":
            conv.messages[-1][1] = " ".join([conv.messages[-1][1], text])
        else:
            conv.append_message(conv.roles[0], text)

    def answer(
        self, conv, img_list, max_new_tokens=300, num_beams=1, min_length=1, top_p=0.9, repetition_penalty=1.0,
        length_penalty=1, temperature=1.0, max_length=2000,
    ):  # fmt: skip
        conv.append_message(conv.roles[1], None)
        record("prompt", prompt=conv.get_prompt())
        assert conv.get_prompt().count("<ImageHere>") == len(img_list)
        vectors = [vector for image in img_list for vector in image[0]] + [[0.0]] * 5
        outputs = self.model.llama_model.generate(
            inputs_embeds=Tensor([vectors]), max_new_tokens=max_new_tokens, stopping_criteria=["###"], num_beams=num_beams,
            do_sample=True, min_length=min_length, top_p=top_p, repetition_penalty=repetition_penalty,
            length_penalty=length_penalty, temperature=temperature,
        )  # fmt: skip
        return self.model.llama_tokenizer.decode(outputs[0]), outputs[0]

    def upload_img(self, image, conv, img_list):
        image_emb, _ = self.model.encode_img(self.vis_processor(image).unsqueeze(0).to(self.device))
        img_list.append(image_emb)
        conv.append_message(conv.roles[0], "<Img><ImageHere></Img>")
        return "Received."
