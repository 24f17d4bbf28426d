"""The decoder of `decoder.rs` in PyTorch, by transformers: a line of what to do in, the seconds that it took out.

`python decoder.py make DIR` writes a LLaMA of 7B random weights in bf16.
"""

import os
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM, StaticCache
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()


def make(folder):
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(LlamaConfig(max_position_embeddings=4096, rms_norm_eps=1e-5))
    model.save_pretrained(folder, max_shard_size="100GB")


class Bench:
    def __init__(self, folder, device, dtype):
        dtype = dict(f32=torch.float32, bf16=torch.bfloat16, f16=torch.float16)[dtype]
        self.model = LlamaForCausalLM.from_pretrained(folder, torch_dtype=dtype).eval().to(device)
        self.device = device
        self.settled = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
        self.compiled = None

    def ids(self, batch, tokens):
        return torch.arange(batch * tokens, device=self.device).reshape(batch, tokens) % 31000

    def prefill(self, batch, tokens, _):
        ids = self.ids(batch, tokens)
        self.settled()
        start = time.perf_counter()
        self.model(ids, use_cache=True, logits_to_keep=1)
        self.settled()
        return time.perf_counter() - start

    def decode(self, batch, tokens, steps):
        cache = self.model(self.ids(batch, tokens), use_cache=True, logits_to_keep=1).past_key_values
        ids = self.ids(batch, 1)
        self.settled()
        start = time.perf_counter()
        for _ in range(steps):
            logits = self.model(ids, past_key_values=cache, use_cache=True).logits
            ids = logits[:, -1].argmax(-1, keepdim=True)
            ids.tolist()
        return time.perf_counter() - start

    def compiled_decode(self, batch, tokens, steps):
        """With a static cache, compiled into CUDA graphs."""
        size = dict(max_cache_len=tokens + steps + 8)
        try:
            cache = StaticCache(config=self.model.config, **size)
        except TypeError:  # transformers before 4.56
            cache = StaticCache(self.model.config, max_batch_size=batch, device=self.device, dtype=self.model.dtype, **size)
        self.model(self.ids(batch, tokens), past_key_values=cache, use_cache=True, logits_to_keep=1, cache_position=torch.arange(tokens, device=self.device))
        self.compiled = torch.compile(self.model.forward, mode="reduce-overhead")
        ids = self.ids(batch, 1)
        for step in range(steps):
            if step == 8:
                self.settled()
                start = time.perf_counter()
            torch.compiler.cudagraph_mark_step_begin()
            at = torch.tensor([tokens + step], device=self.device)
            ids = self.compiled(ids, past_key_values=cache, use_cache=True, cache_position=at).logits[:, -1].argmax(-1, keepdim=True).clone()
            ids.tolist()
        return (time.perf_counter() - start) * steps / (steps - 8)


if sys.argv[1] == "make":
    make(sys.argv[2])
else:
    torch.set_num_threads(int(os.environ.get("RAYON_NUM_THREADS", os.cpu_count())))
    bench = Bench(*sys.argv[1:])
    with torch.inference_mode():
        for line in sys.stdin:
            what, *numbers = line.split()
            print(getattr(bench, what)(*map(int, numbers)), flush=True)
