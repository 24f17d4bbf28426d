"""Writes the goldens of LLaVA: tiny random checkpoints in both public layouts and what the reference computes.

Needs transformers 4.53.1, torch, pillow 13, safetensors, sentencepiece, and the images of clip.py.
Run: python tests/parity/llava.py
Each case in tests/parity/llava/<case>/ differs in what a checkpoint may differ in; see CASES. The cases `original` and
`original-med` are laid out as the authors of LLaVA and LLaVA-Med do, and their images and ids are made as in the authors'
code (`mm_utils.py`); the weights in them are those of `transformers.LlavaForConditionalGeneration` under other names.
"""

import copy
import io
import itertools
import json
import re
import shutil
from pathlib import Path

import sentencepiece
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaTokenizer,
    LlamaTokenizerFast,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaImageProcessor,
    LlavaProcessor,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipImageProcessor,
    SiglipVisionConfig,
)

ROOT = Path(__file__).parent / "llava"
IMAGES = Path(__file__).parent / "clip" / "images"
NEW = 24
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and "
    "polite answers to the user's questions. USER: {images}{prompt} ASSISTANT:"
)
MISTRAL = "[INST] {images}{prompt} [/INST]"
CORPUS = [
    "a chat between a curious user and an artificial intelligence assistant . user : is there a pleural effusion ?",
    "the assistant gives helpful , detailed , and polite answers to the user's questions . assistant : no , it is clear",
    "what is shown in this chest x ray ? the image shows a nodule in the left lung",
]
CHAT = (
    "{% for message in messages %}{{ message['role'].upper() + ':' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ ' <image>\\n' }}{% else %}{{ ' ' + part['text'] }}{% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}"
)
# (prompt, images, raw); the same for every case.
REQUESTS = [
    ("Is there a pleural effusion?", ["wide"], False),
    ("What differs \u2265 5\u00b0 \u80ba?\n", ["tall", "small"], False),
    ("Name the modality.", [], False),
    ("first <image> then\n<image>: which is brighter? ", ["grey", "large"], True),
    ("the lung", ["tall"], False),
]


def clip(**overrides):
    base = dict(hidden_size=18, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3, image_size=30, patch_size=7)
    return CLIPVisionConfig(**(base | overrides))


def words(kind, **overrides):
    base = dict(hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
    return kind(**(base | overrides))


PROCESSOR = dict(size={"shortest_edge": 30}, crop_size={"height": 30, "width": 30})
CASES = {
    # As LlavaForConditionalGeneration.save_pretrained writes it, with the template of the row.
    "llama": dict(vision=clip(), text=words(LlamaConfig, rms_norm_eps=1e-5, eos_token_id=2), config={}, template=VICUNA,
                  pixels=CLIPImageProcessor(**PROCESSOR), pad=True),
    # Names as in the class, two shards, several layers of features with the class token, a window, padding by the processor.
    "mistral": dict(vision=clip(hidden_size=14, num_hidden_layers=2, num_attention_heads=2, image_size=24, patch_size=8,
                                hidden_act="gelu", layer_norm_eps=1e-3),
                    text=words(MistralConfig, num_key_value_heads=1, sliding_window=12, head_dim=6, rope_theta=1e3),
                    config=dict(vision_feature_layer=[-2, 2], vision_feature_select_strategy="full",
                                multimodal_projector_bias=False, projector_hidden_act="gelu_pytorch_tanh"),
                    pixels=LlavaImageProcessor(do_pad=True, size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24},
                                               image_mean=[0.5, 0.25, 0.75], image_std=[0.5, 0.25, 0.3]),
                    shard="25KB", inner=True),
    # A SigLIP tower, byte-level tokens without a beginning, a tied head, a pickle, a list of ends.
    "qwen2": dict(vision=SiglipVisionConfig(hidden_size=15, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3,
                                            image_size=28, patch_size=7),
                  text=words(Qwen2Config, tie_word_embeddings=True, eos_token_id=[1, 2]), bin=True,
                  config=dict(vision_feature_layer=-1, vision_feature_select_strategy="full"),
                  pixels=SiglipImageProcessor(size={"height": 28, "width": 28})),
    # The authors' layout, the tower in its own folder.
    "original": dict(vision=clip(), text=words(LlamaConfig, rms_norm_eps=1e-5, eos_token_id=2), config={}, template=VICUNA,
                     pixels=CLIPImageProcessor(**PROCESSOR), pad=True, kind="llava_llama", apart=True),
    # The authors' layout, the tower within, dimensions in its own folder, a linear projector, the class token.
    "original-med": dict(vision=clip(), text=words(MistralConfig, sliding_window=None, eos_token_id=2), template=MISTRAL,
                         config=dict(vision_feature_layer=-1, vision_feature_select_strategy="full"), linear=True,
                         pixels=CLIPImageProcessor(**PROCESSOR), kind="llava_mistral"),
}


