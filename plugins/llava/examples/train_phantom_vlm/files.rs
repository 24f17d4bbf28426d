//! The small files of a checkpoint in the layout of `transformers.LlavaForConditionalGeneration`, and its dimensions.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use blocks::{
    decoder::LlamaConfig,
    layers::{Activation, EncoderConfig},
    vision::VitConfig,
};
use phantom::SIDE;
use serde_json::{Value, json};
use tokenizers::{
    AddedToken, TokenizerBuilder,
    models::bpe::{BPE, BpeTrainer},
    normalizers::NormalizerWrapper,
    pre_tokenizers::byte_level::ByteLevel,
    processors::template::TemplateProcessing,
};

/// What stands for a picture.
pub const IMAGE: &str = "<image>";
/// States of the vision tower that the projector takes side by side, from the end.
pub const FEATURE_LAYERS: [i64; 2] = [-2, -1];

const PAD: &str = "<pad>";
const BEGIN: &str = "<s>";
const END: &str = "</s>";
const MOST_TOKENS: usize = 2048;
const CONTEXT: usize = 512;

const CHAT: &str = "{% for message in messages %}{% if message['role'] == 'user' %}{{ 'USER: ' }}\
    {% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] }}\
    {% endif %}{% endfor %}{% else %}{{ ' ASSISTANT:' }}{% for part in message['content'] %}{{ ' ' + part['text'] }}\
    {% endfor %}{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}";

/// Writes everything but the weights; the tokenizer learns from `corpus`. Gives the number of tokens.
pub fn write(dir: &Path, corpus: &[String]) -> Result<usize> {
    let (vocabulary, ids) = tokenizer(dir, corpus)?;
    let [pad, begin, end, image] = ids;
    let processor = json!({
        "processor_class": "LlavaProcessor", "image_token": IMAGE, "num_additional_image_tokens": 1,
        "patch_size": tower().patch, "vision_feature_select_strategy": "full",
    });
    let tokens = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "processor_class": "LlavaProcessor",
        "bos_token": BEGIN, "eos_token": END, "pad_token": PAD, "image_token": IMAGE,
        "model_max_length": CONTEXT, "model_input_names": ["input_ids", "attention_mask"], "padding_side": "left", "clean_up_tokenization_spaces": false,
    });
    let generation = json!({ "bos_token_id": begin, "eos_token_id": end, "pad_token_id": pad, "do_sample": false });
    let files = [
        ("config.json", config(vocabulary, image, [pad, begin, end])),
        ("preprocessor_config.json", preprocessor()),
        ("processor_config.json", processor),
        ("tokenizer_config.json", tokens),
        ("generation_config.json", generation),
        ("chat_template.json", json!({ "chat_template": CHAT })),
    ];
    for (name, value) in files {
        let text = serde_json::to_string_pretty(&value)? + "\n";
        std::fs::write(dir.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(vocabulary)
}

/// A prompt as the chat template words it.
pub fn dialogue(question: &str) -> String {
    format!("USER: {IMAGE}\n{question} ASSISTANT:")
}

/// The vision tower, which is that of `phantom-clip`.
pub fn tower() -> VitConfig {
    VitConfig {
        encoder: EncoderConfig {
            width: 96,
            depth: 3,
            heads: 4,
            mlp: 384,
            activation: Activation::QuickGelu,
            eps: 1e-5,
            fused_qkv: false,
        },
        image_size: SIDE,
        patch: 10,
        channels: 3,
        class_token: true,
        pre_norm: true,
        patch_bias: false,
    }
}

/// The language model.
pub fn text(vocabulary: usize) -> Result<LlamaConfig> {
    let config = text_config(vocabulary, [0, 0, 0]);
    LlamaConfig::parse("llama", config.as_object().context("no object")?).map_err(|reason| anyhow!(reason))
}

fn text_config(vocabulary: usize, [pad, begin, end]: [u32; 3]) -> Value {
    json!({
        "model_type": "llama", "vocab_size": vocabulary, "hidden_size": 128, "intermediate_size": 320,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
        "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": false, "pad_token_id": pad, "bos_token_id": begin, "eos_token_id": end,
    })
}

fn config(vocabulary: usize, image: u32, ends: [u32; 3]) -> Value {
    let VitConfig { encoder, image_size, patch, channels, .. } = tower();
    json!({
        "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "torch_dtype": "float16",
        "image_token_index": image, "image_seq_length": tower().tokens(), "projector_hidden_act": "gelu",
        "multimodal_projector_bias": true, "vision_feature_layer": FEATURE_LAYERS,
        "vision_feature_select_strategy": "full", "tie_word_embeddings": false,
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_size": encoder.width, "intermediate_size": encoder.mlp,
            "num_hidden_layers": encoder.depth, "num_attention_heads": encoder.heads, "num_channels": channels,
            "image_size": image_size, "patch_size": patch, "hidden_act": encoder.activation,
            "layer_norm_eps": encoder.eps,
        },
        "text_config": text_config(vocabulary, ends),
    })
}

fn preprocessor() -> Value {
    json!({
        "image_processor_type": "CLIPImageProcessor", "processor_class": "LlavaProcessor", "do_convert_rgb": true,
        "do_resize": true, "size": { "shortest_edge": SIDE }, "resample": 3, "do_center_crop": true,
        "crop_size": { "height": SIDE, "width": SIDE }, "do_rescale": true, "rescale_factor": 1.0 / 255.0,
        "do_normalize": true, "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    })
}

/// Byte pairs, merged until the words of the corpus are tokens. Gives the number of tokens and the ids of the special ones.
fn tokenizer(dir: &Path, corpus: &[String]) -> Result<(usize, [u32; 4])> {
    let failed = |e: tokenizers::Error| anyhow!("{e}");
    let specials = [PAD, BEGIN, END, IMAGE].map(|token| AddedToken::from(token, true).normalized(false));
    let mut trainer = BpeTrainer::builder()
        .vocab_size(MOST_TOKENS)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(specials.to_vec())
        .show_progress(false)
        .build();
    let bytes = ByteLevel::default().add_prefix_space(false);
    let mut tokenizer = TokenizerBuilder::<BPE, NormalizerWrapper, _, _, _>::new()
        .with_model(BPE::default())
        .with_pre_tokenizer(Some(bytes))
        .with_post_processor(None::<TemplateProcessing>)
        .with_decoder(Some(bytes))
        .build()
        .map_err(failed)?;
    tokenizer.train(&mut trainer, corpus.iter().map(|text| text.replace(IMAGE, ""))).map_err(failed)?;
    let id = |token: &str| tokenizer.token_to_id(token).with_context(|| format!("`{token}` has no id"));
    let ids = [id(PAD)?, id(BEGIN)?, id(END)?, id(IMAGE)?];
    let frame = TemplateProcessing::builder()
        .try_single(format!("{BEGIN} $A"))
        .map_err(|e| anyhow!(e))?
        .special_tokens(vec![(BEGIN, ids[1])])
        .build()?;
    tokenizer.with_post_processor(Some(frame));
    tokenizer.save(dir.join("tokenizer.json"), false).map_err(failed)?;
    Ok((tokenizer.get_vocab_size(true), ids))
}
