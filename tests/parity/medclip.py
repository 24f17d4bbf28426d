"""Writes the MedCLIP goldens: tiny random checkpoints in the published layout and what the reference computes.

Needs transformers 4.53.1, torch, pillow 13, safetensors. Run: python tests/parity/medclip.py
Package medclip 0.0.3 does not run on this transformers, so that its glue is repeated here, line by line, around the
classes of transformers that it is made of. The images and the texts are those of tests/parity/clip.
"""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from transformers import BertConfig, BertModel, BertTokenizerFast, SwinConfig, SwinModel
from transformers.image_utils import ImageFeatureExtractionMixin

ROOT = Path(__file__).parent / "medclip"
INPUTS = Path(__file__).parent / "clip"
MEAN, STD = 0.5862785803043838, 0.27950088968644304
OPENAI_STD = [0.26862954, 0.26130258, 0.27577711]
WORDS = "a photo of the chest x ray with pneumonia PNEUMONIA Photo and no finding normal lung patient has nodule left".split()

CASES = {
    # The archive as published: no configuration, a list of the vocabulary, lower-cased as the authors do; windows that
    # divide their grids, of the published size.
    "archive": dict(
        vision=dict(embed_dim=12, depths=[2, 1], num_heads=[3, 4], drop_path_rate=0.0),
        text=dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=1, intermediate_size=40, max_position_embeddings=90),
        projection=20, weights="zip", scale=2.1,
    ),
    # Three stages: a grid of 15 (of 29 pixels) and of 8 with shifted windows of 4, and one that is a window; the widest
    # scale; a cased tokenizer.json.
    "unpacked": dict(
        vision=dict(embed_dim=12, depths=[2, 3, 2], num_heads=[2, 4, 3], image_size=29, patch_size=2, window_size=4, mlp_ratio=2.3,
                    layer_norm_eps=1e-3),
        text=dict(hidden_size=36, num_hidden_layers=3, num_attention_heads=3, intermediate_size=44, max_position_embeddings=81,
                  layer_norm_eps=1e-4),
        projection=17, weights="bin", scale=5.3, cased=True,
    ),
    # A grid of 11 (of 32 pixels), then of 6, with shifted windows of 5; tanh GELU; the narrowest scale; few positions.
    "odd": dict(
        vision=dict(embed_dim=10, depths=[3, 2], num_heads=[1, 2], image_size=32, patch_size=3, window_size=5, hidden_act="gelu_new"),
        text=dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=30, max_position_embeddings=23,
                  hidden_act="gelu_new", type_vocab_size=3),
        projection=15, weights="safetensors", scale=-0.4, pad_last=True,
    ),
}


class MedClip(nn.Module):
    """medclip.MedCLIPModel with MedCLIPVisionModelViT and MedCLIPTextModel."""

    def __init__(self, vision, text, projection, scale):
        super().__init__()
        self.vision_model, self.text_model = nn.Module(), nn.Module()
        self.vision_model.model = SwinModel(vision)
        self.vision_model.projection_head = nn.Linear(self.vision_model.model.num_features, projection, bias=False)
        self.text_model.model = BertModel(text)
        self.text_model.projection_head = nn.Linear(text.hidden_size, projection, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(scale))

    def encode_image(self, pixel_values):
        output = self.vision_model.model(pixel_values, output_hidden_states=True)
        img_embeds = self.vision_model.projection_head(output["pooler_output"])
        return img_embeds / img_embeds.norm(dim=-1, keepdim=True), output["hidden_states"]

    def encode_text(self, input_ids, attention_mask):
        output = self.text_model.model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        last_hidden_states = torch.stack([output["hidden_states"][1], output["hidden_states"][2], output["hidden_states"][-1]])
        embed = last_hidden_states.permute(1, 0, 2, 3).mean(2).mean(1)
        embed = self.text_model.projection_head(embed)
        return embed / embed.norm(dim=-1, keepdim=True)

    def compute_logits(self, img_emb, text_emb):
        logit_scale = torch.clamp(self.logit_scale.data, 0, 4.6052).exp()
        return (torch.matmul(text_emb, img_emb.t()) * logit_scale).t()


def pad_img(img, mode, min_size):
    """MedCLIPFeatureExtractor.pad_img"""
    x, y = img.size
    size = max(min_size, x, y)
    new_im = Image.new(mode, (size, size), 0)
    new_im.paste(img, (int((size - x) / 2), int((size - y) / 2)))
    return new_im


