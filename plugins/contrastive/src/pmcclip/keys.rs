//! Names of the tensors in PMC-CLIP checkpoints.

use blocks::weights::Names;

/// As the authors' training program writes them, after the prefix `module.`.
pub const NAMES: Names = Names {
    rename: &[
        ("vision", "visual"),
        ("text.bert.tokens", "text_encoder.embeddings.word_embeddings.weight"),
        ("text.bert.position", "text_encoder.embeddings.position_embeddings.weight"),
        ("text.bert.types", "text_encoder.embeddings.token_type_embeddings.weight"),
        ("text.bert.norm", "text_encoder.embeddings.LayerNorm"),
        ("text.bert.layers.*.attention.query", "text_encoder.encoder.layer.*.attention.self.query"),
        ("text.bert.layers.*.attention.key", "text_encoder.encoder.layer.*.attention.self.key"),
        ("text.bert.layers.*.attention.value", "text_encoder.encoder.layer.*.attention.self.value"),
        ("text.bert.layers.*.attention.output", "text_encoder.encoder.layer.*.attention.output.dense"),
        ("text.bert.layers.*.norm1", "text_encoder.encoder.layer.*.attention.output.LayerNorm"),
        ("text.bert.layers.*.fc1", "text_encoder.encoder.layer.*.intermediate.dense"),
        ("text.bert.layers.*.fc2", "text_encoder.encoder.layer.*.output.dense"),
        ("text.bert.layers.*.norm2", "text_encoder.encoder.layer.*.output.LayerNorm"),
        ("text.projection", "text_projection"),
    ],
    ignore: &["*.num_batches_tracked", "*.position_ids", "text_encoder.pooler.*"],
};
