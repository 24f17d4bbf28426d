"""XrayGPT by its authors' package, https://github.com/mbzuai-oryx/XrayGPT, a clone of which is on PYTHONPATH.

The folder with the weights holds `eva_vit_g.pth`, `blip2_pretrained_flant5xxl.pth`, `xraygpt_pretrained1.pth` and the folder
`Vicuna_Radiology_fp16`, and may hold a folder `bert-base-uncased` (config.json, vocab.txt), which the package looks for on
the hub otherwise. Decoding is greedy unless the host asks otherwise; the authors' demonstration samples with temperature 1
and top_p 0.9. Options: `system` (text before the turns; without one, the authors' own), `arch` (name under which the package
registers its model), `max_new_tokens`.
"""

import contextlib
import json
import os
import sys
import tempfile
from types import SimpleNamespace

# The folder with the weights has everything; samples and their whereabouts are nobody's business.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from medvlm_worker import ConfigError, InputError, Request
from recorded import Recorded

try:
    import xraygpt.models  # noqa: F401: it registers the model
    import xraygpt.processors  # noqa: F401: it registers the preprocessing
    from xraygpt.common.config import Config
    from xraygpt.common.registry import registry
    from xraygpt.conversation.conversation import CONV_VISION, Chat
except ModuleNotFoundError as error:
    if error.name.partition(".")[0] != "xraygpt":
        raise
    raise ConfigError(
        f"module `{error.name}` is missing in {sys.executable}: clone https://github.com/mbzuai-oryx/XrayGPT, install what it "
        "requires, and put the clone on PYTHONPATH"
    ) from error

import torch

TOWER, BRIDGE, LAYER, WORDS = "eva_vit_g.pth", "blip2_pretrained_flant5xxl.pth", "xraygpt_pretrained1.pth", "Vicuna_Radiology_fp16"
#: How "###" and the end of a text may end an answer, in tokens of Vicuna.
ENDS = [[2], [835], [2277, 29937]]


class Model:
    def __init__(self, open):
        self.system, self.budget = open.option("system"), open.option("max_new_tokens", 300)
        folder = os.path.abspath(open.directory())
        for name in [TOWER, BRIDGE, LAYER, WORDS]:
            if not os.path.exists(os.path.join(folder, name)):
                raise ConfigError(f"{folder} lacks `{name}`")
        with at_hand(folder):
            settings = configuration(folder, open.option("arch", "mini_gpt4"))
            self.model = registry.get_model_class(settings.arch).from_config(settings).to(open.device).eval()
        processor = registry.get_processor_class("blip2_image_eval").from_config({"image_size": 224})
        self.pixels = []

        def process(image):
            self.pixels.append(processor(image))
            return self.pixels[-1]

        self.chat = Chat(self.model, process, device=open.device)
        self.recorded = Recorded(self.model.llama_model)

    def describe(self):
        return {"parameters": sum(p.numel() for p in self.model.parameters()), "image_size": 224}

    def generate(self, requests, decoding):
        for request in requests:
            answer = self.answer(request, decoding)
            answer.request = request
            yield answer

    def inspect(self, request, images):
        answer = self.answer(Request(0, request.prompt or "", images, request.raw), request.decoding)
        seen = {"pixel_values": torch.stack(self.pixels)} if images else {}
        return {**seen, "first_logits": self.recorded.first_logits(), "generation": answer}

    @torch.inference_mode()
    def answer(self, request, decoding):
        if request.raw:
            raise InputError("XrayGPT's `Chat` puts every prompt into its template; `raw` is not possible")
        torch.manual_seed(decoding.seed)
        budget = decoding.max_new_tokens or self.budget
        # The package samples always, and with the last two even where it should not.
        greedy = dict(do_sample=False, top_p=None, temperature=None)
        self.recorded.settings = {} if decoding.temperature > 0 else greedy
        sampling = dict(temperature=decoding.temperature or 1.0, top_p=decoding.top_p or 1.0)
        turns, vectors = CONV_VISION.copy(), []
        turns.system = turns.system if self.system is None else self.system
        self.pixels.clear()
        for image in request.images:
            self.chat.upload_img(image.pil(), turns, vectors)
        self.chat.ask(request.prompt, turns)
        text, _ = self.chat.answer(conv=turns, img_list=vectors, max_new_tokens=budget, num_beams=1, **sampling)
        return self.recorded.answer(text, budget, ENDS, decoding.stop)


def configuration(folder, arch):
    """The section `model` of the authors' configuration with these weights."""
    path = lambda name: os.path.join(folder, name)  # noqa: E731
    model = {
        "arch": arch,
        "model_type": "pretrain_vicuna",
        "freeze_vit": True,
        "freeze_qformer": True,
        "max_txt_len": 160,
        "end_sym": "###",
        "low_resource": False,
        "llama_model": path(WORDS),
        "q_former_model": path(BRIDGE),
        "ckpt": path(LAYER),
    }
    # JSON is YAML.
    whole = {"model": model, "datasets": {}, "run": {"task": "image_text_pretrain"}}
    with tempfile.TemporaryDirectory() as place:
        file = os.path.join(place, "eval.yaml")
        with open(file, "w") as out:
            json.dump(whole, out)
        return Config(SimpleNamespace(cfg_path=file, options=None)).model_cfg


@contextlib.contextmanager
def at_hand(folder):
    """The package downloads the vision tower unless torch's cache has it, and takes `bert-base-uncased` from the current
    directory if it is there."""
    before = os.getcwd(), os.environ.get("TORCH_HOME")
    with tempfile.TemporaryDirectory() as cache:
        os.makedirs(os.path.join(cache, "hub", "checkpoints"))
        os.symlink(os.path.join(folder, TOWER), os.path.join(cache, "hub", "checkpoints", TOWER))
        os.environ["TORCH_HOME"] = cache
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before[0])
            if before[1] is None:
                del os.environ["TORCH_HOME"]
            else:
                os.environ["TORCH_HOME"] = before[1]
