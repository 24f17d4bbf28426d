//! The choice of the next token; reference `transformers.generation.logits_process`, 4.53.1.

use rand::Rng;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// How the next token is chosen. The default is the most likely one.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the most likely token.
    pub temperature: f32,
    /// The most likely tokens that have this probability together; 0 or 1 are all.
    pub top_p: f32,
    /// So many most likely tokens; 0 are all.
    pub top_k: usize,
    /// Divides the logits of tokens that occurred, or multiplies those below 0; 1 is off (Keskar et al. 2019).
    pub repetition_penalty: f32,
    /// Seed, to which that of the prompt is added.
    pub seed: u64,
}

/// Chooses the tokens of one sequence.
pub struct Sampler {
    sampling: Sampling,
    random: ChaCha8Rng,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, top_k: 0, repetition_penalty: 1.0, seed: 0 }
    }
}

impl Sampler {
    pub fn new(sampling: &Sampling, seed: u64) -> Self {
        let random = ChaCha8Rng::seed_from_u64(sampling.seed.wrapping_add(seed));
        Self { sampling: sampling.clone(), random }
    }

    /// Whether the largest logit decides.
    pub fn is_greedy(&self) -> bool {
        self.sampling.temperature <= 0.0 && self.sampling.repetition_penalty == 1.0
    }

    /// The next token, unless a logit is no number; `seen` are those that occurred.
    pub fn next(&mut self, mut logits: Vec<f32>, seen: [&[u32]; 2]) -> Option<u32> {
        let Sampling { temperature, top_p, top_k, repetition_penalty, .. } = self.sampling;
        if repetition_penalty != 1.0 {
            penalise(&mut logits, seen, repetition_penalty);
        }
        if logits.iter().any(|logit| logit.is_nan()) {
            return None;
        }
        if temperature <= 0.0 {
            return most_likely(&logits);
        }
        // Equally likely tokens stay in the order of their ids, so that the choice does not depend on the sort.
        let mut ranked: Vec<u32> = (0..logits.len() as u32).collect();
        ranked.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]));
        if top_k > 0 {
            ranked.truncate(top_k);
        }
        let largest = logits[*ranked.first()? as usize];
        let weights: Vec<f64> =
            ranked.iter().map(|&id| f64::from((logits[id as usize] - largest) / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let kept = match top_p > 0.0 && top_p < 1.0 {
            true => nucleus(&weights, f64::from(top_p) * total),
            false => weights.len(),
        };
        let mut left = self.random.random::<f64>() * weights[..kept].iter().sum::<f64>();
        let chosen = weights[..kept].iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        ranked.get(chosen.unwrap_or(kept - 1)).copied()
    }
}

/// How many of the largest weights reach a sum; at least one.
fn nucleus(weights: &[f64], sum: f64) -> usize {
    let mut so_far = 0.0;
    let needed = weights.iter().position(|weight| {
        so_far += weight;
        so_far >= sum
    });
    needed.map_or(weights.len(), |last| last + 1)
}

fn penalise(logits: &mut [f32], seen: [&[u32]; 2], penalty: f32) {
    let mut ids = seen.concat();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
        }
    }
}

/// The first of the largest.
fn most_likely(logits: &[f32]) -> Option<u32> {
    let first = (0, *logits.first()?);
    let best = logits.iter().enumerate().skip(1);
    let best = best.fold(first, |best, (id, &logit)| if logit > best.1 { (id, logit) } else { best });
    Some(best.0 as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        let mut sampler = Sampler::new(&Sampling::default(), 0);
        assert!(sampler.is_greedy());
        assert_eq!(sampler.next(vec![0.0, 3.0, 3.0, 1.0], [&[], &[]]), Some(1));
        assert_eq!(sampler.next(vec![0.0, f32::NAN], [&[], &[]]), None);
    }

    #[test]
    fn a_penalty_lowers_what_occurred_once() {
        let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
        let mut sampler = Sampler::new(&sampling, 0);
        assert_eq!(sampler.next(vec![1.0, 1.5, 0.8], [&[1, 1], &[1]]), Some(0));
        assert_eq!(sampler.next(vec![-1.0, -0.6], [&[1], &[]]), Some(0));
    }

    #[test]
    fn frequencies_follow_the_probabilities_of_the_nucleus() {
        let sampling = Sampling { temperature: 0.5, top_p: 0.9, ..Sampling::default() };
        let mut sampler = Sampler::new(&sampling, 7);
        // Divided by the temperature, these are the logarithms of 0.5, 0.3, 0.15 and 0.05.
        let logits: Vec<f32> = [0.5f32, 0.3, 0.15, 0.05].iter().map(|p| p.ln() * 0.5).collect();
        let mut counts = [0; 4];
        (0..20_000).for_each(|_| counts[sampler.next(logits.clone(), [&[], &[]]).unwrap() as usize] += 1);
        for (count, expected) in counts.iter().zip([0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0.0]) {
            assert!((f64::from(*count) / 20_000.0 - expected).abs() < 0.02, "{counts:?}");
        }
        let draw = |seed| {
            let mut sampler = Sampler::new(&sampling, seed);
            (0..30).map(|_| sampler.next(logits.clone(), [&[], &[]]).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
