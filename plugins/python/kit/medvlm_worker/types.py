"""What a model is given, and what it answers with."""

import difflib
from dataclasses import dataclass, field
from typing import Any, List, Optional

from .errors import ConfigError, InputError


class Image:
    """An RGB image of eight bits a channel, as the host decoded it; nothing is encoded or copied on the way here."""

    def __init__(self, width, height, rgb):
        self.width, self.height = width, height
        #: `height * width * 3` bytes, row by row.
        self.rgb = rgb

    def numpy(self):
        """`uint8[height, width, 3]`, read-only."""
        import numpy

        return numpy.frombuffer(self.rgb, numpy.uint8).reshape(self.height, self.width, 3)

    def pil(self):
        """A `PIL.Image.Image` of mode RGB."""
        from PIL import Image as Pillow

        return Pillow.frombuffer("RGB", (self.width, self.height), self.rgb, "raw", "RGB", 0, 1)


class Open:
    """How to open the model."""

    def __init__(self, weights=None, device="cpu", dtype="f32", options=None, install=""):
        #: Directory with the checkpoint, or None.
        self.weights = weights
        #: `cpu` or `cuda:N`.
        self.device = device or "cpu"
        #: `f32`, `bf16` or `f16`.
        self.dtype = dtype or "f32"
        #: What follows `pip install`, as the row requires it.
        self.install = install
        self._options, self._known = dict(options or {}), []

    @property
    def options(self):
        """The row's own options, all at once; prefer `option`, which finds misspelt ones."""
        self._known.extend(self._options)
        return self._options

    def option(self, name, default=None, choices=None):
        """One of the row's options, of the type of its default, and one of the choices if there are any."""
        self._known.append(name)
        value = self._options.get(name, default)
        if choices is not None and value not in choices:
            raise ConfigError(f"option `{name}` is {value!r}; expected one of {', '.join(map(str, choices))}")
        if default is not None and not isinstance(value, type(default)):
            raise ConfigError(f"option `{name}` is {value!r}; expected something like {default!r}")
        return value

    def directory(self):
        """The weights, of a model that needs them."""
        if self.weights is None:
            raise ConfigError("this model needs a directory with weights")
        return self.weights

    def torch_dtype(self):
        """The dtype as torch names it."""
        import torch

        return {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[self.dtype]

    def reject_unread(self):
        """An option that the model never asked for is a mistake."""
        for name in self._options:
            if name not in self._known:
                near = difflib.get_close_matches(name, self._known, 1)
                hint = f"; did you mean `{near[0]}`?" if near else f" (known: {', '.join(self._known) or 'none'})"
                raise ConfigError(f"unknown option `{name}`{hint}")


@dataclass
class Classes:
    """The classes of a diagnosis."""

    #: One list of prompts a class; several form an ensemble.
    prompts: List[List[str]]
    #: What the model's `encode_classes` made of them, if it has that method.
    encoded: Any = None


@dataclass
class Request:
    """One question with its images."""

    index: int
    #: The bare question.
    prompt: str
    images: List[Image]
    #: Feed the prompt as it is, without the model's template.
    raw: bool = False
    #: Options for `choose`.
    options: List[str] = field(default_factory=list)


@dataclass
class Decoding:
    """How to decode; the default is greedy."""

    #: 0 for the model's own.
    max_new_tokens: int = 0
    #: 0 is greedy.
    temperature: float = 0.0
    #: 0 or 1 is off.
    top_p: float = 0.0
    seed: int = 0
    stop: List[str] = field(default_factory=list)
    #: The most requests to work on at a time; 0 leaves it to the model. A call may have more.
    slots: int = 0


@dataclass
class InspectRequest:
    """One ad-hoc input of which everything that is computed shall be shown."""

    #: Class texts of a contrastive model.
    texts: List[str]
    #: Prompt of a generative model.
    prompt: Optional[str]
    raw: bool
    decoding: Decoding


@dataclass
class Answer:
    """A finished answer to one request."""

    text: str = ""
    #: `stop` or `length`.
    finish: str = "stop"
    prompt_tokens: int = 0
    new_tokens: int = 0
    #: Why this request failed; the others of the batch are not affected.
    error: Optional[str] = None
    #: The request that is answered; None for the next one in order.
    request: Optional[Request] = None
    #: Ids of prompt and answer, for `inspect`.
    prompt_ids: List[int] = field(default_factory=list)
    generated_ids: List[int] = field(default_factory=list)


def known_fields(kind, values):
    """A dataclass from JSON of a newer or older host."""
    return kind(**{name: value for name, value in values.items() if name in kind.__dataclass_fields__})


def images_of(frame):
    """The images of a call."""
    images, at = [], 0
    for meta in frame.arrays:
        shape = meta["shape"]
        if meta["dtype"] != "u8" or len(shape) != 3 or shape[2] != 3:
            raise InputError(f"expected an RGB image, found {meta['dtype']} of shape {shape}")
        end = at + shape[0] * shape[1] * 3
        images.append(Image(shape[1], shape[0], frame.body[at:end]))
        at = end
    return images
