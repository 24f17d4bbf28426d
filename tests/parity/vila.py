"""Writes the goldens of VILA and NVILA: tiny random checkpoints in their public layout and what a reference computes.

There is no reference package: this composes SiglipVisionModel, SiglipImageProcessor, LlamaForCausalLM and Qwen2ForCausalLM of
transformers with the projectors, tiles and prompts of the VILA repository, written anew in torch and Pillow.

Needs transformers 4.53.1, torch, tokenizers, pillow 13, safetensors, and the images of clip.py.
Run: python tests/parity/vila.py. Each case in tests/parity/{vila,nvila}/ differs in what a checkpoint may differ in.
"""

import copy
import json
import shutil
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    SiglipImageProcessor,
    SiglipVisionConfig,
    SiglipVisionModel,
)

HERE = Path(__file__).parent
IMAGES = HERE / "clip" / "images"
NEW = 24
SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user provides, "
    "and assist the user with a variety of tasks using natural language."
)
LLAMA3 = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
QWEN = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<vila/sentinel>", "<image>", "<vila/video>"]
LLAMA3_TEMPLATE = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
    "{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
QWEN_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n' }}{% endif %}"
    "{% for message in messages if message['content'] is not none %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MERGES = ["t h", "th e", "i n", "a n", "Ġ a", "Ġ i", "Ġ the", "e r", "o n", "l u", "lu n", "lun g", "Ġ lung", "i s", "Ġ is", "Ċ Ċ"]

LANGUAGE = dict(hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4)
TOWER = dict(hidden_size=18, intermediate_size=26, num_hidden_layers=3, num_attention_heads=3)
HALF = dict(image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5])

CASES = {
    # 3x3 tokens, filled up to 4x4. A processor that would resample otherwise, and a tokenizer that begins its texts.
    "vila/llama3": dict(
        tower=dict(TOWER, image_size=23, patch_size=7), language=dict(LANGUAGE, num_key_value_heads=2, rope_theta=500000.0, rms_norm_eps=1e-5),
        projector="mlp_downsample", processor=dict(size=dict(height=23, width=23), resample=2, **HALF), begins=True,
    ),
    # Pickles, a tied head, no <image> among the tokens, the last state of the tower; defaults where a file may be silent.
    "vila/bin": dict(
        tower=dict(TOWER, image_size=20, patch_size=5, hidden_act="gelu", layer_norm_eps=1e-4), nested=True, weights="bin",
        language=dict(LANGUAGE, tie_word_embeddings=True), projector="mlp2x_gelu", layer=-1, marks=False, ends=[7, 9],
        processor=dict(size=dict(height=20, width=20), image_mean=[0.5, 0.4, 0.3], image_std=[0.5, 0.25, 0.125]),
    ),
    # Shards, 4x4 tokens filled up to 6x6, an early layer.
    "vila/joined": dict(
        tower=dict(TOWER, image_size=12, patch_size=3), language=dict(LANGUAGE, num_key_value_heads=1, attention_bias=True), layer=2,
        projector="mlp_downsample_3x3_fix", shard="60KB", processor=dict(size=dict(height=12, width=12), **HALF),
    ),
    # Three scales as published; the middle one does not divide the last.
    "nvila/s2": dict(
        tower=dict(TOWER, image_size=14, patch_size=5), language=dict(LANGUAGE, num_key_value_heads=2, rope_theta=1e6),
        projector="mlp_downsample", scales="14,28,42", output=-1, processor=dict(size=dict(height=14, width=14), **HALF),
    ),
    # Two scales, brought to the first one, fewer tiles, shards, a processor of another size, no chat template.
    "nvila/coarse": dict(
        tower=dict(TOWER, image_size=12, patch_size=3), language=dict(LANGUAGE, num_key_value_heads=4, tie_word_embeddings=True),
        projector="mlp_downsample_2x2_fix", scales="24,12", most=7, chat=False, shard="60KB", ends=3,
        processor=dict(size=dict(height=24, width=24), image_mean=[0.4, 0.5, 0.6], image_std=[0.5, 0.25, 0.125]),
    ),
}

