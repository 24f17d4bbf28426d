//! Geometry of the figures; the page only draws.
//!
//! Curves live in a square of [`SIDE`] units with the origin at the top left, as SVG has it.

use serde::Serialize;

use super::{
    CellReport, Curve,
    numbers::{count, number},
    summary::{Group, usage},
};

/// Side of the square that curves are drawn in.
const SIDE: f64 = 300.0;

/// A scale with round ends that several intervals share.
pub(super) struct Axis {
    low: f64,
    high: f64,
}

/// An interval on an [`Axis`], in percent of its length.
#[derive(Serialize)]
pub(super) struct Strip {
    low: f64,
    value: f64,
    high: f64,
}

/// The curves of all cells for one positive class.
#[derive(Serialize)]
pub(super) struct CurveFigure {
    class: String,
    lines: Vec<CurveLine>,
}

#[derive(Serialize)]
struct CurveLine {
    model: String,
    usage: String,
    area: String,
    /// `x,y` pairs of an SVG polyline.
    points: String,
    colour: usize,
    dash: usize,
}

/// The reliability diagram of one cell.
#[derive(Serialize)]
pub(super) struct CalibrationFigure {
    model: String,
    usage: String,
    error: String,
    samples: String,
    bins: Vec<BinShape>,
}

#[derive(Serialize)]
struct BinShape {
    x: f64,
    width: f64,
    /// Height of the bar that counts predictions, as a share of the fullest bin.
    share: f64,
    confidence: f64,
    accuracy: f64,
    /// The place of perfect calibration.
    diagonal: f64,
    label: String,
}

impl Axis {
    /// The shortest axis that holds all values and starts and ends at a multiple of a power of ten.
    pub fn around(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = values
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return None;
        }
        let span = if high > low { high - low } else { low.abs().max(0.1) };
        let step = 10_f64.powf(span.log10().floor());
        let (low, high) = ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step);
        Some(if high > low { Self { low, high } } else { Self { low: low - step, high: low + step } })
    }

    /// Labels of the two ends.
    pub fn ends(&self) -> [String; 2] {
        let decimals = (-(self.high - self.low).log10().floor()).clamp(0.0, 6.0) as usize;
        [self.low, self.high].map(|end| format!("{:.decimals$}", if end == 0.0 { 0.0 } else { end }))
    }

    /// Places an interval; without ends it is a point.
    pub fn strip(&self, value: f64, low: Option<f64>, high: Option<f64>) -> Strip {
        let place = |v: f64| rounded((v - self.low) / (self.high - self.low) * 100.0);
        Strip { low: place(low.unwrap_or(value)), value: place(value), high: place(high.unwrap_or(value)) }
    }
}

/// One figure for each positive class, in the order in which the cells first name them; `curves` are those of a cell.
pub(super) fn curve_figures(group: &Group<'_>, curves: fn(&CellReport) -> &[Curve]) -> Vec<CurveFigure> {
    let mut figures: Vec<CurveFigure> = Vec::new();
    for (i, cell) in group.cells.iter().enumerate() {
        for curve in curves(cell).iter().filter(|c| !c.points.is_empty()) {
            let at = figures.iter().position(|f| f.class == curve.name).unwrap_or_else(|| {
                figures.push(CurveFigure { class: curve.name.clone(), lines: Vec::new() });
                figures.len() - 1
            });
            figures[at].lines.push(CurveLine {
                model: cell.model.clone(),
                usage: usage(cell),
                area: number(curve.area),
                points: polyline(&curve.points),
                colour: i % 8,
                dash: i / 8 % 4,
            });
        }
    }
    figures
}

/// The reliability diagram of a cell that has probabilities.
pub(super) fn calibration_figure(cell: &CellReport) -> Option<CalibrationFigure> {
    let calibration = cell.calibration.as_ref()?;
    let fullest = calibration.bins.iter().map(|b| b.count).max()? as f64;
    let shape = |bin: &super::CalibrationBin| BinShape {
        x: rounded(bin.low * SIDE),
        width: rounded((bin.high - bin.low) * SIDE),
        share: rounded(bin.count as f64 / fullest * 100.0) / 100.0,
        confidence: rounded(bin.confidence * SIDE),
        accuracy: rounded((1.0 - bin.accuracy) * SIDE),
        diagonal: rounded((1.0 - bin.confidence) * SIDE),
        label: format!(
            "{:.2} to {:.2}: {} predictions, confidence {:.3}, accuracy {:.3}",
            bin.low,
            bin.high,
            count(bin.count),
            bin.confidence,
            bin.accuracy
        ),
    };
    Some(CalibrationFigure {
        model: cell.model.clone(),
        usage: usage(cell),
        error: number(Some(calibration.error)),
        samples: count(calibration.bins.iter().map(|b| b.count).sum()),
        bins: calibration.bins.iter().map(shape).collect(),
    })
}

/// Points to a tenth of a unit; a curve of 100,000 samples keeps no more than can be seen.
fn polyline(points: &[(f64, f64)]) -> String {
    let mut placed: Vec<(f64, f64)> =
        points.iter().map(|(x, y)| (rounded(x * SIDE), rounded((1.0 - y) * SIDE))).collect();
    placed.dedup();
    placed.iter().map(|(x, y)| format!("{x},{y}")).collect::<Vec<_>>().join(" ")
}

fn rounded(v: f64) -> f64 {
    (v * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_round_and_holds_its_values() {
        for (values, ends) in [
            (vec![0.71, 0.93], ["0.7", "1.0"]),
            (vec![0.842, 0.897], ["0.84", "0.90"]),
            (vec![0.0, 1.0], ["0", "1"]),
            (vec![12.0, 57.0], ["10", "60"]),
            (vec![0.5], ["0.4", "0.6"]),
        ] {
            let axis = Axis::around(values.iter().copied()).expect("values");
            assert_eq!(axis.ends(), ends);
            for v in values {
                let place = axis.strip(v, None, None).value;
                assert!((0.0..=100.0).contains(&place), "{v} at {place}");
            }
        }
        assert!(Axis::around([f64::NAN].into_iter()).is_none());
    }

    #[test]
    fn a_dense_curve_is_thinned_to_what_can_be_seen() {
        let points: Vec<(f64, f64)> = (0..=100_000).map(|i| (i as f64 / 1e5, i as f64 / 1e5)).collect();
        let drawn = polyline(&points);
        assert!(drawn.starts_with("0,300 ") && drawn.ends_with(" 300,0"));
        assert!(drawn.split(' ').count() <= 6001);
    }
}
