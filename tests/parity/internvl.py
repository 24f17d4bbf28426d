"""Writes the goldens of InternVL: tiny random checkpoints in both public layouts and what the reference computes.

Needs transformers 4.53.1, torch, torchvision, pillow 13, safetensors, and the images of clip.py.
Run: python tests/parity/internvl.py
Each case in tests/parity/internvl/<case>/ differs in what a checkpoint may differ in; see CASES.
"""

import copy
import itertools
import json
import shutil
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    InternVLVisionConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

ROOT = Path(__file__).parent / "internvl"
IMAGES = Path(__file__).parent / "clip" / "images"
NEW = 24
CORPUS = [
    "is there a pleural effusion ? no , it is clear . the assistant gives helpful , detailed , and polite answers",
    "what is shown in this chest x ray ? the image shows a nodule in the left lung",
]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
MARKS = dict(start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>")
CHAT = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n'}}{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' %}"
    "{{ '<IMG_CONTEXT>\n' }}{% elif content['type'] == 'video' %}{{ '<video>\n' }}{% elif content['type'] == 'text' %}"
    "{{ content['text'] }}{% endif %}{% endfor %}{% endif %}{{'<|im_end|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|im_start|>assistant\n' }}{% endif %}"
)
# (prompt, images, raw); the same for every case.
REQUESTS = [
    ("Is there a pleural effusion?", ["wide"], False),
    ("What differs \u2265 5\u00b0 \u80ba?\n", ["tall", "small"], False),
    ("Name the modality.", [], False),
    ("first <IMG_CONTEXT> then\n<IMG_CONTEXT>: which is brighter? ", ["grey", "large"], True),
    ("the lung, <|im_end|>?", ["large"], False),
]
# The requests whose vectors are told, of the last of which the pixels too.
SHOWN = [3, 4]


def tower(**overrides):
    base = dict(hidden_size=18, intermediate_size=22, num_hidden_layers=2, num_attention_heads=3, image_size=[28, 28], patch_size=[7, 7])
    return InternVLVisionConfig(**(base | overrides))


def words(kind, **overrides):
    base = dict(hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
    return kind(**(base | overrides))


IMAGENET = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
CASES = {
    # As published: InternViT-300M in small, the layout of the hub, in shards.
    "qwen2": dict(vision=tower(attention_bias=True), text=words(Qwen2Config, rope_theta=1e6), config={}, shard="40KB", ends=[2, 0],
                  pixels=GotOcr2ImageProcessor(size=dict(height=28, width=28), max_patches=6, **IMAGENET)),
    # InternViT-6B in small, names as in the class, a pickle, more tokens joined, a beginning, tiles that a square needs too.
    "llama": dict(vision=tower(norm_type="rms_norm", use_qk_norm=True, use_mean_pooling=False, image_size=[26, 26], patch_size=[3, 3],
                               layer_norm_eps=1e-4, use_mask_token=True, hidden_act="gelu_new"),
                  text=words(LlamaConfig, num_key_value_heads=1, rms_norm_eps=1e-5, eos_token_id=2), inner=True, bin=True,
                  config=dict(downsample_ratio=0.25, projector_hidden_act="quick_gelu"), begins=True,
                  pixels=GotOcr2ImageProcessor(size=dict(height=26, width=26), min_patches=2, max_patches=4, resample=2)),
    # Never cut, another filter, a tied head, sides as numbers, no chat template.
    "whole": dict(vision=tower(attention_bias=True, use_qk_norm=True, image_size=20, patch_size=5), config=dict(downsample_ratio=1.0),
                  silent=True, text=words(Qwen2Config, tie_word_embeddings=True, eos_token_id=2),
                  pixels=GotOcr2ImageProcessor(size=dict(height=20, width=20), max_patches=1, resample=2, image_mean=[0.5, 0.4, 0.3])),
}


def tokenizer_of(case):
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    specials = [AddedToken(token, special=True, normalized=False) for token in SPECIALS]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=specials, show_progress=False)
    inner.train_from_iterator(CORPUS, trainer)
    named = dict(eos_token="<|im_end|>", pad_token="<|endoftext|>")
    if "begins" in case:
        named["bos_token"] = "<s>"
        inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", inner.token_to_id("<s>"))])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, extra_special_tokens=MARKS, model_input_names=["input_ids", "attention_mask"], **named
    )


