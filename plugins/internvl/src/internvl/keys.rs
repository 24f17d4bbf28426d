//! Names of the tensors in InternVL's checkpoints.

use blocks::weights::Names;

/// Names under given prefixes: of the vision tower, of the language model and its head, and of the projector.
macro_rules! names {
    (vision: $vision:literal, text: $text:literal, head: $head:literal, projector: $projector:literal) => {
        Names {
            rename: &[
                ("text.tokens", concat!($text, ".embed_tokens")),
                ("text.norm", concat!($text, ".norm")),
                ("text.head", $head),
                ("text.layers.*.norm1", concat!($text, ".layers.*.input_layernorm")),
                ("text.layers.*.query", concat!($text, ".layers.*.self_attn.q_proj")),
                ("text.layers.*.key", concat!($text, ".layers.*.self_attn.k_proj")),
                ("text.layers.*.value", concat!($text, ".layers.*.self_attn.v_proj")),
                ("text.layers.*.output", concat!($text, ".layers.*.self_attn.o_proj")),
                ("text.layers.*.norm2", concat!($text, ".layers.*.post_attention_layernorm")),
                ("text.layers.*.gate", concat!($text, ".layers.*.mlp.gate_proj")),
                ("text.layers.*.up", concat!($text, ".layers.*.mlp.up_proj")),
                ("text.layers.*.down", concat!($text, ".layers.*.mlp.down_proj")),
                ("vision.class", concat!($vision, ".embeddings.cls_token")),
                ("vision.patch", concat!($vision, ".embeddings.patch_embeddings.projection")),
                ("vision.position", concat!($vision, ".embeddings.position_embeddings")),
                ("vision.layers.*.norm1", concat!($vision, ".encoder.layer.*.layernorm_before")),
                ("vision.layers.*.attention.query", concat!($vision, ".encoder.layer.*.attention.q_proj")),
                ("vision.layers.*.attention.key", concat!($vision, ".encoder.layer.*.attention.k_proj")),
                ("vision.layers.*.attention.value", concat!($vision, ".encoder.layer.*.attention.v_proj")),
                ("vision.layers.*.attention.query_norm", concat!($vision, ".encoder.layer.*.attention.q_norm")),
                ("vision.layers.*.attention.key_norm", concat!($vision, ".encoder.layer.*.attention.k_norm")),
                ("vision.layers.*.attention.output", concat!($vision, ".encoder.layer.*.attention.projection_layer")),
                ("vision.layers.*.scale1", concat!($vision, ".encoder.layer.*.lambda_1")),
                ("vision.layers.*.norm2", concat!($vision, ".encoder.layer.*.layernorm_after")),
                ("vision.layers.*.fc1", concat!($vision, ".encoder.layer.*.mlp.fc1")),
                ("vision.layers.*.fc2", concat!($vision, ".encoder.layer.*.mlp.fc2")),
                ("vision.layers.*.scale2", concat!($vision, ".encoder.layer.*.lambda_2")),
                ("vision.post_norm", concat!($vision, ".layernorm")),
                ("projector.norm", concat!($projector, ".layer_norm")),
                ("projector.first", concat!($projector, ".linear_1")),
                ("projector.second", concat!($projector, ".linear_2")),
            ],
            ignore: &[
                "*.rotary_emb.inv_freq",
                // Of training with masked images.
                concat!($vision, ".embeddings.mask_token"),
                // There in spite of being tied to the tokens.
                concat!($head, ".weight"),
            ],
        }
    };
}

/// As `save_pretrained` writes them and the hub has them.
pub const HUB: Names = names!(
    vision: "vision_tower",
    text: "language_model.model",
    head: "language_model.lm_head",
    projector: "multi_modal_projector"
);

/// As `transformers.InternVLForConditionalGeneration` calls them.
pub const CLASS: Names = names!(
    vision: "model.vision_tower",
    text: "model.language_model",
    head: "lm_head",
    projector: "model.multi_modal_projector"
);
