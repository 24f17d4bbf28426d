//! How likely given continuations are.

use candle_core::{D, Tensor};
use candle_nn::ops::log_softmax;

use super::Prompt;
use crate::{
    Error, Result,
    decoder::{Cache, Decoder, Packing, Span},
};

/// The sum of the logarithms of the probabilities of the tokens of each option behind the prompt, which is read once.
///
/// # Errors
/// A prompt or option is empty, or they exceed the context of the model.
pub fn log_likelihoods(decoder: &dyn Decoder, prompt: &Prompt, options: &[Vec<u32>]) -> Result<Vec<f32>> {
    if options.iter().any(Vec::is_empty) {
        return Err(Error::Setting("an option has no tokens, so nothing tells how likely it is".into()));
    }
    let read = prompt.ids.len();
    let longest = options.iter().map(Vec::len).max().unwrap_or(0);
    let (device, dtype) = decoder.placement();
    let mut cache = Cache::new(decoder.cache_shape(), options.len().max(1), read + longest, device, dtype)?;
    cache.set_context(0, prompt.context.clone());
    let packing = Prompt::pack([(0, prompt)].into_iter())?;
    let states = decoder.forward(&prompt.embeddings, &packing, &mut cache)?;
    let first = states.narrow(0, read - 1, 1)?;

    // Of each option, all tokens but the last are read.
    let spans: Vec<Span> = (0..options.len())
        .map(|slot| Span { slot, cached: read, count: options[slot].len() - 1 })
        .filter(|span| span.count > 0)
        .collect();
    for span in spans.iter().filter(|span| span.slot > 0) {
        cache.copy(0, span.slot, read)?;
    }
    let states = match spans.is_empty() {
        true => first,
        false => {
            let start = prompt.next_position() as u32;
            let positions = spans.iter().flat_map(|span| (0..span.count as u32).map(move |n| [start + n; 3]));
            let ids: Vec<u32> = options.iter().flat_map(|option| option[..option.len() - 1].to_vec()).collect();
            let packing = Packing::new(spans.clone()).at(positions.collect());
            let further = decoder.forward(&decoder.embed(&ids)?, &packing, &mut cache)?;
            Tensor::cat(&[&first, &further], 0)?
        }
    };
    let logs = log_softmax(&decoder.logits(&states)?, D::Minus1)?;
    let mut row = 1;
    options
        .iter()
        .map(|option| {
            let rows = std::iter::once(0).chain(row..row + option.len() - 1);
            let sum = rows.zip(option).try_fold(0.0, |sum, (row, &id)| {
                Ok::<_, Error>(sum + logs.get(row)?.get(id as usize)?.to_scalar::<f32>()?)
            });
            row += option.len() - 1;
            sum
        })
        .collect()
}
