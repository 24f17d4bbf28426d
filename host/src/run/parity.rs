//! A model against its reference implementation: what both compute for the same input, array by array, token by token.

use plugin_api::{Array, Data, Generation, Inspection};
use serde::Serialize;

/// How far apart two arrays may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of `pixel_values`, absolute.
    pub pixels: f64,
    /// Of every other array, relative to the reference's largest value.
    pub relative: f64,
}

/// What a comparison found.
#[derive(Debug, Serialize)]
pub struct Parity {
    /// Arrays that both computed, in the model's order.
    pub arrays: Vec<ArrayParity>,
    /// Sequences of tokens that both computed.
    pub tokens: Vec<TokenParity>,
    /// Names of arrays that only the model computed.
    pub model_only: Vec<String>,
    /// Names of arrays that only the reference computed.
    pub reference_only: Vec<String>,
    /// Whether everything that both computed is within its limit, and there is something.
    pub pass: bool,
}

/// One array of both.
#[derive(Debug, Serialize)]
pub struct ArrayParity {
    /// Its name.
    pub name: String,
    /// Extents of the model's.
    pub shape: Vec<u64>,
    /// Extents of the reference's.
    pub reference_shape: Vec<u64>,
    /// Largest absolute value of the reference.
    pub largest: f64,
    /// Largest absolute difference; none where shapes or kinds differ, or a value is not finite.
    pub difference: Option<f64>,
    /// Largest difference that passes.
    pub limit: f64,
    /// Whether it does.
    pub pass: bool,
}

/// One sequence of tokens of both.
#[derive(Debug, Serialize)]
pub struct TokenParity {
    /// `prompt_ids` or `generated_ids`.
    pub name: String,
    /// Tokens of the model.
    pub length: usize,
    /// Tokens of the reference.
    pub reference_length: usize,
    /// Position of the first token that differs or is missing.
    pub first_difference: Option<usize>,
    /// Whether there is none.
    pub pass: bool,
}

/// A picture made up here.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// RGB8.
    pub rgb: Vec<u8>,
}

/// Compares what both show.
pub fn compare(model: &Inspection, reference: &Inspection, limits: Limits) -> Parity {
    let find = |seen: &Inspection, name: &str| seen.arrays.iter().find(|(n, _)| n == name).map(|(_, a)| a.clone());
    let missing = |of: &Inspection, from: &Inspection| -> Vec<String> {
        of.arrays.iter().filter(|(n, _)| find(from, n).is_none()).map(|(n, _)| n.clone()).collect()
    };
    let pairs = model.arrays.iter().filter_map(|(name, array)| Some((name, array, find(reference, name)?)));
    let arrays: Vec<ArrayParity> = pairs.map(|(name, ours, theirs)| array(name, ours, &theirs, limits)).collect();
    let tokens = match (&model.generation, &reference.generation) {
        (Some(ours), Some(theirs)) => sequences(ours, theirs),
        _ => Vec::new(),
    };
    let some = !arrays.is_empty() || !tokens.is_empty();
    Parity {
        pass: some && arrays.iter().all(|a| a.pass) && tokens.iter().all(|t| t.pass),
        model_only: missing(model, reference),
        reference_only: missing(reference, model),
        arrays,
        tokens,
    }
}

/// Pictures that tell preprocessing apart: wide, square and tall, with smooth and with noisy parts.
pub fn pictures() -> Vec<Picture> {
    [(301, 211), (224, 224), (90, 170)].into_iter().enumerate().map(|(kind, size)| picture(kind, size)).collect()
}

fn array(name: &str, ours: &Array, theirs: &Array, limits: Limits) -> ArrayParity {
    let (left, right) = (values(ours), values(theirs));
    let largest = right.iter().fold(0.0, |largest: f64, v| largest.max(v.abs()));
    let limit = if name == "pixel_values" { limits.pixels } else { limits.relative * largest };
    let finite = left.iter().chain(&right).all(|v| v.is_finite());
    let difference = (finite && ours.shape == theirs.shape)
        .then(|| left.iter().zip(&right).fold(0.0, |most: f64, (a, b)| most.max((a - b).abs())));
    ArrayParity {
        name: name.into(),
        shape: ours.shape.clone(),
        reference_shape: theirs.shape.clone(),
        largest,
        difference,
        limit,
        pass: difference.is_some_and(|d| d <= limit),
    }
}

fn values(array: &Array) -> Vec<f64> {
    match &array.data {
        Data::U8(values) => values.iter().map(|v| f64::from(*v)).collect(),
        Data::I64(values) => values.iter().map(|v| *v as f64).collect(),
        Data::F32(values) => values.iter().map(|v| f64::from(*v)).collect(),
    }
}

