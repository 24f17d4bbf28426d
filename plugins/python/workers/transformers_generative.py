"""Generative models by their reference implementations in transformers; the row's option `family` names one of FAMILIES.

| family | implementation | packages |
|---|---|---|
| `chat` | AutoModelForImageTextToText with the checkpoint's processor and chat template | torch, transformers, pillow |
| `blip-vqa` | BlipForQuestionAnswering | the same |
| `blip2` | Blip2ForConditionalGeneration | the same |

Decoding is greedy unless the host asks otherwise; the checkpoint's own sampling settings are not used. Further options:
`system` (text of the system turn), `text_first` (the question before its images), `template` (with {images} and {prompt},
instead of the chat template), `image_token` (what a template writes for an image), `side` (images are squashed to this
square), `pad` (images are padded to a square of this colour), `max_pixels`, `repetition_penalty`, `max_new_tokens`, `fast`
(pixels by the processor on torch, for models that were published with it).
"""

import os

# The folder with the weights has everything; samples and their whereabouts are nobody's business.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from medvlm_worker import Answer, ConfigError, Request
from PIL import Image
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    Blip2ForConditionalGeneration,
    BlipForQuestionAnswering,
)
from transformers import __version__ as version
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()


class Model:
    def __init__(self, open):
        family = FAMILIES[open.option("family", "chat", list(FAMILIES))]
        self.family = family(open)
        if not self.family.CAUSAL:
            self.choose = None
        self.processor = processor(open.directory(), open.option("fast", False), self.family.processing)
        self.model = family.KIND.from_pretrained(open.directory(), torch_dtype=open.torch_dtype()).eval().to(open.device)
        self.tokenizer = self.processor.tokenizer
        self.tokenizer.padding_side = "left"
        self.device, self.dtype = open.device, open.torch_dtype()
        self.side, self.pad = open.option("side", 0), open.option("pad", [])
        self.penalty = float(open.option("repetition_penalty", 1.0))
        self.budget = open.option("max_new_tokens", 128)
        ends = self.model.generation_config.eos_token_id
        self.ends = set(ends if isinstance(ends, list) else [ends]) - {None}
        if hasattr(self.family, "END"):
            self.ends.add(self.tokenizer.convert_tokens_to_ids(self.family.END))

    def describe(self):
        return {"parameters": sum(p.numel() for p in self.model.parameters())}

    @torch.inference_mode()
    def generate(self, requests, decoding):
        for batch in batches(requests, decoding.slots):
            inputs = self.inputs(batch)
            for request, answer in zip(batch, self.answers(inputs, decoding)[0]):
                answer.request = request
                yield answer

    @torch.inference_mode()
    def choose(self, requests):
        """The sum of the logarithms of the probabilities of an option's tokens behind the prompt."""
        return [[self.rate(request, option) for option in request.options] for request in requests]

    @torch.inference_mode()
    def inspect(self, request, images):
        asked = Request(0, request.prompt or "", images, request.raw)
        inputs = self.inputs([asked])
        answers, first = self.answers(inputs, request.decoding)
        return {"pixel_values": inputs["pixel_values"], "first_logits": first, "generation": answers[0]}

    def inputs(self, requests):
        """What the processor makes of requests."""
        texts = [request.prompt if request.raw else self.family.text(self.processor, request) for request in requests]
        images = [[self.image(image) for image in request.images] for request in requests]
        images = self.family.images(images) if any(images) else None
        if images and type(self.processor.image_processor).__name__ == "LlavaImageProcessor":
            # This one takes no list for each text; the texts say whose an image is.
            images = sum(images, [])
        start = self.tokenizer.bos_token
        special = not (start and texts[0].startswith(start))
        inputs = self.processor(
            images=images,
            text=texts,
            padding=True,
            add_special_tokens=special,
            return_tensors="pt",
        ).to(self.device)
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(self.dtype)
        return inputs

    def image(self, image):
        image = image.pil()
        if self.pad and image.width != image.height:
            side = max(image.size)
            square = Image.new("RGB", (side, side), tuple(self.pad))
            square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
            image = square
        return image.resize((self.side, self.side), Image.BICUBIC) if self.side else image

    def answers(self, inputs, decoding):
        """Answers to a batch, and the logits of their first token."""
        torch.manual_seed(decoding.seed)
        sampled = decoding.temperature > 0
        settings = dict(temperature=decoding.temperature, top_p=decoding.top_p or 1.0) if sampled else dict(temperature=None, top_p=None)
        if decoding.stop:
            settings.update(stop_strings=decoding.stop, tokenizer=self.tokenizer)
        out = self.model.generate(
            **inputs,
            do_sample=sampled,
            top_k=None,
            num_beams=1,
            repetition_penalty=self.penalty,
            max_new_tokens=decoding.max_new_tokens or self.budget,
            return_dict_in_generate=True,
            output_logits=True,
            **settings,
        )
        rows = zip(inputs["input_ids"].tolist(), inputs["attention_mask"].tolist(), out.sequences.tolist())
        return [self.answer(prompt, mask, row, decoding) for prompt, mask, row in rows], out.logits[0]

    def answer(self, prompt, mask, row, decoding):
        generated = row[len(prompt) :] if row[: len(prompt)] == prompt else row[self.family.LEADING :]
        end = next((at for at, token in enumerate(generated) if token in self.ends), None)
        finish = "length" if end is None else "stop"
        if end is not None:
            generated = generated[: end + 1]
        text = self.tokenizer.decode(generated, skip_special_tokens=True).strip()
        for stop in decoding.stop:
            if stop in text:
                text, finish = text[: text.index(stop)].strip(), "stop"
        ids = [token for token, real in zip(prompt, mask) if real]
        return Answer(text, finish, len(ids), len(generated), prompt_ids=ids, generated_ids=generated)

    def rate(self, request, option):
        inputs = self.inputs([request])
        tokens = self.tokenizer(option, add_special_tokens=False, return_tensors="pt")["input_ids"].to(self.device)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], tokens], 1)
        for name, fill in [("attention_mask", 1), ("token_type_ids", 0)]:
            if name in inputs:
                inputs[name] = torch.cat([inputs[name], torch.full_like(tokens, fill)], 1)
        logits = self.model(**inputs).logits[:, -tokens.shape[1] - 1 : -1].float()
        return logits.log_softmax(-1).gather(2, tokens[..., None]).sum().item()


