"""Writes the goldens of XGen-MM: tiny random checkpoints in their public layout and what a reference computes.

There is no reference package: this composes open_clip's VisionTransformer and transformers' Phi3ForCausalLM with the perceiver,
the tables of added tokens, the tiles and the prompt of the authors' code, written anew in torch and Pillow.

Needs transformers 4.53.1, open_clip 3.3.0, torch, pillow 13, safetensors, sentencepiece, and the images of clip.py.
Run: python tests/parity/xgen.py
Each case in tests/parity/xgen/<case>/ differs in what a checkpoint may differ in; see CASES.
"""

import io
import itertools
import json
import math
import shutil
from pathlib import Path

import sentencepiece
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip.transformer import QuickGELU, VisionTransformer
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from transformers import AddedToken, AutoTokenizer, LlamaTokenizer, LlamaTokenizerFast, Phi3Config, Phi3ForCausalLM

ROOT = Path(__file__).parent / "xgen"
IMAGES = Path(__file__).parent / "clip" / "images"
NEW = 24
CORPUS = [
    "a chat between a curious user and an artificial intelligence assistant . user : is there a pleural effusion ?",
    "the assistant gives helpful , detailed , and polite answers to the user's questions . assistant : no , it is clear",
    "what is shown in this chest x ray ? the image shows a nodule in the left lung",
]
PROMPT = (
    "<|system|>\nA chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions.<|end|>\n<|user|>\n{images}{prompt}<|end|>\n<|assistant|>\n"
)
OWN = ["<image>", "<image placeholder>", "<|endofchunk|>"]
INSTRUCTION = 256
GRIDS = [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]
# (prompt, images, raw, options of the row)
REQUESTS = [
    ("Is there a pleural effusion?", ["wide"], False, {}),
    ("What differs \u2265 5\u00b0 \u80ba?\n", ["tall", "small"], False, {}),
    ("Name the modality.", [], False, {}),
    ("first <image> then\n<image>: which is brighter? ", ["grey", "large"], True, {}),
    ("is there a nodule, or what \u2265 is there? " * 20, ["large"], False, {}),
    ("the lung", ["large"], False, dict(anyres=True)),
    ("What differs?", ["tall", "wide"], False, dict(anyres=True)),
    ("the lung", ["large"], False, dict(anyres=True, compat="medvlmbench")),
    ("the lung", ["small"], False, dict(instruction="question")),
]
# The requests whose states are told, and those of which the pixels too.
SHOWN, PIXELS = [4, 5], [0, 6]
CASES = {
    # As published in what no configuration tells: heads as many as there, a tower without a name; two shards.
    "published": dict(
        vision=dict(width=32, heads=16, layers=2, mlp_ratio=1.5, image_size=21, patch_size=7, act_layer=QuickGELU),
        perceiver=dict(latents=5, depth=2, heads=16, dim_head=2), text=dict(sliding_window=60), shards=2, vision_config={}, tokenizer_config={},
    ),
    # Heads that are told, GELU, a pickle, pieces only, a tokenizer that knows <image>, biases of the added head, grids.
    "told": dict(
        vision=dict(width=24, heads=3, layers=3, mlp_ratio=2.0, image_size=23, patch_size=5, act_layer=nn.GELU),
        perceiver=dict(latents=4, depth=1, heads=2, dim_head=7), text=dict(num_key_value_heads=2, rope_theta=500.0, rms_norm_eps=1e-3),
        vision_config=dict(model_name="ViT-H-14-378", force_image_size=23, head_width=8), bias=True, bin=True, pieces=True,
        tokenizer_config=dict(num_vis_tokens=4, vis_feature_dim=24, lang_embedding_dim=32, dim_head=7),
        processor=dict(size=[23, 23], resize_mode="squash", interpolation_mode="bilinear", image_mean=[0.5, 0.4, 0.3], image_std=[0.5, 0.25, 0.2],
                       grids=[[46, 23], [23, 46], [69, 46]]),
    ),
}


class Attention(nn.Module):
    def __init__(self, dim, heads, dim_head):
        super().__init__()
        self.heads, self.scale = heads, dim_head**-0.5
        self.norm_media, self.norm_latents = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * dim_head, bias=False)
        self.to_out = nn.Linear(heads * dim_head, dim, bias=False)

    def forward(self, media, latents):
        media, latents = self.norm_media(media), self.norm_latents(latents)
        k, v = self.to_kv(torch.cat([media, latents], 1)).chunk(2, -1)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (self.to_q(latents), k, v))
        weights = (torch.einsum("bhid,bhjd->bhij", q, k) * self.scale).softmax(-1)
        return self.to_out(torch.einsum("bhij,bhjd->bhid", weights, v).transpose(1, 2).flatten(2))


