//! Texts as vectors of n-grams, weighted by term frequency and inverse document frequency.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

const ORDERS: usize = 4;

/// In how many samples each n-gram occurs among the references.
pub struct Corpus {
    frequencies: HashMap<u64, u32, BuildHasherDefault<Hashed>>,
    log_samples: f64,
}

impl Corpus {
    /// Of samples whose first text is the answer and whose others are the references, as hashed tokens.
    pub fn of(samples: &[Vec<&[f64]>]) -> Self {
        let mut frequencies = HashMap::default();
        let mut ngrams = Vec::new();
        for texts in samples {
            ngrams.clear();
            ngrams.extend(texts[1..].iter().flat_map(|text| (1..=ORDERS).flat_map(|n| keys(text, n))));
            ngrams.sort_unstable();
            ngrams.dedup();
            for &ngram in &ngrams {
                *frequencies.entry(ngram).or_insert(0) += 1;
            }
        }
        Self { frequencies, log_samples: (samples.len() as f64).ln() }
    }

    /// CIDEr-D of one answer.
    pub fn cider(&self, answer: &[f64], references: &[&[f64]], sigma: f64) -> f64 {
        let answer = self.text(answer);
        let sum: f64 = references.iter().map(|reference| answer.similarity(&self.text(reference), sigma)).sum();
        10.0 * sum / references.len() as f64
    }

    fn text(&self, tokens: &[f64]) -> Text {
        Text { vectors: [1, 2, 3, 4].map(|n| self.vector(tokens, n)), pairs: tokens.len().saturating_sub(1) as f64 }
    }

    fn vector(&self, tokens: &[f64], n: usize) -> Vector {
        let mut keys: Vec<u64> = keys(tokens, n).collect();
        keys.sort_unstable();
        let weighted = |equal: &[u64]| {
            let documents = f64::from(self.frequencies.get(&equal[0]).copied().unwrap_or(1));
            (equal[0], equal.len() as f64 * (self.log_samples - documents.ln()))
        };
        let weights: Vec<(u64, f64)> = keys.chunk_by(|a, b| a == b).map(weighted).collect();
        let norm = weights.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
        Vector { weights, norm }
    }
}

struct Text {
    vectors: [Vector; ORDERS],
    /// What the reference implementation calls the length: the number of 2-grams.
    pairs: f64,
}

struct Vector {
    /// In ascending order of the n-grams.
    weights: Vec<(u64, f64)>,
    norm: f64,
}

impl Text {
    /// Clipped cosine similarity, averaged over the orders, with a Gaussian penalty on the difference in length.
    fn similarity(&self, reference: &Self, sigma: f64) -> f64 {
        let cosine = |(a, b): (&Vector, &Vector)| match a.norm * b.norm {
            0.0 => a.clipped_product(b),
            norms => a.clipped_product(b) / norms,
        };
        let cosines: f64 = self.vectors.iter().zip(&reference.vectors).map(cosine).sum();
        let delta = self.pairs - reference.pairs;
        cosines / ORDERS as f64 * (-delta * delta / (2.0 * sigma * sigma)).exp()
    }
}

impl Vector {
    fn clipped_product(&self, reference: &Self) -> f64 {
        let mut rest = reference.weights.as_slice();
        let mut product = 0.0;
        for (ngram, weight) in &self.weights {
            let skipped = rest.iter().take_while(|(other, _)| other < ngram).count();
            rest = &rest[skipped..];
            if let Some((_, other)) = rest.first().filter(|(other, _)| other == ngram) {
                product += weight.min(*other) * other;
            }
        }
        product
    }
}

/// 53 bits of the FNV-1a hash of a token, so that they fit into a float: among a million different tokens, two share a
/// hash with a probability of 6·10⁻⁵.
pub fn hash(token: &str) -> u64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    mix(token.bytes().fold(0xcbf2_9ce4_8422_2325, fnv)) >> 11
}

/// Hashes of the n-grams of `n` tokens.
fn keys(tokens: &[f64], n: usize) -> impl Iterator<Item = u64> {
    let key =
        move |window: &[f64]| window.iter().fold(n as u64, |key, token| mix(key.rotate_left(17) ^ token.to_bits()));
    tokens.windows(n).map(key)
}

/// The finaliser of splitmix64.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Keys that are hashes already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| mix(hash ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}
