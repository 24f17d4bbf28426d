//! Linear probe: multinomial logistic regression on frozen features.
//!
//! Full-batch and convex, so its result depends on neither a seed nor a learning rate. Features are standardised while
//! fitting, classes weigh `N / (n_c * C)`, and the L2 strength is the one of [`STRENGTHS`] with the lowest weighted
//! loss on the validation split.

use rayon::prelude::*;

use super::{Config, Examples, File, Tensor, class_weights, lbfgs};
use crate::error::Result;

/// L2 strengths that are tried: factors of half the squared norm of the standardised weights, beside the mean loss.
pub const STRENGTHS: [f64; 7] = [1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];

const ITERATIONS: usize = 300;
const TOLERANCE: f64 = 1e-6;

/// Rows that one thread sums up before partial sums are added in order: the same for any number of threads.
const CHUNK: usize = 512;

/// A linear head: `logits = weight x + bias`.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearProbe {
    /// Width of a feature vector.
    pub columns: usize,
    /// `[classes, columns]`.
    pub weight: Vec<f32>,
    /// `[classes]`.
    pub bias: Vec<f32>,
}

/// A fitted head and how it was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The head.
    pub probe: LinearProbe,
    /// The chosen L2 strength.
    pub strength: f64,
    /// Validation loss of each strength that was tried, in the order of [`STRENGTHS`].
    pub validation: Vec<f64>,
}

impl LinearProbe {
    /// Fits on `train`; `validation` chooses among `strengths`, of which there is at least one.
    pub fn fit(
        train: Examples<'_>,
        validation: Examples<'_>,
        classes: usize,
        multi_label: bool,
        strengths: &[f64],
    ) -> Fit {
        let scale = Standard::of(train);
        let weights = class_weights(train.labels, classes);
        let rows = scale.rows(train);
        let objective = Objective {
            columns: train.columns,
            rows: &rows,
            labels: train.labels,
            classes,
            multi_label,
            weights: &weights,
        };
        // From strong to weak: each solution is a good start for the next.
        let mut point = vec![0.0; classes * (train.columns + 1)];
        let mut tried: Vec<(f64, LinearProbe)> = Vec::new();
        for strength in strengths {
            (point, _) = lbfgs::minimise(point, ITERATIONS, TOLERANCE, |point| objective.evaluate(point, *strength));
            let probe = scale.unscale(&point, classes);
            tried.push((probe.loss(validation, multi_label, &weights), probe));
        }
        let losses: Vec<f64> = tried.iter().map(|(loss, _)| *loss).collect();
        let best = (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap_or_default();
        Fit { strength: strengths[best], validation: losses, probe: tried.swap_remove(best).1 }
    }

    /// Logits of one feature vector.
    pub fn logits(&self, features: &[f32]) -> Vec<f32> {
        let row = |(weight, bias): (&[f32], &f32)| {
            let sum: f64 = weight.iter().zip(features).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
            (sum + f64::from(*bias)) as f32
        };
        self.weight.chunks(self.columns).zip(&self.bias).map(row).collect()
    }

    pub(super) fn tensors(&self) -> Vec<Tensor<'_>> {
        vec![
            Tensor { name: "classifier.weight", shape: vec![self.bias.len(), self.columns], values: &self.weight },
            Tensor { name: "classifier.bias", shape: vec![self.bias.len()], values: &self.bias },
        ]
    }

    pub(super) fn read(file: &File<'_>, config: &Config) -> Result<Self> {
        let (classes, columns) = (config.classes.len(), config.feature_dim);
        let weight = file.tensor("classifier.weight", &[classes, columns])?;
        Ok(Self { columns, weight, bias: file.tensor("classifier.bias", &[classes])? })
    }

    fn loss(&self, examples: Examples<'_>, multi_label: bool, weights: &[f64]) -> f64 {
        let rows = examples.features.chunks(self.columns.max(1)).zip(examples.labels);
        let (mut total, mut weight) = (0.0, 0.0);
        for (features, labels) in rows {
            let logits: Vec<f64> = self.logits(features).into_iter().map(f64::from).collect();
            let (loss, w, _) = sample_loss(&logits, labels, multi_label, weights);
            total += loss;
            weight += w;
        }
        if weight > 0.0 { total / weight } else { 0.0 }
    }
}

/// Mean and inverse deviation of each column of the training features.
struct Standard {
    mean: Vec<f64>,
    inverse: Vec<f64>,
}

