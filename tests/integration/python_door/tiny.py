"""Writes a tiny random LLaVA to a folder, and beside it what transformers alone answers: `tiny.py FOLDER IMAGE PROMPT`."""

import json
import sys
from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

TEMPLATE = (
    "{% for turn in messages %}{{ turn['role'] }}: {% for part in turn['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def tokenizer():
    specials = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
    vocabulary = {token: at for at, token in enumerate(specials + sorted(pre_tokenizers.ByteLevel.alphabet()))}
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = dict(bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>")
    kind = dict(additional_special_tokens=["<image>"], model_input_names=["input_ids", "attention_mask"])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, **names, **kind), len(vocabulary)


def write(folder):
    words, size = tokenizer()
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=44, num_hidden_layers=3, num_attention_heads=4, image_size=28, patch_size=7
    )
    text = LlamaConfig(
        vocab_size=size, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, bos_token_id=1,
        eos_token_id=2, pad_token_id=0,
    )
    torch.manual_seed(1)
    model = LlavaForConditionalGeneration(LlavaConfig(vision, text, image_token_index=4, image_seq_length=16))
    for value in model.parameters():
        value.data += 0.3 * torch.randn_like(value)
    # Checkpoints often bring settings of a sampler; the worker decodes greedily all the same.
    model.generation_config = GenerationConfig(
        bos_token_id=1, eos_token_id=2, pad_token_id=0, do_sample=True, temperature=0.7, repetition_penalty=1.3
    )
    model.save_pretrained(folder)
    pixels = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size=28)
    settings = dict(patch_size=7, vision_feature_select_strategy="default", num_additional_image_tokens=1)
    LlavaProcessor(pixels, words, chat_template=TEMPLATE, **settings).save_pretrained(folder)


@torch.inference_mode()
def answer(folder, image, prompt):
    """Greedy decoding step by step, without `generate`."""
    model = LlavaForConditionalGeneration.from_pretrained(folder).eval()
    processor = LlavaProcessor.from_pretrained(folder)
    text = f"user: <image>{prompt}\nassistant: "
    inputs = processor(images=Image.open(image).convert("RGB"), text=text, return_tensors="pt")
    ids, generated = inputs.pop("input_ids"), []
    prompt_ids = ids[0].tolist()
    while len(generated) < 8 and 2 not in generated:
        logits = model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0, -1]
        generated.append(logits.argmax().item())
        ids = torch.cat([ids, torch.tensor([generated[-1:]])], 1)
    return {"prompt_ids": prompt_ids, "generated_ids": generated}


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write(target)
    (target / "expected.json").write_text(json.dumps(answer(target, *sys.argv[2:])))
