"""Writes the goldens of Gemma 3: tiny random checkpoints in their public layouts and what the reference computes.

Needs transformers 4.53.1, torch 2.6 or newer, pillow 13, safetensors, and the images of clip.py.
Run: python tests/parity/gemma3.py
Each case in tests/parity/gemma3/<case>/ differs in what a checkpoint may differ in; see CASES.
"""

import copy
import itertools
import json
import shutil
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoImageProcessor,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessor,
    Gemma3Processor,
    Gemma3TextConfig,
    GemmaTokenizerFast,
    SiglipVisionConfig,
)

ROOT = Path(__file__).parent / "gemma3"
IMAGES = Path(__file__).parent / "clip" / "images"
NEW = 24
# In the order of Gemma's ids.
SPECIALS = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
OF_IMAGES = ["<start_of_image>", "<end_of_image>", "<image_soft_token>"]
CORPUS = [
    "is there a pleural effusion ? no , it is clear",
    "what is shown in this chest x ray ? the image shows a nodule in the left lung",
    "user model you are an expert on understanding medical images .",
]
# As the hub has it.
TEMPLATE = (
    "{{ bos_token }}\n{%- if messages[0]['role'] == 'system' -%}\n    {%- if messages[0]['content'] is string -%}\n"
    "        {%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}\n    {%- else -%}\n"
    "        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\n\n' -%}\n    {%- endif -%}\n"
    "    {%- set loop_messages = messages[1:] -%}\n{%- else -%}\n    {%- set first_user_prefix = \"\" -%}\n"
    "    {%- set loop_messages = messages -%}\n{%- endif -%}\n{%- for message in loop_messages -%}\n"
    "    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}\n        {{ raise_exception("
    "\"Conversation roles must alternate user/assistant/user/assistant/...\") }}\n    {%- endif -%}\n"
    "    {%- if (message['role'] == 'assistant') -%}\n        {%- set role = \"model\" -%}\n    {%- else -%}\n"
    "        {%- set role = message['role'] -%}\n    {%- endif -%}\n"
    "    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else \"\") }}\n"
    "    {%- if message['content'] is string -%}\n        {{ message['content'] | trim }}\n"
    "    {%- elif message['content'] is iterable -%}\n        {%- for item in message['content'] -%}\n"
    "            {%- if item['type'] == 'image' -%}\n                {{ '<start_of_image>' }}\n"
    "            {%- elif item['type'] == 'text' -%}\n                {{ item['text'] | trim }}\n"
    "            {%- endif -%}\n        {%- endfor -%}\n    {%- else -%}\n"
    "        {{ raise_exception(\"Invalid content type\") }}\n    {%- endif -%}\n    {{ '<end_of_turn>\n' }}\n"
    "{%- endfor -%}\n{%- if add_generation_prompt -%}\n    {{'<start_of_turn>model\n'}}\n{%- endif -%}\n"
)
SYSTEM = "You are an expert on understanding medical images."
# (prompt, images, raw); the same for every case.
REQUESTS = [
    ("Is there a pleural effusion?", ["wide"], False),
    (" What differs \u2265 5\u00b0 \u80ba?\n", ["tall", "small"], False),
    ("Name the modality.", [], False),
    ("first <start_of_image> then\n<start_of_image><start_of_image>: which is brighter? ", ["grey", "large", "tall"], True),
    ("the lung", ["tall"], False),
]


def vision(**overrides):
    base = dict(hidden_size=18, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3, image_size=30, patch_size=7)
    return SiglipVisionConfig(**(base | overrides))


def text(**overrides):
    base = dict(hidden_size=20, intermediate_size=28, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                head_dim=8, sliding_window=9, query_pre_attn_scalar=20, eos_token_id=1, bos_token_id=2, pad_token_id=0)
    return Gemma3TextConfig(**(base | overrides))


