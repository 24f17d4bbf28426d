"""Writes the goldens of architecture `pmcclip`: tiny random checkpoints, and what the reference computes.

Needs open_clip_torch 3.3.0, transformers 4.53.1, torch, pillow 13, safetensors. Run: python tests/parity/pmcclip.py
The images are those of clip.py.
"""

import json
import shutil
from pathlib import Path

import torch
import word_piece
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transform import image_transform
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import normalize
from transformers import BertConfig, BertModel, BertTokenizerFast

ROOT = Path(__file__).parent / "pmcclip"
IMAGES = [Path(__file__).parent / "clip" / "images" / f"{name}.png" for name in ["large", "small", "wide", "tall", "grey"]]
CONTEXT = 77
# That of the files for inference, which do not hold it.
LOGIT_SCALE = 4.4292

CASES = {
    # The three files for inference, with the authors' 8 heads; a parameter as the projection.
    "published": dict(
        vision=dict(layers=[2, 1, 1, 2], width=4, image_size=64, output_dim=24, heads=8),
        bert=dict(hidden_size=128, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48,
                  max_position_embeddings=90),
        tokenizer=dict(whole=False), whole=False,
    ),
    # The checkpoint of the training program, with 32 heads.
    "training": dict(
        vision=dict(layers=[1, 2, 1, 1], width=2, image_size=96, output_dim=20, heads=32),
        bert=dict(hidden_size=64, num_hidden_layers=3, num_attention_heads=1, intermediate_size=40,
                  max_position_embeddings=80),
        tokenizer=dict(whole=True), whole=True,
    ),
}


def randomize(module):
    for value in module.parameters():
        value.data += 0.12 * torch.randn_like(value)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.3, 2)
            norm.weight.data.uniform_(0.5, 1.5)
            norm.num_batches_tracked += 7


def write_case(name, case):
    folder = ROOT / name
    folder.mkdir(parents=True)
    vocabulary = word_piece.write(folder, **case["tokenizer"])
    torch.manual_seed(len(name))
    vision = ModifiedResNet(**case["vision"]).eval()
    text = BertModel(BertConfig(vocab_size=vocabulary, **case["bert"])).eval()
    randomize(vision)
    randomize(text)
    vision, text = vision.half(), text.half()
    width, dim = case["bert"]["hidden_size"], case["vision"]["output_dim"]
    projection = nn.Parameter(torch.randn(width, dim).half() * width**-0.5)
    scale = torch.tensor(2.3)
    if case["whole"]:
        parts = {"visual": vision.state_dict(), "text_encoder": text.state_dict()}
        state = {f"module.{part}.{key}": value for part, tensors in parts.items() for key, value in tensors.items()}
        state |= {"module.text_projection": projection.data, "module.logit_scale": scale}
        state |= {"module.fusion_module.resblocks.0.ln_1.weight": torch.ones(4), "module.mlm_projection": torch.ones(4, 5)}
        optimizer = {"state": {0: {"step": 3, "exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
        checkpoint = {"epoch": 3, "name": "pmc", "state_dict": state, "optimizer": optimizer}
        torch.save(checkpoint, folder / "checkpoint.pt")
    else:
        scale = torch.tensor(LOGIT_SCALE)
        ids = torch.arange(case["bert"]["max_position_embeddings"])[None]
        torch.save(vision.state_dict(), folder / "image_encoder(resnet50).pth")
        torch.save(text.state_dict() | {"embeddings.position_ids": ids}, folder / "text_encoder.pth")
        torch.save(projection, folder / "text_projection_layer.pth")
    vision, text, projection = vision.float(), text.float(), projection.data.float()

    transform = image_transform(case["vision"]["image_size"], is_train=False)
    pixels = torch.stack([transform(Image.open(path)) for path in IMAGES])
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    tokens = tokenizer(word_piece.TEXTS, padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt")
    mask = (tokens["input_ids"] != 0).long()
    with torch.no_grad():
        features = vision(pixels)
        texts = normalize(text(tokens["input_ids"], mask).last_hidden_state[:, 0] @ projection, dim=-1)
        images = normalize(features, dim=-1)
        goldens = {
            "image_features": features,
            "image_embeds": images,
            "text_embeds": texts,
            "logits": scale.exp() * images @ texts.T,
            "medvlmbench": scale.exp() * features @ texts.T,
        }
    if not case["whole"]:
        goldens["pixel_values"] = pixels
    save_file({key: value.contiguous() for key, value in goldens.items()}, folder / "goldens.safetensors")


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    for name, case in CASES.items():
        write_case(name, case)
    (ROOT / "texts.json").write_text(json.dumps(word_piece.TEXTS, indent=1) + "\n")


if __name__ == "__main__":
    main()