# Images, text, and what else is asked for: the text as it is, an option.
REQUESTS = [
    dict(images=["large"], text="Is the lung normal?"),
    dict(images=["tall"], text="Can you provide a medical report for this image? "),
    dict(images=["wide"], text="\n  What is\tin <image> the image, <|eot_id|>?<|im_end|>"),
    dict(images=["grey", "small"], text="Which of these shows na\u00efve \u4f60\u597d?"),
    dict(images=[], text="Name a lung."),
    dict(images=["small"], text="Look: <image>\n\nWhat? ", raw=True),
    dict(images=["large", "wide"], text="the raw lung", raw=True),
    dict(images=["grey"], text=" Is it? ", options=dict(bos="tokenizer")),
]
ONLY = {
    "vila": [dict(images=["large"], text=" Is it? ", options=dict(compat="medvlmbench"))],
    "nvila": [dict(images=["grey", "wide"], text="Both?", options=dict(several="tiles"))],
}
# Sizes for which the grid of tiles is told, with what chooses it.
SHAPES = [(w, h) for w in range(1, 60, 3) for h in range(1, 60, 4)] + [(2750, 1000), (110, 40), (1000, 2750), (1920, 1080), (5000, 3), (3, 5000)]


def bytes_to_letters():
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in kept]
    return [chr(b) for b in kept] + [chr(256 + n) for n in range(len(others))]


def tokenizer(folder, case, qwen):
    vocabulary = dict((letter, n) for n, letter in enumerate(bytes_to_letters()))
    merges = [tuple(merge.split()) for merge in MERGES]
    for merge in merges:
        vocabulary["".join(merge)] = len(vocabulary)
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    names = QWEN if qwen else LLAMA3 + (["<image>"] if case.get("marks", True) else [])
    inner.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    if case.get("begins"):
        begin = LLAMA3[0]
        inner.post_processor = processors.TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, inner.token_to_id(begin))])
    ends = dict(eos_token=QWEN[2], pad_token=QWEN[0]) if qwen else dict(bos_token=LLAMA3[0], eos_token=LLAMA3[1])
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, **ends)
    if case.get("chat", True):
        fast.chat_template = QWEN_TEMPLATE if qwen else LLAMA3_TEMPLATE
    fast.save_pretrained(folder)
    (folder / "special_tokens_map.json").unlink()
    if not case.get("chat", True):
        # What is published for Qwen2 then holds.
        fast.chat_template = QWEN_TEMPLATE.replace("assistant<|im_end|>", "assistant.<|im_end|>")
    return fast


