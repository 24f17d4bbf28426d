//! Architecture `bert`: BERT (Devlin et al. 2019) and its fine-tunes, as an encoder of tokens.
//!
//! Reference: `transformers.BertModel` and `BertTokenizerFast`, 4.53.1.

use blocks::{
    text::{Bert, BertConfig},
    tokens::WordPieceTokenizer,
    weights::{Names, Weights},
};
use bridge::{
    Options, Place,
    convert::{array, config, failed, input, matrix},
};
use candle_core::{DType, Tensor};
use plugin_api::{Capability, Description, Error, Image, Inspect, Inspection, Matrix, Model, Open, Result, register};

register!("bert", "BERT and its fine-tunes: an encoder of tokens", [EmbedText], BertEncoder::open);

/// Texts that are encoded in one pass.
const BATCH: usize = 64;

/// Key names below a prefix: `bert.` where a head was saved with the encoder.
macro_rules! names {
    ($prefix:literal) => {
        Names {
            rename: &[
                ("tokens", concat!($prefix, "embeddings.word_embeddings.weight")),
                ("position", concat!($prefix, "embeddings.position_embeddings.weight")),
                ("types", concat!($prefix, "embeddings.token_type_embeddings.weight")),
                ("norm", concat!($prefix, "embeddings.LayerNorm")),
                ("layers.*.attention.output", concat!($prefix, "encoder.layer.*.attention.output.dense")),
                ("layers.*.attention", concat!($prefix, "encoder.layer.*.attention.self")),
                ("layers.*.norm1", concat!($prefix, "encoder.layer.*.attention.output.LayerNorm")),
                ("layers.*.fc1", concat!($prefix, "encoder.layer.*.intermediate.dense")),
                ("layers.*.fc2", concat!($prefix, "encoder.layer.*.output.dense")),
                ("layers.*.norm2", concat!($prefix, "encoder.layer.*.output.LayerNorm")),
            ],
            ignore: &["*.position_ids", concat!($prefix, "pooler.*"), "cls.*"],
        }
    };
}

/// Of a checkpoint that was saved with a head, such as that of masked words.
pub const WITH_HEAD: Names = names!("bert.");
/// Of the encoder alone.
pub const ALONE: Names = names!("");

/// A checkpoint with its tokenizer.
pub struct BertEncoder {
    model: Bert,
    tokenizer: WordPieceTokenizer,
    /// Which of the hidden states.
    layer: usize,
    parameters: usize,
}

/// What one pass made of some texts.
struct Encoded {
    ids: Vec<Vec<u32>>,
    mask: Vec<Vec<u32>>,
    /// `[texts, tokens, width]`, f32.
    states: Tensor,
}

impl BertEncoder {
    /// Opens a checkpoint laid out as on the Hugging Face hub, with or without a head. Option `layer` is the hidden state
    /// that is the embedding, the last by default.
    ///
    /// # Errors
    /// A file is missing or corrupt, a tensor is missing, unused or misshapen, the tokenizer does not fit the model, or
    /// there is no such layer.
    pub fn open(open: Open) -> Result<Self> {
        let place = Place::of(&open, "bert")?;
        let layer = Options::new("bert", &open.options, &["layer"])?.whole("layer")?;
        let read = |names| Weights::open(&place.dir, names, place.dtype, &place.device).map_err(config);
        let mut weights = read(&WITH_HEAD)?;
        if weights.shape("tokens").is_none() {
            weights = read(&ALONE)?;
        }
        let settings = BertConfig::find(&place.dir, &weights, None).map_err(config)?;
        let depth = settings.num_hidden_layers;
        if let Some(layer) = layer.filter(|layer| *layer > depth) {
            return Err(Error::config(format!("option `layer` is {layer}, but the model has layers up to {depth}")));
        }
        let (context, vocabulary) = (settings.max_position_embeddings, settings.vocab_size);
        let tokenizer = WordPieceTokenizer::from_dir(&place.dir, context, vocabulary).map_err(config)?;
        let model = Bert::new(&settings, &weights).map_err(|e| place.blame("config.json", e))?;
        weights.finish().map_err(config)?;
        Ok(Self { model, tokenizer, layer: layer.unwrap_or(depth), parameters: weights.parameters() })
    }

    fn encode(&self, texts: &[String]) -> Result<Encoded> {
        let ids = self.tokenizer.encode(texts).map_err(input)?;
        let mask = self.tokenizer.attention_mask(&ids);
        let states = self.model.hidden_states(&ids, &mask, false).map_err(input)?.swap_remove(self.layer);
        Ok(Encoded { ids, mask, states: states.to_dtype(DType::F32).map_err(failed)? })
    }
}

impl Model for BertEncoder {
    fn describe(&self) -> Description {
        Description {
            capabilities: vec![Capability::EmbedText],
            parameters: self.parameters as u64,
            feature_dim: 0,
            image_size: 0,
            logit_scale: 0.0,
        }
    }

    /// The chosen hidden state of every token of a text, `[CLS]` and `[SEP]` included; longer texts are cut.
    fn embed_text(&self, texts: &[String]) -> Result<Vec<Matrix>> {
        let mut matrices = Vec::with_capacity(texts.len());
        for texts in texts.chunks(BATCH) {
            let Encoded { mask, states, .. } = self.encode(texts)?;
            for (row, mask) in mask.iter().enumerate() {
                let length = mask.iter().sum::<u32>() as usize;
                matrices.push(matrix(&states.get(row).and_then(|s| s.narrow(0, 0, length)).map_err(failed)?)?);
            }
        }
        Ok(matrices)
    }

    /// `input_ids` and `attention_mask` [t, tokens], and `token_embeds` [t, tokens, width]; what stands at padding has
    /// no meaning.
    fn inspect(&self, request: &Inspect, _: &[Image<'_>]) -> Result<Inspection> {
        if request.texts.is_empty() {
            return Err(Error::input("there are no texts"));
        }
        let Encoded { ids, mask, states } = self.encode(&request.texts)?;
        let table = |rows: Vec<Vec<u32>>| array(&Tensor::new(rows, states.device()).map_err(failed)?);
        let arrays = vec![
            ("input_ids".to_string(), table(ids)?),
            ("attention_mask".to_string(), table(mask)?),
            ("token_embeds".to_string(), array(&states)?),
        ];
        Ok(Inspection { arrays, generation: None })
    }
}
