"""Writes the goldens of XrayGPT: tiny random files as its authors publish them, and what their code makes of prompts.

The reference is put together: EVA's vision transformer as salesforce-lavis has it in a few lines of torch, the Q-Former and
LLaMA of transformers (4.53.1), prompts as in the authors' conversation.py.
Needs transformers 4.53.1, torch, torchvision's arithmetic in numpy, pillow 13, sentencepiece, safetensors, and the images of
clip.py. Run: python tests/parity/xraygpt.py
"""

import io
import json
import shutil
from pathlib import Path

import numpy
import sentencepiece
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel, LlamaConfig, LlamaForCausalLM, LlamaTokenizer, LlamaTokenizerFast

ROOT = Path(__file__).parent / "xraygpt"
IMAGES = Path(__file__).parent / "clip" / "images"
CORPUS = ["###Patient: <Img></Img> Is there a nodule in the left lung?###Doctor: yes, the chest x-ray shows no pneumonia."] * 9
PROMPTS = [("Is there a nodule?", False), ("", False), ("the chest x-ray", True), ("Which lung: left or right? It's 3.5 cm", False)]
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
HEADS = 4, 3
NEW = 24
CASES = {
    # As published: the vision tower in half precision, the language model in pickled shards.
    "half": dict(size=21, patch=7, width=32, blocks=3, qformer=dict(num_hidden_layers=2), queries=5, dtype=torch.float16, shard="40KB"),
    # A rest of pixels would be left out, so there is none; grouped keys; one safetensors file.
    "full": dict(size=30, patch=5, width=24, blocks=2, qformer=dict(num_hidden_layers=3), queries=3, dtype=torch.float32, keys=2),
}


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.Module()
        self.attn.qkv, self.attn.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.attn.q_bias, self.attn.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, 44), nn.Linear(44, width)

    def forward(self, x):
        n, tokens, width = x.shape
        bias = torch.cat([self.attn.q_bias, torch.zeros_like(self.attn.v_bias), self.attn.v_bias])
        qkv = nn.functional.linear(self.norm1(x), self.attn.qkv.weight, bias).reshape(n, tokens, 3, HEADS[0], -1).permute(2, 0, 3, 1, 4)
        scores = (qkv[0] * (width // HEADS[0]) ** -0.5) @ qkv[1].transpose(-2, -1)
        mixed = (scores.softmax(-1) @ qkv[2]).transpose(1, 2).reshape(n, tokens, width)
        x = x + self.attn.proj(mixed)
        return x + self.mlp.fc2(nn.functional.gelu(self.mlp.fc1(self.norm2(x))))


class Eva(nn.Module):
    def __init__(self, case):
        super().__init__()
        width = case["width"]
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, (case["size"] // case["patch"]) ** 2 + 1, width))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, case["patch"], case["patch"])
        self.blocks = nn.ModuleList(Block(width) for _ in range(case["blocks"]))

    def forward(self, pixels):
        x = self.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.blocks[:-1]:
            x = block(x)
        return x


def lavis(name):
    """The name of a Q-Former's tensor in salesforce-lavis."""
    if name.startswith("layernorm"):
        return name.replace("layernorm", "Qformer.bert.embeddings.LayerNorm")
    return "Qformer.bert." + name.replace("attention.attention.", "attention.self.")


def write_tokenizer(folder):
    # A model that is trained into a file remembers its path.
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=model, model_type="bpe", vocab_size=340, byte_fallback=True,
        character_coverage=1.0, normalization_rule_name="identity", add_dummy_prefix=True, remove_extra_whitespaces=False,
        hard_vocab_limit=False, minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=False, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )))
    return LlamaTokenizer.from_pretrained(folder)


def shake(module, by=0.2):
    for value in module.parameters():
        value.data += by * torch.randn_like(value)
    return module.eval()


