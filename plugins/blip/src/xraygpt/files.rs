//! The files of XrayGPT, and the dimensions that their tensors tell.

use std::path::PathBuf;

use blocks::{
    Error,
    decoder::LlamaConfig,
    layers::{Activation, EncoderConfig, Norm},
    text::{BertConfig, Crossing},
    vision::VitConfig,
    weights::{Names, Part, Weights},
};
use bridge::{Place, convert::config};
use plugin_api::Result;
use serde_json::{Map, Value};

use crate::{blip2::ids, config::read};

/// Files and folder, by their published names.
const VISION: &str = "eva_vit_g.pth";
const QFORMER: &str = "blip2_pretrained_flant5xxl.pth";
const PROJECTION: &str = "xraygpt_pretrained1.pth";
const LANGUAGE: &str = "Vicuna_Radiology_fp16";
/// Width of an attention head of EVA's giant, and of every published BERT.
const HEADS: [usize; 2] = [88, 64];
/// Added to the variance in the norm that follows the vision tower.
const EPS: f64 = 1e-5;

/// Vision tower, Q-Former and projection, in the names of `salesforce-lavis`.
const NAMES: Names = Names {
    rename: &[
        ("vision.class", "cls_token"),
        ("vision.patch", "patch_embed.proj"),
        ("vision.position", "pos_embed"),
        ("vision.layers.*.attention.output", "blocks.*.attn.proj"),
        ("vision.layers.*.attention", "blocks.*.attn"),
        ("vision.layers.*.fc1", "blocks.*.mlp.fc1"),
        ("vision.layers.*.fc2", "blocks.*.mlp.fc2"),
        ("vision.layers", "blocks"),
        ("vision.post_norm", "ln_vision"),
        ("queries.tokens", "query_tokens"),
        ("queries.norm", "Qformer.bert.embeddings.LayerNorm"),
        ("queries.layers.*.attention.output", "Qformer.bert.encoder.layer.*.attention.output.dense"),
        ("queries.layers.*.attention", "Qformer.bert.encoder.layer.*.attention.self"),
        ("queries.layers.*.norm1", "Qformer.bert.encoder.layer.*.attention.output.LayerNorm"),
        ("queries.layers.*.cross.output", "Qformer.bert.encoder.layer.*.crossattention.output.dense"),
        ("queries.layers.*.cross", "Qformer.bert.encoder.layer.*.crossattention.self"),
        ("queries.layers.*.cross_norm", "Qformer.bert.encoder.layer.*.crossattention.output.LayerNorm"),
        ("queries.layers.*.fc1", "Qformer.bert.encoder.layer.*.intermediate_query.dense"),
        ("queries.layers.*.fc2", "Qformer.bert.encoder.layer.*.output_query.dense"),
        ("queries.layers.*.norm2", "Qformer.bert.encoder.layer.*.output_query.LayerNorm"),
        ("projection", "llama_proj"),
    ],
    // The last block is not used.
    ignore: &["blocks.*", "*.position_ids"],
};

const LANGUAGE_NAMES: Names = Names {
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

/// Opened files.
pub struct Files {
    pub weights: Weights,
    pub vision: VitConfig,
    pub qformer: BertConfig,
    pub queries: usize,
    pub language_dir: PathBuf,
    pub language_weights: Weights,
    pub language: LlamaConfig,
    /// Ids that end an answer.
    pub stop: Vec<u32>,
}

impl Files {
    /// Opens them; `heads` are the attention heads of the vision tower and of the Q-Former, where a row states them.
    pub fn open(place: &Place, heads: [Option<usize>; 2]) -> Result<Self> {
        let part = |name: &str, key, keep| Part { key, keep, ..Part::of(place.dir.join(name)) };
        let parts = [
            part(VISION, None, &["cls_token", "patch_embed.", "pos_embed", "blocks."]),
            part(QFORMER, Some("model"), &["query_tokens", "Qformer.", "ln_vision."]),
            part(PROJECTION, Some("model"), &["llama_proj."]),
        ];
        let weights = Weights::open_parts(&place.dir, &parts, &NAMES, place.dtype, &place.device).map_err(config)?;
        let (vision, qformer, queries) = dimensions(&weights, heads).ok_or_else(|| {
            let reason = "the files hold no vision tower and Q-Former of XrayGPT";
            config(Error::invalid(&place.dir, reason))
        })?;
        let language_dir = place.dir.join(LANGUAGE);
        let (language, mut stop) = read(&language_dir, "llama", |raw| {
            let stop = ids(raw.get("eos_token_id").unwrap_or(&Value::from(2)))?;
            Ok((LlamaConfig::parse("llama", raw)?, stop))
        })
        .map_err(config)?;
        let path = language_dir.join("generation_config.json");
        if path.is_file() {
            let generation: Map<String, Value> = crate::config::json(&path).map_err(config)?;
            let more = ids(generation.get("eos_token_id").unwrap_or(&Value::Null));
            stop.extend(more.map_err(|reason| config(Error::invalid(&path, reason)))?);
        }
        let language_weights =
            Weights::open(&language_dir, &LANGUAGE_NAMES, place.dtype, &place.device).map_err(config)?;
        Ok(Self { weights, vision, qformer, queries, language_dir, language_weights, language, stop })
    }

    /// The norm that follows the vision tower.
    pub fn last_norm(&self) -> blocks::Result<Norm> {
        Norm::new(&self.weights.at("vision.post_norm"), self.vision.encoder.width, EPS)
    }
}

/// What the shapes of the tensors tell.
fn dimensions(weights: &Weights, heads: [Option<usize>; 2]) -> Option<(VitConfig, BertConfig, usize)> {
    let (patch, position) = (weights.shape("vision.patch.weight")?, weights.shape("vision.position")?);
    let mlp = *weights.shape("vision.layers.0.fc1.weight")?.first()?;
    let (&width, &patch) = (patch.first()?, patch.last()?);
    let side = position.iter().rev().nth(1)?.checked_sub(1)?.isqrt();
    let vision = VitConfig {
        encoder: EncoderConfig {
            width,
            // The authors take all blocks but the last.
            depth: weights.at("vision.layers").count("norm1.weight").saturating_sub(1),
            heads: heads[0].unwrap_or((width / HEADS[0]).max(1)),
            mlp,
            activation: Activation::Gelu,
            eps: 1e-6,
            fused_qkv: true,
        },
        image_size: side * patch,
        patch,
        channels: 3,
        class_token: true,
        pre_norm: false,
        patch_bias: true,
    };
    let queries = weights.shape("queries.tokens")?;
    let own = *queries.last()?;
    let layers = weights.at("queries.layers");
    let depth = layers.count("norm1.weight");
    let crossing: Vec<usize> =
        (0..depth).filter(|n| layers.shape(&format!("{n}.cross_norm.weight")).is_some()).collect();
    let every = crossing.get(1).copied().unwrap_or(depth.max(1));
    let qformer = BertConfig {
        vocab_size: 0,
        type_vocab_size: 0,
        hidden_size: own,
        num_hidden_layers: depth,
        num_attention_heads: heads[1].unwrap_or((own / HEADS[1]).max(1)),
        intermediate_size: *layers.shape("0.fc1.weight")?.first()?,
        crossing: Some(Crossing { every, width, query_mlp: false }),
        ..BertConfig::default()
    };
    Some((vision, qformer, *queries.iter().rev().nth(1)?))
}