impl Standard {
    fn of(examples: Examples<'_>) -> Self {
        let rows = examples.labels.len().max(1) as f64;
        let mut mean = vec![0.0; examples.columns];
        for row in examples.features.chunks(examples.columns) {
            mean.iter_mut().zip(row).for_each(|(m, x)| *m += f64::from(*x) / rows);
        }
        let mut variance = vec![0.0; examples.columns];
        for row in examples.features.chunks(examples.columns) {
            variance.iter_mut().zip(row).zip(&mean).for_each(|((v, x), m)| *v += (f64::from(*x) - m).powi(2) / rows);
        }
        // A constant column carries nothing; it is left out rather than blown up.
        let inverse = variance.iter().map(|v| if *v > 1e-24 { 1.0 / v.sqrt() } else { 0.0 }).collect();
        Self { mean, inverse }
    }

    fn rows(&self, examples: Examples<'_>) -> Vec<f64> {
        let scale = |((x, m), s): ((&f32, &f64), &f64)| (f64::from(*x) - m) * s;
        examples
            .features
            .par_chunks(examples.columns)
            .flat_map_iter(|row| row.iter().zip(&self.mean).zip(&self.inverse).map(scale))
            .collect()
    }

    /// The head on plain features that equals `point` on standardised ones.
    fn unscale(&self, point: &[f64], classes: usize) -> LinearProbe {
        let columns = self.mean.len();
        let (weights, biases) = point.split_at(classes * columns);
        let weight: Vec<f64> =
            weights.chunks(columns).flat_map(|row| row.iter().zip(&self.inverse).map(|(w, s)| w * s)).collect();
        let bias = weight
            .chunks(columns)
            .zip(biases)
            .map(|(row, b)| (b - row.iter().zip(&self.mean).map(|(w, m)| w * m).sum::<f64>()) as f32);
        LinearProbe { columns, bias: bias.collect(), weight: weight.iter().map(|w| *w as f32).collect() }
    }
}

/// Weighted mean loss plus the L2 term, over parameters `[classes x columns weights, classes biases]`.
struct Objective<'a> {
    columns: usize,
    rows: &'a [f64],
    labels: &'a [Vec<u32>],
    classes: usize,
    multi_label: bool,
    weights: &'a [f64],
}

impl Objective<'_> {
    fn evaluate(&self, point: &[f64], strength: f64) -> (f64, Vec<f64>) {
        let (matrix, bias) = point.split_at(self.classes * self.columns);
        let partials: Vec<(f64, f64, Vec<f64>)> = self
            .rows
            .par_chunks(CHUNK * self.columns)
            .zip(self.labels.par_chunks(CHUNK))
            .map(|(rows, labels)| self.chunk(rows, labels, matrix, bias))
            .collect();
        let mut gradient = vec![0.0; point.len()];
        let (mut loss, mut weight) = (0.0, 0.0);
        for (l, w, g) in &partials {
            loss += l;
            weight += w;
            gradient.iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
        }
        let weight = weight.max(f64::MIN_POSITIVE);
        gradient.iter_mut().for_each(|g| *g /= weight);
        gradient.iter_mut().zip(matrix).for_each(|(g, w)| *g += strength * w);
        let norm: f64 = matrix.iter().map(|w| w * w).sum();
        (loss / weight + 0.5 * strength * norm, gradient)
    }

    fn chunk(&self, rows: &[f64], labels: &[Vec<u32>], matrix: &[f64], bias: &[f64]) -> (f64, f64, Vec<f64>) {
        let mut gradient = vec![0.0; (self.columns + 1) * self.classes];
        let (mut loss, mut weight) = (0.0, 0.0);
        let mut logits = vec![0.0; self.classes];
        for (row, labels) in rows.chunks(self.columns).zip(labels) {
            for ((logit, w), b) in logits.iter_mut().zip(matrix.chunks(self.columns)).zip(bias) {
                *logit = b + dot(w, row);
            }
            let (l, w, slopes) = sample_loss(&logits, labels, self.multi_label, self.weights);
            loss += l;
            weight += w;
            let (weights, biases) = gradient.split_at_mut(self.classes * self.columns);
            for ((slope, g), b) in slopes.iter().zip(weights.chunks_mut(self.columns)).zip(biases) {
                g.iter_mut().zip(row).for_each(|(g, x)| *g += slope * x);
                *b += slope;
            }
        }
        (loss, weight, gradient)
    }
}

