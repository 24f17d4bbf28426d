//! CLIP-Adapter: a residual bottleneck on image features.
//!
//! `x' = r * relu(W2 relu(W1 x)) + (1 - r) * x` with `W1: c -> c/4`, `W2: c/4 -> c`, no biases; the logit of a class is
//! the model's scale times the cosine of `x'` and the class's text embedding. Source: Gao et al., *CLIP-Adapter*
//! (IJCV 2024).

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

use super::{Config, Examples, File, Tensor, class_weights};
use crate::error::Result;

/// Share of the adapted features.
pub const RATIO: f32 = 0.2;

/// Factor by which the bottleneck is narrower than the features.
const REDUCTION: usize = 4;

/// How to train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClipAdapterSettings {
    /// Passes over the training split; the pass with the lowest validation loss is kept.
    pub epochs: u32,
    /// Samples of a step.
    pub batch: usize,
    /// Learning rate of AdamW, decayed linearly to zero.
    pub learning_rate: f32,
    /// Seed of initial weights and order.
    pub seed: u64,
}

/// A trained adapter with the class embeddings that it was trained against.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipAdapter {
    /// Width `c` of a feature vector.
    pub columns: usize,
    /// `[c/4, c]`.
    pub down: Vec<f32>,
    /// `[c, c/4]`.
    pub up: Vec<f32>,
    /// `[classes, c]`, of unit length.
    pub classes: Vec<f32>,
    /// Factor of the cosine.
    pub scale: f32,
}

impl Default for ClipAdapterSettings {
    fn default() -> Self {
        Self { epochs: 50, batch: 32, learning_rate: 1e-3, seed: 0 }
    }
}

/// What a forward pass leaves for the backward pass.
struct Trace {
    hidden: Vec<f32>,
    adapted: Vec<f32>,
    blended: Vec<f32>,
    norm: f32,
    logits: Vec<f32>,
}

impl ClipAdapter {
    /// Trains against class embeddings `[classes, columns]` of unit length. Returns the adapter of the best epoch
    /// and the validation loss of each epoch; epoch 0 is the untrained model.
    pub fn fit(
        train: Examples<'_>,
        validation: Examples<'_>,
        classes: &[f32],
        scale: f32,
        settings: ClipAdapterSettings,
    ) -> (Self, Vec<f32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
        let mut adapter = Self::initial(train.columns, classes, scale, &mut rng);
        let weights: Vec<f32> =
            class_weights(train.labels, classes.len() / train.columns).iter().map(|w| *w as f32).collect();
        let mut losses = vec![adapter.loss(validation, &weights)];
        let mut best = adapter.clone();
        let mut moments = [Moments::new(adapter.down.len()), Moments::new(adapter.up.len())];
        let mut order: Vec<usize> = (0..train.labels.len()).collect();
        let steps = settings.epochs as usize * order.len().div_ceil(settings.batch);
        let mut step = 0;
        for _ in 0..settings.epochs {
            shuffle(&mut order, &mut rng);
            for batch in order.chunks(settings.batch) {
                let rate = settings.learning_rate * (1.0 - step as f32 / steps as f32);
                step += 1;
                let (down, up) = adapter.gradient(train, batch, &weights);
                moments[0].update(&mut adapter.down, &down, rate, step);
                moments[1].update(&mut adapter.up, &up, rate, step);
            }
            let loss = adapter.loss(validation, &weights);
            if losses.iter().all(|earlier| loss < *earlier) {
                best.clone_from(&adapter);
            }
            losses.push(loss);
        }
        (best, losses)
    }

    /// Logits of one feature vector.
    pub fn logits(&self, features: &[f32]) -> Vec<f32> {
        self.forward(features).logits
    }

