"""Writes tests/parity/resize.safetensors: small images and what the resize of Pillow and of torchvision makes of them.

Needs pillow 13, numpy, safetensors, torch, torchvision 0.29. Run: python tests/parity/resize.py
Tensors are u8 [height, width, 3], named `<image>`, `<image> <filter number>` and `<image> tensor <filter number>`.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import pil_to_tensor, resize

MODES = {0: InterpolationMode.NEAREST_EXACT, 2: InterpolationMode.BILINEAR, 3: InterpolationMode.BICUBIC}

# (width, height) of the image, then of the result: down, up, mixed, far lower, unchanged on one axis, one pixel.
SIZES = [
    ((37, 23), (11, 7)), ((7, 9), (23, 31)), ((41, 6), (13, 17)), ((6, 41), (13, 17)), ((8, 60), (7, 10)),
    ((19, 12), (19, 5)), ((33, 1), (8, 3)), ((5, 5), (1, 1)),
]

rng = np.random.default_rng(3)
tensors = {}
for (width, height), size in SIZES:
    name = f"{width}x{height}"
    # Extremes beside each other make cubic filters overshoot.
    pixels = np.where(rng.random((height, width, 3)) < 0.4, rng.choice([0, 255], (height, width, 3)), rng.integers(0, 256, (height, width, 3)))
    tensors[name] = pixels.astype(np.uint8)
    for resample in range(6):
        tensors[f"{name} {resample}"] = np.array(Image.fromarray(tensors[name]).resize(size, resample=resample))
    for resample, mode in MODES.items():
        resized = resize(pil_to_tensor(Image.fromarray(tensors[name])), list(size[::-1]), interpolation=mode, antialias=True)
        tensors[f"{name} tensor {resample}"] = np.ascontiguousarray(resized.permute(1, 2, 0).numpy())
save_file(tensors, Path(__file__).parent / "resize.safetensors")