class Perceiver(nn.Module):
    def __init__(self, dim, language, latents, depth, heads, dim_head):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, dim))
        self.text_projection = nn.Sequential(nn.Linear(language, dim), nn.GELU(), nn.Linear(dim, dim))
        feed = lambda: nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim, bias=False), nn.GELU(), nn.Linear(4 * dim, dim, bias=False))
        self.layers = nn.ModuleList(nn.ModuleList([Attention(dim, heads, dim_head), feed()]) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.projection = nn.Linear(dim, language)

    def forward(self, media, words):
        latents = torch.cat([self.latents, self.text_projection(words)])[None].expand(len(media), -1, -1)
        for attention, feed in self.layers:
            latents = attention(media, latents) + latents
            latents = feed(latents) + latents
        return self.projection(self.norm(latents[:, : len(self.latents)]))


class Embedding(nn.Module):
    """A table, and another for the ids behind `base`."""

    def __init__(self, table, base):
        super().__init__()
        self.weight, self.base = table.weight, base
        self.additional_embedding = nn.Embedding(len(OWN), table.embedding_dim)

    def forward(self, ids):
        return torch.stack([self.weight[id] if id < self.base else self.additional_embedding.weight[id - self.base] for id in ids.tolist()])


class Head(nn.Module):
    def __init__(self, head, base, bias):
        super().__init__()
        self.weight, self.base = head.weight, base
        self.additional_fc = nn.Linear(head.in_features, len(OWN), bias=bias)

    def forward(self, states):
        return torch.cat([(states @ self.weight.T)[..., : self.base], self.additional_fc(states)], -1)


class Model(nn.Module):
    def __init__(self, case, base):
        super().__init__()
        config = dict(hidden_size=32, intermediate_size=28, num_hidden_layers=2, num_attention_heads=4, vocab_size=base + 7)
        ends = dict(eos_token_id=2, pad_token_id=0, bos_token_id=1)
        self.config = Phi3Config(**(config | ends | case["text"]))
        self.vision_encoder = VisionTransformer(output_dim=11, output_tokens=True, **case["vision"])
        self.vision_tokenizer = Perceiver(case["vision"]["width"], 32, **case["perceiver"])
        self.lang_model = Phi3ForCausalLM(self.config)
        self.lang_model.model.embed_tokens = Embedding(self.lang_model.model.embed_tokens, base)
        self.lang_model.lm_head = Head(self.lang_model.lm_head, base, "bias" in case)

    def embed(self, ids):
        return self.lang_model.model.embed_tokens(torch.tensor(ids))

    def look(self, views):
        return self.vision_encoder(views)[1]

    def logits(self, vectors):
        return self.lang_model.lm_head(self.lang_model.model(inputs_embeds=vectors[None], use_cache=False).last_hidden_state[0])


def pieces():
    """`tokenizer.model` of byte pairs, as Phi-3 has it."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 20), model_writer=model, model_type="bpe", vocab_size=310, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
        allow_whitespace_only_pieces=True, minloglevel=2,
    )
    return model.getvalue()


def tokenizer_of(case, folder):
    """Writes the tokenizer of a case and loads it as the reference does."""
    path = folder / "tokenizer.model"
    path.write_bytes(pieces())
    kind = LlamaTokenizer if "pieces" in case else LlamaTokenizerFast
    tokenizer = kind(str(path), legacy=False)
    turns = ["<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"]
    turns = [AddedToken(token, rstrip=True, special=True, normalized=False) for token in turns]
    tokenizer.add_special_tokens({"additional_special_tokens": turns, "pad_token": AddedToken("<pad>", special=True)})
    base = len(tokenizer)
    if "pieces" in case:
        tokenizer.add_special_tokens({"additional_special_tokens": OWN}, replace_additional_special_tokens=False)
    tokenizer.save_pretrained(folder)
    if "pieces" not in case:
        path.unlink()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": OWN}, replace_additional_special_tokens=False)
    assert tokenizer.convert_tokens_to_ids(OWN) == [base, base + 1, base + 2]
    return tokenizer, base


def build(case, base, seed):
    torch.manual_seed(seed)
    model = Model(case, base)
    for value in model.parameters():
        value.data += 0.25 * torch.randn_like(value)
    for value in model.parameters():
        value.data = value.data.half().float()
    return model.eval()


def save(case, model, base, folder):
    """The checkpoint, in f16."""
    state = {f"vlm.{key}": value.half().contiguous() for key, value in model.state_dict().items()}
    if "bin" in case:
        torch.save(state, folder / "pytorch_model.bin")
    else:
        names = sorted(state)
        parts = [names[n :: case["shards"]] for n in range(case["shards"])]
        files = [f"model-{n + 1:05}-of-{len(parts):05}.safetensors" for n in range(len(parts))]
        for part, file in zip(parts, files):
            save_file({name: state[name] for name in part}, folder / file)
        index = {"weight_map": {name: file for part, file in zip(parts, files) for name in part}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index) + "\n")
    config = {
        "model_type": "xgenmm", "text_config": model.config.to_dict() | {"initial_tokenizer_len": base},
        "vision_encoder_config": {"model_type": "xgenmm_vision_encoder", **case["vision_config"]},
        "vision_tokenizer_config": {"model_type": "xgenmm_vision_tokenizer", **case["tokenizer_config"]},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    if "processor" in case:
        content = {"image_processor_type": "XGenMMImageProcessor", **case["processor"]}
        (folder / "preprocessor_config.json").write_text(json.dumps(content, indent=1) + "\n")


def views_of(case, image, anyres):
    side, processor = case["vision"]["image_size"], case.get("processor", {})
    named = dict(mean=processor.get("image_mean"), std=processor.get("image_std"), interpolation=processor.get("interpolation_mode"))
    named = {key: value for key, value in named.items() if value is not None}
    transform = image_transform_v2(PreprocessCfg(size=side, resize_mode="squash", **named), is_train=False)
    if not anyres:
        return transform(image)[None]
    canvases = processor.get("grids") or [(columns * side, rows * side) for columns, rows in GRIDS]
    width, height = canvas = select_best_resolution(image.size, canvases)
    padded = resize_and_pad_image(image, canvas)
    boxes = [(x, y, x + side, y + side) for y in range(0, height, side) for x in range(0, width, side)]
    return torch.stack([transform(view) for view in [image.resize((side, side)), *map(padded.crop, boxes)]])


def select_best_resolution(size, canvases):
    def rank(canvas):
        scale = min(canvas[0] / size[0], canvas[1] / size[1])
        kept = min(int(size[0] * scale) * int(size[1] * scale), size[0] * size[1])
        return kept, kept - canvas[0] * canvas[1]

    return max(canvases, key=rank)


def resize_and_pad_image(image, canvas):
    across, down = canvas[0] / image.width, canvas[1] / image.height
    if across < down:
        size = canvas[0], min(math.ceil(image.height * across), canvas[1])
    else:
        size = min(math.ceil(image.width * down), canvas[0]), canvas[1]
    padded = Image.new("RGB", tuple(canvas), (0, 0, 0))
    padded.paste(image.resize(size), ((canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2))
    return padded


def write_case(name, case, seed):
    """Writes a case; returns by how much, in logits, the closest choice of a token was made."""
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer, base = tokenizer_of(case, folder)
    model = build(case, base, seed)
    save(case, model, base, folder)
    ends = {tokenizer.convert_tokens_to_ids("<|end|>"), 2}
    arrays, requests, margins = {}, [], []
    for n, (prompt, names, raw, row) in enumerate(REQUESTS):
        anyres = row.get("anyres", False) and "compat" not in row
        pictures = [Image.open(IMAGES / f"{image}.png").convert("RGB") for image in names]
        views = [views_of(case, picture, anyres) for picture in pictures]
        ids = tokenizer(prompt if raw else PROMPT.format(images="<image>\n" * len(names), prompt=prompt))["input_ids"]
        told = ids if row.get("instruction") != "question" else tokenizer(prompt, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            states = [model.look(each) for each in views]
            if n in SHOWN:
                arrays[f"image_features.{n}"] = torch.cat(states).flatten(0, 1)
            if n in PIXELS:
                arrays[f"pixel_values.{n}"] = torch.cat(views)
            words = model.embed(told[:INSTRUCTION])
            seen = iter([model.vision_tokenizer(each, words).flatten(0, 1) for each in states])
            parts = [next(seen) if id == base else model.embed([id]) for id in ids]
            shown = [id for id, part in zip(ids, parts) for _ in range(len(part))]
            vectors, answer = torch.cat(parts), []
            while len(answer) < NEW and not ends & set(answer):
                logits = model.logits(torch.cat([vectors, model.embed(answer)]) if answer else vectors)[-1]
                if not answer:
                    arrays[f"first_logits.{n}"] = logits[None]
                best = logits.topk(2)
                margins.append((best.values[0] - best.values[1]).item())
                answer.append(best.indices[0].item())
            options = ["yes", " no nodule"]
            rates = []
            for option in options:
                tail = tokenizer(option, add_special_tokens=False)["input_ids"]
                logs = model.logits(torch.cat([vectors, model.embed(tail)])).log_softmax(-1)
                rates.append(sum(logs[len(vectors) - 1 + i, id].item() for i, id in enumerate(tail)))
        requests.append(dict(
            prompt=prompt, images=names, raw=raw, row=row, prompt_ids=shown, generated_ids=answer, options=options, rates=rates,
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
        print(f"{name}: seed {seed}")


if __name__ == "__main__":
    main()
