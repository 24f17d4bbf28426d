from record import record
from torch import Tensor

from xraygpt.common.registry import registry


class Blip2ImageEvalProcessor:
    @classmethod
    def from_config(cls, cfg=None):
        record("processor", image_size=cfg.get("image_size"))
        return cls()

    def __call__(self, image):
        record("image", size=image.size, rgb=image.tobytes().hex())
        return Tensor([byte / 255 for byte in image.tobytes()])


registry.processors["blip2_image_eval"] = Blip2ImageEvalProcessor
