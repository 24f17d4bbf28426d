//! BLIP as it answers questions and as it writes captions; reference `transformers.BlipForQuestionAnswering` and
//! `BlipForConditionalGeneration`, 4.53.1.

use blocks::{
    decoder::{BertDecoder, Decoder},
    generate::Prompt,
    text::{Bert, Context},
    tokens::{LanguageTokenizer, WordPieceTokenizer},
    weights::Weights,
};
use bridge::{
    Options, Place,
    convert::{config, input},
    reader::{Manner, Picture, Reader, Seen},
};
use candle_core::Tensor;
use plugin_api::{Image, Open, Result};

use crate::{NAMES, config::Config, sight::Sight};

/// The most tokens of an answer, unless the row says another number: the reference's.
const BUDGET: usize = 20;

/// A decoder that looks at the image, or at what an encoder made of question and image.
pub struct BlipWriter {
    sight: Sight,
    /// Reads questions; captions have none.
    encoder: Option<Bert>,
    decoder: BertDecoder,
    words: WordPieceTokenizer,
    tokenizer: LanguageTokenizer,
    /// What the decoder starts with.
    start: u32,
    manner: Manner,
    parameters: usize,
}

impl BlipWriter {
    /// Opens a checkpoint in `place` of the class that answers questions, or of the one that writes captions.
    ///
    /// # Errors
    /// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
    pub fn open(open: &Open, place: Place, settings: &Config, answers: bool) -> Result<Self> {
        let options = Options::new("blip", &open.options, &Manner::OPTIONS)?;
        let manner = Manner::new(&options, BUDGET, vec![settings.separator])?;
        let weights = Weights::open(&place.dir, &NAMES, place.dtype, &place.device).map_err(config)?;
        let blame = |e| place.blame("config.json", e);
        let encoder = answers.then(|| Bert::new(&settings.text, &weights.at("text")));
        let encoder = encoder.transpose().map_err(blame)?;
        let decoder = BertDecoder::new(&settings.text, &weights.at("decoder")).map_err(blame)?;
        // Tokenizers may know more ids than the model; those are refused where they occur, as is a text that is too long.
        let words = WordPieceTokenizer::from_dir(&place.dir, usize::MAX, usize::MAX).map_err(config)?;
        let tokenizer = LanguageTokenizer::from_dir(&place.dir, usize::MAX).map_err(config)?;
        let sight = Sight::new(place, &settings.vision, &weights)?;
        weights.finish().map_err(config)?;
        let (start, parameters) = (settings.start, weights.parameters());
        Ok(Self { sight, encoder, decoder, words, tokenizer, start, manner, parameters })
    }

    /// The encoder reads the whole text, between `[CLS]` and `[SEP]`; the decoder starts with one token of its own.
    fn question(&self, encoder: &Bert, ids: &[u32], image: &Tensor) -> blocks::Result<Prompt> {
        let image = image.unsqueeze(0)?;
        let context = Context { states: &image, tokens: None };
        let states = encoder.encode(&encoder.embed(&[ids.to_vec()])?, None, Some(&context), false)?;
        let context = self.decoder.context_of(&states.squeeze(0)?)?;
        let start = Prompt::new(self.decoder.embed(&[self.start])?, vec![self.start]);
        Ok(Prompt { context: Some(context), source: Some(ids.to_vec()), ..start })
    }

    /// The text is what a caption begins with: its `[CLS]` is replaced by the token that the decoder starts with, and its
    /// `[SEP]`, which would end the caption, is left out.
    fn beginning(&self, ids: &[u32], image: &Tensor) -> blocks::Result<Prompt> {
        let ids = [&[self.start], &ids[1..ids.len() - 1]].concat();
        let context = self.decoder.context_of(image)?;
        Ok(Prompt { context: Some(context), ..Prompt::new(self.decoder.embed(&ids)?, ids) })
    }
}

impl Reader for BlipWriter {
    fn prepare(&self, image: &Image<'_>) -> Result<Picture> {
        self.sight.prepare(image)
    }

    /// All normalised tokens of the vision tower.
    fn encode(&self, pictures: &[&Picture]) -> blocks::Result<Vec<Tensor>> {
        self.sight.each(pictures)
    }

    fn prompt(&self, text: &str, _: bool, pictures: &[Seen<'_>]) -> Result<Prompt> {
        let image = Sight::one(pictures)?.vectors;
        let ids = self.words.encode(&[text]).map_err(input)?.concat();
        let prompt = match &self.encoder {
            Some(encoder) => self.question(encoder, &ids, image),
            None => self.beginning(&ids, image),
        };
        prompt.map_err(input)
    }

    fn decoder(&self) -> &dyn Decoder {
        &self.decoder
    }

    fn tokenizer(&self) -> &LanguageTokenizer {
        &self.tokenizer
    }

    fn manner(&self) -> &Manner {
        &self.manner
    }

    fn parameters(&self) -> u64 {
        self.parameters as u64
    }

    fn image_size(&self) -> u32 {
        self.sight.image_size()
    }

    fn feature_dim(&self) -> u32 {
        self.sight.width()
    }

    fn features(&self, pictures: &[&Picture]) -> Result<Tensor> {
        self.sight.features(pictures)
    }
}
