//! Reference values of SciPy, statsmodels and the published formulas; `vectors.py` writes them.

use serde::Deserialize;

#[derive(Deserialize)]
pub struct Vectors {
    pub bca: Vec<Bca>,
    pub delong: Vec<DeLong>,
    pub mcnemar: Vec<(u64, u64, f64)>,
    pub correction: Vec<Correction>,
    pub sign_flip: Vec<SignFlip>,
    pub random_sign_flip: Vec<RandomSignFlip>,
    pub agreement: Vec<Agreement>,
    pub precision_recall: Vec<PrecisionRecall>,
    pub best: Vec<Best>,
}

#[derive(Deserialize)]
pub struct Bca {
    pub name: String,
    pub values: Vec<f64>,
    pub estimate: f64,
    pub jackknife: Vec<f64>,
    pub level: f64,
    pub low: f64,
    pub high: f64,
}

#[derive(Deserialize)]
pub struct DeLong {
    pub name: String,
    pub first: Vec<f64>,
    pub second: Vec<f64>,
    pub labels: Vec<u8>,
    pub clusters: Vec<u32>,
    pub areas: [f64; 2],
    pub covariance: [[f64; 2]; 2],
    pub intervals: [(f64, f64); 2],
    pub z: f64,
    pub p: f64,
}

#[derive(Deserialize)]
pub struct Correction {
    pub name: String,
    pub p: Vec<f64>,
    pub holm: Vec<f64>,
    pub benjamini_hochberg: Vec<f64>,
}

#[derive(Deserialize)]
pub struct SignFlip {
    pub name: String,
    pub differences: Vec<f64>,
    pub clusters: Vec<u32>,
    pub p: f64,
}

#[derive(Deserialize)]
pub struct RandomSignFlip {
    pub name: String,
    pub differences: Vec<f64>,
    pub clusters: Vec<u32>,
    pub permutations: u32,
    pub seed: u64,
    pub p: f64,
}

#[derive(Deserialize)]
pub struct Agreement {
    pub name: String,
    /// One list for each sample, one place for each rater.
    pub ratings: Vec<Vec<Option<f64>>>,
    pub alpha: f64,
    pub fleiss: f64,
    pub cohen: f64,
    pub spearman: f64,
}

#[derive(Deserialize)]
pub struct PrecisionRecall {
    pub name: String,
    pub scores: Vec<f64>,
    pub labels: Vec<u8>,
    pub recall: Vec<f64>,
    pub precision: Vec<f64>,
    pub average: f64,
}

#[derive(Deserialize)]
pub struct Best {
    pub name: String,
    pub first: Vec<Vec<f64>>,
    pub second: Vec<Vec<f64>>,
    pub higher_is_better: bool,
    pub level: f64,
    pub difference: f64,
    pub low: f64,
    pub high: f64,
    pub shares: [f64; 2],
}

pub fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors.json")).expect("vectors.json fits these types")
}

/// Fails unless two numbers agree to 1e-9, or to that share of the expected one where it is smaller than 1.
pub fn close(name: &str, actual: f64, expected: f64) {
    let tolerance = 1e-9 * expected.abs().clamp(1e-3, 1.0);
    assert!((actual - expected).abs() <= tolerance, "{name}: {actual} is not {expected}");
}