class Chat:
    KIND, CAUSAL, LEADING = AutoModelForImageTextToText, True, 0

    def __init__(self, open):
        self.system, self.template = open.option("system", ""), open.option("template", "")
        self.text_first, self.token = open.option("text_first", False), open.option("image_token", "<image>\n")
        pixels = open.option("max_pixels", 0)
        self.processing = {"max_pixels": pixels} if pixels else {}

    def text(self, processor, request):
        if self.template:
            return self.template.format(images=self.token * len(request.images), prompt=request.prompt)
        words = [{"type": "text", "text": request.prompt}]
        images = [{"type": "image"} for _ in request.images]
        turns = [{"role": "user", "content": words + images if self.text_first else images + words}]
        if self.system:
            turns.insert(0, {"role": "system", "content": [{"type": "text", "text": self.system}]})
        return processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)

    def images(self, images):
        return images


class BlipVqa:
    KIND, CAUSAL, LEADING, END = BlipForQuestionAnswering, False, 1, "[SEP]"

    def __init__(self, open):
        self.processing = {}

    def text(self, processor, request):
        return request.prompt

    def images(self, images):
        return [several[0] for several in images]


class Blip2(BlipVqa):
    KIND, CAUSAL, LEADING, END = Blip2ForConditionalGeneration, False, 0, "\n"

    def text(self, processor, request):
        return f"Question: {request.prompt} Answer:"


FAMILIES = {"chat": Chat, "blip-vqa": BlipVqa, "blip2": Blip2}


def processor(folder, fast, settings):
    """The checkpoint's processor of images and texts."""
    try:
        kind = AutoConfig.from_pretrained(folder).model_type
        found = AutoProcessor.from_pretrained(folder, **settings)
        # The processors on torch differ from those on Pillow, which most models were trained with, by a grey level or two.
        images = AutoImageProcessor.from_pretrained(folder, use_fast=fast, **settings)
    except (OSError, KeyError, ValueError, ImportError) as e:
        # What transformers says goes on for paragraphs.
        reason = str(e).strip().splitlines()[0].split(". ")[0].rstrip(".")
        raise ConfigError(f"{folder}: transformers {version} cannot read this checkpoint: {reason}") from None
    if not hasattr(found, "tokenizer"):
        reason = f"transformers {version} has no processor of images and texts for `{kind}`, only {type(found).__name__}"
        raise ConfigError(f"{folder}: {reason}")
    found.image_processor = images
    return found


def batches(requests, most):
    """Requests with the same number of images go together: processors refuse anything else."""
    counts = sorted({len(request.images) for request in requests})
    alike = [[request for request in requests if len(request.images) == count] for count in counts]
    most = most or len(requests)
    return [part[start : start + most] for part in alike for start in range(0, len(part), most)]
