//! Krippendorff's alpha for interval data (Krippendorff 2011, "Computing Krippendorff's alpha-reliability").

use std::iter::Sum;

/// What alpha needs of any number of units: sums, so that resamples cost one addition a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Agreement {
    /// Ratings of units that have at least two.
    ratings: f64,
    sum: f64,
    squares: f64,
    /// Squared differences within units, each weighted by the number of the unit's ratings less one.
    within: f64,
    /// Smallest and greatest rating.
    range: Option<(f64, f64)>,
}

impl Agreement {
    /// One unit with its ratings; fewer than two say nothing about agreement.
    pub fn of(ratings: impl Iterator<Item = f64>) -> Self {
        let ratings: Vec<f64> = ratings.collect();
        if ratings.len() < 2 {
            return Self::default();
        }
        let count = ratings.len() as f64;
        let between: f64 = ratings.iter().flat_map(|a| ratings.iter().map(move |b| (a - b) * (a - b))).sum();
        let (low, high) = ratings.iter().fold((f64::MAX, f64::MIN), |(low, high), r| (low.min(*r), high.max(*r)));
        Self {
            ratings: count,
            sum: ratings.iter().sum(),
            squares: ratings.iter().map(|r| r * r).sum(),
            within: between / (count - 1.0),
            range: Some((low, high)),
        }
    }

    /// 1 less the ratio of observed and expected disagreement; none where all ratings are equal or nothing is rated
    /// twice.
    pub fn alpha(self) -> Option<f64> {
        let varied = self.range.is_some_and(|(low, high)| low < high);
        let pairs = 2.0 * (self.ratings * self.squares - self.sum * self.sum);
        (varied && pairs > 0.0).then(|| 1.0 - (self.ratings - 1.0) * self.within / pairs)
    }
}

impl Sum for Agreement {
    fn sum<I: Iterator<Item = Self>>(units: I) -> Self {
        units.fold(Self::default(), |a, b| Self {
            ratings: a.ratings + b.ratings,
            sum: a.sum + b.sum,
            squares: a.squares + b.squares,
            within: a.within + b.within,
            range: match (a.range, b.range) {
                (Some((low, high)), Some((other_low, other_high))) => Some((low.min(other_low), high.max(other_high))),
                (one, other) => one.or(other),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use scorer_kit::serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(crate = "scorer_kit::serde")]
    struct Vector {
        units: Vec<Vec<Option<f64>>>,
        alpha: f64,
    }

    fn alpha(units: &[Vec<Option<f64>>]) -> Option<f64> {
        units.iter().map(|ratings| Agreement::of(ratings.iter().copied().flatten())).sum::<Agreement>().alpha()
    }

    /// `alpha.json` holds values of the package `krippendorff`; `scorers/vectors_judged.py` makes it.
    #[test]
    fn alpha_is_that_of_the_reference() {
        let vectors: Vec<Vector> = serde_json::from_str(include_str!("../alpha.json")).expect("valid JSON");
        assert!(vectors.len() >= 5);
        for (number, vector) in vectors.iter().enumerate() {
            let ours = alpha(&vector.units).expect("defined");
            assert!((ours - vector.alpha).abs() < 1e-12, "vector {number}: {ours} is not {}", vector.alpha);
        }
    }

    #[test]
    fn without_variation_or_a_second_rater_there_is_no_alpha() {
        assert_eq!(alpha(&[vec![Some(0.3), Some(0.3)], vec![Some(0.3), Some(0.3)]]), None);
        assert_eq!(alpha(&[vec![Some(0.1)], vec![Some(0.2), None]]), None);
        assert_eq!(alpha(&[]), None);
        assert_eq!(alpha(&[vec![Some(0.0), Some(0.0)], vec![Some(1.0), Some(1.0)]]), Some(1.0));
    }
}