CASES = {
    # As the hub has MedGemma: bf16, linear scaling in global layers, ends in generation_config.json, a system text.
    "medgemma": dict(
        vision=vision(vision_use_head=False), format=torch.bfloat16, ends=[1, 5], system=SYSTEM, tokens=4,
        text=text(sliding_window_pattern=3, rope_scaling=dict(rope_type="linear", factor=8.0), rope_theta=1e6),
        pixels=Gemma3ImageProcessor(size={"height": 30, "width": 30}),
    ),
    # Names as in the class, shards, a window shorter than an image, a head of its own, biases, one head of keys, the question
    # first, an id of images beyond the vocabulary, and a file that asks for crops, which the processor never makes.
    "inner": dict(
        vision=vision(image_size=28, hidden_act="gelu", layer_norm_eps=1e-3), format=torch.float16, ends=1, tokens=16,
        text=text(num_hidden_layers=4, layer_types=["full_attention", "sliding_attention"] * 2, sliding_window=5,
                  tie_word_embeddings=False, attention_bias=True, num_key_value_heads=1, head_dim=6, rms_norm_eps=1e-3,
                  rope_local_base_freq=100.0, hidden_activation="gelu"),
        pixels=Gemma3ImageProcessor(size={"height": 28, "width": 28}, resample=3, image_mean=[0.5, 0.25, 0.75],
                                    image_std=[0.5, 0.25, 0.3], do_pan_and_scan=True, pan_and_scan_min_crop_size=8,
                                    pan_and_scan_max_num_crops=4, pan_and_scan_min_ratio_to_activate=1.2),
        text_first=True, inner=True, shard="30KB", beyond=True,
    ),
    # Defaults by absence, a pickle, patches that no square takes, images that see each other further than they are long.
    "old": dict(
        vision=vision(image_size=35, hidden_size=12, num_attention_heads=2), format=torch.float16, ends=[5, 1], tokens=6,
        text=text(num_hidden_layers=2, num_attention_heads=2, sliding_window_pattern=2, head_dim=10, sliding_window=7),
        pixels=Gemma3ImageProcessor(size={"height": 35, "width": 35}), bin=True,
    ),
}


