//! Names of the tensors in Qwen's checkpoints.

use blocks::weights::Names;

/// Names under given prefixes: of the language model and of the vision tower.
macro_rules! names {
    (text: $text:literal, vision: $vision:literal) => {
        Names {
            rename: &[
                ("text.tokens", concat!($text, ".embed_tokens")),
                ("text.norm", concat!($text, ".norm")),
                ("text.head", "lm_head"),
                ("text.layers.*.norm1", concat!($text, ".layers.*.input_layernorm")),
                ("text.layers.*.query", concat!($text, ".layers.*.self_attn.q_proj")),
                ("text.layers.*.key", concat!($text, ".layers.*.self_attn.k_proj")),
                ("text.layers.*.value", concat!($text, ".layers.*.self_attn.v_proj")),
                ("text.layers.*.output", concat!($text, ".layers.*.self_attn.o_proj")),
                ("text.layers.*.norm2", concat!($text, ".layers.*.post_attention_layernorm")),
                ("text.layers.*.gate", concat!($text, ".layers.*.mlp.gate_proj")),
                ("text.layers.*.up", concat!($text, ".layers.*.mlp.up_proj")),
                ("text.layers.*.down", concat!($text, ".layers.*.mlp.down_proj")),
                ("vision.patch", concat!($vision, ".patch_embed.proj")),
                ("vision.layers.*.norm1", concat!($vision, ".blocks.*.norm1")),
                ("vision.layers.*.qkv", concat!($vision, ".blocks.*.attn.qkv")),
                ("vision.layers.*.output", concat!($vision, ".blocks.*.attn.proj")),
                ("vision.layers.*.norm2", concat!($vision, ".blocks.*.norm2")),
                ("vision.layers.*.fc1", concat!($vision, ".blocks.*.mlp.fc1")),
                ("vision.layers.*.fc2", concat!($vision, ".blocks.*.mlp.fc2")),
                ("vision.layers.*.gate", concat!($vision, ".blocks.*.mlp.gate_proj")),
                ("vision.layers.*.up", concat!($vision, ".blocks.*.mlp.up_proj")),
                ("vision.layers.*.down", concat!($vision, ".blocks.*.mlp.down_proj")),
                ("vision.norm", concat!($vision, ".merger.ln_q")),
                ("vision.merger.0", concat!($vision, ".merger.mlp.0")),
                ("vision.merger.1", concat!($vision, ".merger.mlp.2")),
            ],
            ignore: &[
                "*.rotary_emb.inv_freq",
                "*.rotary_pos_emb.inv_freq",
                // There in spite of being tied to the tokens.
                "lm_head.weight",
            ],
        }
    };
}

/// As the hub has them, and `save_pretrained` writes them.
pub const HUB: Names = names!(text: "model", vision: "visual");

/// As `transformers.Qwen2VLForConditionalGeneration` calls them since 4.52.
pub const CLASS: Names = names!(text: "model.language_model", vision: "model.visual");
