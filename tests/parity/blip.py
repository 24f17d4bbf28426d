"""Writes the goldens of BLIP and BLIP-2: tiny random checkpoints in hub layout and what the reference computes.

Needs transformers 4.53.1, torch, pillow 13, safetensors, and the images of clip.py. Run: python tests/parity/blip.py
Each case in tests/parity/blip/<case>/ differs in what a checkpoint may differ in; see CASES.
"""

import json
import shutil
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn.functional import normalize
from transformers import (
    BertTokenizerFast,
    Blip2Config,
    Blip2ForImageTextRetrieval,
    Blip2Processor,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
    BlipImageProcessor,
    BlipProcessor,
)

ROOT = Path(__file__).parent / "blip"
IMAGES = Path(__file__).parent / "clip" / "images"
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "a photo of the chest x ray with pneumonia no finding normal lung nodule in left ##s ##ing ##ia pneu ##mon".split()
TEXTS = [
    "a photo of pneumonia",
    "",
    "  A Photo\tof\n PNEUMONIAS.  ",
    "a [PAD] lung [SEP] don't: it's 3.5 cm, they'll see",
    "na\u00efve cafe\u0301 \u201cx-ray\u201d \u4f60\u597d \U0001f600",
    "the chest x ray with a nodule in the left lung and no finding in the right lung " * 3,
]
CONTEXT = 23
OPENAI = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}


def vision(**overrides):
    base = dict(hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4, image_size=21, patch_size=7)
    return base | overrides


def text(**overrides):
    base = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=3, max_position_embeddings=CONTEXT)
    return base | overrides


CASES = {
    # One safetensors file, tokenizer.json, two ids that the tokenizer does not know.
    "retrieval": dict(
        model=BlipForImageTextRetrieval, vision=vision(), text=text(), projection=20, more_ids=2,
        processor=dict(size={"height": 21, "width": 21}, resample=3, do_resize=True, **OPENAI),
    ),
    # A pickle, vocab.txt, cased, tanh and quick GELU, a rest of pixels beside the last patch, another filter.
    "retrieval-bin": dict(
        model=BlipForImageTextRetrieval,
        vision=vision(image_size=31, hidden_act="quick_gelu", layer_norm_eps=1e-3, hidden_size=36),
        text=text(hidden_act="gelu_new", layer_norm_eps=1e-4, hidden_size=33), projection=15, weights="bin", slow=True,
        cased=True, processor=dict(size=31, resample=2, image_mean=[0.5, 0.4, 0.3], image_std=[0.5, 0.25, 0.125], rescale_factor=0.01),
    ),
    # Checkpoints without a text tower to match, of which the vision tower counts; the first without
    # preprocessor_config.json: the defaults of the class.
    "captioning": dict(
        model=BlipForConditionalGeneration, vision=vision(image_size=384, patch_size=32, hidden_size=8, num_attention_heads=2),
        text=text(num_hidden_layers=1), projection=20, processor=None,
    ),
    "answering": dict(
        model=BlipForQuestionAnswering, vision=vision(), text=text(num_hidden_layers=1), projection=20, weights="bin",
        processor=dict(size={"height": 21, "width": 21}, do_normalize=False),
    ),
    # Sharded safetensors; cross-attention in layers 0 and 2.
    "blip2": dict(
        model=Blip2ForImageTextRetrieval, vision=vision(), text=text(), projection=20, queries=5, shard="40KB",
        processor=dict(size={"height": 21, "width": 21}, resample=3, **OPENAI),
    ),
    # A pickle, cross-attention in layers 0 and 3, one query, a tokenizer with an image token.
    "blip2-bin": dict(
        model=Blip2ForImageTextRetrieval, vision=vision(image_size=26, patch_size=5, hidden_size=36, layer_norm_eps=1e-3),
        text=text(hidden_size=33, num_hidden_layers=4, cross_attention_frequency=3, layer_norm_eps=1e-5), projection=15,
        queries=1, weights="bin", image_token=True, processor=dict(size={"height": 26, "width": 26}, resample=1),
    ),
}


