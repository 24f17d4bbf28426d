"""Two tiles with `anyres`, the image and its left half, and one without."""

import numpy
import torch
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor


class TinyImageProcessor(BaseImageProcessor):
    model_input_names = ["pixel_values"]

    def preprocess(self, images, return_tensors=None, image_aspect_ratio=None):
        image = images[0]
        views = [image]
        if image_aspect_ratio == "anyres":
            views.append(image.crop((0, 0, image.width // 2, image.height)))
        tiles = [numpy.asarray(view.resize((14, 14)), numpy.float32).transpose(2, 0, 1) / 255 for view in views]
        return BatchFeature({"pixel_values": torch.tensor(numpy.stack(tiles))[None]}, tensor_type=return_tensors)
