//! Names of the tensors in the folders of a VILA checkpoint. Those of `mm_projector/` are as they are here.

use blocks::weights::Names;

/// `vision_tower/`, as `transformers.SiglipVisionModel` writes it. The pooling head sees no use.
pub const TOWER: Names = Names {
    rename: &[
        ("patch", "vision_model.embeddings.patch_embedding"),
        ("position", "vision_model.embeddings.position_embedding.weight"),
        ("layers.*.norm1", "vision_model.encoder.layers.*.layer_norm1"),
        ("layers.*.attention.query", "vision_model.encoder.layers.*.self_attn.q_proj"),
        ("layers.*.attention.key", "vision_model.encoder.layers.*.self_attn.k_proj"),
        ("layers.*.attention.value", "vision_model.encoder.layers.*.self_attn.v_proj"),
        ("layers.*.attention.output", "vision_model.encoder.layers.*.self_attn.out_proj"),
        ("layers.*.norm2", "vision_model.encoder.layers.*.layer_norm2"),
        ("layers.*.fc1", "vision_model.encoder.layers.*.mlp.fc1"),
        ("layers.*.fc2", "vision_model.encoder.layers.*.mlp.fc2"),
        ("post_norm", "vision_model.post_layernorm"),
    ],
    ignore: &["vision_model.head.*", "*.position_ids"],
};

/// `mm_projector/`: the places in its `Sequential`.
pub const PROJECTOR: Names = Names { rename: &[], ignore: &[] };

/// `llm/`, as `transformers.LlamaForCausalLM` and `Qwen2ForCausalLM` write it. A head that is tied may be there twice.
pub const LANGUAGE: Names = Names {
    rename: &[
        ("tokens", "model.embed_tokens"),
        ("layers.*.norm1", "model.layers.*.input_layernorm"),
        ("layers.*.norm2", "model.layers.*.post_attention_layernorm"),
        ("layers.*.query", "model.layers.*.self_attn.q_proj"),
        ("layers.*.key", "model.layers.*.self_attn.k_proj"),
        ("layers.*.value", "model.layers.*.self_attn.v_proj"),
        ("layers.*.output", "model.layers.*.self_attn.o_proj"),
        ("layers.*.gate", "model.layers.*.mlp.gate_proj"),
        ("layers.*.up", "model.layers.*.mlp.up_proj"),
        ("layers.*.down", "model.layers.*.mlp.down_proj"),
        ("norm", "model.norm"),
        ("head", "lm_head"),
    ],
    ignore: &["lm_head.weight", "*.rotary_emb.inv_freq"],
};
