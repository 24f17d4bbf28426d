//! Names of the tensors in XGen-MM's checkpoints.

use blocks::weights::Names;

/// As published: open_clip's tower, the authors' perceiver, and `transformers.Phi3ForCausalLM`.
pub const NAMES: Names = Names {
    rename: &[
        ("text.layers.*.norm1", "vlm.lang_model.model.layers.*.input_layernorm"),
        ("text.layers.*.qkv", "vlm.lang_model.model.layers.*.self_attn.qkv_proj"),
        ("text.layers.*.output", "vlm.lang_model.model.layers.*.self_attn.o_proj"),
        ("text.layers.*.norm2", "vlm.lang_model.model.layers.*.post_attention_layernorm"),
        ("text.layers.*.gate_up", "vlm.lang_model.model.layers.*.mlp.gate_up_proj"),
        ("text.layers.*.down", "vlm.lang_model.model.layers.*.mlp.down_proj"),
        ("text.tokens", "vlm.lang_model.model.embed_tokens"),
        ("text.added_tokens", "vlm.lang_model.model.embed_tokens.additional_embedding"),
        ("text.norm", "vlm.lang_model.model.norm"),
        ("text.head", "vlm.lang_model.lm_head"),
        ("text.added_head", "vlm.lang_model.lm_head.additional_fc"),
        ("vision.class", "vlm.vision_encoder.class_embedding"),
        ("vision.patch", "vlm.vision_encoder.conv1"),
        ("vision.position", "vlm.vision_encoder.positional_embedding"),
        ("vision.pre_norm", "vlm.vision_encoder.ln_pre"),
        ("vision.layers.*.norm1", "vlm.vision_encoder.transformer.resblocks.*.ln_1"),
        ("vision.layers.*.attention.qkv.weight", "vlm.vision_encoder.transformer.resblocks.*.attn.in_proj_weight"),
        ("vision.layers.*.attention.qkv.bias", "vlm.vision_encoder.transformer.resblocks.*.attn.in_proj_bias"),
        ("vision.layers.*.attention.output", "vlm.vision_encoder.transformer.resblocks.*.attn.out_proj"),
        ("vision.layers.*.norm2", "vlm.vision_encoder.transformer.resblocks.*.ln_2"),
        ("vision.layers.*.fc1", "vlm.vision_encoder.transformer.resblocks.*.mlp.c_fc"),
        ("vision.layers.*.fc2", "vlm.vision_encoder.transformer.resblocks.*.mlp.c_proj"),
        ("vision.post_norm", "vlm.vision_encoder.ln_post"),
        ("perceiver.layers.*.media_norm", "vlm.vision_tokenizer.layers.*.0.norm_media"),
        ("perceiver.layers.*.latent_norm", "vlm.vision_tokenizer.layers.*.0.norm_latents"),
        ("perceiver.layers.*.query", "vlm.vision_tokenizer.layers.*.0.to_q"),
        ("perceiver.layers.*.key_value", "vlm.vision_tokenizer.layers.*.0.to_kv"),
        ("perceiver.layers.*.output", "vlm.vision_tokenizer.layers.*.0.to_out"),
        ("perceiver.layers.*.mlp_norm", "vlm.vision_tokenizer.layers.*.1.0"),
        ("perceiver.layers.*.fc1", "vlm.vision_tokenizer.layers.*.1.1"),
        ("perceiver.layers.*.fc2", "vlm.vision_tokenizer.layers.*.1.3"),
        ("perceiver.words.first", "vlm.vision_tokenizer.text_projection.0"),
        ("perceiver.words.second", "vlm.vision_tokenizer.text_projection.2"),
        ("perceiver", "vlm.vision_tokenizer"),
    ],
    ignore: &[
        "*.rotary_emb.inv_freq",
        // From the class token to CLIP's common space.
        "vlm.vision_encoder.proj",
    ],
};
