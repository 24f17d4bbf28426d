"""XGen-MM (BLIP-3) by the code that its checkpoint brings: the folder with the weights is run, so it must be trusted.

Its model card asks for transformers 4.41.1, open_clip_torch 2.24.0, einops and einops-exts. Decoding is greedy unless the host
asks otherwise. Options: `image_aspect_ratio` (`anyres` cuts an image into tiles besides, as the model card does; `pad` is
one squashed view, as without the argument), `max_new_tokens`.
"""

import os

# The folder with the weights has everything; samples and their whereabouts are nobody's business.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from medvlm_worker import ConfigError, InputError, Request
from recorded import Recorded
from transformers import AutoImageProcessor, AutoModelForVision2Seq, AutoTokenizer, StoppingCriteria
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()

TEMPLATE = (
    "<|system|>\nA chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions.<|end|>\n"
    "<|user|>\n<image>\n{prompt}<|end|>\n<|assistant|>\n"
)


class Model:
    def __init__(self, open):
        views = open.option("image_aspect_ratio", "anyres", ["anyres", "pad"])
        self.views = {"image_aspect_ratio": views} if views == "anyres" else {}
        self.budget = open.option("max_new_tokens", 128)
        self.device, self.dtype = open.device, open.torch_dtype()
        kinds = [
            (AutoModelForVision2Seq, {"torch_dtype": self.dtype}),
            (AutoTokenizer, {"use_fast": False, "legacy": False}),
            (AutoImageProcessor, {}),
        ]
        try:
            parts = [kind.from_pretrained(open.directory(), trust_remote_code=True, **more) for kind, more in kinds]
        except ImportError as error:
            needs = str(error).strip().splitlines()[0].rstrip(".")
            raise ConfigError(f"{needs}: install {open.install or 'them'}") from error
        self.model, self.processor = parts[0].eval().to(self.device), parts[2]
        self.tokenizer = self.model.update_special_tokens(parts[1])
        self.recorded = Recorded(self.model.vlm.lang_model)
        self.end = self.tokenizer.convert_tokens_to_ids("<|end|>")
        self.pixels = None

    def describe(self):
        return {"parameters": sum(p.numel() for p in self.model.parameters())}

    def generate(self, requests, decoding):
        for request in requests:
            answer = self.answer(request, decoding)
            answer.request = request
            yield answer

    def inspect(self, request, images):
        answer = self.answer(Request(0, request.prompt or "", images, request.raw), request.decoding)
        return {"pixel_values": self.pixels, "first_logits": self.recorded.first_logits(), "generation": answer}

    @torch.inference_mode()
    def answer(self, request, decoding):
        if len(request.images) != 1:
            raise InputError(f"XGen-MM is shown one image with a question, not {len(request.images)}")
        torch.manual_seed(decoding.seed)
        budget = decoding.max_new_tokens or self.budget
        image = request.images[0].pil()
        inputs = self.processor([image], return_tensors="pt", **self.views)
        inputs["pixel_values"] = inputs["pixel_values"].to(self.dtype)
        # One axis for all tiles, however the checkpoint groups them.
        self.pixels = inputs["pixel_values"].flatten(0, -4)
        prompt = request.prompt if request.raw else TEMPLATE.format(prompt=request.prompt)
        inputs.update(self.tokenizer([prompt], return_tensors="pt"))
        sampling = dict(do_sample=False, temperature=None, top_p=None)
        if decoding.temperature > 0:
            sampling = dict(do_sample=True, temperature=decoding.temperature, top_p=decoding.top_p or 1.0, top_k=0)
        out = self.model.generate(
            **{name: tensor.to(self.device) for name, tensor in inputs.items()},
            image_size=[image.size],
            pad_token_id=self.tokenizer.pad_token_id,
            max_new_tokens=budget,
            num_beams=1,
            stopping_criteria=[Ended(self.end)],
            **sampling,
        )
        text = self.tokenizer.decode(out[0], skip_special_tokens=True).split("<|end|>")[0].strip()
        ends = [[self.end], [self.tokenizer.eos_token_id]]
        return self.recorded.answer(text, budget, ends, decoding.stop)


class Ended(StoppingCriteria):
    """The end of a turn, which is not the end of a text to the checkpoint."""

    def __init__(self, token):
        self.token = token

    def __call__(self, input_ids, scores, **_):
        return input_ids[:, -1] == self.token