class Projector(nn.Module):
    def __init__(self, kind, width, out):
        super().__init__()
        self.kind = kind
        self.layers = nn.Sequential(*{
            "mlp_downsample": [nn.Identity(), nn.LayerNorm(4 * width), nn.Linear(4 * width, out), nn.GELU(), nn.Linear(out, out)],
            "mlp_downsample_2x2_fix": [nn.Identity(), nn.LayerNorm(4 * width), nn.Linear(4 * width, out), nn.GELU(), nn.Linear(out, out)],
            "mlp_downsample_3x3_fix": [
                nn.Identity(), nn.LayerNorm(9 * width), nn.Linear(9 * width, 3 * width), nn.GELU(), nn.LayerNorm(3 * width),
                nn.Linear(3 * width, out), nn.GELU(), nn.Linear(out, out),
            ],
            "mlp2x_gelu": [nn.Linear(width, out), nn.GELU(), nn.Linear(out, out)],
        }[kind])

    def forward(self, x):
        return self.layers(self.join(x))

    def join(self, x):
        if "downsample" not in self.kind:
            return x
        by = 3 if "3x3" in self.kind else 2
        side = round(x.shape[1] ** 0.5)
        rows = x.unflatten(1, (side, side))
        more = -side % by
        rows = F.pad(rows, (0, 0, 0, more, 0, more))
        n, height, width, c = rows.shape
        # The first release joins columns, swaps the axes, joins rows, and never swaps back; the fixed ones do.
        x = rows.reshape(n, height, width // by, c * by).permute(0, 2, 1, 3)
        x = x.reshape(n, width // by, height // by, c * by * by)
        return (x.permute(0, 2, 1, 3) if "fix" in self.kind else x).flatten(1, 2)


class Reference:
    def __init__(self, name, case, seed):
        self.case, self.qwen = case, name.startswith("nvila")
        self.folder = HERE / name
        torch.manual_seed(seed)
        self.scales = sorted(int(s) for s in case["scales"].split(",")) if self.qwen else []
        self.tokenizer = tokenizer(self.folder / "llm", case, self.qwen)
        llm = (Qwen2Config if self.qwen else LlamaConfig)(
            **case["language"], vocab_size=len(self.tokenizer) + 2 * self.qwen, bos_token_id=None, eos_token_id=case.get("ends"), pad_token_id=None
        )
        tower = SiglipVisionConfig(**case["tower"])
        width = tower.hidden_size * max(1, len(self.scales))
        self.tower = SiglipVisionModel(tower).eval()
        self.llm = (Qwen2ForCausalLM if self.qwen else LlamaForCausalLM)(llm).eval()
        self.projector = Projector(case["projector"], width, llm.hidden_size).eval()
        for part in (self.tower, self.llm, self.projector):
            for value in part.parameters():
                value.data = (value.data + 0.15 * torch.randn_like(value)).bfloat16().float()
        self.processor = SiglipImageProcessor(**case["processor"])
        self.save()
        side = tower.image_size
        self.processor.size = dict(height=side, width=side)
        self.side, self.layer = side, case.get("layer", -2)
        self.most = case.get("most", 12)

    def save(self):
        case, folder = self.case, self.folder
        kind = "bin" if case.get("weights") == "bin" else "safetensors"
        for part, name in [(self.tower, "vision_tower"), (self.llm, "llm")]:
            # A copy, for the rotary frequencies would be rounded with the weights.
            part = copy.deepcopy(part).bfloat16()
            part.save_pretrained(folder / name, safe_serialization=kind != "bin", max_shard_size=case.get("shard", "1GB"))
        (folder / "mm_projector").mkdir()
        state = {key: value.bfloat16() for key, value in self.projector.state_dict().items()}
        path = folder / "mm_projector"
        save_file(state, path / "model.safetensors") if kind != "bin" else torch.save(state, path / "pytorch_model.bin")
        write(path / "config.json", dict(mm_projector_type=case["projector"], model_type="v2l_projector"))
        self.processor.save_pretrained(folder / "vision_tower")
        if case.get("nested"):
            path = folder / "vision_tower" / "config.json"
            write(path, dict(model_type="siglip", vision_config=json.loads(path.read_text())))
        if not isinstance(case.get("ends"), list):
            (folder / "llm" / "generation_config.json").unlink(missing_ok=True)
        top = dict(model_type="llava_llama", architectures=["LlavaLlamaModel"], mm_vision_select_feature="cls_patch")
        if not case.get("nested"):
            top.update(mm_vision_select_layer=case.get("layer", -2), image_aspect_ratio="resize")
        else:
            top.update(mm_vision_select_layer=case["layer"])
        if self.qwen:
            top.update(image_aspect_ratio="dynamic_s2", dynamic_s2=True, s2_scales=case["scales"], s2_max_split_size=self.scales[0])
            if "output" in case:
                top.update(s2_resize_output_to_scale_idx=case["output"])
            if "most" in case:
                top.update(max_tiles=case["most"])
        write(folder / "config.json", top)

    def grid(self, width, height):
        """Columns and rows of the last scale."""
        least = (self.scales[-1] // self.scales[0]) ** 2
        grids = {(i, j) for n in range(least, self.most + 1) for i in range(1, n + 1) for j in range(1, n + 1) if least <= i * j <= self.most}
        best, nearest = (1, 1), float("inf")
        for columns, rows in sorted(grids, key=lambda grid: grid[0] * grid[1]):
            distance = abs(width / height - columns / rows)
            if distance < nearest:
                nearest, best = distance, (columns, rows)
            elif distance == nearest and width * height > 0.5 * self.side * self.side * columns * rows:
                best = (columns, rows)
        return best

    def tiles(self, image, closely):
        """Pillow images, and the grid of the last scale (rows, columns)."""
        if not closely:
            return [image.resize((self.side, self.side))], None
        squares = [(s // self.scales[0],) * 2 for s in self.scales[:-1]]
        last = self.grid(*image.size)
        tiles = []
        for columns, rows in [*squares, last]:
            whole = image.resize((columns * self.side, rows * self.side))
            for at in range(columns * rows):
                x, y = at % columns * self.side, at // columns * self.side
                tiles.append(whole.crop((x, y, x + self.side, y + self.side)))
        return tiles, last[::-1]

    def features(self, pixels, grid):
        states = self.tower(pixels, output_hidden_states=True).hidden_states[self.layer]
        if not self.qwen:
            return self.projector(states)[0]
        n = round(states.shape[1] ** 0.5)
        maps = states.transpose(1, 2).unflatten(2, (n, n))
        if grid is None:
            merged, output = maps.repeat(1, len(self.scales), 1, 1), (1, 1)
        else:
            grids = [(s // self.scales[0],) * 2 for s in self.scales[:-1]] + [grid]
            wholes, start = [], 0
            for rows, columns in grids:
                wholes.append(board(maps[start : start + rows * columns], rows, columns))
                start += rows * columns
            assert start == len(maps)
            output = grids[self.case.get("output", 0)]
            size = wholes[self.case.get("output", 0)].shape[-2:]
            merged = torch.cat([F.interpolate(whole, size=size, mode="area") for whole in wholes], 1)
        cells = [row.chunk(output[1], -1) for row in merged.chunk(output[0], -2)]
        cells = torch.cat([cell for row in cells for cell in row])
        vectors = self.projector(cells.flatten(2).transpose(1, 2))
        m = round(vectors.shape[1] ** 0.5)
        return board(vectors.transpose(1, 2).unflatten(2, (m, m)), *output)[0].flatten(1).T

    def text(self, request):
        marks = "<image>" * len(request["images"])
        text = request["text"]
        if request.get("raw"):
            return text if "<image>" in text else marks + text
        for mark in ("<image>", "<vila/video>"):
            if mark in text:
                text = text.replace(mark, "").strip()
        text = (marks + text).strip()
        if self.qwen or request.get("options", {}).get("compat"):
            return self.tokenizer.apply_chat_template([dict(role="user", content=text)], add_generation_prompt=True, tokenize=False)
        head = "<|start_header_id|>{}<|end_header_id|>\n\n"
        turns = head.format("system") + SYSTEM + "<|eot_id|>" + head.format("user") + text + "<|eot_id|>" + head.format("assistant")
        return "<|begin_of_text|>" + turns

    @torch.no_grad()
    def answer(self, request):
        images = [Image.open(IMAGES / f"{name}.png").convert("RGB") for name in request["images"]]
        options = request.get("options", {})
        closely = self.qwen and (len(images) == 1 or options.get("several") == "tiles")
        pixels, features = [], []
        for image in images:
            tiles, grid = self.tiles(image, closely)
            values = self.processor(images=tiles, return_tensors="pt")["pixel_values"]
            pixels.append((values, torch.stack([torch.frombuffer(bytearray(tile.tobytes()), dtype=torch.uint8).view(self.side, self.side, 3) for tile in tiles])))
            features.append(self.features(values, grid))
        begin = self.tokenizer.bos_token_id
        begins = self.case.get("begins", False)
        encode = lambda text: self.tokenizer(text, add_special_tokens=False)["input_ids"]
        ids, newline = [], encode("\n")
        mark = self.tokenizer.convert_tokens_to_ids("<image>") or len(self.tokenizer)
        embed = self.llm.get_input_embeddings()
        vectors = []
        for n, part in enumerate(self.text(request).split("<image>")):
            words = encode(part)
            if n == 0 and begins and (options.get("bos") == "tokenizer" or words[:1] != [begin]):
                words = [begin] + words
            if n > 0:
                behind = ([begin] if begins and options.get("bos") == "tokenizer" else []) + newline
                ids += [mark] * len(features[n - 1]) + behind
                vectors += [features[n - 1], embed(torch.tensor(behind))]
            ids += words
            vectors.append(embed(torch.tensor(words, dtype=torch.long)))
        whole = torch.cat(vectors)[None]
        # Without a cache: each token from all that precede it.
        ends = self.case.get("ends", [])
        ends = set(ends if isinstance(ends, list) else [ends])
        names = ["<|im_end|>", "<|endoftext|>"] if self.qwen else ["<|eot_id|>", "<|end_of_text|>"]
        ends |= {self.tokenizer.convert_tokens_to_ids(name) for name in names}
        generated, first = [], None
        while len(generated) < NEW and not (generated and generated[-1] in ends):
            logits = self.llm(inputs_embeds=whole).logits[0, -1]
            first = logits if first is None else first
            best = logits.topk(2).values
            assert best[0] - best[1] > 1e-4 * logits.abs().max(), "two tokens are equally likely"
            generated.append(logits.argmax().item())
            whole = torch.cat([whole, embed(torch.tensor([[generated[-1]]]))], 1)
        text = self.tokenizer.decode(generated, skip_special_tokens=True).strip()
        return dict(request, prompt_ids=ids, generated_ids=generated, answer=text), pixels, features, first


def board(tiles, rows, columns):
    """[rows * columns, c, h, w] to [1, c, rows * h, columns * w]."""
    lines = [torch.cat(list(tiles[row * columns : (row + 1) * columns]), -1) for row in range(rows)]
    return torch.cat(lines, -2)[None]


def write(path, value):
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def main():
    for architecture in ONLY:
        shutil.rmtree(HERE / architecture, ignore_errors=True)
    for seed, (name, case) in enumerate(CASES.items(), 20):
        reference = Reference(name, case, seed)
        goldens, arrays = [], {}
        for n, request in enumerate(REQUESTS + ONLY[name.split("/")[0]]):
            golden, pixels, features, first = reference.answer(request)
            goldens.append(golden)
            arrays[f"first_logits.{n}"] = first
            if pixels:
                # Bytes are small; what the processor makes of them is told once, for each.
                values, bytes_ = (torch.cat(parts) for parts in zip(*pixels))
                arrays[f"tiles.{n}"] = bytes_
                arrays[f"image_features.{n}"] = torch.cat(features).contiguous()
                if "table" not in arrays:
                    arrays["table"] = torch.full((3, 256), float("nan"))
                for channel in range(3):
                    arrays["table"][channel][bytes_[..., channel].long()] = values[:, channel]
                    assert torch.equal(arrays["table"][channel][bytes_[..., channel].long()], values[:, channel])
        folder = HERE / name
        save_file(arrays, folder / "goldens.safetensors")
        (folder / "goldens.json").write_text("[\n" + ",\n".join(json.dumps(golden) for golden in goldens) + "\n]\n")
        if name.startswith("nvila"):
            grids = [[*shape, *reference.grid(*shape)[::-1]] for shape in SHAPES]
            (folder / "grids.json").write_text(json.dumps(grids) + "\n")
            print(name, len({tuple(grid[2:]) for grid in grids}), "grids")
        print(name, [len(golden["prompt_ids"]) for golden in goldens], [len(golden["generated_ids"]) for golden in goldens])


main()
