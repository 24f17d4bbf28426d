"""What XGen-MM's checkpoint brings, in small: the same calls with the same arguments, another model behind them."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PretrainedConfig, PreTrainedModel


class TinyConfig(PretrainedConfig):
    model_type = "tiny-xgen"

    def __init__(self, text_config=None, **kwargs):
        self.text_config = LlamaConfig(**(text_config or {}))
        super().__init__(**kwargs)

    def to_dict(self):
        return {**super().to_dict(), "text_config": self.text_config.to_dict()}


class TinyVlm(torch.nn.Module):
    def __init__(self, text_config):
        super().__init__()
        self.lang_model = LlamaForCausalLM(text_config)
        self.vision_encoder = torch.nn.Linear(3 * 14 * 14, text_config.hidden_size)
        self.image_token = None

    def vectors(self, vision_x, lang_x, image_size):
        """The vectors of a prompt, with one for each tile of the image, turned by the image's own shape."""
        (width, height), tiles = image_size[0], vision_x[0].flatten(1)
        seen = self.vision_encoder(tiles).roll(width - height, 1)
        words = self.lang_model.get_input_embeddings()(lang_x[0])
        at = (lang_x[0] == self.image_token).nonzero()
        assert len(at) == 1
        return torch.cat([words[: at[0, 0]], seen, words[at[0, 0] + 1 :]])[None]

    def generate(self, vision_x, lang_x, image_size, attention_mask=None, **kwargs):
        assert attention_mask.shape == lang_x.shape
        vectors = self.vectors(vision_x, lang_x, image_size)
        mask = torch.ones(vectors.shape[:2], dtype=torch.long)
        beams = kwargs.pop("num_beams", 1)
        return self.lang_model.generate(inputs_embeds=vectors, attention_mask=mask, num_beams=beams, use_cache=True, **kwargs)


class TinyForConditionalGeneration(PreTrainedModel):
    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        self.vlm = TinyVlm(config.text_config)

    def update_special_tokens(self, tokenizer):
        tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
        self.vlm.image_token = tokenizer.convert_tokens_to_ids("<image>")
        return tokenizer

    @torch.no_grad()
    def generate(self, pixel_values, input_ids, attention_mask=None, **generate_kwargs):
        return self.vlm.generate(vision_x=pixel_values, lang_x=input_ids, attention_mask=attention_mask, **generate_kwargs)
