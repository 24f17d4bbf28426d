"""Writes the tiny tokenizers and the goldens of tests/parity/language_tokenizer.

Reference: the fast tokenizers of transformers 4.53.1. The argument is a folder with the published tokenizers gpt2,
llama2, llama3, mistral-v1, qwen2.5 and gemma3, of which only ids are written.

    python tests/parity/language_tokenizer.py TOKENIZERS
"""

import io
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

import sentencepiece
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, GPT2TokenizerFast, LlamaTokenizerFast

HERE = Path(__file__).parent / "language_tokenizer"
TEXTS = [
    "",
    " ",
    "\n",
    "a",
    "Is there a pleural effusion in this chest X-ray?",
    "  two leading spaces, and  two inside",
    "a trailing space ",
    "tabs\tand\r\nlines\n\nand  \n  more\n\n\n",
    "The 5.3 cm mass (T2N0M0) isn't seen; we'll re-scan in 12,345 days' time. I'm sure they've said so!",
    "na\u00efve cafe\u0301 \u2265 5\u00b0 \u00b5m \u201cquoted\u201d \u2014 \u2026",
    "\u80ba\u90e8\u6709\u7ed3\u8282\u5417\uff1f \u306f\u3044\u3001\u3042\u308a\u307e\u3059\u3002 \ud55c\uad6d\uc5b4",
    "\U0001f600\U0001f468\u200d\u2695\ufe0f\U0001fac1 emoji\u0301",
    "\u0627\u0644\u0623\u0634\u0639\u0629 \u05e9\u05dc\u05d5\u05dd \u0928\u092e\u0938\u094d\u0924\u0947",
    "\u2581already\u2581marked\u2581 <0x0A> <0xE2>",
    "\x00\x01\x7f\ufeff\u200b\U000f0000",
    "<image>",
    "<image>\nWhat is shown?",
    "Look: <image> <image>\nand say <image>more",
    "<s>Hello</s> <s> again </s>\nbye<unk>x <pad>",
    "a<s>b</s>c",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
    "<|im_start|>user\nIs it?<|im_end|>\n<|im_start|>assistant\n",
    "<bos><start_of_turn>user\n<start_of_image>Is it?<end_of_turn>\n<start_of_turn>model\n",
    "<|endoftext|> after <|endoftext|>\n",
    "USER: What is it? ASSISTANT: A nodule.</s>USER: Where? ASSISTANT:",
    "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nName it. [/INST] Yes , it 's . Do n't ! ",
    "###Patient: <Img> </Img> Describe ' this ' .###Doctor:",
    "x" * 40 + "   " * 9 + "=" * 40,
    "def f(a):\n\treturn {'a': [1, 2.50, -3e-10]}  # \u03b1\u03b2",
    "Hypertrophic cardiomyopathy, pneumothorax; hepatosplenomegaly & \u2191AST/\u2193ALT 37.5\u2103",
]
CORPUS = [
    "the chest x ray shows a pleural effusion in the left lung",
    "is there a nodule in the right lung ? yes , there is a nodule",
    "what is shown in this image ? the image shows the heart and the lungs",
    "no acute finding , the heart is of normal size and the lungs are clear",
    "the patient has pneumonia in the lower lobe of the right lung",
    "user : what is the modality of this image ? assistant : it is a chest x ray",
]
SPECIAL = {"special": True, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False}
PLAIN = SPECIAL | {"special": False, "normalized": True}


def main(published):
    HERE.mkdir(exist_ok=True)
    train_pieces(HERE / "pieces")
    train_pairs(HERE / "pairs")
    write("tiny.json", HERE, tiny_cases())
    write("published.json", published, published_cases())


def train_pieces(folder):
    """`tokenizer.model` of byte pairs, with symbols of the user."""
    folder.mkdir(exist_ok=True)
    # A model that is trained from a file remembers its path.
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 20), model_writer=model, model_type="bpe", vocab_size=380, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
        allow_whitespace_only_pieces=True, user_defined_symbols=["  ", "<Img>"], minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())


def train_pairs(folder):
    """`vocab.json` and `merges.txt`, and the same as `tokenizer.json`."""
    folder.mkdir(exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=360, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<s>", "<pad>", "</s>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=9, pad_id=1, pad_token="<pad>")
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
    (folder / "merges.txt").write_text("".join(f"{line}\n" for line in merges))


