"""Writes the goldens of architecture `biomedclip`: tiny random checkpoints, and what the reference computes.

Needs open_clip_torch 3.3.0, timm, transformers 4.53.1, torch, pillow 13, safetensors. Run: python tests/parity/biomedclip.py
The images are those of clip.py.
"""

import json
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import timm
import torch
import word_piece
from open_clip.model import CustomTextCLIP
from open_clip.tokenizer import HFTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image
from safetensors.torch import save_file
from torch.nn.functional import normalize
from transformers import BertConfig

ROOT = Path(__file__).parent / "biomedclip"
IMAGES = [Path(__file__).parent / "clip" / "images" / f"{name}.png" for name in ["large", "small", "wide", "tall", "grey"]]
BIOMEDBERT = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"

CASES = {
    # As published: a pickle, vocab.txt, no configuration of the BERT, whose heads are 64 wide.
    "published": dict(
        embed_dim=20,
        vision=dict(timm_model_name="vit_base_patch16_224", timm_model_pretrained=False, timm_pool="", timm_proj="linear",
                    image_size=28, head_width=8),
        timm=dict(img_size=28, patch_size=7, embed_dim=32, depth=2, num_heads=4, mlp_ratio=1.5),
        text=dict(hf_proj_type="mlp", hf_pooler_type="cls_last_hidden_state_pooler", context_length=40),
        bert=dict(hidden_size=128, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48,
                  max_position_embeddings=40),
        preprocess=dict(mean=[0.48145466, 0.4578275, 0.40821073], std=[0.26862954, 0.26130258, 0.27577711]),
        weights="open_clip_pytorch_model.bin", tokenizer=dict(whole=False), config=False,
    ),
    # safetensors, means as pools, linear projections, a BERT with a configuration, a cased tokenizer.json, a rest of
    # pixels beside the last patch, squashed images.
    "other": dict(
        embed_dim=15,
        vision=dict(timm_model_name="vit_small_patch16_224", timm_proj_bias=True, image_size=[30, 30], head_width=11),
        timm=dict(img_size=30, patch_size=8, embed_dim=33, depth=3, num_heads=3, mlp_ratio=2),
        text=dict(hf_proj_type="linear", hf_pooler_type="mean_pooler", context_length=33),
        bert=dict(hidden_size=36, num_hidden_layers=3, num_attention_heads=4, intermediate_size=50,
                  max_position_embeddings=37, hidden_act="gelu_new", layer_norm_eps=1e-3, type_vocab_size=1),
        preprocess=dict(size=99, mean=0.5, std=[0.5, 0.25, 0.125], interpolation="bilinear", resize_mode="squash"),
        weights="open_clip_model.safetensors", tokenizer=dict(whole=True, do_lower_case=False), config=True,
    ),
}


def build(case, bert):
    """The reference, with a timm model and a BERT that are smaller than their names say."""
    with tempfile.TemporaryDirectory() as folder:
        BertConfig(**bert).save_pretrained(folder)
        create = timm.create_model
        with mock.patch("timm.create_model", lambda name, **kwargs: create(name, **kwargs, **case["timm"])):
            text = case["text"] | dict(hf_model_name=folder, hf_model_pretrained=False)
            return CustomTextCLIP(case["embed_dim"], case["vision"], text, init_logit_scale=1.7).eval()


def write_case(name, case):
    folder = ROOT / name
    folder.mkdir(parents=True)
    bert = case["bert"] | dict(vocab_size=word_piece.write(folder, **case["tokenizer"]))
    torch.manual_seed(len(name))
    model = build(case, bert)
    for key, value in model.named_parameters():
        if key != "logit_scale":
            value.data += 0.12 * torch.randn_like(value)
    model = model.half()
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    (torch.save if case["weights"].endswith(".bin") else save_file)(state, folder / case["weights"])
    model = model.float()
    text = case["text"] | dict(hf_model_name=BIOMEDBERT, hf_tokenizer_name=BIOMEDBERT)
    config = dict(embed_dim=case["embed_dim"], vision_cfg=case["vision"], text_cfg=text)
    config = dict(model_cfg=config, preprocess_cfg=case["preprocess"])
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1) + "\n")
    if case["config"]:
        BertConfig(**bert).save_pretrained(folder)

    # As open_clip.create_model does: the size is that of the model.
    settings = merge_preprocess_dict(PreprocessCfg(), case["preprocess"]) | dict(size=model.visual.image_size)
    transform = image_transform_v2(PreprocessCfg(**settings), is_train=False)
    pixels = torch.stack([transform(Image.open(path)) for path in IMAGES])
    ids = HFTokenizer(str(folder), context_length=case["text"]["context_length"])(word_piece.TEXTS)
    with torch.no_grad():
        features, texts = model.encode_image(pixels), model.encode_text(ids, normalize=True)
        hidden = model.text.transformer(ids, (ids != 0).long(), output_hidden_states=True).hidden_states
        goldens = {
            "pixel_values": pixels,
            "image_features": features,
            "image_embeds": normalize(features, dim=-1),
            "text_embeds": texts,
            "logits": model.get_logits(pixels, ids)[0],
            "hidden": torch.stack(hidden)[:, 3:5],
            "input_ids": ids,
        }
    save_file({key: value.contiguous() for key, value in goldens.items()}, folder / "goldens.safetensors")


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    for name, case in CASES.items():
        write_case(name, case)
    (ROOT / "texts.json").write_text(json.dumps(word_piece.TEXTS, indent=1) + "\n")


if __name__ == "__main__":
    main()
