//! Greedy matching of two texts' tokens.

use scorer_kit::Matrix;

/// How well two texts match.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Match {
    /// Mean over the answer's tokens.
    pub precision: f64,
    /// Mean over the reference's tokens.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
}

/// Matches `[tokens, width]` embeddings; the first and last rows of each have no weight. As `greedy_cos_idf` of
/// bert-score 0.3.13 without idf.
pub fn greedy(answer: &Matrix, reference: &Matrix, first: usize, last: usize) -> Match {
    let (ours, theirs) = (unit_rows(answer), unit_rows(reference));
    let (mut forth, mut back) = (vec![f64::NEG_INFINITY; ours.len()], vec![f64::NEG_INFINITY; theirs.len()]);
    for (i, a) in ours.iter().enumerate() {
        for (j, b) in theirs.iter().enumerate() {
            let cosine: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            forth[i] = forth[i].max(cosine);
            back[j] = back[j].max(cosine);
        }
    }
    match (weighted(&forth, first, last), weighted(&back, first, last)) {
        (Some(precision), Some(recall)) => {
            let f1 = 2.0 * precision * recall / (precision + recall);
            Match { precision, recall, f1: if f1.is_finite() { f1 } else { 0.0 } }
        }
        _ => Match::default(),
    }
}

fn unit_rows(matrix: &Matrix) -> Vec<Vec<f64>> {
    let row = |row: &[f32]| {
        let norm = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        row.iter().map(|x| if norm > 0.0 { f64::from(*x) / norm } else { 0.0 }).collect()
    };
    matrix.data.chunks_exact((matrix.columns as usize).max(1)).map(row).collect()
}

/// Mean without the special tokens; none where there are no others.
fn weighted(matched: &[f64], first: usize, last: usize) -> Option<f64> {
    let inner = matched.get(first..matched.len().checked_sub(last)?)?;
    (!inner.is_empty()).then(|| inner.iter().sum::<f64>() / inner.len() as f64)
}

#[cfg(test)]
mod tests {
    use scorer_kit::serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(crate = "scorer_kit::serde")]
    struct Vector {
        width: u32,
        answer: Vec<f32>,
        reference: Vec<f32>,
        precision: f64,
        recall: f64,
        f1: f64,
    }

    /// `vectors.json` holds embeddings of a small random BERT and what bert-score makes of them; `scorers/vectors_judged.py`
    /// makes it.
    #[test]
    fn matches_are_those_of_the_reference() {
        let vectors: Vec<Vector> = serde_json::from_str(include_str!("../vectors.json")).expect("valid JSON");
        assert!(vectors.len() >= 5);
        for (number, v) in vectors.iter().enumerate() {
            let matrix =
                |data: &Vec<f32>| Matrix { rows: data.len() as u32 / v.width, columns: v.width, data: data.clone() };
            let found = greedy(&matrix(&v.answer), &matrix(&v.reference), 1, 1);
            for (ours, theirs) in [(found.precision, v.precision), (found.recall, v.recall), (found.f1, v.f1)] {
                assert!((ours - theirs).abs() < 1e-6, "vector {number}: {ours} is not {theirs}");
            }
        }
    }

    #[test]
    fn texts_without_tokens_score_zero() {
        let matrix = |rows: u32| Matrix { rows, columns: 2, data: vec![1.0; 2 * rows as usize] };
        for (a, b) in [(0, 3), (3, 0), (2, 3), (1, 3), (0, 0)] {
            assert_eq!(greedy(&matrix(a), &matrix(b), 1, 1), Match::default(), "{a} and {b} tokens");
        }
        assert_eq!(greedy(&matrix(3), &matrix(4), 1, 1).f1.round(), 1.0);
    }
}