def write_tokenizer(folder, case):
    letters = [chr(c) for c in range(33, 127) if case.get("cased") or not chr(c).isupper()]
    words = [w.capitalize() for w in WORDS if case.get("cased") and w[0] != "#"]
    tokens = [*SPECIALS, *letters, *("##" + c for c in letters if c.isalnum()), *WORDS, *words]
    tokens = list(dict.fromkeys(tokens))
    (folder / "vocab.txt").write_text("".join(token + "\n" for token in tokens))
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=not case.get("cased"), model_max_length=CONTEXT)
    if case.get("image_token"):
        tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.save_pretrained(folder)
    (folder / "special_tokens_map.json").unlink()
    (folder / ("tokenizer.json" if case.get("slow") else "vocab.txt")).unlink()
    return len(tokens)


def build(case, vocabulary):
    torch.manual_seed(case["projection"] + len(str(case)))
    words = case["text"] | dict(vocab_size=vocabulary + case.get("more_ids", 0))
    if case["model"] is Blip2ForImageTextRetrieval:
        config = Blip2Config(
            vision_config=case["vision"], qformer_config=words | dict(use_qformer_text_input=True),
            num_query_tokens=case["queries"], image_text_hidden_size=case["projection"],
        )
    else:
        words |= dict(bos_token_id=2, eos_token_id=3, sep_token_id=3)
        config = BlipConfig(vision_config=case["vision"], text_config=words, image_text_hidden_size=case["projection"])
    model = case["model"](config).eval()
    for value in model.parameters():
        value.data += 0.15 * torch.randn_like(value)
    return model


def matching(model, pixels, tokens):
    """Scores of each image with each text, as the reference computes them for pairs."""
    one = isinstance(model, BlipForImageTextRetrieval)
    head = "use_itm_head" if one else "use_image_text_matching_head"

    def run(use_head, pixels, tokens):
        out = model(pixel_values=pixels, **tokens, **{head: use_head})
        return out if not one else (out.itm_score, out.question_embeds)

    goldens = {}
    if one:
        scores, states = run(False, pixels, tokens)
        goldens["text_embeds"] = normalize(model.text_proj(states[:, 0]), dim=-1)
        goldens["image_embeds"] = normalize(model.vision_proj(model.vision_model(pixels)[0][:, 0]), dim=-1)
    else:
        out = run(False, pixels, tokens)
        scores = out.logits_per_image
        goldens |= {"text_embeds": out.text_embeds, "image_embeds": out.image_embeds}
    rows = []
    for image in pixels:
        row = [run(True, image[None], {k: v[t : t + 1] for k, v in tokens.items()}) for t in range(len(TEXTS))]
        rows.append(torch.cat([out[0] if one else out.logits_per_image for out in row]))
    itm = torch.stack(rows)
    goldens |= {"itc_scores": scores, "itm_scores": itm}
    goldens["logits"] = itm[..., 1] - itm[..., 0] if one else scores.clone()
    return goldens


def write_case(name, case):
    folder = ROOT / name
    folder.mkdir(parents=True)
    model = build(case, write_tokenizer(folder, case)).half()
    limits = dict(max_shard_size=case["shard"]) if "shard" in case else {}
    model.save_pretrained(folder, safe_serialization=case.get("weights") != "bin", **limits)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if case["processor"] is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(case["processor"], indent=1))

    model = case["model"].from_pretrained(folder, torch_dtype=torch.float32).eval()
    images = BlipImageProcessor() if case["processor"] is None else BlipImageProcessor.from_pretrained(folder)
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    processor = (Blip2Processor if "queries" in case else BlipProcessor)(images, tokenizer)
    pictures = [Image.open(path).convert("RGB") for path in (IMAGES / f"{name}.png" for name in inputs()["images"])]
    batch = processor(images=pictures, text=TEXTS, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")
    pixels = batch.pop("pixel_values")
    goldens = {}
    with torch.no_grad():
        goldens["image_features"] = model.vision_model(pixels)[0][:, 0]
        if hasattr(model, "itm_head"):
            goldens |= matching(model, pixels, batch) | {"input_ids": batch["input_ids"]}
    if case["processor"] is not None:
        goldens["pixel_values"] = pixels
    save_file({key: value.contiguous() for key, value in goldens.items()}, folder / "goldens.safetensors")


def inputs():
    return json.loads((IMAGES.parent / "inputs.json").read_text())


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir()
    (ROOT / "texts.json").write_text(json.dumps(TEXTS, indent=1) + "\n")
    for name, case in CASES.items():
        write_case(name, case)


main()