def tokenizer_of(folder):
    """A tokenizer built as Gemma's: byte pairs over whole texts with bytes to fall back on, newlines apart."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    plain = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=SPECIALS + plain, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in SPECIALS]
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.add_tokens([AddedToken("\n" * n, normalized=False) for n in (1, 2, 3, 4)])
    tokenizer.add_special_tokens(OF_IMAGES)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(["boi_token", "eoi_token", "image_token"], OF_IMAGES))
    tokenizer = GemmaTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), eos_token="<end_of_turn>", extra_special_tokens=names, add_bos_token=True
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def build(case, tokenizer, seed):
    torch.manual_seed(seed)
    image = tokenizer.convert_tokens_to_ids("<image_soft_token>")
    case["text"].vocab_size = image if "beyond" in case else len(tokenizer) + 3
    begin, end = tokenizer.convert_tokens_to_ids(OF_IMAGES[:2])
    model = Gemma3ForConditionalGeneration(
        Gemma3Config(case["text"], case["vision"], mm_tokens_per_image=case["tokens"], boi_token_index=begin,
                     eoi_token_index=end, image_token_index=image)
    )
    for name, value in model.named_parameters():
        value.data = 0.3 * torch.randn_like(value) + (0 if "norm" in name or "projection_weight" in name else value.data)
        # What the layers add outweighs the embedding; else a tied head says the same token again and again.
        if "post_attention" in name or "post_feedforward" in name:
            value.data += 4
    # The reference cannot spell out what its tokenizer does not know.
    model.get_output_embeddings().weight.data[len(tokenizer) :] = 0
    for value in model.parameters():
        value.data = value.data.to(case["format"]).float()
    return model.eval()


def save(case, model, folder):
    limits = dict(max_shard_size=case["shard"]) if "shard" in case else {}
    copy.deepcopy(model).to(case["format"]).save_pretrained(folder, safe_serialization="bin" not in case, **limits)
    if "inner" in case:
        names = {"language_model.model": "model.language_model", "language_model.lm_head": "lm_head"}
        names |= {"vision_tower": "model.vision_tower", "multi_modal_projector": "model.multi_modal_projector"}
        rename(folder, names)
    config = json.loads((folder / "config.json").read_text())
    if "bin" in case:
        # As files of earlier releases.
        config["text_config"]["sliding_window_pattern"] = 2
        for key in ["layer_types", "rope_scaling", "hidden_activation", "attn_logit_softcapping"]:
            config["text_config"].pop(key, None)
    config["eos_token_id"] = case["ends"]
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    generation = folder / "generation_config.json"
    if "bin" in case:
        generation.unlink()
    else:
        generation.write_text(json.dumps({"bos_token_id": 2, "eos_token_id": case["ends"], "pad_token_id": 0}) + "\n")


def rename(folder, names):
    def new(key):
        return next((name + key.removeprefix(old) for old, name in names.items() if key.startswith(old)), key)

    for path in folder.glob("*.safetensors"):
        save_file({new(key): value for key, value in load_file(path).items()}, path, metadata={"format": "pt"})
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"] = {new(key): file for key, file in content["weight_map"].items()}
    index.write_text(json.dumps(content, indent=1) + "\n")


def text_of(case, processor, prompt, images, raw):
    if raw:
        return prompt
    words, pictures = [{"type": "text", "text": prompt}], [{"type": "image"}] * images
    turns = [{"role": "user", "content": words + pictures if "text_first" in case else pictures + words}]
    if "system" in case:
        turns.insert(0, {"role": "system", "content": [{"type": "text", "text": case["system"]}]})
    return processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)


def write_case(name, case, seed):
    """Writes a case; returns by how much, in logits, the closest choice was made, and how many tokens the dullest answer has."""
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = tokenizer_of(folder)
    model = build(case, tokenizer, seed)
    save(case, model, folder)
    side = case["vision"].image_size // case["vision"].patch_size
    count = (side // (side // int(case["tokens"] ** 0.5))) ** 2
    Gemma3Processor(case["pixels"], tokenizer, image_seq_length=count, chat_template=TEMPLATE).save_pretrained(folder)
    processor = Gemma3Processor.from_pretrained(folder)
    processor.image_processor = AutoImageProcessor.from_pretrained(folder, use_fast=False)
    again = Gemma3ForConditionalGeneration.from_pretrained(folder, torch_dtype=torch.float32).eval()
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))
    arrays, requests, margins = {}, [], []
    for n, (prompt, names, raw) in enumerate(REQUESTS):
        pictures = [Image.open(IMAGES / f"{image}.png").convert("RGB") for image in names]
        written = text_of(case, processor, prompt, len(names), raw)
        inputs = processor(
            images=pictures or None, text=written, add_special_tokens=not written.startswith("<bos>"), return_tensors="pt"
        )
        ids = inputs["input_ids"]
        with torch.no_grad():
            if n == len(REQUESTS) - 1:
                arrays[f"pixel_values.{n}"] = inputs["pixel_values"]
                arrays[f"image_features.{n}"] = model.get_image_features(inputs["pixel_values"])[0]
            out = again.generate(
                **inputs, do_sample=False, max_new_tokens=NEW, return_dict_in_generate=True, output_logits=True,
                eos_token_id=case["ends"], pad_token_id=0,
            )
            arrays[f"first_logits.{n}"] = out.logits[0]
            options = ["yes", " no nodule"]
            rates = []
            for option in options:
                tail = processor.tokenizer(option, add_special_tokens=False)["input_ids"]
                more = dict(inputs)
                for key, value in [("input_ids", tail), ("attention_mask", [1] * len(tail)), ("token_type_ids", [0] * len(tail))]:
                    more[key] = torch.cat([inputs[key], torch.tensor([value])], 1)
                logs = model(**more).logits[0].log_softmax(-1)
                start = ids.shape[1] - 1
                rates.append(sum(logs[start + i, id].item() for i, id in enumerate(tail)))
        answer = out.sequences[0, ids.shape[1]:].tolist()
        margins += [(top[0] - top[1]).item() for top in (row[0].topk(2).values for row in out.logits)]
        requests.append(dict(
            prompt=prompt, images=names, raw=raw, prompt_ids=ids[0].tolist(), generated_ids=answer, options=options, rates=rates,
            text=processor.decode(answer, skip_special_tokens=True).strip(),
        ))
    save_file({key: value.contiguous() for key, value in arrays.items()}, folder / "goldens.safetensors")
    (folder / "goldens.json").write_text(json.dumps(requests) + "\n")
    return min(margins), min(len(set(request["generated_ids"])) for request in requests)


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    for name, case in CASES.items():
        for seed in itertools.count():
            margin, tokens = write_case(name, case, seed)
            # Weights with which a choice hangs on rounding, or none is made, show nothing.
            if margin > 0.004 and tokens > 4:
                print(f"{name}: seed {seed}, margin {margin:.4f}, {tokens} tokens")
                break


main()
