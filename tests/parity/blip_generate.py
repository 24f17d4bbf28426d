"""Writes the goldens of BLIP as it answers and captions: tiny random checkpoints in hub layout and what the reference says.

Needs transformers 4.53.1, torch, pillow 13, safetensors, and the images of clip.py. Run: python tests/parity/blip_generate.py
Each case in tests/parity/blip_generate/<case>/ differs in what a checkpoint may differ in; see CASES.
"""

import json
import shutil
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    BertTokenizerFast,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForQuestionAnswering,
    BlipImageProcessor,
    BlipProcessor,
)

ROOT = Path(__file__).parent / "blip_generate"
IMAGES = Path(__file__).parent / "clip" / "images"
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
WORDS = "a photo of the chest x ray with pneumonia no finding normal lung nodule in left ##s ##ing ##ia pneu ##mon is there".split()
PROMPTS = [
    "Is there PNEUMONIA?",
    "",
    "a photo of",
    "the chest x ray with a nodule in the left lung, don't: it's 3.5 cm and no finding in the right lung",
]
NEW = 24
OPENAI = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}

CASES = {
    # One safetensors file; room for every token.
    "answering": dict(
        model=BlipForQuestionAnswering, width=32, vision=dict(), text=dict(max_position_embeddings=48),
        processor=dict(size={"height": 21, "width": 21}, resample=3, **OPENAI),
    ),
    # A pickle, other activations and epsilons, positions that end before the answer does, a rest of pixels.
    "answering-bin": dict(
        model=BlipForQuestionAnswering, width=28, vision=dict(num_hidden_layers=1, image_size=31, hidden_act="quick_gelu", layer_norm_eps=1e-3),
        text=dict(hidden_act="gelu_new", layer_norm_eps=1e-4, max_position_embeddings=70), weights="bin",
        processor=dict(size=31, resample=2),
    ),
    # The vision tower has another width than the decoder; sharded.
    "captioning": dict(
        model=BlipForConditionalGeneration, width=24, vision=dict(hidden_size=40), text=dict(max_position_embeddings=80),
        shard="40KB", processor=dict(size={"height": 21, "width": 21}, resample=3, **OPENAI),
    ),
}


def write_tokenizer(folder):
    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    tokens = [*SPECIALS, *letters, *("##" + c for c in letters if c.isalnum()), *WORDS]
    tokens = list(dict.fromkeys(tokens))
    (folder / "vocab.txt").write_text("".join(token + "\n" for token in tokens))
    BertTokenizerFast(str(folder / "vocab.txt"), clean_up_tokenization_spaces=True).save_pretrained(folder)
    (folder / "special_tokens_map.json").unlink()
    (folder / "vocab.txt").unlink()
    return len(tokens)


def build(case, vocabulary):
    torch.manual_seed(case["width"])
    vision = dict(hidden_size=case["width"], intermediate_size=44, num_hidden_layers=2, num_attention_heads=4, image_size=21, patch_size=7)
    # The decoder starts with [DEC] and ends with [SEP]; transformers wants to know a padding.
    text = dict(
        hidden_size=case["width"], intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, vocab_size=vocabulary,
        bos_token_id=SPECIALS.index("[DEC]"), sep_token_id=SPECIALS.index("[SEP]"), eos_token_id=SPECIALS.index("[SEP]"),
    )
    config = BlipConfig(vision_config=vision | case["vision"], text_config=text | case["text"], image_text_hidden_size=20)
    model = case["model"](config).eval()
    for name, value in model.named_parameters():
        value.data += (0.5 if name.startswith("text_decoder") else 0.2) * torch.randn_like(value)
    return model


def write_case(name, case):
    folder = ROOT / name
    folder.mkdir(parents=True)
    model = build(case, write_tokenizer(folder)).half()
    limits = dict(max_shard_size=case["shard"]) if "shard" in case else {}
    model.save_pretrained(folder, safe_serialization=case.get("weights") != "bin", **limits)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "preprocessor_config.json").write_text(json.dumps(case["processor"], indent=1))

    model = case["model"].from_pretrained(folder, torch_dtype=torch.float32).eval()
    processor = BlipProcessor(BlipImageProcessor.from_pretrained(folder), BertTokenizerFast.from_pretrained(folder))
    names = json.loads((IMAGES.parent / "inputs.json").read_text())["images"]
    pictures = [Image.open(IMAGES / f"{name}.png").convert("RGB") for name in names]
    arrays, cases = {}, []
    for n, prompt in enumerate(PROMPTS):
        image = n % len(pictures)
        inputs = processor(images=pictures[image], text=prompt, return_tensors="pt")
        answering = isinstance(model, BlipForQuestionAnswering)
        asked = inputs["input_ids"][0].tolist()
        with torch.no_grad():
            if n == 0:
                arrays["pixel_values"] = inputs["pixel_values"]
                arrays["image_features"] = model.vision_model(inputs["pixel_values"])[0][:, 0]
            room = case["text"]["max_position_embeddings"]
            new = min(NEW, room - (1 if answering else len(asked) - 1))
            out = model.generate(**inputs, max_new_tokens=new, num_beams=1, do_sample=False, return_dict_in_generate=True, output_logits=True)
        read = [SPECIALS.index("[DEC]")] + ([] if answering else asked[1:-1])
        row = out.sequences[0].tolist()
        assert row[: len(read)] == read
        arrays[f"first_logits.{n}"] = out.logits[0]
        cases.append(dict(
            image=image, prompt=prompt, prompt_ids=asked if answering else read, generated_ids=row[len(read):],
            text=processor.decode(row[len(read):], skip_special_tokens=True).strip(),
        ))
    save_file({key: value.contiguous() for key, value in arrays.items()}, folder / "goldens.safetensors")
    (folder / "goldens.json").write_text(json.dumps(cases, indent=1) + "\n")


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir()
    for name, case in CASES.items():
        write_case(name, case)


main()
