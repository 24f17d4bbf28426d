//! Names of the tensors in checkpoints of Gemma 3.

use blocks::weights::Names;

/// Names under given prefixes: of the language model and its head, and of what stands before the other parts.
macro_rules! names {
    (text: $text:literal, head: $head:literal, outer: $outer:literal) => {
        Names {
            rename: &[
                ("text.tokens", concat!($text, ".embed_tokens")),
                ("text.norm", concat!($text, ".norm")),
                ("text.head", $head),
                ("text.layers.*.before_attention", concat!($text, ".layers.*.input_layernorm")),
                ("text.layers.*.query", concat!($text, ".layers.*.self_attn.q_proj")),
                ("text.layers.*.key", concat!($text, ".layers.*.self_attn.k_proj")),
                ("text.layers.*.value", concat!($text, ".layers.*.self_attn.v_proj")),
                ("text.layers.*.query_norm", concat!($text, ".layers.*.self_attn.q_norm")),
                ("text.layers.*.key_norm", concat!($text, ".layers.*.self_attn.k_norm")),
                ("text.layers.*.output", concat!($text, ".layers.*.self_attn.o_proj")),
                ("text.layers.*.behind_attention", concat!($text, ".layers.*.post_attention_layernorm")),
                ("text.layers.*.before_mlp", concat!($text, ".layers.*.pre_feedforward_layernorm")),
                ("text.layers.*.gate", concat!($text, ".layers.*.mlp.gate_proj")),
                ("text.layers.*.up", concat!($text, ".layers.*.mlp.up_proj")),
                ("text.layers.*.down", concat!($text, ".layers.*.mlp.down_proj")),
                ("text.layers.*.behind_mlp", concat!($text, ".layers.*.post_feedforward_layernorm")),
                ("vision.patch", concat!($outer, "vision_tower.vision_model.embeddings.patch_embedding")),
                ("vision.position", concat!($outer, "vision_tower.vision_model.embeddings.position_embedding.weight")),
                ("vision.layers.*.norm1", concat!($outer, "vision_tower.vision_model.encoder.layers.*.layer_norm1")),
                (
                    "vision.layers.*.attention.query",
                    concat!($outer, "vision_tower.vision_model.encoder.layers.*.self_attn.q_proj"),
                ),
                (
                    "vision.layers.*.attention.key",
                    concat!($outer, "vision_tower.vision_model.encoder.layers.*.self_attn.k_proj"),
                ),
                (
                    "vision.layers.*.attention.value",
                    concat!($outer, "vision_tower.vision_model.encoder.layers.*.self_attn.v_proj"),
                ),
                (
                    "vision.layers.*.attention.output",
                    concat!($outer, "vision_tower.vision_model.encoder.layers.*.self_attn.out_proj"),
                ),
                ("vision.layers.*.norm2", concat!($outer, "vision_tower.vision_model.encoder.layers.*.layer_norm2")),
                ("vision.layers.*.fc1", concat!($outer, "vision_tower.vision_model.encoder.layers.*.mlp.fc1")),
                ("vision.layers.*.fc2", concat!($outer, "vision_tower.vision_model.encoder.layers.*.mlp.fc2")),
                ("vision.post_norm", concat!($outer, "vision_tower.vision_model.post_layernorm")),
                ("projector.norm", concat!($outer, "multi_modal_projector.mm_soft_emb_norm")),
                ("projector.matrix", concat!($outer, "multi_modal_projector.mm_input_projection_weight")),
            ],
            ignore: &[
                "*.position_ids",
                "*.rotary_emb.inv_freq",
                // There in spite of being tied to the tokens.
                concat!($head, ".weight"),
                // How SigLIP pools.
                concat!($outer, "vision_tower.vision_model.head.*"),
            ],
        }
    };
}

/// As the hub has them and `save_pretrained` writes them.
pub const HUB: Names = names!(text: "language_model.model", head: "language_model.lm_head", outer: "");

/// As `transformers.Gemma3ForConditionalGeneration` calls them since 4.52.
pub const CLASS: Names = names!(text: "model.language_model", head: "lm_head", outer: "model.");