def write_case(name, case):
    folder = ROOT / name
    language = folder / "Vicuna_Radiology_fp16"
    language.mkdir(parents=True)
    torch.manual_seed(case["size"])
    tokenizer = write_tokenizer(language)
    eva, norm = shake(Eva(case)), shake(nn.LayerNorm(case["width"], eps=1e-5))
    qformer = shake(Blip2QFormerModel(Blip2QFormerConfig(
        hidden_size=24, intermediate_size=40, num_attention_heads=HEADS[1], vocab_size=9, max_position_embeddings=9, encoder_hidden_size=case["width"], cross_attention_frequency=2,
        **case["qformer"],
    )))
    queries, projection = torch.randn(1, case["queries"], 24), shake(nn.Linear(24, 32), 0.3)
    llama = shake(LlamaForCausalLM(LlamaConfig(
        vocab_size=tokenizer.vocab_size + 2, hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=case.get("keys", 4), rms_norm_eps=1e-5,
    )), 0.15)
    for module in [eva, norm, qformer, projection, llama]:
        module.to(case["dtype"])
    queries = queries.to(case["dtype"])
    torch.save(eva.state_dict(), folder / "eva_vit_g.pth")
    former = {lavis(key): value for key, value in qformer.state_dict().items()}
    former |= {"query_tokens": queries, "t5_proj.weight": torch.zeros(3, 24), **{f"ln_vision.{k}": v for k, v in norm.state_dict().items()}}
    torch.save({"model": former}, folder / "blip2_pretrained_flant5xxl.pth")
    torch.save({"model": {f"llama_proj.{k}": v for k, v in projection.state_dict().items()}}, folder / "xraygpt_pretrained1.pth")
    limits = dict(max_shard_size=case["shard"], safe_serialization=False) if "shard" in case else {}
    llama.save_pretrained(language, **limits)

    for module in [eva, norm, qformer, projection]:
        module.float()
    # Read anew: half precision has rounded what its rotation is computed from.
    llama = LlamaForCausalLM.from_pretrained(language, torch_dtype=torch.float32).eval()
    # The slow one puts bytes that are no text together in another way.
    fast = LlamaTokenizerFast.from_pretrained(language)
    names = json.loads((IMAGES.parent / "inputs.json").read_text())["images"]
    arrays, cases = {}, []
    for n, (prompt, raw) in enumerate(PROMPTS):
        image = n % len(names)
        picture = Image.open(IMAGES / f"{names[image]}.png").convert("RGB").resize((case["size"],) * 2, Image.BICUBIC)
        pixels = torch.from_numpy(numpy.array(picture)).permute(2, 0, 1).float().div(255)
        pixels = ((pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None])[None]
        segments = ["", prompt] if raw else f"###Patient: <Img><ImageHere></Img> {prompt}###Doctor:".split("<ImageHere>")
        before, behind = (tokenizer(text, return_tensors="pt", add_special_tokens=i == 0).input_ids for i, text in enumerate(segments))
        with torch.no_grad():
            states = norm(eva(pixels))
            seen = qformer(query_embeds=queries.float(), encoder_hidden_states=states).last_hidden_state
            embed = llama.get_input_embeddings()
            mixed = torch.cat([embed(before), projection(seen), embed(behind.long())], 1)
            settings = dict(max_new_tokens=NEW, do_sample=False, return_dict_in_generate=True, output_logits=True, pad_token_id=0)
            out = llama.generate(inputs_embeds=mixed, attention_mask=torch.ones(mixed.shape[:2]), **settings)
        if n == 0:
            arrays |= {"pixel_values": pixels, "image_features": states[:, 0]}
        arrays[f"first_logits.{n}"] = out.logits[0]
        row = out.sequences[0].tolist()
        cases.append(dict(
            image=image, prompt=prompt, raw=raw, prompt_ids=before[0].tolist() + [0] * case["queries"] + behind[0].long().tolist(),
            generated_ids=row, text=fast.decode(row, skip_special_tokens=True).split("###")[0].strip(),
        ))
    save_file({key: value.contiguous() for key, value in arrays.items()}, folder / "goldens.safetensors")
    (folder / "goldens.json").write_text(json.dumps(cases, indent=1) + "\n")


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir()
    for name, case in CASES.items():
        write_case(name, case)


main()
