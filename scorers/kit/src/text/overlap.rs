//! What two token sequences share.

use std::collections::BTreeMap;

/// Numbers tokens in the order of their first appearance, so that comparing them is cheap.
#[derive(Debug, Default)]
pub struct Vocabulary(BTreeMap<String, u32>);

impl Vocabulary {
    /// The numbers of tokens.
    pub fn numbers<T: AsRef<str>>(&mut self, tokens: impl IntoIterator<Item = T>) -> Vec<u32> {
        tokens.into_iter().map(|token| self.number(token.as_ref())).collect()
    }

    /// The number of a token.
    pub fn number(&mut self, token: &str) -> u32 {
        if let Some(&number) = self.0.get(token) {
            return number;
        }
        let number = self.0.len() as u32;
        self.0.insert(token.into(), number);
        number
    }
}

/// The n-grams of one length in a token sequence, each with its count.
#[derive(Debug, Clone)]
pub struct Ngrams<'a> {
    /// In ascending order.
    counts: Vec<(&'a [u32], u32)>,
}

impl<'a> Ngrams<'a> {
    /// Counts the n-grams of `n` tokens; `n` is not 0.
    pub fn of(tokens: &'a [u32], n: usize) -> Self {
        let mut windows: Vec<&[u32]> = tokens.windows(n).collect();
        windows.sort_unstable();
        let counts = windows.chunk_by(|a, b| a == b).map(|equal| (equal[0], equal.len() as u32)).collect();
        Self { counts }
    }

    /// How many n-grams there are, with repetitions.
    pub fn total(&self) -> u32 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    /// How often there is an n-gram.
    pub fn count(&self, ngram: &[u32]) -> u32 {
        self.counts.binary_search_by_key(&ngram, |row| row.0).map_or(0, |at| self.counts[at].1)
    }

    /// How many n-grams, with repetitions, are among `others` too, each counted at most as often as in the one of these
    /// that has most of it.
    pub fn shared(&self, others: &[Ngrams<'_>]) -> u32 {
        let clipped = |&(ngram, count): &(&[u32], u32)| {
            others.iter().map(|other| other.count(ngram)).max().unwrap_or(0).min(count)
        };
        self.counts.iter().map(clipped).sum()
    }

    /// The n-grams and their counts, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u32], u32)> {
        self.counts.iter().copied()
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
