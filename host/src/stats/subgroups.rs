//! Groups of samples, such as the sexes of the patients, and how far apart a metric is on them.

use std::collections::BTreeMap;

/// The samples that share a value of a group column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subgroup {
    /// The value.
    pub value: String,
    /// Positions of the samples, ascending.
    pub positions: Vec<u32>,
}

/// The groups at both ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// Number of the group with the worst value, the first of equal ones.
    pub worst: usize,
    /// Number of the group with the best value, the first of equal ones.
    pub best: usize,
    /// Distance between the two, never negative.
    pub gap: f64,
}

/// The groups of a column, one value for each sample, in the order of the values; a sample without a value is in none.
pub fn subgroups(values: &[Option<&str>]) -> Vec<Subgroup> {
    let mut groups: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (position, value) in (0..).zip(values) {
        if let Some(value) = value {
            groups.entry(value).or_default().push(position);
        }
    }
    groups.into_iter().map(|(value, positions)| Subgroup { value: value.into(), positions }).collect()
}

/// The worst and the best group by a metric; groups without a value are left out. `None` with fewer than two values.
pub fn gap(values: &[Option<f64>], higher_is_better: bool) -> Option<Gap> {
    let defined: Vec<(usize, f64)> = values.iter().enumerate().filter_map(|(i, v)| Some((i, (*v)?))).collect();
    let extreme = |greatest: bool| {
        let beats = |a: f64, b: f64| if greatest { a > b } else { a < b };
        defined.iter().copied().reduce(|kept, next| if beats(next.1, kept.1) { next } else { kept })
    };
    let (best, worst) = (extreme(higher_is_better)?, extreme(!higher_is_better)?);
    (defined.len() > 1).then(|| Gap { worst: worst.0, best: best.0, gap: (best.1 - worst.1).abs() })
}

/// Equity-scaled value of a metric: `overall / (1 + Σ |overall − group|)`, which rewards equal groups (Luo et al.,
/// *FairCLIP: Harnessing Fairness in Vision-Language Learning*, 2024, for the AUROC). Groups without a value are left
/// out; `None` with fewer than two values.
pub fn equity_scaled(overall: f64, groups: &[Option<f64>]) -> Option<f64> {
    let distances: Vec<f64> = groups.iter().flatten().map(|group| (overall - group).abs()).collect();
    (distances.len() > 1).then(|| overall / (1.0 + distances.iter().sum::<f64>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_the_positions_of_their_value() {
        let groups = subgroups(&[Some("m"), None, Some("f"), Some("m")]);
        let group = |value: &str, positions: &[u32]| Subgroup { value: value.into(), positions: positions.into() };
        assert_eq!(groups, [group("f", &[2]), group("m", &[0, 3])]);
        assert_eq!(subgroups(&[None]), []);
    }

    #[test]
    fn the_gap_lies_between_the_worst_and_the_best_group() {
        let values = [Some(0.75), None, Some(0.5), Some(1.0), Some(0.5)];
        assert_eq!(gap(&values, true), Some(Gap { worst: 2, best: 3, gap: 0.5 }));
        assert_eq!(gap(&values, false), Some(Gap { worst: 3, best: 2, gap: 0.5 }));
        assert_eq!(gap(&[None, Some(0.5)], true), None);
        assert_eq!(gap(&[], true), None);
    }

    #[test]
    fn equity_scaling_is_that_of_fairclip() {
        // 0.72 / (1 + 0.02 + 0.05 + 0.07), the distances from 0.70, 0.77 and 0.65.
        let scaled = equity_scaled(0.72, &[Some(0.70), Some(0.77), None, Some(0.65)]).expect("groups");
        assert!((scaled - 0.72 / 1.14).abs() < 1e-12, "{scaled}");
        assert_eq!(equity_scaled(0.5, &[Some(0.5), Some(0.5)]), Some(0.5));
        assert_eq!(equity_scaled(0.5, &[Some(0.5)]), None);
    }
}
