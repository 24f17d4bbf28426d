"""Writes the SigLIP goldens: tiny random checkpoints in hub layout and what the reference computes.

Needs transformers 4.53.1, torch, pillow 13, safetensors, sentencepiece 0.2 with protobuf. Run: python tests/parity/siglip.py
Each case in tests/parity/siglip/<case>/ differs in what a checkpoint may differ in; see CASES. The images are CLIP's.
"""

import io
import json
import shutil
from pathlib import Path

import sentencepiece
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessor, SiglipModel
from transformers.models.siglip.tokenization_siglip import SiglipTokenizer

ROOT = Path(__file__).parent / "siglip"
IMAGES = [Path(__file__).parent / "clip/images" / f"{n}.png" for n in ["large", "small", "wide", "tall", "grey"]]
CORPUS = [
    "a photo of the chest x ray with pneumonia", "a photo of no finding", "a normal lung",
    "the patient has a nodule in the left lung", "an mri of the brain shows a small lesion", "benign skin mole 35 mm",
    "histology of the colon with adenocarcinoma", "fundus photograph quality jkvwz", "the heart is not enlarged",
]
TEXTS = [
    "a photo of pneumonia",
    "",
    "  A Photo\tof\n PNEUMONIA.  ",
    "don't: it's 3.5 cm, they'll see </s> a normal LUNG",
    "na\u00efve \ufb01nding cafe\u0301 \u201cx-ray\u201d \u4f60\u597d \U0001f600 \u2581lung \uff38\u3000\uff38",
    "the patient has a nodule in the left lung and no finding in the right lung " * 3,
    "ends here </s>",
    "a <unk> lung_nodule </S>",
]
# Replacements of characters, as NFKC has them by the thousand.
RULES = {"\ufb01": "fi", "\u00e9": "e\u0301", "e\u0301": "e", "\uff38": "x", "\u3000": " ", "\u00a0": " ", "\u4f60\u597d": "hello", "\u4f60": "you"}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def vision(**overrides):
    base = dict(hidden_size=36, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4, image_size=21, patch_size=7)
    return base | overrides


def text(**overrides):
    base = dict(hidden_size=36, intermediate_size=40, num_hidden_layers=3, num_attention_heads=3, max_position_embeddings=19)
    return base | overrides


CASES = {
    # As published: spiece.model, bicubic.
    "pieces": dict(
        vision=vision(), text=text(), tokenizer="pieces", weights="safetensors",
        processor=dict(size={"height": 21, "width": 21}, resample=3, do_resize=True, **HALF),
    ),
    # tokenizer.json alone, bilinear, a text tower of another width, a rest of pixels beside the last patch, a pickle.
    "json": dict(
        vision=vision(image_size=31, hidden_size=33, num_attention_heads=3, layer_norm_eps=1e-3),
        text=text(hidden_size=30, projection_size=33, hidden_act="gelu", layer_norm_eps=1e-4), tokenizer="json", weights="bin",
        processor=dict(size={"height": 31, "width": 31}, resample=2, image_mean=[0.5, 0.4, 0.3], image_std=[0.5, 0.25, 0.125]),
    ),
    # Another class of tokenizer, which keeps capitals and punctuation; bytes, a lower model_max_length, shards.
    "as-written": dict(
        vision=vision(image_size=20, patch_size=5, hidden_act="gelu"), text=text(), tokenizer="as-written", shard="40KB",
        weights="safetensors", processor=dict(size={"height": 20, "width": 20}, resample=0, do_normalize=False),
    ),
    # No preprocessor_config.json: the defaults of the class. The pieces of the tokenizer include all bytes.
    "defaults": dict(
        vision=vision(image_size=224, patch_size=32, hidden_size=12, num_attention_heads=2, intermediate_size=20),
        text=text(hidden_size=12), tokenizer="bytes", weights="safetensors", processor=None,
    ),
}