def build(case, tokenizer, seed):
    torch.manual_seed(seed)
    case["text"].vocab_size = len(tokenizer) + 3
    image = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    model = InternVLForConditionalGeneration(
        InternVLConfig(copy.deepcopy(case["vision"]), copy.deepcopy(case["text"]), image_token_id=image, pad_token_id=0, **case["config"])
    )
    for value in model.parameters():
        value.data += 0.25 * torch.randn_like(value)
    # The reference cannot spell out what its tokenizer does not know.
    model.get_output_embeddings().weight.data[len(tokenizer) :] = 0
    for value in model.parameters():
        value.data = value.data.half().float()
    if "ends" in case:
        model.generation_config.eos_token_id = case["ends"]
    return model.eval()


def save(case, model, folder):
    """The checkpoint, in f16."""
    limits = dict(max_shard_size=case["shard"]) if "shard" in case else {}
    # A copy, because what is computed from frequencies in f16 is not what is computed from the checkpoint.
    copy.deepcopy(model).half().save_pretrained(folder, safe_serialization="bin" not in case, **limits)
    if "inner" in case:
        (folder / "pytorch_model.bin").unlink()
        torch.save({key: value.half() for key, value in model.state_dict().items()}, folder / "pytorch_model.bin")


def write_case(name, case, seed):
    """Writes a case; returns by how much, in logits, the closest choice of a token was made."""
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = tokenizer_of(case)
    model = build(case, tokenizer, seed)
    save(case, model, folder)
    tokens = (case["vision"].image_size[0] // case["vision"].patch_size[0] * model.config.downsample_ratio) ** 2
    processor = InternVLProcessor(
        case["pixels"], tokenizer, InternVLVideoProcessor(), image_seq_length=int(tokens),
        chat_template=("{{ bos_token }}" if "begins" in case else "") + CHAT,
    )
    processor.save_pretrained(folder)
    (folder / "video_preprocessor_config.json").unlink(missing_ok=True)
    if "silent" in case:
        # What is published then holds.
        (folder / "chat_template.jinja").unlink()
    again = InternVLForConditionalGeneration.from_pretrained(folder, torch_dtype=torch.float32).eval()
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))
    arrays, requests, margins = {}, [], []
    for n, (prompt, names, raw) in enumerate(REQUESTS):
        pictures = [Image.open(IMAGES / f"{image}.png").convert("RGB") for image in names]
        turns = [{"role": "user", "content": [{"type": "image"}] * len(names) + [{"type": "text", "text": prompt}]}]
        text = prompt if raw else processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        special = not (tokenizer.bos_token and text.startswith(tokenizer.bos_token))
        batch = processor(images=pictures or None, text=text, add_special_tokens=special, return_tensors="pt")
        ids, pixels = batch["input_ids"], batch.get("pixel_values")
        with torch.no_grad():
            if n in SHOWN:
                arrays |= {f"pixel_values.{n}": pixels} if n == SHOWN[-1] else {}
                arrays[f"image_features.{n}"] = model.get_image_features(pixels).flatten(0, 1)
            out = model.generate(
                input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW,
                return_dict_in_generate=True, output_logits=True, pad_token_id=0,
            )
            arrays[f"first_logits.{n}"] = out.logits[0]
            options = ["yes", " no nodule"]
            rates = []
            for option in options:
                tail = tokenizer(option, add_special_tokens=False)["input_ids"]
                whole = torch.cat([ids, torch.tensor([tail])], 1)
                logs = model(input_ids=whole, pixel_values=pixels).logits[0].log_softmax(-1)
                start = ids.shape[1] - 1
                rates.append(sum(logs[start + i, id].item() for i, id in enumerate(tail)))
        answer = out.sequences[0, ids.shape[1] :].tolist()
        margins += [(top[0] - top[1]).item() for top in (row[0].topk(2).values for row in out.logits)]
        requests.append(dict(
            prompt=prompt, images=names, raw=raw, prompt_ids=ids[0].tolist(), generated_ids=answer, options=options, rates=rates,
            text=tokenizer.decode(answer, skip_special_tokens=True).strip(),
        ))
    save_file({key: value.contiguous() for key, value in arrays.items()}, folder / "goldens.safetensors")
    (folder / "goldens.json").write_text(json.dumps(requests) + "\n")
    return min(margins)


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    for name, case in CASES.items():
        # Weights with which a choice hangs on rounding show nothing.
        seed = next(seed for seed in itertools.count() if write_case(name, case, seed) > 0.004)
        print(f"{name}: seed {seed}, {sorted(load_file(ROOT / name / 'goldens.safetensors'))}")


if __name__ == "__main__":
    main()
