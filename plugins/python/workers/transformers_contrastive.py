"""Contrastive models by their reference implementations; the row's option `family` names one of FAMILIES.

| family | implementation | packages |
|---|---|---|
| `clip`, `siglip` | transformers' AutoModel | torch, transformers, pillow |
| `blip-itm`, `blip2-itm` | transformers' BlipForImageTextRetrieval, Blip2ForImageTextRetrieval | the same |
| `biomedclip` | open_clip's CustomTextCLIP | and open_clip_torch, timm |
| `pmcclip` | open_clip's ModifiedResNet, transformers' BertModel | and open_clip_torch |
| `medclip` | transformers' SwinModel and BertModel, joined as the package medclip does, which needs an older transformers | torch, transformers, pillow |
"""

import io
import json
import os
import tempfile
import zipfile
from pathlib import Path

# The folder with the weights has everything; samples and their whereabouts are nobody's business.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from medvlm_worker import ConfigError
from PIL import Image
from torch.nn.functional import normalize
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    BertTokenizerFast,
    Blip2ForImageTextRetrieval,
    BlipForImageTextRetrieval,
    BlipImageProcessor,
    CLIPImageProcessor,
    SiglipImageProcessor,
    SwinConfig,
    SwinModel,
)
from transformers.image_utils import ImageFeatureExtractionMixin
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()

#: Texts or pairs that are encoded in one pass.
BATCH = 64


