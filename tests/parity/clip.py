"""Writes the CLIP goldens: tiny random checkpoints in hub layout, images, and what the reference computes.

Needs transformers 4.53.1, torch, pillow 13, safetensors. Run: python tests/parity/clip.py
Each case in tests/parity/clip/<case>/ differs in what a checkpoint may differ in; see CASES.
"""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizerFast

ROOT = Path(__file__).parent / "clip"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
CORPUS = "a photo of the chest x ray with pneumonia and no finding a normal lung the patient has a nodule in the left lung"
MERGES = 40
TEXTS = [
    "a photo of pneumonia",
    "",
    "  A Photo\tof\n PNEUMONIA.  ",
    "don't: it's 3.5 cm, they'll see <|endoftext|> a normal lung",
    "na\u00efve cafe\u0301 \u201cx-ray\u201d \u4f60\u597d \U0001f600",
    "the patient has a nodule in the left lung and no finding in the right lung " * 3,
]
# Name to size and mode: larger, smaller than the crop, extreme in either direction, grey, alpha.
IMAGES = {"large": (61, 37, "RGB"), "small": (9, 13, "RGB"), "wide": (90, 5, "RGB"), "tall": (4, 70, "RGB"), "grey": (33, 47, "L")}
OPENAI = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}


def vision(**overrides):
    base = dict(hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4, image_size=21, patch_size=7)
    return base | overrides


def text(**overrides):
    base = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=3, max_position_embeddings=17)
    return base | overrides


CASES = {
    # One safetensors file, the current end-of-text id, tokenizer.json.
    "modern": dict(
        vision=vision(), text=text(), projection=20, weights="safetensors",
        processor=dict(size={"shortest_edge": 21}, crop_size={"height": 21, "width": 21}, resample=3, **OPENAI),
    ),
    # A pickle, erf GELU, a rest of pixels beside the last patch, the old end-of-text id, vocab.json and merges.txt, a
    # crop that is larger than the image.
    "legacy": dict(
        vision=vision(image_size=31, hidden_act="gelu", layer_norm_eps=1e-3, hidden_size=36),
        text=text(hidden_act="gelu", eos_token_id=2, layer_norm_eps=1e-4), projection=20, weights="bin", slow=True,
        processor=dict(size=26, crop_size=31, resample=3),
    ),
    # Sharded safetensors, tanh GELU, odd head width, padding with another token, one side cropped and one padded.
    "sharded": dict(
        vision=vision(image_size=20, patch_size=5, hidden_act="gelu_pytorch_tanh", hidden_size=36),
        text=text(hidden_act="gelu_pytorch_tanh", hidden_size=33), projection=15, weights="safetensors", shard="40KB",
        pad="!",
        processor=dict(size={"height": 17, "width": 24}, crop_size=[20, 20], resample=2, image_mean=[0.5, 0.4, 0.3],
                       image_std=[0.5, 0.25, 0.125], rescale_factor=0.01),
    ),
    # A sharded pickle, no crop, no normalisation.
    "sharded-bin": dict(
        vision=vision(image_size=16, patch_size=8), text=text(num_attention_heads=2), projection=20, weights="bin", shard="40KB",
        processor=dict(size={"height": 16, "width": 16}, do_center_crop=False, do_normalize=False, resample=1),
    ),
    # No preprocessor_config.json: the defaults of the class.
    "defaults": dict(
        vision=vision(image_size=224, patch_size=32, hidden_size=12, num_attention_heads=2), text=text(), projection=20,
        weights="safetensors", processor=None,
    ),
}


def write_images():
    folder = ROOT / "images"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    for name, (width, height, mode) in IMAGES.items():
        y, x = np.mgrid[0:height, 0:width]
        waves = [127 + 90 * np.sin(x / (3 + c) + c) * np.cos(y / (4 + c)) for c in range(3)]
        pixels = np.stack(waves, -1) + rng.normal(0, 25, (height, width, 3))
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        image.convert(mode).save(folder / f"{name}.png", optimize=True)


def bytes_to_unicode():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]


def write_tokenizer(folder, case):
    """A byte-level BPE in CLIP's form: characters, characters that end a word, merges, two special tokens."""
    words = Counter((*word[:-1], word[-1] + "</w>") for word in CORPUS.split())
    merges = []
    while len(merges) < MERGES:
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        merged = Counter()
        for word, count in words.items():
            out, i = [], 0
            while i < len(word):
                step = 2 if word[i : i + 2] == best else 1
                out.append("".join(word[i : i + step]))
                i += step
            merged[tuple(out)] += count
        words = merged
    alphabet = bytes_to_unicode()
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), *("".join(m) for m in merges), BOS, EOS]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    if not case.get("slow"):
        tokenizer = CLIPTokenizerFast.from_pretrained(folder, pad_token=case.get("pad", EOS))
        for name in ["vocab.json", "merges.txt"]:
            (folder / name).unlink()
        tokenizer.save_pretrained(folder)
        for name in ["vocab.json", "merges.txt", "special_tokens_map.json"]:
            (folder / name).unlink(missing_ok=True)
    return len(tokens)


def write_case(name, case):
    folder = ROOT / name
    folder.mkdir()
    vocabulary = write_tokenizer(folder, case)
    ends = dict(bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1) | case["text"]
    config = CLIPConfig(
        vision_config=case["vision"],
        text_config=ends | dict(vocab_size=vocabulary),
        projection_dim=case["projection"],
        logit_scale_init_value=1.7,
    )
    torch.manual_seed(len(name))
    model = CLIPModel(config).eval()
    for key, value in model.named_parameters():
        if key != "logit_scale":
            value.data += 0.15 * torch.randn_like(value)
    model = model.half()
    limits = dict(max_shard_size=case["shard"]) if "shard" in case else {}
    model.save_pretrained(folder, safe_serialization=case["weights"] == "safetensors", **limits)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if case["processor"] is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(case["processor"], indent=1))

    model = CLIPModel.from_pretrained(folder, torch_dtype=torch.float32).eval()
    processor = CLIPImageProcessor() if case["processor"] is None else CLIPImageProcessor.from_pretrained(folder)
    tokenizer = CLIPTokenizerFast.from_pretrained(folder)
    images = [Image.open(ROOT / "images" / f"{image}.png") for image in IMAGES]
    pixels = processor(images, return_tensors="pt")["pixel_values"]
    tokens = tokenizer(TEXTS, padding=True, truncation=True, max_length=case["text"]["max_position_embeddings"], return_tensors="pt")
    with torch.no_grad():
        out = model(pixel_values=pixels, **tokens, output_hidden_states=True)
        goldens = {
            "image_features": model.get_image_features(pixels),
            "image_embeds": out.image_embeds,
            "text_embeds": out.text_embeds,
            "logits": out.logits_per_image,
            "vision_hidden": out.vision_model_output.hidden_states[-2][:2],
            # The last text fills the context: the reference masks padding, which changes the states of padding only.
            "text_hidden": out.text_model_output.hidden_states[-2][-1:],
            "input_ids": tokens["input_ids"],
        }
    if case["processor"] is not None:
        goldens["pixel_values"] = pixels
    save_file({key: value.contiguous() for key, value in goldens.items()}, folder / "goldens.safetensors")


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    write_images()
    (ROOT / "inputs.json").write_text(json.dumps({"images": list(IMAGES), "texts": TEXTS}, indent=1) + "\n")
    for name, case in CASES.items():
        write_case(name, case)


main()
