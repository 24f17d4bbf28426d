//! Intervals from the values of a metric on bootstrap draws.

use statrs::distribution::{ContinuousCDF, Normal};

/// Central interval of a bootstrap distribution, such as `level` 0.95 for the 2.5th and 97.5th percentile.
///
/// Equals `numpy.percentile` with its default linear interpolation. An undefined resample is NaN and is left out;
/// the result is `None` when no resample is defined.
pub fn percentile_interval(values: &[f64], level: f64) -> Option<(f64, f64)> {
    let sorted = defined(values);
    let tail = (1.0 - level) / 2.0;
    Some((quantile(&sorted, tail)?, quantile(&sorted, 1.0 - tail)?))
}

/// Bias-corrected and accelerated interval: percentiles that are moved by the median bias of the `values` against
/// the `estimate` on all samples, and by the skewness of the `jackknife`, the estimates without one cluster each.
///
/// Equals `scipy.stats.bootstrap(method="BCa")` on the same resamples (Efron, *Better Bootstrap Confidence
/// Intervals*, 1987). Undefined values are NaN and are left out. `None` where the correction is undefined: no
/// value, no jackknife, or all values on one side of the estimate.
pub fn bca_interval(values: &[f64], estimate: f64, jackknife: &[f64], level: f64) -> Option<(f64, f64)> {
    let (sorted, jackknife) = (defined(values), defined(jackknife));
    if sorted.first()? == sorted.last()? && sorted[0] == estimate {
        return Some((estimate, estimate));
    }
    let below = sorted.iter().filter(|v| **v < estimate).count();
    let equal = sorted.iter().filter(|v| **v == estimate).count();
    let normal = Normal::standard();
    let bias = normal.inverse_cdf((2 * below + equal) as f64 / (2 * sorted.len()) as f64);
    let acceleration = acceleration(&jackknife)?;
    let tail = (1.0 - level) / 2.0;
    let end = |tail: f64| {
        let z = bias + normal.inverse_cdf(tail);
        let place = normal.cdf(bias + z / (1.0 - acceleration * z));
        if place.is_nan() { None } else { quantile(&sorted, place) }
    };
    bias.is_finite().then_some(())?;
    Some((end(tail)?, end(1.0 - tail)?))
}

/// Skewness of the influence of each cluster, divided by 6; 0 where none has any influence.
fn acceleration(jackknife: &[f64]) -> Option<f64> {
    if jackknife.is_empty() {
        return None;
    }
    let mean = jackknife.iter().sum::<f64>() / jackknife.len() as f64;
    let sum = |power: i32| jackknife.iter().map(|value| (mean - value).powi(power)).sum::<f64>();
    let squares = sum(2);
    Some(if squares > 0.0 { sum(3) / (6.0 * squares.powf(1.5)) } else { 0.0 })
}

fn defined(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let place = q.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    let t = place.fract();
    // NumPy counts from the nearer end, which keeps the result monotonic.
    Some(if t < 0.5 { low + (high - low) * t } else { high - (high - low) * (1.0 - t) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::vectors::{close, vectors};

    #[test]
    fn intervals_equal_numpy() {
        let values = [0.35, 0.24, f64::NAN, 1.0, 0.64, 0.0, 0.19, 0.16, 0.01, 0.06];
        for (level, low, high) in LEVELS {
            let got = percentile_interval(&values, level).expect("defined values");
            assert!((got.0 - low).abs() < 1e-14 && (got.1 - high).abs() < 1e-14, "{level}: {got:?}");
        }
        assert_eq!(percentile_interval(&[f64::NAN], 0.95), None);
        assert_eq!(percentile_interval(&[0.5], 0.95), Some((0.5, 0.5)));
    }

    /// `numpy.percentile(values, [50 * (1 - level), 50 * (1 + level)])`.
    const LEVELS: [(f64, f64, f64); 3] = [
        (0.95, 0.0020000000000000018, 0.9279999999999999),
        (0.9, 0.003999999999999999, 0.8559999999999999),
        (0.5, 0.06, 0.35),
    ];

    #[test]
    fn bca_equals_scipy() {
        let cases = vectors().bca;
        assert!(cases.len() >= 4);
        for case in cases {
            let (low, high) =
                bca_interval(&case.values, case.estimate, &case.jackknife, case.level).expect("an interval");
            close(&case.name, low, case.low);
            close(&case.name, high, case.high);
        }
    }

    #[test]
    fn bca_without_bias_and_skewness_is_the_percentile_interval() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        let (low, high) = bca_interval(&values, 50.0, &[1.0, 2.0, 3.0], 0.9).expect("an interval");
        close("low", low, 5.0);
        close("high", high, 95.0);
    }

    #[test]
    fn bca_is_undefined_where_its_correction_is() {
        assert_eq!(bca_interval(&[1.0, 2.0], 3.0, &[1.0, 2.0], 0.95), None);
        assert_eq!(bca_interval(&[1.0, 2.0], 1.5, &[], 0.95), None);
        assert_eq!(bca_interval(&[f64::NAN], 1.5, &[1.0], 0.95), None);
        assert_eq!(bca_interval(&[1.0, 1.0], 1.0, &[1.0, 1.0], 0.95), Some((1.0, 1.0)));
    }
}