    pub(super) fn tensors(&self) -> Vec<Tensor<'_>> {
        let (columns, width) = (self.columns, self.width());
        vec![
            Tensor { name: "adapter.down.weight", shape: vec![width, columns], values: &self.down },
            Tensor { name: "adapter.up.weight", shape: vec![columns, width], values: &self.up },
            Tensor { name: "classes", shape: vec![self.classes.len() / columns, columns], values: &self.classes },
            Tensor { name: "logit_scale", shape: vec![1], values: std::slice::from_ref(&self.scale) },
        ]
    }

    pub(super) fn read(file: &File<'_>, config: &Config) -> Result<Self> {
        let columns = config.feature_dim;
        let width = (columns / REDUCTION).max(1);
        Ok(Self {
            columns,
            down: file.tensor("adapter.down.weight", &[width, columns])?,
            up: file.tensor("adapter.up.weight", &[columns, width])?,
            classes: file.tensor("classes", &[config.classes.len(), columns])?,
            scale: file.tensor("logit_scale", &[1])?[0],
        })
    }

    /// Kaiming-uniform weights, as `torch.nn.Linear` has them.
    fn initial(columns: usize, classes: &[f32], scale: f32, rng: &mut ChaCha8Rng) -> Self {
        let width = (columns / REDUCTION).max(1);
        let mut uniform = |count: usize, fan_in: usize| {
            let bound = 1.0 / (fan_in as f32).sqrt();
            (0..count).map(|_| bound * (2.0 * (rng.next_u32() >> 8) as f32 / (1 << 24) as f32 - 1.0)).collect()
        };
        let down = uniform(width * columns, columns);
        let up = uniform(columns * width, width);
        Self { columns, down, up, classes: classes.to_vec(), scale }
    }

    fn width(&self) -> usize {
        (self.columns / REDUCTION).max(1)
    }

    fn forward(&self, features: &[f32]) -> Trace {
        let hidden: Vec<f32> = self.down.chunks(self.columns).map(|row| dot(row, features).max(0.0)).collect();
        let adapted: Vec<f32> = self.up.chunks(self.width()).map(|row| dot(row, &hidden).max(0.0)).collect();
        let blended: Vec<f32> = adapted.iter().zip(features).map(|(a, x)| RATIO * a + (1.0 - RATIO) * x).collect();
        let norm = dot(&blended, &blended).sqrt().max(f32::MIN_POSITIVE);
        let logits = self.classes.chunks(self.columns).map(|class| self.scale * dot(class, &blended) / norm).collect();
        Trace { hidden, adapted, blended, norm, logits }
    }

    fn loss(&self, examples: Examples<'_>, weights: &[f32]) -> f32 {
        let (mut total, mut weight) = (0.0, 0.0);
        for (features, labels) in examples.features.chunks(self.columns).zip(examples.labels) {
            let truth = labels.first().map_or(0, |l| *l as usize);
            let logits = self.logits(features);
            total += weights[truth] * (log_sum(&logits) - logits[truth]);
            weight += weights[truth];
        }
        if weight > 0.0 { total / weight } else { 0.0 }
    }

    /// Gradient of the weighted mean loss of a batch for `down` and `up`.
    fn gradient(&self, examples: Examples<'_>, batch: &[usize], weights: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut down, mut up) = (vec![0.0; self.down.len()], vec![0.0; self.up.len()]);
        let truth = |row: usize| examples.labels[row].first().map_or(0, |l| *l as usize);
        let total: f32 = batch.iter().map(|row| weights[truth(*row)]).sum();
        for row in batch {
            let features = &examples.features[row * self.columns..(row + 1) * self.columns];
            let trace = self.forward(features);
            let share = weights[truth(*row)] / total.max(f32::MIN_POSITIVE);
            let log_sum = log_sum(&trace.logits);
            let mut blended = vec![0.0; self.columns];
            for (class, (logit, embedding)) in trace.logits.iter().zip(self.classes.chunks(self.columns)).enumerate() {
                let slope = share * ((logit - log_sum).exp() - f32::from(u8::from(class == truth(*row))));
                // d cos(x, t) / dx = (t - x (x·t) / |x|²) / |x|, and logit = scale * cos.
                let along = logit / self.scale / trace.norm;
                for ((g, t), x) in blended.iter_mut().zip(embedding).zip(&trace.blended) {
                    *g += slope * self.scale * (t - along * x) / trace.norm;
                }
            }
            let mut hidden = vec![0.0; trace.hidden.len()];
            for (column, g) in blended.iter().enumerate().filter(|(column, _)| trace.adapted[*column] > 0.0) {
                let slope = RATIO * g;
                let weights = column * hidden.len()..(column + 1) * hidden.len();
                for ((out, w), (h, back)) in
                    up[weights.clone()].iter_mut().zip(&self.up[weights]).zip(trace.hidden.iter().zip(&mut hidden))
                {
                    *out += slope * h;
                    *back += slope * w;
                }
            }
            for (unit, slope) in hidden.iter().enumerate().filter(|(unit, _)| trace.hidden[*unit] > 0.0) {
                let weights = &mut down[unit * self.columns..(unit + 1) * self.columns];
                weights.iter_mut().zip(features).for_each(|(out, x)| *out += slope * x);
            }
        }
        (down, up)
    }
}