class Model:
    def __init__(self, open):
        family = open.option("family", "clip", list(FAMILIES))
        self.device, self.dtype = open.device, open.torch_dtype()
        self.towers = FAMILIES[family](Path(open.directory()), open)
        for module in self.towers.modules():
            module.eval().to(self.device, self.dtype)

    def describe(self):
        parameters = sum(p.numel() for module in self.towers.modules() for p in module.parameters())
        scale = float(self.towers.scale()) if hasattr(self.towers, "scale") else 0.0
        return {"parameters": parameters, "feature_dim": self.towers.dim(), "image_size": self.towers.image_size(), "logit_scale": scale}

    @torch.inference_mode()
    def features(self, images):
        return self.towers.image_features(self.pixels(images))

    @torch.inference_mode()
    def encode_classes(self, classes):
        """The mean of the normalised embeddings of a class's prompts, normalised again."""
        return normalize(torch.stack([self.text_embeds(prompts).mean(0) for prompts in classes]), dim=-1)

    @torch.inference_mode()
    def zero_shot(self, images, classes):
        pixels = self.pixels(images)
        if not hasattr(self.towers, "matches"):
            return self.towers.logits(self.image_embeds(pixels), classes.encoded)
        columns = [self.matching(pixels, prompts)["logits"].mean(1) for prompts in classes.prompts]
        return torch.stack(columns, 1)

    @torch.inference_mode()
    def inspect(self, request, images):
        seen = {}
        if images:
            pixels = seen["pixel_values"] = self.pixels(images)
            seen["image_features"] = self.towers.image_features(pixels)
            seen["image_embeds"] = self.image_embeds(pixels)
        if request.texts:
            seen["text_embeds"] = self.text_embeds(request.texts)
        if images and request.texts:
            if hasattr(self.towers, "matches"):
                seen.update(self.matching(pixels, request.texts))
            else:
                seen["logits"] = self.towers.logits(seen["image_embeds"], seen["text_embeds"])
        return seen

    def pixels(self, images):
        return self.towers.pixels([image.pil() for image in images]).to(self.device, self.dtype)

    def image_embeds(self, pixels):
        vectors = getattr(self.towers, "image_vectors", self.towers.image_features)(pixels)
        return normalize(vectors.float(), dim=-1)

    def text_embeds(self, texts):
        batches = [self.towers.text_features(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
        return normalize(torch.cat(batches).float(), dim=-1)

    def matching(self, pixels, texts):
        """Scores of each image with each text by cosine and by the matching head, and the one that the row chose."""
        itc = self.towers.logits(self.image_embeds(pixels), self.text_embeds(texts))
        itm = torch.stack([self.towers.matches(image[None], texts) for image in pixels]).float()
        chosen = itm[..., 1] - itm[..., 0] if self.towers.score == "itm" else itc
        return {"itc_scores": itc, "itm_scores": itm, "logits": chosen}


class Auto:
    """CLIP and SigLIP."""

    def __init__(self, folder, open):
        self.model = AutoModel.from_pretrained(folder, torch_dtype=open.torch_dtype())
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        siglip = open.option("family", "clip") == "siglip"
        self.processor = image_processor(folder, SiglipImageProcessor if siglip else CLIPImageProcessor)
        self.device, config = open.device, self.model.config
        self.padding = "max_length" if config.model_type.startswith("siglip") else True
        self.context = min(config.text_config.max_position_embeddings, self.tokenizer.model_max_length)

    def modules(self):
        return [self.model]

    def pixels(self, images):
        return self.processor(images, return_tensors="pt")["pixel_values"]

    def image_features(self, pixels):
        return self.model.get_image_features(pixels)

    def text_features(self, texts):
        tokens = self.tokenizer(texts, padding=self.padding, truncation=True, max_length=self.context, return_tensors="pt")
        names = ["input_ids"] if self.padding == "max_length" else ["input_ids", "attention_mask"]
        return self.model.get_text_features(**{name: tokens[name].to(self.device) for name in names})

    def logits(self, images, texts):
        bias = getattr(self.model, "logit_bias", None)
        logits = self.scale() * images @ texts.T
        return logits if bias is None else logits + bias.float()

    def scale(self):
        return self.model.logit_scale.float().exp().item()

    def dim(self):
        config = self.model.config
        return getattr(config, "projection_dim", 0) or config.vision_config.hidden_size

    def image_size(self):
        return self.model.config.vision_config.image_size


class Blip:
    """BLIP's and BLIP-2's retrieval models, by the head that tells whether a text matches, or by the cosine."""

    def __init__(self, folder, open):
        self.second = open.option("family") == "blip2-itm"
        self.score = open.option("score", "itc" if self.second else "itm", ["itm", "itc"])
        kind = Blip2ForImageTextRetrieval if self.second else BlipForImageTextRetrieval
        self.model = kind.from_pretrained(folder, torch_dtype=open.torch_dtype())
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.processor = image_processor(folder, BlipImageProcessor)
        self.device = open.device
        config = self.model.config
        self.context = (config.qformer_config if self.second else config.text_config).max_position_embeddings

    def modules(self):
        return [self.model]

    def pixels(self, images):
        return self.processor(images, return_tensors="pt")["pixel_values"]

    def image_features(self, pixels):
        return self.model.vision_model(pixels)[0][:, 0]

    def image_vectors(self, pixels):
        states = self.model.vision_model(pixels)[0]
        if not self.second:
            return self.model.vision_proj(states[:, 0])
        queries = self.model.query_tokens.expand(len(pixels), -1, -1)
        return self.model.vision_projection(self.model.qformer(query_embeds=queries, encoder_hidden_states=states)[0])

    def text_features(self, texts):
        tokens = self.tokens(texts)
        if not self.second:
            states = self.model.text_encoder(tokens["input_ids"], attention_mask=tokens["attention_mask"])[0]
            return self.model.text_proj(states[:, 0])
        words = self.model.embeddings(input_ids=tokens["input_ids"])
        states = self.model.qformer(query_embeds=words, query_length=0, attention_mask=tokens["attention_mask"])[0]
        return self.model.text_projection(states[:, 0])

    def logits(self, images, texts):
        cosines = images @ texts.T
        return cosines if cosines.dim() == 2 else cosines.amax(1)

    def matches(self, image, texts):
        """The two logits of one image with each text."""
        rows = []
        for at in range(len(texts)):
            tokens = self.tokens(texts[at : at + 1])
            if self.second:
                rows.append(self.model(pixel_values=image, **tokens, use_image_text_matching_head=True).logits_per_image)
            else:
                rows.append(self.model(pixel_values=image, **tokens, use_itm_head=True).itm_score)
        return torch.cat(rows)

    def tokens(self, texts):
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=self.context, return_tensors="pt")
        return {name: tokens[name].to(self.device) for name in ["input_ids", "attention_mask"]}

    def dim(self):
        return self.model.config.vision_config.hidden_size

    def image_size(self):
        return self.model.config.vision_config.image_size


class OpenClip:
    """BiomedCLIP."""

    def __init__(self, folder, open):
        from open_clip.model import CustomTextCLIP
        from open_clip.tokenizer import HFTokenizer
        from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict

        settings = json.loads((folder / "open_clip_config.json").read_text())
        model, text = settings["model_cfg"], dict(settings["model_cfg"]["text_cfg"])
        state = tensors(folder, "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
        bert = bert_config(folder, {key[17:]: value for key, value in state.items() if key.startswith("text.transformer.")})
        with local_bert(bert, folder) as place:
            text.update(hf_model_name=place, hf_model_pretrained=False)
            self.model = CustomTextCLIP(model["embed_dim"], model["vision_cfg"], text)
            self.tokenizer = HFTokenizer(place, context_length=text.get("context_length", 77))
        missing, _ = self.model.load_state_dict(state, strict=False)
        if missing:
            raise ConfigError(f"{folder}: the checkpoint lacks {missing[0]}")
        size = self.model.visual.image_size
        size = size[0] if isinstance(size, (tuple, list)) else size
        preprocess = merge_preprocess_dict(PreprocessCfg(), settings["preprocess_cfg"]) | {"size": self.model.visual.image_size}
        self.transform = image_transform_v2(PreprocessCfg(**preprocess), is_train=False)
        self.side, self.width, self.device = size, model["embed_dim"], open.device

    def modules(self):
        return [self.model]

    def pixels(self, images):
        return torch.stack([self.transform(image) for image in images])

    def image_features(self, pixels):
        return self.model.encode_image(pixels)

    def text_features(self, texts):
        return self.model.encode_text(self.tokenizer(texts).to(self.device))

    def logits(self, images, texts):
        return self.scale() * images @ texts.T

    def scale(self):
        return self.model.logit_scale.float().exp().item()

    def dim(self):
        return self.width

    def image_size(self):
        return self.side


class PmcClip:
    """PMC-CLIP: the three files for inference, or the training program's checkpoint.pt."""

    def __init__(self, folder, open):
        from open_clip.modified_resnet import ModifiedResNet
        from open_clip.transform import image_transform

        heads, scale = open.option("heads", 8), open.option("logit_scale", 4.4292)
        vision, text, self.projection, self.log_scale = self.parts(folder, scale)
        blocks = [len({key.split(".")[1] for key in vision if key.startswith(f"layer{n}.")}) for n in range(1, 5)]
        tokens, self.width = len(vision["attnpool.positional_embedding"]), len(vision["attnpool.c_proj.weight"])
        self.side = 32 * int((tokens - 1) ** 0.5)
        width = len(vision["layer1.0.conv1.weight"])
        self.vision = ModifiedResNet(blocks, self.width, heads, self.side, width)
        self.vision.load_state_dict(vision)
        self.text = bert(folder, text)
        self.transform = image_transform(self.side, is_train=False)
        self.tokenizer = word_piece(folder)
        self.projection = self.projection.to(open.device, open.torch_dtype())
        self.device, self.context = open.device, min(77, self.text.config.max_position_embeddings)

    @staticmethod
    def parts(folder, scale):
        if (folder / "checkpoint.pt").is_file() and not (folder / "text_encoder.pth").is_file():
            state = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)["state_dict"]
            below = lambda part: {k[len(part) + 7 :]: v for k, v in state.items() if k.startswith(f"module.{part}")}
            scale = state.get("module.logit_scale", torch.tensor(scale))
            return below("visual."), below("text_encoder."), state["module.text_projection"], scale.float()
        files = ["image_encoder(resnet50).pth", "text_encoder.pth", "text_projection_layer.pth"]
        parts = [torch.load(folder / file, map_location="cpu", weights_only=True) for file in files]
        return *parts, torch.tensor(scale)

    def modules(self):
        return [self.vision, self.text]

    def pixels(self, images):
        return torch.stack([self.transform(image) for image in images])

    def image_features(self, pixels):
        return self.vision(pixels)

    def text_features(self, texts):
        tokens = self.tokenizer(texts, padding="max_length", truncation=True, max_length=self.context, return_tensors="pt")
        ids = tokens["input_ids"].to(self.device)
        return self.text(ids, (ids != 0).long()).last_hidden_state[:, 0] @ self.projection

    def logits(self, images, texts):
        return self.scale() * images @ texts.T

    def scale(self):
        return self.log_scale.exp().item()

    def dim(self):
        return self.width

    def image_size(self):
        return self.side


class MedClip:
    """MedCLIP with the Swin tower; the glue is that of the package medclip 0.0.3."""

    MEAN, STD = 0.5862785803043838, 0.27950088968644304

    def __init__(self, folder, open):
        state = self.state(folder)
        file = folder / "config.json"
        settings = json.loads(file.read_text()) if file.is_file() else {}
        below = lambda part: {k[len(part) :]: v for k, v in state.items() if k.startswith(part)}
        swin = below("vision_model.model.")
        self.swin = SwinModel(SwinConfig(**settings["vision_config"]) if settings else swin_config(swin))
        missing, _ = self.swin.load_state_dict(swin, strict=False)
        if [name for name in missing if "relative_position_index" not in name]:
            raise ConfigError(f"{folder}: the checkpoint's Swin lacks {missing[0]}")
        self.bert = bert(folder, below("text_model.model."), settings.get("text_config"))
        self.heads = torch.nn.ModuleList([linear(state[f"{side}_model.projection_head.weight"]) for side in ["vision", "text"]])
        self.log_scale = state["logit_scale"].float()
        self.tokenizer = word_piece(folder)
        self.device, self.context = open.device, min(77, self.bert.config.max_position_embeddings)

    @staticmethod
    def state(folder):
        archive = folder / "medclip-vit-pretrained.zip"
        if not archive.is_file():
            return tensors(folder, "model.safetensors", "pytorch_model.bin")
        with zipfile.ZipFile(archive) as files, files.open("pytorch_model.bin") as file:
            return torch.load(io.BytesIO(file.read()), map_location="cpu", weights_only=True)

    def modules(self):
        return [self.swin, self.bert, self.heads]

    def pixels(self, images):
        mixin, rows = ImageFeatureExtractionMixin(), []
        side = self.image_size()
        for image in images:
            image = image.convert("L")
            square = max(side, *image.size)
            padded = Image.new("L", (square, square), 0)
            padded.paste(image, tuple(int((square - extent) / 2) for extent in image.size))
            pixels = mixin.center_crop(mixin.resize(image=padded, size=side, resample=Image.BICUBIC), side)
            rows.append(torch.from_numpy(mixin.normalize(image=pixels, mean=self.MEAN, std=self.STD))[None].repeat(3, 1, 1))
        return torch.stack(rows)

    def image_features(self, pixels):
        embeds = self.heads[0](self.swin(pixels)["pooler_output"])
        return embeds / embeds.norm(dim=-1, keepdim=True)

    def text_features(self, texts):
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=self.context, return_tensors="pt").to(self.device)
        states = self.bert(tokens["input_ids"], tokens["attention_mask"], output_hidden_states=True)["hidden_states"]
        return self.heads[1](torch.stack([states[1], states[2], states[-1]]).permute(1, 0, 2, 3).mean(2).mean(1))

    def logits(self, images, texts):
        return self.scale() * images @ texts.T

    def scale(self):
        return self.log_scale.clamp(0, 4.6052).exp().item()

    def dim(self):
        return self.heads[0].out_features

    def image_size(self):
        return self.swin.config.image_size


