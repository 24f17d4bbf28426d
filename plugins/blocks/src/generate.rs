//! Texts from a [`Decoder`]: many prompts at a time, greedy or sampled.
//!
//! Batches are continuous: each sequence has a slot of the cache, leaves it when it is finished, and the next prompt joins
//! the others where they are. Prompts are asked for when there is room, so that no image is encoded long before it is read.

mod likelihood;
mod sampler;

use candle_core::Tensor;

use crate::{
    Error, Result,
    decoder::{Added, Cache, Decoder, Packing, Span, Together},
};
pub use likelihood::log_likelihoods;
use sampler::Sampler;
pub use sampler::Sampling;

/// The most tokens of prompts that are computed at a time, unless a single prompt is longer.
const PREFILL: usize = 8192;

/// A prompt, embedded.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// `[tokens, width]`, of text and images.
    pub embeddings: Tensor,
    /// Id of each token, images included: what a repetition penalty counts.
    pub ids: Vec<u32>,
    /// Positions, where they are not 0, 1 and so on; tokens that follow go on from the largest.
    pub positions: Option<Vec<[u32; 3]>>,
    /// Tokens that see each other whatever their order.
    pub together: Together,
    /// What is added to the tokens on their way, in models whose decoder has a place for it.
    pub added: Added,
    /// What the sequence attends to beside itself, in models with cross-attention, as their decoder takes it.
    pub context: Option<Tensor>,
    /// Ids of the text that the model was asked, where the decoder does not read them: an encoder made the context of them.
    pub source: Option<Vec<u32>>,
    /// Added to the seed of the sampling: what makes this prompt another than the others.
    pub seed: u64,
}

/// How to decode.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoding {
    /// The most tokens of an answer.
    pub max_new_tokens: usize,
    /// Ids that end an answer.
    pub stop_ids: Vec<u32>,
    /// Strings that end an answer.
    pub stop: Vec<String>,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// The most sequences at a time.
    pub slots: usize,
}

/// A finished answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Ids, the one that ended the answer included.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
    /// Logits of the first token, `[vocabulary]`.
    pub first_logits: Tensor,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// An id or a string that ends answers.
    Stop,
    /// As many tokens as may be.
    Length,
}

/// Where prompts come from and answers go.
pub trait Conversation {
    /// At most `room` further prompts, each with a key; none when there are no more.
    ///
    /// # Errors
    /// Ends the generation.
    fn prompts(&mut self, room: usize) -> Result<Vec<(usize, Prompt)>>;

    /// The text of ids, for strings that end an answer.
    ///
    /// # Errors
    /// Ends the generation.
    fn text(&self, ids: &[u32]) -> Result<String>;

    /// The answer to the prompt of this key.
    ///
    /// # Errors
    /// Ends the generation.
    fn answer(&mut self, key: usize, answer: Answer) -> Result<()>;

    /// Called after each step; an error cancels.
    ///
    /// # Errors
    /// Ends the generation.
    fn step(&mut self) -> Result<()> {
        Ok(())
    }
}

/// One sequence.
struct Sequence {
    key: usize,
    slot: usize,
    /// Tokens in the cache.
    cached: usize,
    /// Position of the next token, less its index.
    shift: i64,
    prompt: Vec<u32>,
    ids: Vec<u32>,
    sampler: Sampler,
    first_logits: Tensor,
}

impl Prompt {
    /// A text, or whatever else lies at consecutive positions and sees what precedes it.
    pub fn new(embeddings: Tensor, ids: Vec<u32>) -> Self {
        Self {
            embeddings,
            ids,
            positions: None,
            together: Together::default(),
            added: Added::default(),
            context: None,
            source: None,
            seed: 0,
        }
    }

    /// The ids of what was asked.
    pub fn asked(&self) -> &[u32] {
        self.source.as_ref().unwrap_or(&self.ids)
    }

    /// Position of the token behind it.
    fn next_position(&self) -> usize {
        match &self.positions {
            Some(positions) => positions.iter().flatten().max().map_or(0, |&last| last as usize + 1),
            None => self.ids.len(),
        }
    }

