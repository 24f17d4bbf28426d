//! CIDEr-D (Vedantam et al. 2015) of captions.
//!
//! n-grams of 1 to 4 tokens are weighted by how rare they are among the references of all scored samples, so the metric
//! exists only for these together; subgroups and resamples are means over their samples, with the weights of the whole
//! set. It lies within 0 and 10. Equals `pycocoevalcap.cider.Cider` for the tokens that `tokeniser` makes: the default,
//! lower-case words without punctuation, stands for the Java tokeniser of COCO. One sample has no rare words, so there is
//! no value for it. Without an answer, a sample has no token.

mod weighted;

use scorer_kit::{
    Error, Metadata, Sample, SampleScore, Score, Scorer, export_scorer, metadata,
    serde::Deserialize,
    text::{Normaliser, Tokeniser, references},
};
use weighted::{Corpus, hash};

/// The scorer.
#[derive(Debug, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct Cider {
    /// How captions are made comparable.
    normaliser: Normaliser,
    /// How they are cut into tokens.
    tokeniser: Tokeniser,
    /// Standard deviation of the penalty for another length than the reference's.
    sigma: f64,
}

impl Default for Cider {
    fn default() -> Self {
        Self { normaliser: Normaliser::Lower, tokeniser: Tokeniser::Words, sigma: 6.0 }
    }
}

impl Scorer for Cider {
    fn metadata() -> Metadata {
        metadata("cider", "0.1.0", "CIDEr-D of captions, with document frequencies of the scored samples")
            .tasks(["caption", "vqa"])
            .metric("cider", 0.0, 10.0)
            .fields([
                ("normaliser", Normaliser::SCHEMA),
                ("tokeniser", Tokeniser::SCHEMA),
                ("sigma", r#"{"type":"number","exclusiveMinimum":0}"#),
            ])
            .build()
    }

    /// The statistics are the texts, answer first: each its number of tokens, then a 53-bit hash of each token.
    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        let references = references(sample)?;
        let answer = if sample.failed { "" } else { &sample.prediction };
        let mut statistics = Vec::new();
        for text in std::iter::once(answer).chain(references.iter().map(String::as_str)) {
            let start = statistics.len();
            statistics.push(0.0);
            let text = self.normaliser.apply(text);
            statistics.extend(self.tokeniser.spaced(&text).split_whitespace().map(|token| hash(token) as f64));
            statistics[start] = (statistics.len() - start - 1) as f64;
        }
        Ok(Score::of_statistics(statistics))
    }

    fn aggregate(&self, scores: &[SampleScore], resamples: &[Vec<u32>]) -> Result<Vec<Vec<Option<f64>>>, Error> {
        let samples: Vec<Vec<&[f64]>> = scores.iter().map(texts).collect::<Result<_, _>>()?;
        let corpus = Corpus::of(&samples);
        let each: Vec<f64> = samples.iter().map(|texts| corpus.cider(texts[0], &texts[1..], self.sigma)).collect();
        let mean = |resample: &Vec<u32>| {
            let sum: f64 = resample.iter().map(|&position| each[position as usize]).sum();
            vec![(each.len() > 1 && !resample.is_empty()).then(|| sum / resample.len() as f64)]
        };
        Ok(resamples.iter().map(mean).collect())
    }
}

/// The hashed tokens of the answer and of each reference.
fn texts(score: &SampleScore) -> Result<Vec<&[f64]>, Error> {
    let mut texts = Vec::new();
    let mut rest = score.statistics.as_slice();
    while let [length, tokens @ ..] = rest {
        let (text, others) = tokens.split_at_checked(*length as usize).ok_or_else(|| damaged(score))?;
        texts.push(text);
        rest = others;
    }
    if texts.len() < 2 { Err(damaged(score)) } else { Ok(texts) }
}

fn damaged(score: &SampleScore) -> Error {
    Error::BadInput(format!("sample {}: its statistics are no captions", score.index))
}

export_scorer!(Cider);

#[cfg(test)]
mod tests {
    use super::*;
    use scorer_kit::vectors::{assert_text_vectors, metrics};

    #[test]
    fn equals_pycocoevalcap() {
        assert_text_vectors::<Cider>(include_str!("../vectors.json"));
    }

    #[test]
    fn a_failed_sample_scores_nothing_and_stays_in_the_mean() {
        let sample = |text: &str, failed| Sample {
            prediction: text.into(),
            references: vec![text.into()],
            failed,
            ..scorer_kit::sample(0)
        };
        let answered = [sample("a small left pleural effusion", false), sample("the heart is normal today", false)];
        let failed = [sample("a small left pleural effusion", false), sample("the heart is normal today", true)];
        let value = |samples: [Sample; 2]| metrics(&Cider::default(), samples)[0].expect("defined");
        let (all, half) = (value(answered), value(failed));
        assert!((all - 10.0).abs() < 1e-12 && (half - 5.0).abs() < 1e-12, "{all} {half}");
    }

    #[test]
    fn one_sample_has_no_value() {
        let one = Sample { references: vec!["lung".into()], ..scorer_kit::sample(0) };
        assert_eq!(metrics(&Cider::default(), [one]), [None]);
    }
}
