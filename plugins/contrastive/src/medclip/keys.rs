//! Names of the tensors in MedCLIP's checkpoint.

use blocks::weights::Names;

/// As `medclip.MedCLIPModel` writes them, with `medclip.MedCLIPVisionModelViT` as the vision tower.
pub const NAMES: Names = Names {
    rename: &[
        ("vision.patch", "vision_model.model.embeddings.patch_embeddings.projection"),
        ("vision.norm", "vision_model.model.embeddings.norm"),
        ("vision.stages.*.layers.*.norm1", "vision_model.model.encoder.layers.*.blocks.*.layernorm_before"),
        (
            "vision.stages.*.layers.*.attention.output",
            "vision_model.model.encoder.layers.*.blocks.*.attention.output.dense",
        ),
        (
            "vision.stages.*.layers.*.attention.relative",
            "vision_model.model.encoder.layers.*.blocks.*.attention.self.relative_position_bias_table",
        ),
        ("vision.stages.*.layers.*.attention", "vision_model.model.encoder.layers.*.blocks.*.attention.self"),
        ("vision.stages.*.layers.*.norm2", "vision_model.model.encoder.layers.*.blocks.*.layernorm_after"),
        ("vision.stages.*.layers.*.fc1", "vision_model.model.encoder.layers.*.blocks.*.intermediate.dense"),
        ("vision.stages.*.layers.*.fc2", "vision_model.model.encoder.layers.*.blocks.*.output.dense"),
        ("vision.stages.*.merge", "vision_model.model.encoder.layers.*.downsample"),
        ("vision.final_norm", "vision_model.model.layernorm"),
        ("vision.projection", "vision_model.projection_head"),
        ("text.tokens", "text_model.model.embeddings.word_embeddings.weight"),
        ("text.position", "text_model.model.embeddings.position_embeddings.weight"),
        ("text.types", "text_model.model.embeddings.token_type_embeddings.weight"),
        ("text.norm", "text_model.model.embeddings.LayerNorm"),
        ("text.layers.*.attention.output", "text_model.model.encoder.layer.*.attention.output.dense"),
        ("text.layers.*.attention", "text_model.model.encoder.layer.*.attention.self"),
        ("text.layers.*.norm1", "text_model.model.encoder.layer.*.attention.output.LayerNorm"),
        ("text.layers.*.fc1", "text_model.model.encoder.layer.*.intermediate.dense"),
        ("text.layers.*.fc2", "text_model.model.encoder.layer.*.output.dense"),
        ("text.layers.*.norm2", "text_model.model.encoder.layer.*.output.LayerNorm"),
        ("text.projection", "text_model.projection_head"),
    ],
    ignore: &[
        "*.position_ids",
        "*.relative_position_index",
        "text_model.model.pooler.dense.weight",
        "text_model.model.pooler.dense.bias",
    ],
};
