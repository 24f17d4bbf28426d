"""The vision towers of `vit.rs` in PyTorch: a line of six numbers in, the seconds of one forward pass out."""

import functools
import sys
import time

import torch
import torch.nn.functional as F


@functools.lru_cache(maxsize=1)
def tower(size, patch, width, depth):
    """Random weights of a pre-norm ViT: projections as (weight, bias) pairs, norms as they are initialised."""
    normal = lambda *shape: torch.randn(*shape, **PLACE) * 0.02
    linear = lambda i, o: (normal(o, i), normal(o))
    norm = lambda: (torch.ones(width, **PLACE), torch.zeros(width, **PLACE))
    layers = [
        (norm(), linear(width, 3 * width), linear(width, width), norm(), linear(width, 4 * width), linear(4 * width, width))
        for _ in range(depth)
    ]
    return normal(width, 3, patch, patch), normal(width), normal((size // patch) ** 2 + 1, width), norm(), layers, norm()


def forward(weights, heads, pixels):
    convolution, cls, position, pre, layers, post = weights
    n, width = pixels.shape[0], cls.shape[0]
    x = F.conv2d(pixels, convolution, stride=convolution.shape[-1]).flatten(2).transpose(1, 2)
    x = torch.cat([cls.expand(n, 1, width), x], 1) + position
    x = F.layer_norm(x, (width,), *pre)
    for norm1, qkv, out, norm2, fc1, fc2 in layers:
        q, k, v = F.linear(F.layer_norm(x, (width,), *norm1), *qkv).view(n, -1, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, -1, width)
        x = x + F.linear(mixed, *out)
        hidden = F.linear(F.layer_norm(x, (width,), *norm2), *fc1)
        x = x + F.linear(hidden * torch.sigmoid(1.702 * hidden), *fc2)
    return F.layer_norm(x[:, 0], (width,), *post)


torch.set_num_threads(int(sys.argv[1]))
device, dtype = sys.argv[2:]
PLACE = dict(device=device, dtype=dict(f32=torch.float32, bf16=torch.bfloat16, f16=torch.float16)[dtype])
settled = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
with torch.inference_mode():
    for line in sys.stdin:
        size, patch, width, depth, heads, batch = map(int, line.split())
        weights, pixels = tower(size, patch, width, depth), torch.randn(batch, 3, size, size, **PLACE)
        settled()
        start = time.perf_counter()
        forward(weights, heads, pixels)
        settled()
        print(time.perf_counter() - start, flush=True)