    /// The packing of several prompts, the first tokens of the sequences in `slots`.
    fn pack<'a>(prompts: impl Iterator<Item = (usize, &'a Self)> + Clone) -> Result<Packing> {
        let spans = prompts.clone().map(|(slot, prompt)| Span { slot, cached: 0, count: prompt.ids.len() });
        let mut packing = Packing::new(spans.collect());
        if prompts.clone().any(|(_, prompt)| prompt.positions.is_some()) {
            let positions = prompts.clone().flat_map(|(_, prompt)| match &prompt.positions {
                Some(positions) => positions.clone(),
                None => (0..prompt.ids.len() as u32).map(|n| [n; 3]).collect(),
            });
            packing = packing.at(positions.collect());
        }
        let starts = prompts.clone().scan(0, |end, (_, prompt)| {
            *end += prompt.ids.len();
            Some(*end - prompt.ids.len())
        });
        let added = starts.zip(prompts.clone()).map(|(start, (_, prompt))| (start, &prompt.added));
        packing = packing.adding(Added::together(added)?);
        let together = prompts.enumerate().filter(|(_, (_, prompt))| !prompt.together.blocks.is_empty());
        Ok(together.fold(packing, |packing, (n, (_, prompt))| packing.seeing_each_other(n, prompt.together.clone())))
    }
}

/// Answers all prompts of a conversation.
///
/// # Errors
/// Those of the conversation; a prompt that is empty or exceeds the context of the model.
pub fn generate(decoder: &dyn Decoder, decoding: &Decoding, conversation: &mut dyn Conversation) -> Result<()> {
    let mut batch = Batch { decoder, decoding, cache: None, sequences: Vec::new() };
    loop {
        let room = decoding.slots.max(1) - batch.sequences.len();
        let prompts = if room > 0 { conversation.prompts(room)? } else { Vec::new() };
        if prompts.is_empty() && batch.sequences.is_empty() {
            return Ok(());
        }
        match prompts.is_empty() {
            false => batch.join(prompts)?,
            true => batch.advance()?,
        }
        batch.leave(conversation)?;
        conversation.step()?;
    }
}

/// The sequences that are being continued.
struct Batch<'a> {
    decoder: &'a dyn Decoder,
    decoding: &'a Decoding,
    cache: Option<Cache>,
    sequences: Vec<Sequence>,
}

