"""Writes the goldens of Qwen3-VL: tiny random checkpoints and what the reference computes.

Needs transformers 4.57.6, torch, torchvision 0.29, pillow 13, safetensors, and the images of clip.py.
Run: python tests/parity/qwen3_vl.py
Each case in tests/parity/qwen3_vl/ differs in what a checkpoint may differ in; see CASES.
"""

import copy
import itertools
import json
import shutil

import torch
from qwen2_vl import ROOT, tokenizer_of, write_goldens
from transformers import (
    AutoProcessor,
    Qwen2VLImageProcessorFast,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

# As the models were published with it, without its parts for tools.
CHAT = """{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].content is string %}
        {{- messages[0].content }}
    {%- else %}
        {%- for content in messages[0].content %}
            {%- if 'text' in content %}
                {{- content.text }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- set image_count = namespace(value=0) %}
{%- for message in messages %}
    {%- if message.role == "user" %}
        {{- '<|im_start|>' + message.role + '\\n' }}
        {%- if message.content is string %}
            {{- message.content }}
        {%- else %}
            {%- for content in message.content %}
                {%- if content.type == 'image' or 'image' in content or 'image_url' in content %}
                    {%- set image_count.value = image_count.value + 1 %}
                    {%- if add_vision_id %}Picture {{ image_count.value }}: {% endif -%}
                    <|vision_start|><|image_pad|><|vision_end|>
                {%- elif 'text' in content %}
                    {{- content.text }}
                {%- endif %}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


def words(**overrides):
    scaling = {"rope_type": "default", "mrope_section": [2, 2, 2], "mrope_interleaved": True}
    base = dict(hidden_size=24, intermediate_size=28, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1, head_dim=12,
                rope_theta=1e4, rms_norm_eps=1e-6, rope_scaling=scaling)
    return base | overrides


def tower(**overrides):
    base = dict(depth=4, hidden_size=16, out_hidden_size=24, num_heads=2, intermediate_size=28, patch_size=4,
                num_position_embeddings=16, deepstack_visual_indexes=[0, 2])
    return base | overrides


HALF = dict(image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5])
CASES = {
    # As the hub has it: a head of its own, pixels by `size`.
    "qwen3_vl/hub": dict(text=words(), vision=tower(), pixels=HALF | dict(size=dict(shortest_edge=256, longest_edge=2000), patch_size=4),
                         end=[2, 0], chat="json"),
    # Two shards, no template; a tied head, biases, squares of nine patches of one frame, more positions than a square has, taps
    # that are named upside down and are more than the layers that take them, pixels by their older names.
    "qwen3_vl/class": dict(
        text=words(hidden_size=36, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=10,
                   attention_bias=True, tie_word_embeddings=True, rope_scaling={"rope_type": "default", "mrope_section": [3, 1, 1]}),
        vision=tower(depth=3, hidden_size=8, num_heads=1, out_hidden_size=36, patch_size=3, spatial_merge_size=3, temporal_patch_size=1,
                     intermediate_size=20, hidden_act="gelu", num_position_embeddings=30, deepstack_visual_indexes=[2, 0, 1]),
        pixels=dict(min_pixels=90, max_pixels=1500, patch_size=3, merge_size=3, temporal_patch_size=1, image_mean=[0.5, 0.25, 0.75],
                    image_std=[0.5, 0.4, 0.3], resample=2),
        shards=True, end=2),
}


def build(case, tokenizer, seed):
    torch.manual_seed(seed)
    ids = dict(zip(["vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id"], range(3, 7)))
    text = copy.deepcopy(case["text"]) | dict(vocab_size=len(tokenizer) + 3)
    tied = text.get("tie_word_embeddings", False)
    config = Qwen3VLConfig(text_config=text, vision_config=case["vision"], eos_token_id=case["end"], tie_word_embeddings=tied, **ids)
    model = Qwen3VLForConditionalGeneration(config)
    for value in model.parameters():
        value.data += 0.25 * torch.randn_like(value)
    # The reference cannot spell out what its tokenizer does not know.
    model.get_output_embeddings().weight.data[len(tokenizer) :] = 0
    for value in model.parameters():
        value.data = value.data.half().float()
    model.generation_config.eos_token_id = case["end"]
    return model.eval()


def write_case(name, case, seed):
    """Writes a case; returns as `write_goldens`."""
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = tokenizer_of(folder)
    model = build(case, tokenizer, seed)
    limits = dict(max_shard_size="40KB") if "shards" in case else {}
    # A copy, because what is computed from frequencies in f16 is not what is computed from the checkpoint.
    copy.deepcopy(model).half().save_pretrained(folder, **limits)
    again = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    images = Qwen2VLImageProcessorFast(**case["pixels"])
    images.save_pretrained(folder)
    # What the reference reads of these files, not what was written.
    images = AutoProcessor.from_pretrained(folder).image_processor
    assert isinstance(images, Qwen2VLImageProcessorFast)
    if "chat" in case:
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": CHAT}) + "\n")
    return write_goldens(folder, model, Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor(), chat_template=CHAT), case)


def main():
    for name, case in CASES.items():
        # Weights with which a choice hangs on rounding show nothing.
        seed = next(seed for seed in itertools.count() if write_case(name, case, seed) > 0.004)
        print(f"{name}: seed {seed}")


main()
