//! Names of the tensors in Qwen's checkpoints.

use blocks::weights::Names;

/// Names under given prefixes, of the language model and of the vision tower; parts of the tower have names of their own.
macro_rules! names {
    (text: $text:literal, vision: $vision:literal, $($ours:literal: $theirs:literal),+ $(,)?) => {
        Names {
            rename: &[
                ("text.tokens", concat!($text, ".embed_tokens")),
                ("text.norm", concat!($text, ".norm")),
                ("text.head", "lm_head"),
                ("text.layers.*.norm1", concat!($text, ".layers.*.input_layernorm")),
                ("text.layers.*.query", concat!($text, ".layers.*.self_attn.q_proj")),
                ("text.layers.*.key", concat!($text, ".layers.*.self_attn.k_proj")),
                ("text.layers.*.value", concat!($text, ".layers.*.self_attn.v_proj")),
                ("text.layers.*.query_norm", concat!($text, ".layers.*.self_attn.q_norm")),
                ("text.layers.*.key_norm", concat!($text, ".layers.*.self_attn.k_norm")),
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
                $((concat!("vision.", $ours), concat!($vision, ".", $theirs)),)+
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

/// Those of Qwen2-VL and Qwen2.5-VL.
macro_rules! qwen2 {
    (text: $text:literal, vision: $vision:literal) => {
        names!(
            text: $text,
            vision: $vision,
            "layers.*.fc1": "blocks.*.mlp.fc1",
            "layers.*.fc2": "blocks.*.mlp.fc2",
            "layers.*.gate": "blocks.*.mlp.gate_proj",
            "layers.*.up": "blocks.*.mlp.up_proj",
            "layers.*.down": "blocks.*.mlp.down_proj",
            "merger.norm": "merger.ln_q",
            "merger.0": "merger.mlp.0",
            "merger.1": "merger.mlp.2",
        )
    };
}

/// As `transformers.Qwen2VLForConditionalGeneration` calls them since 4.52; then as the hub has them, and `save_pretrained`
/// writes them.
pub const QWEN2: [Names; 2] =
    [qwen2!(text: "model.language_model", vision: "model.visual"), qwen2!(text: "model", vision: "visual")];

/// As the hub has them, and `transformers.Qwen3VLForConditionalGeneration` calls them.
pub const QWEN3: [Names; 1] = [names!(
    text: "model.language_model",
    vision: "model.visual",
    "layers.*.fc1": "blocks.*.mlp.linear_fc1",
    "layers.*.fc2": "blocks.*.mlp.linear_fc2",
    "positions": "pos_embed",
    "merger.0": "merger.linear_fc1",
    "merger.1": "merger.linear_fc2",
    "mergers.*.0": "deepstack_merger_list.*.linear_fc1",
    "mergers.*.1": "deepstack_merger_list.*.linear_fc2",
    "mergers": "deepstack_merger_list",
    "merger": "merger",
)];