impl Batch<'_> {
    /// Reads prompts, which gives each the first token of its answer.
    fn join(&mut self, prompts: Vec<(usize, Prompt)>) -> Result<()> {
        let capacity = prompts.iter().map(|(_, prompt)| prompt.ids.len()).max().unwrap_or(0) + self.budget();
        let mut cache = self.cache_of(capacity)?;
        let free: Vec<usize> =
            (0..cache.slots()).filter(|slot| self.sequences.iter().all(|s| s.slot != *slot)).collect();
        let mut rest = &prompts[..];
        let mut slots = &free[..];
        while let Some((_, first)) = rest.first() {
            let mut tokens = first.ids.len();
            let more = rest[1..].iter().take_while(|(_, prompt)| {
                tokens += prompt.ids.len();
                tokens <= PREFILL
            });
            let count = 1 + more.count();
            let group = || slots.iter().copied().zip(rest[..count].iter().map(|(_, prompt)| prompt));
            group().for_each(|(slot, prompt)| cache.set_context(slot, prompt.context.clone()));
            let packing = Prompt::pack(group())?;
            let embeddings: Vec<_> = group().map(|(_, prompt)| &prompt.embeddings).collect();
            let states = self.decoder.forward(&Tensor::cat(&embeddings, 0)?, &packing, &mut cache)?;
            let logits = self.logits(&states, &packing)?;
            for (n, (key, prompt)) in rest[..count].iter().enumerate() {
                let cached = prompt.ids.len();
                self.sequences.push(Sequence {
                    key: *key,
                    slot: slots[n],
                    cached,
                    shift: prompt.next_position() as i64 - cached as i64,
                    prompt: prompt.ids.clone(),
                    ids: Vec::new(),
                    sampler: Sampler::new(&self.decoding.sampling, prompt.seed),
                    first_logits: logits.get(n)?,
                });
            }
            let start = self.sequences.len() - count;
            choose(&mut self.sequences[start..], &logits)?;
            (rest, slots) = (&rest[count..], &slots[count..]);
        }
        self.cache = Some(cache);
        Ok(())
    }

    /// Gives each sequence one more token.
    fn advance(&mut self) -> Result<()> {
        let mut cache = self.cache_of(0)?;
        let spans = self.sequences.iter().map(|s| Span { slot: s.slot, cached: s.cached, count: 1 });
        let positions = self.sequences.iter().map(|s| [(s.cached as i64 + s.shift) as u32; 3]);
        let packing = Packing::new(spans.collect()).at(positions.collect());
        let ids: Vec<u32> = self.sequences.iter().filter_map(|s| s.ids.last().copied()).collect();
        let states = self.decoder.forward(&self.decoder.embed(&ids)?, &packing, &mut cache)?;
        self.sequences.iter_mut().for_each(|s| s.cached += 1);
        let logits = self.decoder.logits(&states)?;
        self.cache = Some(cache);
        choose(&mut self.sequences, &logits)
    }

    /// Hands over what is finished.
    fn leave(&mut self, conversation: &mut dyn Conversation) -> Result<()> {
        let mut open = Vec::new();
        for sequence in std::mem::take(&mut self.sequences) {
            match self.finish(&sequence, conversation)? {
                None => open.push(sequence),
                Some(finish) => {
                    let Sequence { key, ids, first_logits, .. } = sequence;
                    conversation.answer(key, Answer { ids, finish, first_logits })?;
                }
            }
        }
        self.sequences = open;
        Ok(())
    }

    fn finish(&self, sequence: &Sequence, conversation: &dyn Conversation) -> Result<Option<Finish>> {
        let Decoding { stop_ids, stop, .. } = self.decoding;
        let ended = sequence.ids.last().is_some_and(|id| stop_ids.contains(id));
        if ended {
            return Ok(Some(Finish::Stop));
        }
        if !stop.is_empty() {
            let text = conversation.text(&sequence.ids)?;
            if stop.iter().any(|stop| text.contains(stop)) {
                return Ok(Some(Finish::Stop));
            }
        }
        let most = self.budget().min(self.decoder.context().map_or(usize::MAX, |most| {
            // The last token of an answer is not read any more.
            (most + 1).saturating_sub(sequence.prompt.len())
        }));
        Ok((sequence.ids.len() >= most).then_some(Finish::Length))
    }

    fn budget(&self) -> usize {
        self.decoding.max_new_tokens.max(1)
    }

    /// The cache, with room for sequences of `capacity` tokens.
    fn cache_of(&mut self, capacity: usize) -> Result<Cache> {
        match self.cache.take() {
            Some(cache) if cache.capacity() >= capacity => Ok(cache),
            Some(cache) => cache.grown(capacity),
            None => {
                let (device, dtype) = self.decoder.placement();
                Cache::new(self.decoder.cache_shape(), self.decoding.slots.max(1), capacity, device, dtype)
            }
        }
    }

    /// Logits of the last token of each span.
    fn logits(&self, states: &Tensor, packing: &Packing) -> Result<Tensor> {
        let last = Tensor::new(packing.last(), states.device())?;
        self.decoder.logits(&states.index_select(&last, 0)?)
    }
}

/// Appends to each sequence the token that its row of logits suggests.
fn choose(sequences: &mut [Sequence], logits: &Tensor) -> Result<()> {
    let greedy = sequences.iter().all(|sequence| sequence.sampler.is_greedy());
    if greedy && !logits.device().is_cpu() {
        let ids = logits.argmax(candle_core::D::Minus1)?.to_vec1::<u32>()?;
        sequences.iter_mut().zip(ids).for_each(|(sequence, id)| sequence.ids.push(id));
        return Ok(());
    }
    for (sequence, row) in sequences.iter_mut().zip(logits.to_vec2::<f32>()?) {
        let seen = [&sequence.prompt[..], &sequence.ids[..]];
        let id = sequence.sampler.next(row, seen);
        sequence.ids.push(id.ok_or_else(|| Error::Setting("the model's logits are not numbers".into()))?);
    }
    Ok(())
}
