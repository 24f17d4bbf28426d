//! Names of the tensors in SigLIP checkpoints of the Hugging Face hub.

use blocks::weights::Names;

/// As `transformers.SiglipModel` writes them.
pub const NAMES: Names = Names {
    rename: &[
        ("vision.patch", "vision_model.embeddings.patch_embedding"),
        ("vision.position", "vision_model.embeddings.position_embedding.weight"),
        ("vision.layers.*.norm1", "vision_model.encoder.layers.*.layer_norm1"),
        ("vision.layers.*.attention.query", "vision_model.encoder.layers.*.self_attn.q_proj"),
        ("vision.layers.*.attention.key", "vision_model.encoder.layers.*.self_attn.k_proj"),
        ("vision.layers.*.attention.value", "vision_model.encoder.layers.*.self_attn.v_proj"),
        ("vision.layers.*.attention.output", "vision_model.encoder.layers.*.self_attn.out_proj"),
        ("vision.layers.*.norm2", "vision_model.encoder.layers.*.layer_norm2"),
        ("vision.layers.*.fc1", "vision_model.encoder.layers.*.mlp.fc1"),
        ("vision.layers.*.fc2", "vision_model.encoder.layers.*.mlp.fc2"),
        ("vision.post_norm", "vision_model.post_layernorm"),
        ("vision.head.norm", "vision_model.head.layernorm"),
        ("vision.head.fc1", "vision_model.head.mlp.fc1"),
        ("vision.head.fc2", "vision_model.head.mlp.fc2"),
        ("vision.head", "vision_model.head"),
        ("text.tokens", "text_model.embeddings.token_embedding"),
        ("text.position", "text_model.embeddings.position_embedding.weight"),
        ("text.layers.*.norm1", "text_model.encoder.layers.*.layer_norm1"),
        ("text.layers.*.attention.query", "text_model.encoder.layers.*.self_attn.q_proj"),
        ("text.layers.*.attention.key", "text_model.encoder.layers.*.self_attn.k_proj"),
        ("text.layers.*.attention.value", "text_model.encoder.layers.*.self_attn.v_proj"),
        ("text.layers.*.attention.output", "text_model.encoder.layers.*.self_attn.out_proj"),
        ("text.layers.*.norm2", "text_model.encoder.layers.*.layer_norm2"),
        ("text.layers.*.fc1", "text_model.encoder.layers.*.mlp.fc1"),
        ("text.layers.*.fc2", "text_model.encoder.layers.*.mlp.fc2"),
        ("text.final_norm", "text_model.final_layer_norm"),
        ("text.head", "text_model.head"),
    ],
    ignore: &["*.position_ids"],
};
