//! What two token sequences share.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// Numbers tokens in the order of their first appearance, so that comparing them is cheap.
#[derive(Debug, Default)]
pub struct Vocabulary<'a>(HashMap<&'a str, u32, BuildHasherDefault<Fnv>>);

impl<'a> Vocabulary<'a> {
    /// The numbers of tokens.
    pub fn numbers(&mut self, tokens: impl IntoIterator<Item = &'a str>) -> Vec<u32> {
        tokens.into_iter().map(|token| self.number(token)).collect()
    }

    fn number(&mut self, token: &'a str) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(token).or_insert(next)
    }
}

/// The FNV-1a hash, which is fast for short words.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    }
}

/// The n-grams of one length in a token sequence, with their repetitions.
#[derive(Debug, Clone)]
pub struct Ngrams {
    /// In ascending order, each the numbers of its tokens in 32 bits each.
    sorted: Vec<u128>,
}

impl Ngrams {
    /// The n-grams of `n` tokens, 1 to 4.
    pub fn of(tokens: &[u32], n: usize) -> Self {
        let ngram = |window: &[u32]| window.iter().fold(0u128, |ngram, token| (ngram << 32) | u128::from(*token));
        let mut sorted: Vec<u128> = tokens.windows(n).map(ngram).collect();
        sorted.sort_unstable();
        Self { sorted }
    }

    /// How many n-grams there are, with repetitions.
    pub fn total(&self) -> usize {
        self.sorted.len()
    }

    /// How often there is an n-gram.
    pub fn count(&self, ngram: u128) -> usize {
        let start = self.sorted.partition_point(|other| *other < ngram);
        self.sorted[start..].iter().take_while(|other| **other == ngram).count()
    }

    /// How many n-grams, with repetitions, are among `others` too, each counted at most as often as in the one of these
    /// that has most of it.
    pub fn shared(&self, others: &[Ngrams]) -> usize {
        let most = |ngram| others.iter().map(|other| other.count(ngram)).max().unwrap_or(0);
        self.iter().map(|(ngram, count)| most(ngram).min(count)).sum()
    }

    /// The different n-grams and their counts, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u128, usize)> {
        self.sorted.chunk_by(|a, b| a == b).map(|equal| (equal[0], equal.len()))
    }
}

/// Length of the longest common subsequence.
pub fn longest_common_subsequence(a: &[u32], b: &[u32]) -> usize {
    let mut row = vec![0usize; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (column, y) in b.iter().enumerate() {
            let above = row[column + 1];
            row[column + 1] = if x == y { diagonal + 1 } else { above.max(row[column]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_ngrams_are_clipped_by_the_reference_with_most() {
        let tokens = [1, 2, 1, 2, 1];
        let (one, other) = ([1, 2, 3], [1, 1, 1]);
        let shared = |n| Ngrams::of(&tokens, n).shared(&[Ngrams::of(&one, n), Ngrams::of(&other, n)]);
        assert_eq!((shared(1), shared(2), shared(4)), (4, 1, 0));
        assert_eq!((Ngrams::of(&tokens, 2).total(), Ngrams::of(&tokens, 6).total()), (4, 0));
    }

    #[test]
    fn subsequences_keep_their_order() {
        assert_eq!(longest_common_subsequence(&[1, 2, 3, 4], &[2, 9, 4, 1]), 2);
        assert_eq!(longest_common_subsequence(&[], &[1]), 0);
    }
}
