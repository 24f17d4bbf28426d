//! What BLEU counts.

use std::iter::Sum;

use scorer_kit::{Error, text::Ngrams};

/// Matches and totals of one sentence or of several together. Whole numbers, so that sums are exact.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// n-grams of 1 to 4 tokens that a reference has too, clipped by the reference that has most of them.
    pub matches: [f64; 4],
    /// n-grams of 1 to 4 tokens.
    pub totals: [f64; 4],
    /// Tokens.
    pub length: f64,
    /// Tokens of the reference nearest in length, the shorter of equally near ones.
    pub reference_length: f64,
}

impl Counts {
    /// Counts of a tokenised answer.
    pub fn of(answer: &[u32], references: &[Vec<u32>]) -> Self {
        let mut counts = Self { length: answer.len() as f64, ..Self::default() };
        let nearest = references.iter().map(Vec::len).min_by_key(|&length| (length.abs_diff(answer.len()), length));
        counts.reference_length = nearest.unwrap_or_default() as f64;
        for n in 0..4usize.min(answer.len()) {
            let others: Vec<Ngrams> = references.iter().map(|reference| Ngrams::of(reference, n + 1)).collect();
            counts.matches[n] = Ngrams::of(answer, n + 1).shared(&others) as f64;
            counts.totals[n] = (answer.len() - n) as f64;
        }
        counts
    }

    /// As the statistics of a score.
    pub fn to_statistics(&self) -> Vec<f64> {
        [self.matches.as_slice(), &self.totals, &[self.length, self.reference_length]].concat()
    }

    /// From the statistics of a score.
    pub fn from_statistics(statistics: &[f64]) -> Result<Self, Error> {
        match *statistics {
            [a, b, c, d, e, f, g, h, length, reference_length] => {
                Ok(Self { matches: [a, b, c, d], totals: [e, f, g, h], length, reference_length })
            }
            _ => Err(Error::BadInput(format!("{} statistics instead of 10", statistics.len()))),
        }
    }

    /// 1 unless the answer is shorter than the reference.
    pub fn brevity_penalty(&self) -> f64 {
        match self.length {
            length if length >= self.reference_length => 1.0,
            0.0 => 0.0,
            length => (1.0 - self.reference_length / length).exp(),
        }
    }
}

impl<'a> Sum<&'a Counts> for Counts {
    fn sum<I: Iterator<Item = &'a Counts>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, counts| {
            for n in 0..4 {
                sum.matches[n] += counts.matches[n];
                sum.totals[n] += counts.totals[n];
            }
            sum.length += counts.length;
            sum.reference_length += counts.reference_length;
            sum
        })
    }
}
