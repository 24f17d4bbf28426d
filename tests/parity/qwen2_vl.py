"""Writes the goldens of Qwen2-VL and Qwen2.5-VL: tiny random checkpoints and what the reference computes.

Needs transformers 4.53.1, torch, torchvision, pillow 13, safetensors, and the images of clip.py.
Run: python tests/parity/qwen2_vl.py
Each case in tests/parity/qwen2_vl/ and tests/parity/qwen2_5_vl/ differs in what a checkpoint may differ in; see CASES.
"""

import copy
import itertools
import json
import shutil
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2TokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

ROOT = Path(__file__).parent
IMAGES = ROOT / "clip" / "images"
NEW = 24
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CORPUS = [
    "system\nYou are a helpful assistant.\nuser\nIs there a pleural effusion?\nassistant\nNo, it is clear.",
    "What is shown in this chest x ray? The image shows a nodule in the left lung.",
]
# As the models were published with it.
CHAT = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}"
    "{% for content in message['content'] %}{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}"
    "<|vision_start|><|video_pad|><|vision_end|>{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLACE = "<|vision_start|><|image_pad|><|vision_end|>"
# (prompt, images, raw); the same for every case.
REQUESTS = [
    ("Is there a pleural effusion?", ["wide"], False),
    ("What differs \u2265 5\u00b0 \u80ba?\n", ["tall", "large"], False),
    ("Name the modality.", [], False),
    (f"first {PLACE} then\n{PLACE}: which is brighter? ", ["grey", "small"], True),
    ("an image <|image_pad|> that nothing announces", ["small"], True),
    ("the lung", ["large"], False),
]


def words(**overrides):
    base = dict(hidden_size=24, intermediate_size=28, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
                rope_theta=1e4, rms_norm_eps=1e-6, rope_scaling={"type": "mrope", "mrope_section": [1, 1, 2]}, max_window_layers=2)
    return base | overrides


def plain(**overrides):
    base = dict(depth=2, embed_dim=24, hidden_size=24, num_heads=3, patch_size=4, mlp_ratio=1.6)
    return base | overrides


def gated(**overrides):
    base = dict(depth=3, hidden_size=24, out_hidden_size=24, num_heads=3, intermediate_size=21, patch_size=4, window_size=16,
                fullatt_block_indexes=[1])
    return base | overrides


PIXELS = dict(min_pixels=256, max_pixels=3000, patch_size=4)
QWEN2, QWEN25 = (Qwen2VLConfig, Qwen2VLForConditionalGeneration), (Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration)
CASES = {
    # As the hub has it: all keys of the language model at the top, the published template.
    "qwen2_vl/hub": dict(kind=QWEN2, text=words(), vision=plain(), pixels=PIXELS, flat=True, end=[2, 0], chat="json"),
    # As `save_pretrained` writes it, but in two shards under the names of the class; a tied head, squares of nine patches, a
    # window of the language model, images in steps of their own, a template of its own.
    "qwen2_vl/class": dict(
        kind=QWEN2, vision=plain(num_heads=2, embed_dim=16, hidden_size=36, patch_size=3, spatial_merge_size=3, hidden_act="gelu", depth=1),
        text=words(hidden_size=36, num_attention_heads=6, num_key_value_heads=2, tie_word_embeddings=True, use_sliding_window=True,
                   sliding_window=20, max_window_layers=1, rope_scaling={"type": "mrope", "mrope_section": [1, 2, 0]}),
        pixels=dict(min_pixels=90, max_pixels=1500, patch_size=3, merge_size=3, image_mean=[0.5, 0.25, 0.75], image_std=[0.5, 0.4, 0.3],
                    resample=2),
        inner=True, end=2, chat="jinja", template=CHAT.replace("You are a helpful assistant.", "Look closely.")),
    # Windows that are cut at both edges; no template, so the published one.
    "qwen2_5_vl/hub": dict(kind=QWEN25, text=words(), vision=gated(), pixels=PIXELS, flat=True, end=[2, 0]),
    # As `save_pretrained` writes it, in a pickle; a tied head, no layer but the first sees all, one frame, a square first.
    "qwen2_5_vl/square": dict(
        kind=QWEN25, text=words(tie_word_embeddings=True, hidden_size=32, num_attention_heads=2, num_key_value_heads=2,
                                rope_scaling={"type": "mrope", "mrope_section": [4, 1, 3]}),
        vision=gated(hidden_size=16, num_heads=1, out_hidden_size=32, temporal_patch_size=1, window_size=24, fullatt_block_indexes=[0, 7]),
        pixels=PIXELS | dict(temporal_patch_size=1), bin=True, end=2, chat="jinja", side=40),
}


