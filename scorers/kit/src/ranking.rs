//! Samples in the order of their scores: sorted once, counted in whole numbers for each resample.

/// Samples of one class against the rest, in ascending order of their score.
#[derive(Debug, Clone)]
pub struct Ranking {
    samples: Vec<Ranked>,
}

/// One sample of a [`Ranking`].
#[derive(Debug, Clone)]
pub struct Ranked {
    /// Its position among the scores.
    pub position: u32,
    /// Whether it belongs to the class.
    pub positive: bool,
    /// Whether its score equals that of the sample before.
    tied: bool,
}

/// How many samples of a resample have one score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Step {
    /// Those that belong to the class.
    pub positives: u64,
    /// The others.
    pub negatives: u64,
}

impl Ranking {
    /// Ranks pairs of a score, which is not NaN, and whether the sample belongs to the class.
    pub fn new(samples: impl Iterator<Item = (f64, bool)>) -> Self {
        let mut sorted: Vec<(f64, bool, u32)> = samples.zip(0..).map(|((score, class), i)| (score, class, i)).collect();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
        let mut before = None;
        let ranked = |(score, positive, position)| {
            let tied = before.replace(score) == Some(score);
            Ranked { position, positive, tied }
        };
        Self { samples: sorted.into_iter().map(ranked).collect() }
    }

    /// The samples of each score, in ascending order.
    pub fn ties(&self) -> impl DoubleEndedIterator<Item = &[Ranked]> {
        self.samples.chunk_by(|_, next| next.tied)
    }

    /// What a resample, given as [`weights`](crate::weights), holds of each score, in ascending order.
    pub fn steps(&self, weights: &[u32]) -> impl DoubleEndedIterator<Item = Step> {
        self.ties().map(|tied| {
            tied.iter().fold(Step::default(), |mut step, sample| {
                let weight = u64::from(weights[sample.position as usize]);
                *(if sample.positive { &mut step.positives } else { &mut step.negatives }) += weight;
                step
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_are_one_step_and_repetitions_count() {
        let ranking = Ranking::new([(0.5, true), (-1.0, false), (0.5, false), (2.0, true)].into_iter());
        let steps =
            |weights: &[u32]| ranking.steps(weights).map(|step| (step.positives, step.negatives)).collect::<Vec<_>>();
        assert_eq!(steps(&[1, 1, 1, 1]), [(0, 1), (1, 1), (1, 0)]);
        assert_eq!(steps(&[3, 0, 2, 1]), [(0, 0), (3, 2), (1, 0)]);
    }

    #[test]
    fn negative_zero_equals_zero() {
        assert_eq!(Ranking::new([(0.0, true), (-0.0, false)].into_iter()).ties().count(), 1);
    }
}
