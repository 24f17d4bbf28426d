//! Names of the tensors in BLIP and BLIP-2 checkpoints of the Hugging Face hub.

use blocks::weights::Names;

/// As `transformers.BlipForImageTextRetrieval` and `Blip2ForImageTextRetrieval` write them: `vision` is common, `text`
/// is BLIP's and `qformer` BLIP-2's.
pub const NAMES: Names = Names {
    rename: &[
        ("vision.class", "vision_model.embeddings.class_embedding"),
        ("vision.patch", "vision_model.embeddings.patch_embedding"),
        ("vision.position", "vision_model.embeddings.position_embedding"),
        ("vision.layers.*.norm1", "vision_model.encoder.layers.*.layer_norm1"),
        ("vision.layers.*.attention.qkv", "vision_model.encoder.layers.*.self_attn.qkv"),
        ("vision.layers.*.attention.output", "vision_model.encoder.layers.*.self_attn.projection"),
        ("vision.layers.*.norm2", "vision_model.encoder.layers.*.layer_norm2"),
        ("vision.layers.*.fc1", "vision_model.encoder.layers.*.mlp.fc1"),
        ("vision.layers.*.fc2", "vision_model.encoder.layers.*.mlp.fc2"),
        ("vision.post_norm", "vision_model.post_layernorm"),
        ("text.tokens", "text_encoder.embeddings.word_embeddings.weight"),
        ("text.position", "text_encoder.embeddings.position_embeddings.weight"),
        ("text.norm", "text_encoder.embeddings.LayerNorm"),
        ("text.layers.*.attention.output", "text_encoder.encoder.layer.*.attention.output.dense"),
        ("text.layers.*.attention", "text_encoder.encoder.layer.*.attention.self"),
        ("text.layers.*.norm1", "text_encoder.encoder.layer.*.attention.output.LayerNorm"),
        ("text.layers.*.cross.output", "text_encoder.encoder.layer.*.crossattention.output.dense"),
        ("text.layers.*.cross", "text_encoder.encoder.layer.*.crossattention.self"),
        ("text.layers.*.cross_norm", "text_encoder.encoder.layer.*.crossattention.output.LayerNorm"),
        ("text.layers.*.fc1", "text_encoder.encoder.layer.*.intermediate.dense"),
        ("text.layers.*.fc2", "text_encoder.encoder.layer.*.output.dense"),
        ("text.layers.*.norm2", "text_encoder.encoder.layer.*.output.LayerNorm"),
        ("qformer.tokens", "embeddings.word_embeddings.weight"),
        ("qformer.position", "embeddings.position_embeddings.weight"),
        ("qformer.norm", "qformer.layernorm"),
        ("qformer.layers.*.attention.output", "qformer.encoder.layer.*.attention.output.dense"),
        ("qformer.layers.*.attention", "qformer.encoder.layer.*.attention.attention"),
        ("qformer.layers.*.norm1", "qformer.encoder.layer.*.attention.output.LayerNorm"),
        ("qformer.layers.*.cross.output", "qformer.encoder.layer.*.crossattention.output.dense"),
        ("qformer.layers.*.cross", "qformer.encoder.layer.*.crossattention.attention"),
        ("qformer.layers.*.cross_norm", "qformer.encoder.layer.*.crossattention.output.LayerNorm"),
        ("qformer.layers.*.query.fc1", "qformer.encoder.layer.*.intermediate_query.dense"),
        ("qformer.layers.*.query.fc2", "qformer.encoder.layer.*.output_query.dense"),
        ("qformer.layers.*.query.norm2", "qformer.encoder.layer.*.output_query.LayerNorm"),
        ("qformer.layers.*.fc1", "qformer.encoder.layer.*.intermediate.dense"),
        ("qformer.layers.*.fc2", "qformer.encoder.layer.*.output.dense"),
        ("qformer.layers.*.norm2", "qformer.encoder.layer.*.output.LayerNorm"),
    ],
    ignore: &["*.position_ids"],
};

/// Checkpoints of which only the vision tower counts, such as those that write captions or answers.
pub const FEATURES: Names = Names {
    rename: NAMES.rename,
    ignore: &[
        "text_decoder.*",
        "text_encoder.*",
        "text_model.*",
        "text_projection.*",
        "visual_projection.*",
        "logit_scale",
    ],
};