FAMILIES = {
    "clip": Auto,
    "siglip": Auto,
    "blip-itm": Blip,
    "blip2-itm": Blip,
    "biomedclip": OpenClip,
    "pmcclip": PmcClip,
    "medclip": MedClip,
}


def image_processor(folder, kind):
    """The checkpoint's processor on Pillow, or the class's own where the checkpoint states none."""
    return kind.from_pretrained(folder) if (folder / "preprocessor_config.json").is_file() else kind()


def tensors(folder, *files):
    """The tensors of the first of these files that is there."""
    path = next((folder / file for file in files if (folder / file).is_file()), None)
    if path is None:
        raise ConfigError(f"{folder}: no weights here; expected {' or '.join(files)}")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def bert_config(folder, state, given=None):
    """The dimensions of a BERT: as given, from the folder's config.json, or from its tensors with heads of 64."""
    file = folder / "config.json"
    if given is not None:
        return BertConfig(**given)
    if file.is_file() and json.loads(file.read_text()).get("model_type") == "bert":
        return BertConfig.from_pretrained(folder)
    words, positions = state["embeddings.word_embeddings.weight"], state["embeddings.position_embeddings.weight"]
    return BertConfig(
        vocab_size=len(words),
        hidden_size=words.shape[1],
        max_position_embeddings=len(positions),
        type_vocab_size=len(state["embeddings.token_type_embeddings.weight"]),
        num_hidden_layers=len({key.split(".")[2] for key in state if key.startswith("encoder.layer.")}),
        num_attention_heads=max(1, words.shape[1] // 64),
        intermediate_size=len(state["encoder.layer.0.intermediate.dense.weight"]),
    )


def swin_config(state):
    """The dimensions of a Swin at 224 pixels from its tensors."""
    stages = sorted({key.split(".")[2] for key in state if key.startswith("encoder.layers.")}, key=int)
    inside = lambda stage: {key.split(".")[4] for key in state if key.startswith(f"encoder.layers.{stage}.blocks.")}
    tables = [state[f"encoder.layers.{s}.blocks.0.attention.self.relative_position_bias_table"] for s in stages]
    patches = state["embeddings.patch_embeddings.projection.weight"]
    return SwinConfig(
        embed_dim=len(patches),
        patch_size=patches.shape[-1],
        depths=[len(inside(stage)) for stage in stages],
        num_heads=[table.shape[1] for table in tables],
        window_size=(int(len(tables[0]) ** 0.5) + 1) // 2,
    )


def bert(folder, state, given=None):
    model = BertModel(bert_config(folder, state, given), add_pooling_layer="pooler.dense.weight" in state)
    missing, _ = model.load_state_dict(state, strict=False)
    if missing:
        raise ConfigError(f"{folder}: the checkpoint's BERT lacks {missing[0]}")
    return model


def local_bert(config, folder):
    """A folder with the configuration of a BERT and the checkpoint's tokenizer, for open_clip, which would ask the hub."""
    place = tempfile.TemporaryDirectory()
    config.save_pretrained(place.name)
    for name in ["vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]:
        if (folder / name).is_file():
            (Path(place.name) / name).symlink_to((folder / name).absolute())
    return place


def word_piece(folder):
    """The folder's tokenizer, vocab.txt or tokenizer.json."""
    return BertTokenizerFast.from_pretrained(folder)


def linear(weight):
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data.copy_(weight)
    return layer