def train_pieces(folder, byte_fallback):
    (folder / "rules.tsv").write_text(
        "".join(f"{' '.join(f'{ord(c):X}' for c in a)}\t{' '.join(f'{ord(c):X}' for c in b)}\n" for a, b in RULES.items())
    )
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 4), model_writer=model, vocab_size=400 if byte_fallback else 110,
        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_tsv=str(folder / "rules.tsv"),
        byte_fallback=byte_fallback, hard_vocab_limit=False, minloglevel=2, user_defined_symbols=["xray"],
    )
    (folder / "rules.tsv").unlink()
    return model.getvalue()


def write_tokenizer(folder, case):
    kind = case["tokenizer"]
    model = train_pieces(folder, kind == "bytes")
    if kind in ["pieces", "bytes"]:
        (folder / "spiece.model").write_bytes(model)
        tokenizer = SiglipTokenizer(str(folder / "spiece.model"), model_input_names=["input_ids"])
        tokenizer.save_pretrained(folder)
        (folder / "added_tokens.json").unlink(missing_ok=True)
        return SiglipTokenizer.from_pretrained(folder), tokenizer.vocab_size
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [(processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.get_piece_size())]
    inner = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    if kind == "json":
        clean = [normalizers.Lowercase(), normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), ""),
                 normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
        inner.normalizer = normalizers.Sequence(clean + [normalizers.NFKC()])
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", pad_token="</s>", unk_token="<unk>")
        # The file in the checkpoint cleans nothing: its class, which the absent configuration implies, does.
        inner.normalizer = normalizers.NFKC()
        inner.save(str(folder / "tokenizer.json"))
        return tokenizer, len(pieces)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="</s>", pad_token="<pad>", unk_token="<unk>", model_max_length=17,
    )
    tokenizer.save_pretrained(folder)
    (folder / "special_tokens_map.json").unlink()
    return tokenizer, len(pieces)


def write_case(name, case):
    folder = ROOT / name
    folder.mkdir(parents=True)
    tokenizer, vocabulary = write_tokenizer(folder, case)
    config = SiglipConfig(vision_config=case["vision"], text_config=case["text"] | dict(vocab_size=vocabulary))
    torch.manual_seed(len(name))
    model = SiglipModel(config).eval()
    for key, value in model.named_parameters():
        value.data += 0.15 * torch.randn_like(value)
    model.logit_scale.data.fill_(1.7)
    model.logit_bias.data.fill_(-2.3)
    model = model.half()
    limits = dict(max_shard_size=case["shard"]) if "shard" in case else {}
    model.save_pretrained(folder, safe_serialization=case["weights"] == "safetensors", **limits)
    if case["processor"] is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(case["processor"], indent=1) + "\n")

    model = SiglipModel.from_pretrained(folder, torch_dtype=torch.float32).eval()
    processor = SiglipImageProcessor() if case["processor"] is None else SiglipImageProcessor.from_pretrained(folder)
    pixels = processor([Image.open(path).convert("RGB") for path in IMAGES], return_tensors="pt")["pixel_values"]
    length = min(case["text"]["max_position_embeddings"], tokenizer.model_max_length)
    goldens = {}
    for suffix, padding in [("", "max_length"), (".longest", "longest")]:
        # Longer texts fill the context.
        texts = TEXTS[:3] if suffix else TEXTS
        ids = tokenizer(texts, padding=padding, truncation=True, max_length=length, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            out = model(pixel_values=pixels, input_ids=ids, output_hidden_states=True)
        goldens |= {f"text_embeds{suffix}": out.text_embeds, f"logits{suffix}": out.logits_per_image, f"input_ids{suffix}": ids}
        if not suffix:
            goldens |= {
                "image_features": out.vision_model_output.pooler_output,
                "image_embeds": out.image_embeds,
                "vision_hidden": out.vision_model_output.hidden_states[-2][:1],
                "text_hidden": out.text_model_output.hidden_states[-2][:1],
            }
    if case["processor"] is not None:
        goldens["pixel_values"] = pixels
    save_file({key: value.contiguous() for key, value in goldens.items()}, folder / "goldens.safetensors")


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir()
    (ROOT / "texts.json").write_text(json.dumps(TEXTS, indent=1) + "\n")
    for name, case in CASES.items():
        write_case(name, case)


main()
