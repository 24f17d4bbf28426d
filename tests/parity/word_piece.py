"""Writes tiny WordPiece tokenizers; used by biomedclip.py and pmcclip.py."""

import json

from transformers import BertTokenizerFast

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;'\"!?-<&>"
ACCENTED = "\u00e9\u00ef\u4f60\u2265"
WORDS = "a photo of the chest x ray with no finding normal lung patient has nodule left Photo NORMAL"
ENDS = ["##s", "##ed", "##ing", "##nia", "##neu", "##mo"]
TEXTS = [
    "a photo of pneumonia",
    "",
    "  A Photo\tof\n PNEUMONIA.  ",
    "don't: it's 3.5 cm, they'll see [SEP] a normal lung [PAD] with [MASK]",
    "na\u00efve cafe\u0301 \u201cx-ray\u201d \u4f60\u597d \U0001f600 \ufb01nding \uff2c\uff55\uff4e\uff47 p &lt; 0.05 &amp;amp; \u2265 5",
    "the patient has a nodule in the left lung and no finding in the right lung " * 6,
]


def write(folder, whole, **settings):
    """`tokenizer_config.json` with `vocab.txt` or, if `whole`, `tokenizer.json`; returns the number of tokens."""
    pieces = [*CHARACTERS, *ACCENTED, *("##" + c for c in CHARACTERS + ACCENTED), *dict.fromkeys(WORDS.split()), *ENDS]
    tokens = [*SPECIALS, *dict.fromkeys(pieces)]
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"} | settings) + "\n")
    if whole:
        BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
        for name in ["vocab.txt", "special_tokens_map.json"]:
            (folder / name).unlink()
    return len(tokens)