/// No prompt is without tokens: a model that shows none, as one that embeds it in pieces, cannot show them.
fn sequences(ours: &Generation, theirs: &Generation) -> Vec<TokenParity> {
    let prompts = [&ours.prompt_ids, &theirs.prompt_ids];
    let shown = prompts.iter().all(|ids| !ids.is_empty());
    let prompt = shown.then(|| sequence("prompt_ids", prompts[0], prompts[1]));
    prompt.into_iter().chain([sequence("generated_ids", &ours.generated_ids, &theirs.generated_ids)]).collect()
}

fn sequence(name: &str, ours: &[u32], theirs: &[u32]) -> TokenParity {
    let common = ours.iter().zip(theirs).position(|(a, b)| a != b);
    let end = (ours.len() != theirs.len()).then(|| ours.len().min(theirs.len()));
    let first_difference = common.or(end);
    TokenParity {
        name: name.into(),
        length: ours.len(),
        reference_length: theirs.len(),
        first_difference,
        pass: first_difference.is_none(),
    }
}

fn picture(kind: usize, (width, height): (u32, u32)) -> Picture {
    let mut noise = 0x9e37_79b9_u32.wrapping_add(kind as u32);
    let mut rgb = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                let (x, y, shift) = (f64::from(x), f64::from(y), f64::from(channel));
                let wave = (x / (9.0 + shift) + shift).sin() * (y / (13.0 - shift)).cos();
                let grain = if x > y { f64::from(noise % 41) - 20.0 } else { 0.0 };
                rgb.push((128.0 + 100.0 * wave + grain).clamp(0.0, 255.0) as u8);
            }
        }
    }
    Picture { width, height, rgb }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { pixels: 1.0 / 255.0, relative: 1e-4 };

    fn seen(arrays: &[(&str, &[u64], &[f32])], ids: &[u32]) -> Inspection {
        let arrays = arrays.iter().map(|(name, shape, data)| {
            ((*name).to_string(), Array { shape: shape.to_vec(), data: Data::F32(data.to_vec()) })
        });
        let generation = Generation { prompt_ids: vec![1], generated_ids: ids.to_vec(), ..Generation::default() };
        Inspection { arrays: arrays.collect(), generation: (!ids.is_empty()).then_some(generation) }
    }

    #[test]
    fn differences_count_against_the_largest_value_of_the_reference() {
        let reference = seen(&[("logits", &[2], &[100.0, 0.0]), ("pixel_values", &[1], &[0.5])], &[]);
        let near = seen(&[("logits", &[2], &[100.0, 0.009]), ("pixel_values", &[1], &[0.503])], &[]);
        let parity = compare(&near, &reference, LIMITS);
        assert!(parity.pass, "{parity:?}");
        let far = seen(&[("logits", &[2], &[100.0, 0.011]), ("pixel_values", &[1], &[0.505])], &[]);
        let parity = compare(&far, &reference, LIMITS);
        assert_eq!(parity.arrays.iter().map(|a| a.pass).collect::<Vec<_>>(), [false, false], "{parity:?}");
        assert!(!parity.pass);
    }

    #[test]
    fn other_shapes_broken_numbers_and_nothing_at_all_do_not_pass() {
        let reference = seen(&[("logits", &[2], &[1.0, 2.0])], &[]);
        for ours in [
            seen(&[("logits", &[1, 2], &[1.0, 2.0])], &[]),
            seen(&[("logits", &[2], &[1.0, f32::NAN])], &[]),
            seen(&[("features", &[2], &[1.0, 2.0])], &[]),
        ] {
            assert!(!compare(&ours, &reference, LIMITS).pass, "{ours:?}");
        }
        let apart = compare(&seen(&[("features", &[1], &[1.0])], &[]), &reference, LIMITS);
        assert_eq!((apart.model_only, apart.reference_only), (vec!["features".into()], vec!["logits".into()]));
    }

    #[test]
    fn tokens_are_the_same_or_the_first_difference_is_named() {
        let first = |ours: &[u32], theirs: &[u32]| {
            compare(&seen(&[], ours), &seen(&[], theirs), LIMITS).tokens[1].first_difference
        };
        assert_eq!(first(&[5, 6], &[5, 6]), None);
        assert_eq!(first(&[5, 7, 8], &[5, 6, 8]), Some(1));
        assert_eq!(first(&[5], &[5, 6]), Some(1));
    }

    #[test]
    fn a_prompt_that_is_not_shown_as_tokens_is_not_compared() {
        let (ours, mut reference) = (seen(&[], &[5, 6]), seen(&[], &[5, 6]));
        reference.generation.as_mut().expect("an answer").prompt_ids.clear();
        let parity = compare(&ours, &reference, LIMITS);
        assert_eq!(parity.tokens.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["generated_ids"]);
        assert!(parity.pass);
    }
}
