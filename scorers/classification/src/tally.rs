//! Counts of a resample, and the ratios of them.

/// The classes of one sample.
pub(crate) struct Outcome {
    /// True and predicted.
    pub(crate) hits: Vec<usize>,
    /// Predicted, but not true.
    pub(crate) alarms: Vec<usize>,
    /// True, but not predicted.
    pub(crate) misses: Vec<usize>,
}

/// Counts of each class against the rest.
pub(crate) struct Tally {
    classes: Vec<Counts>,
    samples: u64,
    /// Samples of which exactly the true classes are predicted.
    exact: u64,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    hits: u64,
    alarms: u64,
    misses: u64,
    /// Samples of which this class alone is predicted.
    alone: u64,
}

impl Tally {
    pub(crate) fn new<'a>(outcomes: impl Iterator<Item = &'a Outcome>, classes: usize) -> Self {
        let mut tally = Self { classes: vec![Counts::default(); classes], samples: 0, exact: 0 };
        for Outcome { hits, alarms, misses } in outcomes {
            hits.iter().for_each(|&class| tally.classes[class].hits += 1);
            alarms.iter().for_each(|&class| tally.classes[class].alarms += 1);
            misses.iter().for_each(|&class| tally.classes[class].misses += 1);
            if let ([class], []) | ([], [class]) = (&hits[..], &alarms[..]) {
                tally.classes[*class].alone += 1;
            }
            tally.samples += 1;
            tally.exact += u64::from(alarms.is_empty() && misses.is_empty());
        }
        tally
    }

    pub(crate) fn accuracy(&self) -> Option<f64> {
        ratio(self.exact, self.samples)
    }

    pub(crate) fn recall(&self, class: usize) -> Option<f64> {
        let Counts { hits, misses, .. } = *self.classes.get(class)?;
        ratio(hits, hits + misses)
    }

    pub(crate) fn f1(&self, class: usize) -> Option<f64> {
        let Counts { hits, alarms, misses, .. } = *self.classes.get(class)?;
        ratio(2 * hits, 2 * hits + alarms + misses)
    }

    pub(crate) fn balanced_accuracy(&self) -> Option<f64> {
        self.mean(|class| Some((self.recall(class)?, 1)))
    }

    pub(crate) fn f1_macro(&self) -> Option<f64> {
        self.mean(|class| Some((self.f1(class)?, 1)))
    }

    /// Weighted by the samples of each class.
    pub(crate) fn f1_weighted(&self) -> Option<f64> {
        self.mean(|class| Some((self.f1(class)?, self.classes[class].hits + self.classes[class].misses)))
    }

    /// Cohen's kappa of one true class and at most one predicted class for each sample (Cohen 1960): one less the
    /// ratio of the disagreement to that of chance.
    pub(crate) fn kappa(&self) -> Option<f64> {
        let agreement: u64 = self.classes.iter().map(|class| (class.hits + class.misses) * class.alone).sum();
        ratio((self.samples - self.exact) * self.samples, self.samples.pow(2) - agreement).map(|share| 1.0 - share)
    }

    /// Mean over the classes that have a value, which comes with its weight.
    fn mean(&self, value: impl Fn(usize) -> Option<(f64, u64)>) -> Option<f64> {
        let defined: Vec<(f64, u64)> = (0..self.classes.len()).filter_map(value).collect();
        let total: u64 = defined.iter().map(|&(_, weight)| weight).sum();
        (total > 0).then(|| defined.iter().map(|&(value, weight)| value * weight as f64).sum::<f64>() / total as f64)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
