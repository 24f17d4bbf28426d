"""Writes the goldens of architecture `bert`: tiny random checkpoints, and what the reference computes.

Needs transformers 4.53.1, torch, safetensors. Run: python tests/parity/bert.py
"""

import json
import shutil
from pathlib import Path

import torch
import word_piece
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizerFast

ROOT = Path(__file__).parent / "bert"
CASES = {
    # As Bio_ClinicalBERT lies on the hub: a head of masked words, a pickle, a cased list of words.
    "head": dict(kind=BertForMaskedLM, tokenizer=dict(whole=False, do_lower_case=False),
                 config=dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40,
                             max_position_embeddings=40)),
    "alone": dict(kind=BertModel, tokenizer=dict(whole=True),
                  config=dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=56,
                              max_position_embeddings=30, type_vocab_size=1)),
}


def write_case(name, case):
    folder = ROOT / name
    folder.mkdir(parents=True)
    vocabulary = word_piece.write(folder, **case["tokenizer"])
    torch.manual_seed(len(name))
    config = BertConfig(vocab_size=vocabulary, **case["config"])
    model = case["kind"](config).eval()
    for value in model.parameters():
        value.data += 0.1 * torch.randn_like(value)
    config.save_pretrained(folder)
    if case["kind"] is BertForMaskedLM:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    else:
        model.save_pretrained(folder)
    encoder = getattr(model, "bert", model)
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    inputs = tokenizer(word_piece.TEXTS, padding=True, truncation=True, max_length=config.max_position_embeddings,
                       return_tensors="pt")
    with torch.no_grad():
        states = encoder(**inputs, output_hidden_states=True).hidden_states
    goldens = {f"layer_{n}": state for n, state in enumerate(states)}
    goldens |= {"input_ids": inputs["input_ids"].float(), "attention_mask": inputs["attention_mask"].float()}
    save_file({key: value.contiguous() for key, value in goldens.items()}, folder / "goldens.safetensors")


shutil.rmtree(ROOT, ignore_errors=True)
ROOT.mkdir()
(ROOT / "texts.json").write_text(json.dumps(word_piece.TEXTS, indent=1) + "\n")
for name, case in CASES.items():
    write_case(name, case)