/// Weighted loss of one sample, its weight, and the slope of the weighted loss for each logit.
fn sample_loss(logits: &[f64], labels: &[u32], multi_label: bool, weights: &[f64]) -> (f64, f64, Vec<f64>) {
    if multi_label {
        // Each class is a question of its own; the mean over classes keeps the scale of the single-label loss.
        let share = 1.0 / logits.len() as f64;
        let mut loss = 0.0;
        let slopes = logits.iter().enumerate().map(|(class, z)| {
            let truth = f64::from(u8::from(labels.contains(&(class as u32))));
            loss += share * (z.max(0.0) - z * truth + (-z.abs()).exp().ln_1p());
            share * (1.0 / (1.0 + (-z).exp()) - truth)
        });
        let slopes = slopes.collect();
        return (loss, 1.0, slopes);
    }
    let truth = labels.first().map_or(0, |l| *l as usize);
    let weight = weights[truth];
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|z| (z - highest).exp()).sum();
    let loss = highest + sum.ln() - logits[truth];
    let slope = |(class, z): (usize, &f64)| weight * ((z - highest).exp() / sum - f64::from(u8::from(class == truth)));
    (weight * loss, weight, logits.iter().enumerate().map(slope).collect())
}

/// Eight running sums let the compiler use vector registers; their order is fixed.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_body, a_tail) = a.as_chunks::<8>();
    let (b_body, b_tail) = b.as_chunks::<8>();
    for (x, y) in a_body.iter().zip(b_body) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let tail: f64 = a_tail.iter().zip(b_tail).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two classes in three columns; the second column is on another scale, the third carries nothing.
    fn examples() -> (Vec<f32>, Vec<Vec<u32>>) {
        let mut features = Vec::new();
        let mut labels = Vec::new();
        for i in 0..60_u32 {
            let class = u32::from(i % 3 == 0);
            let noise = f64::from(i * 7919 % 101) / 101.0 - 0.5;
            let other = f64::from(i * 104_729 % 97) / 97.0 - 0.5;
            features.extend([
                (f64::from(class) + 1.6 * noise) as f32,
                (1000.0 * other + 300.0 * f64::from(class)) as f32,
                5.0,
            ]);
            labels.push(vec![class]);
        }
        (features, labels)
    }

    /// Minimises the same objective by plain gradient descent, far more slowly, as an independent check.
    #[test]
    fn the_solution_is_the_minimum_of_the_weighted_loss() {
        let (features, labels) = examples();
        let data = Examples { columns: 3, features: &features, labels: &labels };
        let fit = LinearProbe::fit(data, data, 2, false, &[0.01]);
        let scale = Standard::of(data);
        let rows = scale.rows(data);
        let weights = class_weights(&labels, 2);
        let objective =
            Objective { columns: 3, rows: &rows, labels: &labels, classes: 2, multi_label: false, weights: &weights };
        let mut point = vec![0.0; 8];
        for _ in 0..20_000 {
            let (_, gradient) = objective.evaluate(&point, 0.01);
            point.iter_mut().zip(gradient).for_each(|(x, g)| *x -= 0.5 * g);
        }
        let expected = scale.unscale(&point, 2);
        // Only differences of the two rows matter to a softmax.
        let margin = |p: &LinearProbe| {
            let w: Vec<f32> = (0..3).map(|c| p.weight[3 + c] - p.weight[c]).collect();
            (w, p.bias[1] - p.bias[0])
        };
        let ((w, b), (v, c)) = (margin(&fit.probe), margin(&expected));
        w.iter().zip(&v).for_each(|(x, y)| assert!((x - y).abs() < 1e-4 * (1.0 + y.abs()), "{w:?} {v:?}"));
        assert!((b - c).abs() < 1e-3, "{b} {c}");
    }

    #[test]
    fn slopes_are_the_derivative_of_the_loss() {
        let weights = [0.7, 1.9, 1.0];
        for (labels, multi_label) in [(vec![1], false), (vec![0, 2], true), (vec![], true)] {
            let logits = [0.3, -1.2, 0.8];
            let (_, _, slopes) = sample_loss(&logits, &labels, multi_label, &weights);
            for class in 0..3 {
                let moved = |step: f64| {
                    let mut z = logits;
                    z[class] += step;
                    sample_loss(&z, &labels, multi_label, &weights).0
                };
                let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((slopes[class] - slope).abs() < 1e-8, "{labels:?} {class}");
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (features, labels) = examples();
        let data = Examples { columns: 3, features: &features, labels: &labels };
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| LinearProbe::fit(data, data, 2, false, &STRENGTHS))
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn a_strength_is_chosen_on_the_validation_split() {
        let (features, labels) = examples();
        let train = Examples { columns: 3, features: &features[..60], labels: &labels[..20] };
        let validation = Examples { columns: 3, features: &features[60..], labels: &labels[20..] };
        let fit = LinearProbe::fit(train, validation, 2, false, &STRENGTHS);
        let lowest = fit.validation.iter().copied().fold(f64::INFINITY, f64::min);
        let chosen = STRENGTHS.iter().position(|s| *s == fit.strength).expect("one of them");
        assert_eq!(fit.validation[chosen], lowest);
    }
}