/// State of AdamW without weight decay.
struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Moments {
    fn new(count: usize) -> Self {
        Self { first: vec![0.0; count], second: vec![0.0; count] }
    }

    fn update(&mut self, weights: &mut [f32], gradient: &[f32], rate: f32, step: usize) {
        const BETAS: (f32, f32) = (0.9, 0.999);
        let (a, b) = (1.0 - BETAS.0.powi(step as i32), 1.0 - BETAS.1.powi(step as i32));
        for (((w, g), m), v) in weights.iter_mut().zip(gradient).zip(&mut self.first).zip(&mut self.second) {
            *m = BETAS.0 * *m + (1.0 - BETAS.0) * g;
            *v = BETAS.1 * *v + (1.0 - BETAS.1) * g * g;
            *w -= rate * (*m / a) / ((*v / b).sqrt() + 1e-8);
        }
    }
}

fn shuffle(order: &mut [usize], rng: &mut ChaCha8Rng) {
    for last in (1..order.len()).rev() {
        order.swap(last, ((u64::from(rng.next_u32()) * (last as u64 + 1)) >> 32) as usize);
    }
}

fn log_sum(logits: &[f32]) -> f32 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    highest + logits.iter().map(|z| (z - highest).exp()).sum::<f32>().ln()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(rows: u32, columns: usize) -> (Vec<f32>, Vec<Vec<u32>>) {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut features = Vec::new();
        let mut labels = Vec::new();
        for row in 0..rows {
            let class = row % 2;
            features.extend((0..columns).map(|c| {
                (rng.next_u32() % 2000) as f32 / 1000.0 - 1.0 + if c as u32 % 2 == class { 0.4 } else { 0.0 }
            }));
            labels.push(vec![class]);
        }
        (features, labels)
    }

    fn embeddings(columns: usize) -> Vec<f32> {
        let length = (columns as f32).sqrt();
        [vec![1.0 / length; columns], (0..columns).map(|c| if c < columns / 2 { -1.0 } else { 1.0 } / length).collect()]
            .concat()
    }

    #[test]
    fn the_gradient_is_the_derivative_of_the_loss() {
        let columns = 8;
        let (features, labels) = examples(6, columns);
        let data = Examples { columns, features: &features, labels: &labels };
        let weights = [0.8, 1.3];
        let adapter = ClipAdapter::initial(columns, &embeddings(columns), 5.0, &mut ChaCha8Rng::seed_from_u64(1));
        let (down, up) = adapter.gradient(data, &[0, 1, 2, 3, 4, 5], &weights);
        let moved = |change: &dyn Fn(&mut ClipAdapter, f32)| {
            let at = |step: f32| {
                let mut moved = adapter.clone();
                change(&mut moved, step);
                f64::from(moved.loss(data, &weights))
            };
            (at(1e-2) - at(-1e-2)) / 2e-2
        };
        for (i, analytic) in down.iter().enumerate() {
            let slope = moved(&|a, step| a.down[i] += step);
            assert!((f64::from(*analytic) - slope).abs() < 2e-3, "down {i}: {analytic} {slope}");
        }
        for (i, analytic) in up.iter().enumerate() {
            let slope = moved(&|a, step| a.up[i] += step);
            assert!((f64::from(*analytic) - slope).abs() < 2e-3, "up {i}: {analytic} {slope}");
        }
    }

    #[test]
    fn training_lowers_the_loss_and_repeats_with_its_seed() {
        let columns = 16;
        let (features, labels) = examples(80, columns);
        let train = Examples { columns, features: &features[..60 * columns], labels: &labels[..60] };
        let validation = Examples { columns, features: &features[60 * columns..], labels: &labels[60..] };
        let settings =
            ClipAdapterSettings { epochs: 100, learning_rate: 1e-2, seed: 3, ..ClipAdapterSettings::default() };
        let (adapter, losses) = ClipAdapter::fit(train, validation, &embeddings(columns), 10.0, settings);
        assert!(losses.iter().copied().fold(f32::INFINITY, f32::min) < 0.97 * losses[0], "{losses:?}");
        assert_eq!(ClipAdapter::fit(train, validation, &embeddings(columns), 10.0, settings), (adapter, losses));
    }
}
