"""Writes a tiny checkpoint with code of its own, and beside it what it answers: `write.py FOLDER IMAGE PROMPT`."""

import json
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import torch
from image_processing_tiny import TinyImageProcessor
from modeling_tiny import TinyConfig, TinyForConditionalGeneration
from PIL import Image
from tiny import tokenizer

PROMPT = (
    "<|system|>\nA chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
    "detailed, and polite answers to the user's questions.<|end|>\n<|user|>\n<image>\n{}<|end|>\n<|assistant|>\n"
)


def write(folder):
    words, size = tokenizer()
    words.add_special_tokens({"additional_special_tokens": ["<image>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]})
    words.save_pretrained(folder)
    text = dict(vocab_size=size + 4, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4)
    torch.manual_seed(3)
    model = TinyForConditionalGeneration(TinyConfig(text_config={**text, "bos_token_id": 1, "eos_token_id": 2}))
    for value in model.parameters():
        value.data += 0.6 * torch.randn_like(value)
    model.config.auto_map = {
        "AutoConfig": "modeling_tiny.TinyConfig",
        "AutoModelForVision2Seq": "modeling_tiny.TinyForConditionalGeneration",
    }
    model.save_pretrained(folder)
    kind = {"image_processor_type": "TinyImageProcessor", "auto_map": {"AutoImageProcessor": "image_processing_tiny.TinyImageProcessor"}}
    (folder / "preprocessor_config.json").write_text(json.dumps(kind))
    for file in ["modeling_tiny.py", "image_processing_tiny.py"]:
        shutil.copy(HERE / file, folder / file)
    return model.eval(), words


@torch.inference_mode()
def answer(model, words, image, prompt, views="anyres", size=None):
    """Greedy decoding step by step, without `generate`."""
    pixels = TinyImageProcessor().preprocess([image], image_aspect_ratio=views)["pixel_values"]
    ids = words(prompt, return_tensors="pt")["input_ids"]
    vectors = model.vlm.vectors(pixels, ids, [size or image.size])
    end, generated = words.convert_tokens_to_ids("<|end|>"), []
    while len(generated) < 8 and not {2, end} & set(generated):
        logits = model.vlm.lang_model(inputs_embeds=vectors).logits[0, -1]
        generated.append(logits.argmax().item())
        vectors = torch.cat([vectors, model.vlm.lang_model.get_input_embeddings()(torch.tensor([generated[-1:]]))], 1)
    finish = "stop" if {2, end} & set(generated) else "length"
    text = words.decode(generated, skip_special_tokens=True).strip()
    return {"generated_ids": generated, "text": text, "finish": finish, "logits": [1, logits.shape[0]]}


def main(folder, image, question):
    folder.mkdir()
    model, words = write(folder)
    words = model.update_special_tokens(words)
    image, prompt = Image.open(image).convert("RGB"), PROMPT.format(question)
    told = answer(model, words, image, prompt)
    # An answer that these could not change would not show that they arrived.
    for other in [
        answer(model, words, image, prompt, views=None),
        answer(model, words, image, prompt, size=image.size[::-1]),
        answer(model, words, image, prompt.replace("<image>\n", "<image>")),
        answer(model, words, image.point(lambda value: 255 - value), prompt),
    ]:
        assert other["generated_ids"] != told["generated_ids"], told
    (folder / "expected.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
