"""Writes the goldens of the decoders in `blocks`: tiny random checkpoints, and what the reference computes.

Needs transformers 4.53.1, torch, safetensors. Run: python tests/parity/decoder.py
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

ROOT = Path(__file__).parent / "decoder"
COMMON = dict(vocab_size=97, hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4,
              bos_token_id=None, eos_token_id=None, pad_token_id=0)
CASES = {
    "llama": (LlamaForCausalLM, LlamaConfig(**COMMON, num_key_value_heads=4, rms_norm_eps=1e-5)),
    "llama3": (LlamaForCausalLM, LlamaConfig(**COMMON, num_key_value_heads=2, head_dim=10, attention_bias=True,
               mlp_bias=True, rope_theta=500.0, rope_scaling=dict(
                   rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=64))),
    "mistral": (MistralForCausalLM, MistralConfig(**COMMON, num_key_value_heads=1, sliding_window=6, rope_theta=1e6)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**COMMON, num_key_value_heads=2, tie_word_embeddings=True,
              use_sliding_window=True, sliding_window=5, max_window_layers=1)),
}
OPT = dict(vocab_size=97, hidden_size=32, ffn_dim=44, num_hidden_layers=2, num_attention_heads=4,
           max_position_embeddings=60, bos_token_id=None, eos_token_id=None, pad_token_id=0)
CASES |= {
    "opt": (OPTForCausalLM, OPTConfig(**OPT)),
    "opt-post": (OPTForCausalLM, OPTConfig(**OPT, do_layer_norm_before=False, word_embed_proj_dim=20, enable_bias=False,
                 activation_function="gelu", tie_word_embeddings=False)),
}
CASES["qwen3"] = (Qwen3ForCausalLM, Qwen3Config(**COMMON, num_key_value_heads=2, head_dim=12, attention_bias=True))
LENGTHS = [1, 7, 19, 30]
NEW = 24


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    for seed, (name, (kind, config)) in enumerate(CASES.items()):
        folder = ROOT / name
        torch.manual_seed(seed)
        config._attn_implementation = "eager"
        model = kind(config).eval()
        for value in model.parameters():
            value.data += 0.15 * torch.randn_like(value)
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        prompts = [torch.randint(0, 97, (length,)) for length in LENGTHS]
        arrays, cases = {}, []
        for n, prompt in enumerate(prompts):
            with torch.no_grad():
                arrays[f"logits.{n}"] = model(prompt[None]).logits[0].contiguous()
                # Without a mask, the reference would take ids that equal the padding for padding.
                settings = dict(attention_mask=torch.ones_like(prompt)[None], max_new_tokens=NEW, do_sample=False)
                rows = model.generate(prompt[None], **settings)
                penalised = model.generate(prompt[None], **settings, repetition_penalty=1.3)
                options = [[5], [17, 3, 80], [61, 61]]
                likelihoods = []
                for option in options:
                    logs = model(torch.cat([prompt, torch.tensor(option)])[None]).logits[0].log_softmax(-1)
                    likelihoods.append(sum(logs[len(prompt) - 1 + i, id].item() for i, id in enumerate(option)))
            cases.append(dict(prompt=prompt.tolist(), greedy=rows[0, len(prompt):].tolist(),
                              penalised=penalised[0, len(prompt):].tolist(), options=options, likelihoods=likelihoods))
        save_file(arrays, folder / "goldens.safetensors")
        (folder / "goldens.json").write_text(json.dumps(cases) + "\n")


main()
