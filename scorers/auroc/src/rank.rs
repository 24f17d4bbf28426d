//! Weighted Mann-Whitney statistic: sorted once, counted in whole numbers for each resample.

/// Samples of one class against the rest, in ascending order of their probability.
pub(crate) struct Ranking {
    samples: Vec<Ranked>,
}

struct Ranked {
    position: u32,
    positive: bool,
    /// Whether its probability equals that of the sample before.
    tied: bool,
}

/// How often a resample holds each of `count` positions.
pub(crate) fn weights(resample: &[u32], count: usize) -> Vec<u32> {
    let mut weights = vec![0; count];
    for &position in resample {
        weights[position as usize] += 1;
    }
    weights
}

impl Ranking {
    /// Ranks pairs of a probability and whether the sample belongs to the class.
    pub(crate) fn new(samples: impl Iterator<Item = (f64, bool)>) -> Self {
        let mut sorted: Vec<(f64, bool, u32)> = samples.zip(0..).map(|((p, positive), i)| (p, positive, i)).collect();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
        let mut before = None;
        let ranked = |(p, positive, position)| {
            let tied = before.replace(p) == Some(p);
            Ranked { position, positive, tied }
        };
        Self { samples: sorted.into_iter().map(ranked).collect() }
    }

    /// Area under the ROC curve of a resample: the share of pairs of a positive and a negative sample in which the
    /// positive one is the more probable; equal ones count one half. None without such a pair.
    pub(crate) fn auroc(&self, weights: &[u32]) -> Option<f64> {
        let (mut positives, mut negatives, mut halves) = (0u64, 0u64, 0u64);
        for tied in self.samples.chunk_by(|_, next| next.tied) {
            let count = |positive| {
                let same = tied.iter().filter(|sample| sample.positive == positive);
                same.map(|sample| u64::from(weights[sample.position as usize])).sum::<u64>()
            };
            let (tied_positives, tied_negatives) = (count(true), count(false));
            halves += tied_positives * (2 * negatives + tied_negatives);
            positives += tied_positives;
            negatives += tied_negatives;
        }
        (positives > 0 && negatives > 0).then(|| halves as f64 / (2 * positives * negatives) as f64)
    }
}
