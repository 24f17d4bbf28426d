"""Writes tests/parity/resize.safetensors: small images and what Pillow's resize makes of them.

Needs pillow 13, numpy, safetensors. Run: python tests/parity/resize.py
Tensors are u8 [height, width, 3], named `<image>` and `<image> <filter number>`.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

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
save_file(tensors, Path(__file__).parent / "resize.safetensors")
