//! The best of several against the best of several others, when the choice is part of the chance.

use super::percentile_interval;

/// Distance between the best of two sides, with what the draws say of it.
#[derive(Debug, Clone, PartialEq)]
pub struct BestDifference {
    /// Positions of the best ones on all samples.
    pub best: [usize; 2],
    /// Their values.
    pub values: [f64; 2],
    /// Share of the defined draws in which each is the best one too.
    pub shares: [f64; 2],
    /// First less second; second less first where a smaller value is better.
    pub difference: f64,
    /// Percentile interval of that distance, the best ones chosen anew in every draw.
    pub interval: Option<(f64, f64)>,
    /// Draws in which both sides have a value.
    pub draws: usize,
}

/// Compares the best candidate of one side with that of the other. A candidate is a list of values: the first on all samples,
/// the others on draws, the same draws for all; NaN is an undefined value. Of equal candidates the first counts as the best.
///
/// `None` where a side has no value on all samples.
pub fn best_difference(sides: [&[Vec<f64>]; 2], higher_is_better: bool, level: f64) -> Option<BestDifference> {
    let beats = |a: f64, b: f64| if higher_is_better { a > b } else { a < b };
    let best_at = |side: &[Vec<f64>], draw: usize| {
        let values = side.iter().enumerate().filter_map(|(i, values)| Some((i, *values.get(draw)?)));
        let defined = values.filter(|(_, value)| !value.is_nan());
        defined.reduce(|kept, next| if beats(next.1, kept.1) { next } else { kept })
    };
    let distance = |first: f64, second: f64| if higher_is_better { first - second } else { second - first };
    let (first, second) = (best_at(sides[0], 0)?, best_at(sides[1], 0)?);
    let length = sides.iter().flat_map(|side| side.iter()).map(Vec::len).max().unwrap_or_default();
    let drawn: Vec<_> = (1..length).filter_map(|draw| best_at(sides[0], draw).zip(best_at(sides[1], draw))).collect();
    let differences: Vec<f64> = drawn.iter().map(|(a, b)| distance(a.1, b.1)).collect();
    let share = |count: usize| if drawn.is_empty() { 0.0 } else { count as f64 / drawn.len() as f64 };
    Some(BestDifference {
        best: [first.0, second.0],
        values: [first.1, second.1],
        shares: [
            share(drawn.iter().filter(|(a, _)| a.0 == first.0).count()),
            share(drawn.iter().filter(|(_, b)| b.0 == second.0).count()),
        ],
        difference: distance(first.1, second.1),
        interval: percentile_interval(&differences, level),
        draws: drawn.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::vectors::{close, vectors};

    #[test]
    fn the_choice_is_repeated_in_every_draw_as_by_numpy() {
        let cases = vectors().best;
        assert!(cases.len() >= 3);
        for case in cases {
            let sides = [case.first.as_slice(), case.second.as_slice()];
            let found = best_difference(sides, case.higher_is_better, case.level).expect("defined");
            close(&case.name, found.difference, case.difference);
            let (low, high) = found.interval.expect("draws");
            close(&case.name, low, case.low);
            close(&case.name, high, case.high);
            close(&case.name, found.shares[0], case.shares[0]);
            close(&case.name, found.shares[1], case.shares[1]);
        }
    }

    #[test]
    fn undefined_values_are_never_the_best() {
        let nan = f64::NAN;
        let first = [vec![nan, 0.9, 0.1], vec![0.5, nan, nan]];
        let second = [vec![0.25, 0.5, nan]];
        let found = best_difference([&first, &second], true, 0.9).expect("defined");
        assert_eq!((found.best, found.difference, found.draws), ([1, 0], 0.25, 1));
        assert_eq!((found.shares, found.interval), ([0.0, 1.0], Some((0.4, 0.4))));
        assert_eq!(best_difference([&first[..1], &second], true, 0.9), None);
        assert_eq!(best_difference([&[], &second], true, 0.9), None);
    }
}