def tiny_cases():
    llama = {"tokenizer_class": "LlamaTokenizer"}
    yield "pieces", ["tokenizer.model"], {}, LlamaTokenizerFast
    yield "pieces", ["tokenizer.model"], {
        "tokenizer_config.json": llama | {"add_eos_token": True, "pad_token": None, "clean_up_tokenization_spaces": True},
        "special_tokens_map.json": {"pad_token": "<pad>", "eos_token": {"content": "</s>", **SPECIAL}},
        "added_tokens.json": {"<image>": 381, "<pad>": 380},
    }, AutoTokenizer
    yield "pieces", ["tokenizer.model"], {
        "tokenizer_config.json": llama | {
            "legacy": False, "add_bos_token": False, "unk_token": "<unk>", "pad_token": "<unk>",
            "additional_special_tokens": ["<image>"], "extra_special_tokens": {"turn_token": "</Img>"},
            "added_tokens_decoder": {
                "0": {"content": "<unk>", **SPECIAL},
                "1": {"content": "<s>", **SPECIAL},
                "2": {"content": "</s>", **SPECIAL, "rstrip": True},
                "380": {"content": "<image>", **PLAIN, "lstrip": True},
                "381": {"content": "scan", **PLAIN, "single_word": True},
            },
        },
    }, AutoTokenizer
    yield "pieces", ["tokenizer.model"], {"tokenizer_config.json": llama | {"add_prefix_space": False}}, AutoTokenizer
    yield "pieces", ["tokenizer.model"], {
        "tokenizer_config.json": llama | {"add_prefix_space": False, "legacy": False, "split_special_tokens": True},
    }, AutoTokenizer
    end = {"__type": "AddedToken", "content": "</s>", "lstrip": False, "normalized": True, "rstrip": False}
    opt = {"tokenizer_class": "GPT2Tokenizer", "bos_token": end, "eos_token": end, "unk_token": end, "pad_token": "<pad>"}
    pairs = ["vocab.json", "merges.txt"]
    yield "pairs", pairs, {"tokenizer_config.json": opt | {"add_bos_token": True}}, AutoTokenizer
    yield "pairs", pairs, {}, GPT2TokenizerFast
    yield "pairs", ["tokenizer.json"], {
        "tokenizer_config.json": opt | {"add_bos_token": True, "clean_up_tokenization_spaces": True},
    }, AutoTokenizer
    yield "pairs", ["tokenizer.json"], {
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": True, "eos_token": "</s>"},
    }, AutoTokenizer
    yield "pairs", ["tokenizer.json"], {
        "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_eos_token": True},
    }, AutoTokenizer


def published_cases():
    both = ["tokenizer.json", "tokenizer_config.json"]
    for name in ["gpt2", "llama2", "llama3", "qwen2.5", "gemma3"]:
        yield name, both, {}, AutoTokenizer
    llama = {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer"}}
    yield "mistral-v1", ["tokenizer.json"], llama, AutoTokenizer
    yield "mistral-v1", ["tokenizer.model"], {}, LlamaTokenizerFast
    yield "llama2", ["tokenizer.model"], {}, LlamaTokenizerFast
    yield "llama2", ["tokenizer.model", "tokenizer_config.json"], {}, AutoTokenizer
    yield "llama2", ["tokenizer.json", "tokenizer.model"], {
        "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": True, "legacy": True},
    }, AutoTokenizer


def write(name, root, cases):
    """A case names the folder, the files copied from there, those written beside them, and what must come out."""
    texts = json.dumps(TEXTS)
    lines = [json.dumps(case(root, *args)) for args in cases]
    (HERE / name).write_text('{"texts": ' + texts + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n")


def case(root, source, copied, written, reference):
    with tempfile.TemporaryDirectory() as folder:
        for name in copied:
            shutil.copyfile(Path(root) / source / name, Path(folder) / name)
        for name, content in written.items():
            (Path(folder) / name).write_text(json.dumps(content))
        tokenizer = reference.from_pretrained(folder)
    assert tokenizer.is_fast
    encode = lambda text, **settings: tokenizer(text, truncation=False, padding=False, **settings)["input_ids"]
    framed = [encode(text) for text in TEXTS]
    bare = [encode(text, add_special_tokens=False) for text in TEXTS]
    plain = [encode(text, add_special_tokens=False, split_special_tokens=True) for text in TEXTS]
    before, after = frame(framed[4], bare[4])
    assert all([*before, *ids, *after] == whole for ids, whole in zip(bare, framed))
    decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=True)
    decoded = [decode(ids) for ids in framed]
    draw = random.Random(0)
    noise = [[draw.randrange(min(len(tokenizer), 400)) for _ in range(30)] for _ in range(4)]
    noise += [[draw.randrange(len(tokenizer)) for _ in range(30)] for _ in range(4)]
    return {
        "source": source,
        "copied": copied,
        "written": written,
        "size": max(tokenizer.get_vocab().values()) + 1,
        "ends": [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id],
        "before": before,
        "after": after,
        "ids": bare,
        # Only where they differ from ids and texts.
        "plain": {i: ids for i, ids in enumerate(plain) if ids != bare[i]},
        "decoded": {i: text for i, text in enumerate(decoded) if text != TEXTS[i]},
        "noise": [[ids, decode(ids)] for ids in noise],
    }


def frame(whole, bare):
    at = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
    return whole[:at], whole[at + len(bare) :]


if __name__ == "__main__":
    main(sys.argv[1])
