//! Names of the tensors in LLaVA's checkpoints.

use blocks::weights::Names;

/// Names under given prefixes: of the vision tower, of the language model and its head, and of the projector.
macro_rules! names {
    (
        vision: $vision:literal,
        $(text: $text:literal, head: $head:literal,)?
        projector: [$($projector:expr),*],
        ignored: [$($ignored:expr),*]
    ) => {
        Names {
            rename: &[
                $(
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
                )?
                ("vision.class", concat!($vision, ".embeddings.class_embedding")),
                ("vision.patch", concat!($vision, ".embeddings.patch_embedding")),
                ("vision.position", concat!($vision, ".embeddings.position_embedding.weight")),
                // OpenAI's spelling.
                ("vision.pre_norm", concat!($vision, ".pre_layrnorm")),
                ("vision.layers.*.norm1", concat!($vision, ".encoder.layers.*.layer_norm1")),
                ("vision.layers.*.attention.query", concat!($vision, ".encoder.layers.*.self_attn.q_proj")),
                ("vision.layers.*.attention.key", concat!($vision, ".encoder.layers.*.self_attn.k_proj")),
                ("vision.layers.*.attention.value", concat!($vision, ".encoder.layers.*.self_attn.v_proj")),
                ("vision.layers.*.attention.output", concat!($vision, ".encoder.layers.*.self_attn.out_proj")),
                ("vision.layers.*.norm2", concat!($vision, ".encoder.layers.*.layer_norm2")),
                ("vision.layers.*.fc1", concat!($vision, ".encoder.layers.*.mlp.fc1")),
                ("vision.layers.*.fc2", concat!($vision, ".encoder.layers.*.mlp.fc2")),
                ("vision.post_norm", concat!($vision, ".post_layernorm")),
                $($projector),*
            ],
            ignore: &[
                "*.position_ids",
                "*.rotary_emb.inv_freq",
                // There in spite of being tied to the tokens.
                $(concat!($head, ".weight"),)?
                // How SigLIP pools.
                concat!($vision, ".head.*"),
                $($ignored),*
            ],
        }
    };
}

/// As `transformers` writes them and the hub has them.
pub const HUB: Names = names!(
    vision: "vision_tower.vision_model",
    text: "language_model.model",
    head: "language_model.lm_head",
    projector: [("projector.0", "multi_modal_projector.linear_1"), ("projector.2", "multi_modal_projector.linear_2")],
    ignored: []
);

/// As `transformers.LlavaForConditionalGeneration` calls them since 4.52.
pub const CLASS: Names = names!(
    vision: "model.vision_tower.vision_model",
    text: "model.language_model",
    head: "lm_head",
    projector: [
        ("projector.0", "model.multi_modal_projector.linear_1"),
        ("projector.2", "model.multi_modal_projector.linear_2")
    ],
    ignored: []
);

/// As the authors of LLaVA and LLaVA-Med have them.
pub const AUTHORS: Names = names!(
    vision: "model.vision_tower.vision_tower.vision_model",
    text: "model",
    head: "lm_head",
    projector: [("projector", "model.mm_projector")],
    ignored: []
);

/// The same where the vision tower does not count, because another is taken.
pub const WITHOUT_TOWER: Names = names!(
    vision: "model.vision_tower.vision_tower.vision_model",
    text: "model",
    head: "lm_head",
    projector: [("projector", "model.mm_projector")],
    ignored: ["model.vision_tower.*"]
);

/// The tower alone, as `transformers.CLIPModel` and `SiglipModel` write it beside a text tower.
pub const TOWER: Names = names!(
    vision: "vision_model",
    projector: [],
    ignored: ["text_model.*", "text_projection.*", "visual_projection.*", "logit_scale", "logit_bias"]
);
