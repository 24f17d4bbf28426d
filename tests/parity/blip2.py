"""Writes the goldens of BLIP-2 with OPT: tiny random checkpoints in hub layout and what the reference answers.

Needs transformers 4.53.1, torch, pillow 13, safetensors, and the images of clip.py. Run: python tests/parity/blip2.py
Each case in tests/parity/blip2/<case>/ differs in what a checkpoint may differ in; see CASES.
"""

import json
import shutil
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoTokenizer,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessor,
    GPT2TokenizerFast,
)

ROOT = Path(__file__).parent / "blip2"
IMAGES = Path(__file__).parent / "clip" / "images"
CORPUS = ["Question: Is there a nodule in the left lung? Answer: yes, the chest x-ray shows no pneumonia.\n"]
# Prompts with what goes before and behind them; without an envelope, they are raw.
PROMPTS = [
    ("Is there a nodule?", "Question: {} Answer:"),
    ("", "{}"),
    ("</s>the chest x-ray shows", None),
    ("Which lung is it: left or right? It's 3.5 cm \u00e9 \U0001f600", "Question: {} Answer:"),
    ("a photo of ", None),
]
NEW = 24
OPENAI = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
CASES = {
    # Image tokens as the processor inserts them; sharded safetensors; positions that end before an answer does.
    "inserted": dict(
        queries=5, image_token=True, shard="60KB", vision=dict(), qformer=dict(),
        text=dict(max_position_embeddings=110), processor=dict(size={"height": 21, "width": 21}, resample=3, **OPENAI),
    ),
    # Neither the processor nor the model names an image token; a pickle; norms behind the branches; an own head.
    "older": dict(
        queries=3, image_token=False, weights="bin", vision=dict(image_size=26, patch_size=5, layer_norm_eps=1e-3),
        qformer=dict(num_hidden_layers=3, hidden_size=20, num_attention_heads=2, layer_norm_eps=1e-5),
        text=dict(do_layer_norm_before=False, activation_function="gelu", tie_word_embeddings=False, enable_bias=False, hidden_size=24),
        processor=dict(size={"height": 26, "width": 26}, resample=2),
    ),
}


def write_tokenizer(folder, case):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<s>", "<pad>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=290, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    ends = dict(bos_token="</s>", eos_token="</s>", unk_token="</s>", pad_token="<pad>")
    fast = GPT2TokenizerFast(tokenizer_object=tokenizer, add_bos_token=True, clean_up_tokenization_spaces=False, **ends)
    if case["image_token"]:
        fast.add_special_tokens({"additional_special_tokens": ["<image>"]})
    fast.save_pretrained(folder)
    for name in ["special_tokens_map.json", "vocab.json", "merges.txt", "added_tokens.json"]:
        (folder / name).unlink(missing_ok=True)
    return fast


def build(case, tokenizer):
    torch.manual_seed(case["queries"])
    vision = dict(hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4, image_size=21, patch_size=7)
    qformer = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3, vocab_size=99)
    text = dict(
        model_type="opt", hidden_size=32, ffn_dim=40, num_hidden_layers=2, num_attention_heads=4, vocab_size=len(tokenizer) + 3,
        max_position_embeddings=150, eos_token_id=tokenizer.encode("\n", add_special_tokens=False)[0], bos_token_id=2, pad_token_id=1,
    ) | case["text"]
    text["word_embed_proj_dim"] = text["hidden_size"]
    config = Blip2Config(
        vision_config=vision | case["vision"], qformer_config=qformer | case["qformer"], text_config=text, num_query_tokens=case["queries"],
        image_token_index=tokenizer.convert_tokens_to_ids("<image>") if case["image_token"] else None,
    )
    model = Blip2ForConditionalGeneration(config).eval()
    for name, value in model.named_parameters():
        value.data += (0.25 if name.startswith("language_model") else 0.2) * torch.randn_like(value)
    return model


def write_case(name, case):
    folder = ROOT / name
    folder.mkdir(parents=True)
    model = build(case, write_tokenizer(folder, case)).half()
    limits = dict(max_shard_size=case["shard"]) if "shard" in case else {}
    model.save_pretrained(folder, safe_serialization=case.get("weights") != "bin", **limits)
    (folder / "preprocessor_config.json").write_text(json.dumps(case["processor"], indent=1))
    queries = case["queries"] if case["image_token"] else None
    if queries:
        (folder / "processor_config.json").write_text(json.dumps({"num_query_tokens": queries, "processor_class": "Blip2Processor"}) + "\n")

    model = Blip2ForConditionalGeneration.from_pretrained(folder, torch_dtype=torch.float32).eval()
    processor = Blip2Processor(BlipImageProcessor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder), queries)
    names = json.loads((IMAGES.parent / "inputs.json").read_text())["images"]
    pictures = [Image.open(IMAGES / f"{name}.png").convert("RGB") for name in names]
    arrays, cases = {}, []
    for n, (prompt, envelope) in enumerate(PROMPTS):
        image = n % len(pictures)
        text = prompt if envelope is None else envelope.format(prompt)
        # A text that spells its beginning out gets no second one.
        inputs = processor(images=pictures[image], text=text, add_special_tokens=not text.startswith("</s>"), return_tensors="pt")
        asked = inputs["input_ids"][0].tolist()
        with torch.no_grad():
            if n == 0:
                arrays["pixel_values"] = inputs["pixel_values"]
                arrays["image_features"] = model.vision_model(inputs["pixel_values"])[0][:, 0]
            read = len(asked) + (0 if case["image_token"] else case["queries"])
            new = min(NEW, model.config.text_config.max_position_embeddings - read + 1)
            settings = dict(num_beams=1, do_sample=False, return_dict_in_generate=True, output_logits=True)
            out = model.generate(**inputs, max_new_tokens=new, **settings)
        row = out.sequences[0].tolist()
        assert row[: len(asked)] == asked
        arrays[f"first_logits.{n}"] = out.logits[0]
        cases.append(dict(
            image=image, prompt=prompt, raw=envelope is None, prompt_ids=asked, generated_ids=row[len(asked):],
            text=processor.decode(row[len(asked):], skip_special_tokens=True).strip(),
            with_prompt=processor.decode(row, skip_special_tokens=True).strip(),
        ))
    save_file({key: value.contiguous() for key, value in arrays.items()}, folder / "goldens.safetensors")
    (folder / "goldens.json").write_text(json.dumps(cases, indent=1) + "\n")


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir()
    for name, case in CASES.items():
        write_case(name, case)


main()
