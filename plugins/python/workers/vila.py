"""VILA-1.5, VILA-M3 and NVILA by their authors' package `llava` of https://github.com/NVlabs/VILA.

| option `api` | the package's interface |
|---|---|
| `content` | `llava.load(…)` and `model.generate_content([image, …, text], generation_config)`; on CUDA only |
| `builder` | that of VILA-1.5's time: `load_pretrained_model`, `conv_templates`, `tokenizer_image_token`, `model.generate` |

Decoding is greedy unless the host asks otherwise; the precision is the package's own, half, whatever the host asks for.
Further options: `conv_mode` (a name in `llava.conversation.conv_templates`; without one, the package chooses),
`image_token` (what `builder` writes before the question for an image; `content` writes its own), `max_new_tokens`.
"""

import copy
import os
import sys

# The folder with the weights has everything; samples and their whereabouts are nobody's business.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import llava
import torch
from llava import conversation
from medvlm_worker import ConfigError, InputError, Request
from recorded import Recorded


class Model:
    def __init__(self, open):
        family = APIS[open.option("api", "content", list(APIS))]
        mode = open.option("conv_mode", "")
        self.budget = open.option("max_new_tokens", 128)
        self.api = family(open)
        if mode:
            if mode not in conversation.conv_templates:
                known = ", ".join(conversation.conv_templates)
                raise ConfigError(f"option `conv_mode` is {mode!r}; expected one of {known}")
            # Loading chose one by the folder's name, which may be any.
            conversation.default_conversation = conversation.conv_templates[mode].copy()
        self.model = self.api.model
        self.recorded = Recorded(self.model.llm)
        self.pixels = None
        self.model.get_vision_tower().register_forward_pre_hook(self.look)

    def describe(self):
        return {"parameters": sum(p.numel() for p in self.model.parameters())}

    def generate(self, requests, decoding):
        for request in requests:
            answer = self.answer(request, decoding)
            answer.request = request
            yield answer

    def inspect(self, request, images):
        asked = Request(0, request.prompt or "", images, request.raw)
        answer = self.answer(asked, request.decoding)
        seen = {"pixel_values": self.pixels} if images else {}
        return {**seen, "first_logits": self.recorded.first_logits(), "generation": answer}

    @torch.inference_mode()
    def answer(self, request, decoding):
        torch.manual_seed(decoding.seed)
        budget = decoding.max_new_tokens or self.budget
        # These are the defaults of transformers, where they change nothing.
        settings = dict(do_sample=False, temperature=1.0, top_p=1.0, top_k=50)
        if decoding.temperature > 0:
            settings = dict(do_sample=True, temperature=decoding.temperature, top_p=decoding.top_p or 1.0, top_k=0)
        settings.update(num_beams=1, repetition_penalty=1.0, max_new_tokens=budget)
        text, ends = self.api.ask(request, [image.pil() for image in request.images], settings)
        ends = ends if isinstance(ends, (list, tuple)) else [ends]
        return self.recorded.answer(text, budget, [[end] for end in ends], decoding.stop)

    def look(self, _, given):
        self.pixels = given[0]


class Content:
    def __init__(self, open):
        if not hasattr(llava, "load"):
            raise ConfigError(
                f"package `llava` in {sys.executable} has no `load`, so it is another project's or an early VILA's: "
                f"run `{sys.executable} -m pip install {open.install}`, or set option api = \"builder\""
            )
        kind, _, number = open.device.partition(":")
        if kind != "cuda":
            raise ConfigError(f"VILA's package computes on CUDA only, not on `{open.device}`: choose `--device cuda:0`")
        # The package moves prompts to the current device.
        torch.cuda.set_device(int(number or 0))
        self.model = llava.load(open.directory(), devices=[int(number or 0)])

    def ask(self, request, images, settings):
        if request.raw:
            raise InputError("VILA's `generate_content` puts every prompt into its template; `raw` needs api = \"builder\"")
        config = copy.deepcopy(self.model.default_generation_config)
        config.update(**settings)
        return self.model.generate_content([*images, request.prompt], config), config.eos_token_id


class Builder:
    def __init__(self, open):
        from llava.mm_utils import get_model_name_from_path
        from llava.model.builder import load_pretrained_model

        # The package writes a line break behind the image here, and a line break's embedding behind its vectors in `content`.
        self.token = open.option("image_token", "<image>\n")
        path = open.directory()
        loaded = load_pretrained_model(path, get_model_name_from_path(path), None, device=open.device)
        self.tokenizer, self.model, self.processor, _ = loaded

    def ask(self, request, images, settings):
        from llava.constants import IMAGE_TOKEN_INDEX
        from llava.mm_utils import KeywordsStoppingCriteria, process_images, tokenizer_image_token

        turns = conversation.default_conversation.copy()
        turns.append_message(turns.roles[0], self.token * len(images) + request.prompt)
        turns.append_message(turns.roles[1], None)
        prompt = request.prompt if request.raw else turns.get_prompt()
        ids = tokenizer_image_token(prompt, self.tokenizer, IMAGE_TOKEN_INDEX, return_tensors="pt").unsqueeze(0)
        ids = ids.to(self.model.device)
        stop = turns.sep2 if turns.sep_style == conversation.SeparatorStyle.TWO else turns.sep
        pixels = None
        if images:
            pixels = process_images(images, self.processor, self.model.config)
            pixels = [pixels.to(self.model.device, dtype=torch.float16)]
        stopping = [KeywordsStoppingCriteria([stop], self.tokenizer, ids)]
        out = self.model.generate(ids, images=pixels, use_cache=True, stopping_criteria=stopping, **settings)
        text = self.tokenizer.batch_decode(out, skip_special_tokens=True)[0].strip()
        # An end that is no special token is still there.
        text = text[: -len(stop)].strip() if stop and text.endswith(stop) else text
        ends = self.model.llm.generation_config.eos_token_id
        return text, ends


APIS = {"content": Content, "builder": Builder}
