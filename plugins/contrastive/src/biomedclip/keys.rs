//! Names of the tensors in open_clip checkpoints with a timm vision transformer and a BERT.

use blocks::weights::Names;

/// As `open_clip.CustomTextCLIP` writes them.
pub const NAMES: Names = Names {
    rename: &[
        ("vision.class", "visual.trunk.cls_token"),
        ("vision.patch", "visual.trunk.patch_embed.proj"),
        ("vision.position", "visual.trunk.pos_embed"),
        ("vision.layers.*.attention.qkv", "visual.trunk.blocks.*.attn.qkv"),
        ("vision.layers.*.attention.output", "visual.trunk.blocks.*.attn.proj"),
        ("vision.layers.*.fc1", "visual.trunk.blocks.*.mlp.fc1"),
        ("vision.layers.*.fc2", "visual.trunk.blocks.*.mlp.fc2"),
        ("vision.layers", "visual.trunk.blocks"),
        ("vision.post_norm", "visual.trunk.norm"),
        ("vision.projection", "visual.head.proj"),
        ("text.bert.tokens", "text.transformer.embeddings.word_embeddings.weight"),
        ("text.bert.position", "text.transformer.embeddings.position_embeddings.weight"),
        ("text.bert.types", "text.transformer.embeddings.token_type_embeddings.weight"),
        ("text.bert.norm", "text.transformer.embeddings.LayerNorm"),
        ("text.bert.layers.*.attention.query", "text.transformer.encoder.layer.*.attention.self.query"),
        ("text.bert.layers.*.attention.key", "text.transformer.encoder.layer.*.attention.self.key"),
        ("text.bert.layers.*.attention.value", "text.transformer.encoder.layer.*.attention.self.value"),
        ("text.bert.layers.*.attention.output", "text.transformer.encoder.layer.*.attention.output.dense"),
        ("text.bert.layers.*.norm1", "text.transformer.encoder.layer.*.attention.output.LayerNorm"),
        ("text.bert.layers.*.fc1", "text.transformer.encoder.layer.*.intermediate.dense"),
        ("text.bert.layers.*.fc2", "text.transformer.encoder.layer.*.output.dense"),
        ("text.bert.layers.*.norm2", "text.transformer.encoder.layer.*.output.LayerNorm"),
        ("text.projection", "text.proj"),
    ],
    ignore: &["*.position_ids"],
};