def pieces():
    """`tokenizer.model` of byte pairs, as LLaMA and Mistral have it."""
    # A model that is trained from a file remembers its path.
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 20), model_writer=model, model_type="bpe", vocab_size=310, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
        allow_whitespace_only_pieces=True, minloglevel=2,
    )
    return model.getvalue()


def tokenizer_of(name, case, folder):
    """Writes the tokenizer of a case and loads it as the reference does."""
    if name == "qwen2":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"]
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=290, initial_alphabet=alphabet, special_tokens=specials, show_progress=False)
        tokenizer.train_from_iterator(CORPUS, trainer)
        named = dict(eos_token="<|im_end|>", pad_token="<|endoftext|>", additional_special_tokens=["<image>"])
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=["input_ids", "attention_mask"], **named)
        tokenizer.chat_template = (
            "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
            "{% if part.type == 'image' %}<image>\n{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        )
        tokenizer.save_pretrained(folder)
        return tokenizer
    (folder / "tokenizer.model").write_bytes(pieces())
    if "kind" in case:
        tokenizer = LlamaTokenizer(str(folder / "tokenizer.model"), legacy="med" in name)
        if case["config"]:
            tokenizer.add_tokens(["<im_start>", "<im_end>"], special_tokens=True)
        tokenizer.save_pretrained(folder)
        return tokenizer
    tokenizer = LlamaTokenizerFast(str(folder / "tokenizer.model"), legacy=name == "llama")
    tokenizer.add_special_tokens({"pad_token": "<pad>", "additional_special_tokens": ["<image>"]})
    tokenizer.save_pretrained(folder)
    (folder / "tokenizer.model").unlink()
    return tokenizer


def build(case, tokenizer, seed):
    torch.manual_seed(seed)
    case["text"].vocab_size = len(tokenizer) + 3
    # In the authors' layout nothing is the image's, so the reference gets an id that no text has.
    image = len(tokenizer) + 1 if "kind" in case else tokenizer.convert_tokens_to_ids("<image>")
    model = LlavaForConditionalGeneration(
        LlavaConfig(case["vision"], case["text"], image_token_index=image, pad_token_id=0, **case["config"])
    )
    if "linear" in case:
        model.model.multi_modal_projector = nn.Linear(case["vision"].hidden_size, case["text"].hidden_size)
    for value in model.parameters():
        value.data += 0.25 * torch.randn_like(value)
    # The reference cannot spell out what its tokenizer does not know.
    model.get_output_embeddings().weight.data[len(tokenizer) :] = 0
    for value in model.parameters():
        value.data = value.data.half().float()
    return model.eval()


def save(case, model, folder):
    """The checkpoint, in f16."""
    state = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    if "kind" not in case:
        limits = dict(max_shard_size=case["shard"]) if "shard" in case else {}
        # A copy, because what is computed from frequencies in f16 is not what is computed from the checkpoint.
        copy.deepcopy(model).half().save_pretrained(folder, safe_serialization="bin" not in case, **limits)
        if "inner" in case:
            names = {"language_model.model": "model.language_model", "language_model.lm_head": "lm_head"}
            names |= {"vision_tower": "model.vision_tower", "multi_modal_projector": "model.multi_modal_projector"}
            rename(folder, names)
        return
    names = [(r"^model\.language_model", "model"), (r"^model\.vision_tower", "model.vision_tower.vision_tower")]
    names += [(r"^model\.multi_modal_projector\.linear_1", "model.mm_projector.0")]
    names += [(r"^model\.multi_modal_projector\.linear_2", "model.mm_projector.2")]
    names += [(r"^model\.multi_modal_projector", "model.mm_projector")]
    for pattern, name in names:
        state = {re.sub(pattern, name, key): value for key, value in state.items()}
    state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    tower = folder / "vision_tower"
    tower.mkdir()
    vision = {"model_type": "clip_vision_model", **case["vision"].to_diff_dict()}
    if "apart" in case:
        inside = "model.vision_tower.vision_tower."
        # OpenAI's files hold the text tower as well.
        apart = {key.removeprefix(inside): value for key, value in state.items() if key.startswith(inside)}
        apart |= {"logit_scale": torch.ones(()), "text_model.final_layer_norm.bias": torch.ones(3)}
        apart |= {"visual_projection.weight": torch.ones(2, 2), "vision_model.embeddings.position_ids": torch.arange(17)[None]}
        torch.save(apart, tower / "pytorch_model.bin")
        vision = {"model_type": "clip", "vision_config": vision}
        state = {key: value for key, value in state.items() if not key.startswith(inside)}
        case["pixels"].save_pretrained(tower)
    (tower / "config.json").write_text(json.dumps(vision, indent=1) + "\n")
    save_file(state, folder / "model.safetensors")
    full = bool(case["config"])
    config = case["text"].to_dict() | {
        "model_type": case["kind"], "image_aspect_ratio": "pad", "mm_hidden_size": case["vision"].hidden_size,
        "mm_projector_type": "linear" if "linear" in case else "mlp2x_gelu", "mm_use_im_start_end": full,
        "mm_vision_select_feature": "cls_patch" if full else "patch",
        "mm_vision_select_layer": case["config"].get("vision_feature_layer", -2),
        "mm_vision_tower": "openai/clip-vit-large-patch14-336",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def rename(folder, names):
    from safetensors.torch import load_file

    def new(key):
        return next((name + key.removeprefix(old) for old, name in names.items() if key.startswith(old)), key)

    for path in folder.glob("*.safetensors"):
        save_file({new(key): value for key, value in load_file(path).items()}, path, metadata={"format": "pt"})
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"] = {new(key): file for key, file in content["weight_map"].items()}
    index.write_text(json.dumps(content, indent=1) + "\n")


def square(image, colour):
    """`expand2square` of the authors' mm_utils.py."""
    width, height = image.size
    if width == height:
        return image
    result = Image.new(image.mode, (max(width, height),) * 2, colour)
    result.paste(image, (0, (width - height) // 2) if width > height else ((height - width) // 2, 0))
    return result


def split_at_images(prompt, tokenizer, image, count):
    """`tokenizer_image_token` of the authors' mm_utils.py, with `count` ids in place of each image."""
    chunks = [tokenizer(chunk).input_ids for chunk in prompt.split("<image>")]
    offset = int(bool(chunks[0]) and chunks[0][0] == tokenizer.bos_token_id)
    ids = chunks[0][:offset]
    for n, chunk in enumerate(chunks):
        ids += [image] * count * (n > 0) + chunk[offset:]
    return ids


def text_of(name, case, processor, prompt, images, raw):
    token = "<im_start><image><im_end>\n" if "linear" in case else "<image>\n"
    if raw:
        return prompt
    if "template" in case:
        return case["template"].format(images=token * images, prompt=prompt)
    turns = [{"role": "user", "content": [{"type": "image"}] * images + [{"type": "text", "text": prompt}]}]
    return processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)


def write_case(name, case, seed):
    """Writes a case; returns by how much, in logits, the closest choice of a token was made."""
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = tokenizer_of(name, case, folder)
    model = build(case, tokenizer, seed)
    save(case, model, folder)
    image_id = model.config.image_token_index
    side, patch = case["vision"].image_size, case["vision"].patch_size
    full = model.config.vision_feature_select_strategy == "full"
    is_clip = isinstance(case["vision"], CLIPVisionConfig)
    if "kind" in case:
        images, processor = case["pixels"], None
    else:
        processor = LlavaProcessor(
            case["pixels"], tokenizer, patch_size=patch, vision_feature_select_strategy="full" if full else "default",
            num_additional_image_tokens=int(is_clip), chat_template=tokenizer.chat_template or CHAT,
        )
        processor.save_pretrained(folder)
        tokenizer = type(tokenizer).from_pretrained(folder)
        images = AutoImageProcessor.from_pretrained(folder, use_fast=False)
        processor = LlavaProcessor.from_pretrained(folder)
        processor.image_processor = images
        again = LlavaForConditionalGeneration.from_pretrained(folder, torch_dtype=torch.float32).eval()
        assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))
    # Options and answers go through the fast tokenizer, which spells bytes that are no text differently.
    fast = AutoTokenizer.from_pretrained(folder) if processor is None else tokenizer
    count = (side // patch) ** 2 + int(is_clip and full)
    arrays, requests, margins = {}, [], []
    for n, (prompt, names, raw) in enumerate(REQUESTS):
        pictures = [Image.open(IMAGES / f"{image}.png").convert("RGB") for image in names]
        if "pad" in case or "kind" in case:
            pictures = [square(picture, tuple(int(x * 255) for x in images.image_mean)) for picture in pictures]
        text = text_of(name, case, processor, prompt, len(names), raw)
        if processor is None:
            ids = torch.tensor([split_at_images(text, tokenizer, image_id, count)])
            pixels = images(pictures, return_tensors="pt")["pixel_values"] if names else None
        else:
            batch = processor(images=pictures or None, text=text, return_tensors="pt")
            ids, pixels = batch["input_ids"], batch.get("pixel_values")
        with torch.no_grad():
            if n == len(REQUESTS) - 1:
                arrays[f"pixel_values.{n}"] = pixels
                arrays[f"image_features.{n}"] = torch.cat(model.get_image_features(pixels))
            out = model.generate(
                input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW,
                return_dict_in_generate=True, output_logits=True, eos_token_id=case["text"].eos_token_id, pad_token_id=0,
            )
            arrays[f"first_logits.{n}"] = out.logits[0]
            options = ["yes", " no nodule"]
            rates = []
            for option in options:
                tail = fast(option, add_special_tokens=False)["input_ids"]
                whole = torch.cat([ids, torch.tensor([tail])], 1)
                logs = model(input_ids=whole, pixel_values=pixels).logits[0].log_softmax(-1)
                start = ids.shape[1] - 1
                rates.append(sum(logs[start + i, id].item() for i, id in enumerate(tail)))
        answer = out.sequences[0, ids.shape[1]:].tolist()
        margins += [(top[0] - top[1]).item() for top in (row[0].topk(2).values for row in out.logits)]
        shown = [case["text"].vocab_size if "kind" in case and id == image_id else id for id in ids[0].tolist()]
        requests.append(dict(
            prompt=prompt, images=names, raw=raw, prompt_ids=shown, generated_ids=answer, options=options, rates=rates,
            text=fast.decode(answer, skip_special_tokens=True).strip(),
        ))
    save_file({key: value.contiguous() for key, value in arrays.items()}, folder / "goldens.safetensors")
    (folder / "goldens.json").write_text(json.dumps(requests) + "\n")
    return min(margins)


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    for name, case in CASES.items():
        # Weights with which a choice hangs on rounding show nothing.
        seed = next(seed for seed in itertools.count() if write_case(name, case, seed) > 0.004)
        print(f"{name}: seed {seed}")


main()