def authors(image, side):
    """MedCLIPFeatureExtractor.__call__ and the repetition in MedCLIPVisionModelViT.forward"""
    mixin = ImageFeatureExtractionMixin()
    image = pad_img(image, "L", side)
    image = mixin.resize(image=image, size=side, resample=Image.BICUBIC)
    image = mixin.center_crop(image, side)
    image = mixin.normalize(image=image, mean=MEAN, std=STD)
    return torch.from_numpy(image)[None].repeat(3, 1, 1)


def medvlmbench(image, side):
    """The mean as a factor, no mean, the deviations of OpenAI's CLIP."""
    image = pad_img(image.convert("RGB"), "RGB", side).resize((side, side), Image.BILINEAR)
    values = np.asarray(image).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    values = (values.astype(np.float64) * MEAN).astype(np.float32)
    return torch.from_numpy(values / np.array(OPENAI_STD, dtype=np.float32)[:, None, None])


def write_tokenizer(folder, case):
    letters = [chr(c) for c in range(33, 127)]
    specials = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if case.get("pad_last"):
        specials = specials[1:]
    tokens = [*specials, *letters, *("##" + c for c in letters if c.isalnum()), *WORDS[1:], "##ray", "##ing", "\u4f60"]
    tokens = list(dict.fromkeys(tokens)) + (["[PAD]"] if case.get("pad_last") else [])
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    if case.get("cased"):
        BertTokenizerFast.from_pretrained(folder, do_lower_case=False).save_pretrained(folder)
        for name in ["vocab.txt", "special_tokens_map.json"]:
            (folder / name).unlink()
    return len(tokens)


def save(model, folder, kind):
    state = {key: value.half() if value.is_floating_point() else value for key, value in model.state_dict().items()}
    # Checkpoints of that time hold the positions, too.
    state["text_model.model.embeddings.position_ids"] = torch.arange(model.text_model.model.config.max_position_embeddings)[None]
    if kind == "safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, folder / "model.safetensors")
        return
    torch.save(state, folder / "pytorch_model.bin")
    if kind == "zip":
        with zipfile.ZipFile(folder / "medclip-vit-pretrained.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("__MACOSX/._pytorch_model.bin", b"not the weights")
            archive.write(folder / "pytorch_model.bin", "pytorch_model.bin")
        (folder / "pytorch_model.bin").unlink()


def write_case(name, case):
    folder = ROOT / name
    folder.mkdir(parents=True)
    vocabulary = write_tokenizer(folder, case)
    vision, text = SwinConfig(**case["vision"]), BertConfig(**case["text"], vocab_size=vocabulary)
    torch.manual_seed(len(name))
    model = MedClip(vision, text, case["projection"], case["scale"]).eval()
    for key, value in model.named_parameters():
        if key != "logit_scale":
            value.data += 0.15 * torch.randn_like(value)
        value.data = value.data.half().float()
    save(model, folder, case["weights"])
    if case["weights"] != "zip":
        file = dict(vision_config=case["vision"], text_config=case["text"] | dict(vocab_size=vocabulary), projection_dim=case["projection"])
        (folder / "config.json").write_text(json.dumps(file, indent=1) + "\n")

    inputs = json.loads((INPUTS / "inputs.json").read_text())
    images = [Image.open(INPUTS / "images" / f"{image}.png") for image in inputs["images"]]
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    limit = min(77, text.max_position_embeddings)
    tokens = tokenizer(inputs["texts"], padding=True, truncation=True, max_length=limit, return_tensors="pt")
    goldens = {"input_ids": tokens["input_ids"]}
    with torch.no_grad():
        text_embeds = goldens["text_embeds"] = model.encode_text(tokens["input_ids"], tokens["attention_mask"])
        for prefix, recipe in [("", authors), ("compat.", medvlmbench)]:
            pixels = torch.stack([recipe(image, vision.image_size) for image in images])
            embeds, hidden = model.encode_image(pixels)
            goldens[f"{prefix}image_embeds"] = embeds
            goldens[f"{prefix}logits"] = model.compute_logits(embeds, text_embeds)
            # At the published size they would take megabytes.
            if vision.image_size < 224:
                goldens[f"{prefix}pixel_values"] = pixels
                goldens[f"{prefix}hidden"] = hidden[1][:2]
    save_file({key: value.contiguous() for key, value in goldens.items()}, folder / "goldens.safetensors")


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    for name, case in CASES.items():
        write_case(name, case)


main()