def tokenizer_of(folder):
    """Writes a tokenizer built like Qwen's and loads it as the reference does."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    pieces = [pre_tokenizers.Split(Regex(PATTERN), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Sequence(pieces), decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    specials = [AddedToken(token, special=True, normalized=False) for token in SPECIALS]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=290, initial_alphabet=alphabet, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token=None, additional_special_tokens=SPECIALS[1:])
    tokenizer = Qwen2TokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **names)
    tokenizer.save_pretrained(folder)
    for name in ["vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json"]:
        (folder / name).unlink(missing_ok=True)
    return tokenizer


def build(case, tokenizer, seed):
    torch.manual_seed(seed)
    config, model = case["kind"]
    ids = dict(zip(["vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id"], range(3, 7)))
    text = case["text"] | dict(vocab_size=len(tokenizer) + 3)
    # What is told to the model as a whole is not told to its language model.
    model = model(config(text_config=copy.deepcopy(text), vision_config=case["vision"], eos_token_id=case["end"], **ids))
    for value in model.parameters():
        value.data += 0.25 * torch.randn_like(value)
    # The reference cannot spell out what its tokenizer does not know.
    model.get_output_embeddings().weight.data[len(tokenizer) :] = 0
    for value in model.parameters():
        value.data = value.data.half().float()
    model.generation_config.eos_token_id = case["end"]
    return model.eval()


def save(case, model, folder):
    """The checkpoint, in f16."""
    limits = dict(max_shard_size="20KB") if "inner" in case else {}
    # A copy, because what is computed from frequencies in f16 is not what is computed from the checkpoint.
    copy.deepcopy(model).half().save_pretrained(folder, safe_serialization="bin" not in case, **limits)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    if "flat" in case:
        text = config.pop("text_config")
        config = {key: value for key, value in text.items() if key in case["text"] or key == "vocab_size"} | config
        config["rope_scaling"] = case["text"]["rope_scaling"]
        config["tie_word_embeddings"] = False
        path.write_text(json.dumps(config, indent=1) + "\n")
    if "inner" in case:
        def new(key):
            key = f"model.language_model.{key.removeprefix('model.')}" if key.startswith("model.") else key
            return f"model.{key}" if key.startswith("visual.") else key

        for shard in folder.glob("*.safetensors"):
            save_file({new(key): value for key, value in load_file(shard).items()}, shard, metadata={"format": "pt"})
        index = folder / "model.safetensors.index.json"
        content = json.loads(index.read_text())
        content["weight_map"] = {new(key): file for key, file in content["weight_map"].items()}
        index.write_text(json.dumps(content, indent=1) + "\n")


def write_case(name, case, seed):
    """Writes a case; returns as `write_goldens`."""
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = tokenizer_of(folder)
    model = build(case, tokenizer, seed)
    save(case, model, folder)
    again = case["kind"][1].from_pretrained(folder, torch_dtype=torch.float32).eval()
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    Qwen2VLImageProcessor(**case["pixels"]).save_pretrained(folder)
    images = Qwen2VLImageProcessor.from_pretrained(folder)
    template = case.get("template", CHAT)
    processor = Qwen2VLProcessor if case["kind"] is QWEN2 else Qwen2_5_VLProcessor
    processor = processor(images, tokenizer, Qwen2VLVideoProcessor(), chat_template=template)
    match case.get("chat"):
        case "json":
            (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}) + "\n")
        case "jinja":
            (folder / "chat_template.jinja").write_text(template)
    return write_goldens(folder, model, processor, case)


def write_goldens(folder, model, processor, case):
    """Writes what the reference answers; returns by how much, in logits, the closest choice of a token was made."""
    arrays, requests, margins, tokenizer = {}, [], [], processor.tokenizer
    for n, (prompt, names, raw) in enumerate(REQUESTS):
        pictures = [Image.open(IMAGES / f"{image}.png").convert("RGB") for image in names]
        if "side" in case:
            pictures = [picture.resize((case["side"],) * 2, Image.BICUBIC) for picture in pictures]
        parts = [{"type": "image"}] * len(names) + [{"type": "text", "text": prompt}]
        turns = [{"role": "user", "content": parts}]
        text = prompt if raw else processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        batch = dict(processor(images=pictures or None, text=text, return_tensors="pt"))
        ids = batch["input_ids"]
        with torch.no_grad():
            if n == 1:
                arrays[f"pixel_values.{n}"] = batch["pixel_values"]
                parts = model.get_image_features(batch["pixel_values"], batch["image_grid_thw"])
                # Since 4.57 there may be those of further layers beside them.
                parts = parts[0] if isinstance(parts, tuple) and isinstance(parts[0], tuple) else parts
                arrays[f"image_features.{n}"] = torch.cat([torch.as_tensor(part) for part in parts])
            out = model.generate(
                **batch, do_sample=False, max_new_tokens=NEW, return_dict_in_generate=True, output_logits=True, pad_token_id=0,
                repetition_penalty=1.0, temperature=None, top_k=None, top_p=None,
            )
            arrays[f"first_logits.{n}"] = out.logits[0]
            options = ["yes", " no nodule"]
            rates = []
            for option in options:
                tail = tokenizer(option, add_special_tokens=False)["input_ids"]
                whole = torch.cat([ids, torch.tensor([tail])], 1)
                asked = batch | dict(input_ids=whole, attention_mask=torch.ones_like(whole))
                logs = model(**asked).logits[0].log_softmax(-1)
                start = ids.shape[1] - 1
                rates.append(sum(logs[start + i, id].item() for i, id in enumerate(tail)))
        answer = out.sequences[0, ids.shape[1]:].tolist()
        margins += [(top[0] - top[1]).item() for top in (row[0].topk(2).values for row in out.logits)]
        requests.append(dict(
            prompt=prompt, images=names, raw=raw, prompt_ids=ids[0].tolist(), generated_ids=answer, options=options, rates=rates,
            text=tokenizer.decode(answer, skip_special_tokens=True).strip(),
        ))
    save_file({key: value.contiguous() for key, value in arrays.items()}, folder / "goldens.safetensors")
    (folder / "goldens.json").write_text(json.dumps(requests) + "\n")
    return min(margins)


def main():
    for name, case in CASES.items():
        # Weights with which a choice hangs on rounding show nothing.
        seed = next(seed for seed in itertools.count() if write_case(name, case, seed) > 0.004)
        print(f"{name}: seed {seed}")


if __name__ == "__main__":
    main()
