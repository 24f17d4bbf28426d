//! BLEU-1 to BLEU-4 (Papineni et al. 2002) of answers and captions.
//!
//! * `bleu_1` … `bleu_4` are means of the sentence scores, `corpus_bleu_1` … `corpus_bleu_4` come from the counts of all
//!   samples together. BLEU-n is the geometric mean of the precisions of 1 … n tokens, times the brevity penalty against
//!   the reference nearest in length, the shorter of equally near ones.
//! * `smoothing` has sacrebleu's names: `none`; `floor`, which counts `smoothing_value` (0.1) matches where there are
//!   none; `add-k`, which adds `smoothing_value` (1) to matches and totals above one token; `exp`, which counts 1/2, 1/4
//!   … matches where there are none. nltk's `SmoothingFunction` calls them `method0`, `method1`, `method2` and `method3`.
//! * With `effective_order`, lengths that the answer does not reach are left out of the mean, instead of making it 0.
//!
//! Equals `sacrebleu.BLEU(max_ngram_order=n, lowercase=True)` divided by 100, with the default normaliser `lower` and
//! tokeniser `13a`. Without an answer, a sample has no token.

mod counts;

pub use counts::Counts;
use scorer_kit::{
    Error, Metadata, Sample, SampleScore, Score, Scorer, export_scorer, mean, metadata,
    serde::Deserialize,
    text::{Normaliser, Tokeniser, Vocabulary, references},
};

/// The scorer.
#[derive(Debug, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct Bleu {
    /// How answers and references are made comparable.
    normaliser: Normaliser,
    /// How they are cut into tokens.
    tokeniser: Tokeniser,
    /// What a length without a match counts.
    smoothing: Smoothing,
    /// The parameter of `floor` and `add-k`.
    smoothing_value: Option<f64>,
    /// Leave out the lengths that the answer does not reach.
    effective_order: bool,
}

/// A smoothing, by its name in sacrebleu.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(crate = "scorer_kit::serde", rename_all = "kebab-case")]
pub enum Smoothing {
    /// A length without a match makes the score 0.
    None,
    /// Such a length counts a small number of matches.
    Floor,
    /// Above one token, a number is added to matches and totals.
    AddK,
    /// The first such length counts 1/2 match, the next 1/4, and so on.
    Exp,
}

impl Default for Bleu {
    fn default() -> Self {
        Self {
            normaliser: Normaliser::Lower,
            tokeniser: Tokeniser::Mteval13a,
            smoothing: Smoothing::None,
            smoothing_value: None,
            effective_order: false,
        }
    }
}

impl Scorer for Bleu {
    fn metadata() -> Metadata {
        let start = metadata("bleu", "0.1.0", "BLEU-1 to BLEU-4, averaged over sentences and of the whole corpus")
            .tasks(["vqa", "caption"])
            .fields([
                ("normaliser", Normaliser::SCHEMA),
                ("tokeniser", Tokeniser::SCHEMA),
                ("smoothing", r#"{"enum":["none","floor","add-k","exp"]}"#),
                ("smoothing_value", r#"{"type":"number","exclusiveMinimum":0}"#),
                ("effective_order", r#"{"type":"boolean"}"#),
            ]);
        let sentence = (1..=4).fold(start, |built, n| built.value(&format!("bleu_{n}"), 0.0, 1.0));
        (1..=4).fold(sentence, |built, n| built.metric(&format!("corpus_bleu_{n}"), 0.0, 1.0)).build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        let references = references(sample)?;
        let answer = if sample.failed { "" } else { &sample.prediction };
        let spaced = |text: &str| self.tokeniser.spaced(&self.normaliser.apply(text)).into_owned();
        let (answer, spaced) = (spaced(answer), references.iter().map(|text| spaced(text)).collect::<Vec<_>>());
        let mut vocabulary = Vocabulary::default();
        let answer = vocabulary.numbers(answer.split_whitespace());
        let references: Vec<Vec<u32>> =
            spaced.iter().map(|reference| vocabulary.numbers(reference.split_whitespace())).collect();
        let counts = Counts::of(&answer, &references);
        let values = (1..=4).map(|n| Some(self.bleu(&counts, n))).collect();
        Ok(Score { values, statistics: counts.to_statistics(), note: None })
    }

    fn aggregate(&self, scores: &[SampleScore], resamples: &[Vec<u32>]) -> Result<Vec<Vec<Option<f64>>>, Error> {
        let counts = scores.iter().map(|score| Counts::from_statistics(&score.statistics));
        let counts: Vec<Counts> = counts.collect::<Result<_, _>>()?;
        let metrics = |resample: &Vec<u32>| {
            let corpus: Counts = resample.iter().map(|&position| &counts[position as usize]).sum();
            let sentence = (0..4).map(|n| mean(scores, resample, |score| score.values[n]));
            let corpus = (1..=4).map(|n| (!resample.is_empty()).then(|| self.bleu(&corpus, n)));
            sentence.chain(corpus).collect()
        };
        Ok(resamples.iter().map(metrics).collect())
    }
}

impl Bleu {
    /// BLEU of 1 to `order` tokens; `sacrebleu.BLEU.compute_bleu`.
    fn bleu(&self, counts: &Counts, order: usize) -> f64 {
        let (matches, totals) = (&counts.matches[..order], &counts.totals[..order]);
        if matches.iter().all(|&matches| matches == 0.0) {
            return 0.0;
        }
        let mut halved = 1.0;
        let mut logarithms = 0.0;
        let mut reached = 0;
        for (n, (&matches, &total)) in matches.iter().zip(totals).enumerate() {
            let k = if self.smoothing == Smoothing::AddK && n > 0 { self.smoothing_value.unwrap_or(1.0) } else { 0.0 };
            let (matches, total) = (matches + k, total + k);
            if total == 0.0 {
                break;
            }
            reached = n + 1;
            let matches = match self.smoothing {
                _ if matches > 0.0 => matches,
                Smoothing::Floor => self.smoothing_value.unwrap_or(0.1),
                Smoothing::Exp => {
                    halved /= 2.0;
                    halved
                }
                Smoothing::None | Smoothing::AddK => return 0.0,
            };
            logarithms += (matches / total).ln();
        }
        if reached < order && !self.effective_order {
            return 0.0;
        }
        counts.brevity_penalty() * (logarithms / reached as f64).exp()
    }
}

export_scorer!(Bleu);

#[cfg(test)]
mod tests {
    use super::*;
    use scorer_kit::vectors::assert_text_vectors;

    #[test]
    fn equals_sacrebleu() {
        assert_text_vectors::<Bleu>(include_str!("../vectors.json"));
    }

    #[test]
    fn a_failed_sample_scores_nothing() {
        let sample = |prediction: &str, failed| Sample {
            prediction: prediction.into(),
            references: vec!["a small left effusion".into()],
            failed,
            ..scorer_kit::sample(0)
        };
        let metrics = scorer_kit::vectors::metrics(
            &Bleu::default(),
            [sample("a small left effusion", false), sample("a small left effusion", true)],
        );
        // The whole corpus has half as many tokens as its references: exp(1 - 2).
        let corpus = metrics[4].expect("defined");
        assert_eq!(&metrics[..4], [Some(0.5); 4]);
        assert!((corpus - (-1f64).exp()).abs() < 1e-15, "{corpus}");
    }
}
