//! Limited-memory BFGS for smooth convex functions.
//!
//! Source: Nocedal and Wright, *Numerical Optimization* (2006), algorithms 7.4 and 7.5, with a backtracking line
//! search on the Armijo condition.

/// Pairs of steps that approximate the curvature.
const MEMORY: usize = 10;

/// Minimises `f`, which returns value and gradient, from `start`. Ends when no gradient component exceeds
/// `tolerance`, when no step improves, or after `iterations`.
pub fn minimise(
    start: Vec<f64>,
    iterations: usize,
    tolerance: f64,
    f: impl Fn(&[f64]) -> (f64, Vec<f64>),
) -> (Vec<f64>, f64) {
    let mut point = start;
    let (mut value, mut gradient) = f(&point);
    let mut memory: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for _ in 0..iterations {
        if gradient.iter().all(|g| g.abs() <= tolerance) {
            break;
        }
        let direction = direction(&gradient, &memory);
        let slope = dot(&direction, &gradient);
        // The first step has no curvature to go by: its length is that of the gradient, at most one.
        let mut length = if memory.is_empty() { (1.0 / dot(&gradient, &gradient).sqrt()).min(1.0) } else { 1.0 };
        let mut accepted = None;
        for _ in 0..40 {
            let trial: Vec<f64> = point.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            let (trial_value, trial_gradient) = f(&trial);
            if trial_value <= value + 1e-4 * length * slope {
                accepted = Some((trial, trial_value, trial_gradient));
                break;
            }
            length *= 0.5;
        }
        let Some((next, next_value, next_gradient)) = accepted else { break };
        let step = difference(&next, &point);
        let change = difference(&next_gradient, &gradient);
        if dot(&step, &change) > 1e-12 * dot(&change, &change) {
            if memory.len() == MEMORY {
                memory.remove(0);
            }
            memory.push((step, change));
        }
        (point, value, gradient) = (next, next_value, next_gradient);
    }
    (point, value)
}

/// The quasi-Newton descent direction, by the two-loop recursion.
fn direction(gradient: &[f64], memory: &[(Vec<f64>, Vec<f64>)]) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut factors = Vec::with_capacity(memory.len());
    for (step, change) in memory.iter().rev() {
        let alpha = dot(step, &q) / dot(step, change);
        add(&mut q, -alpha, change);
        factors.push(alpha);
    }
    if let Some((step, change)) = memory.last() {
        let scale = dot(step, change) / dot(change, change);
        q.iter_mut().for_each(|x| *x *= scale);
    }
    for ((step, change), alpha) in memory.iter().zip(factors.iter().rev()) {
        let beta = dot(change, &q) / dot(step, change);
        add(&mut q, alpha - beta, step);
    }
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn add(to: &mut [f64], factor: f64, what: &[f64]) {
    to.iter_mut().zip(what).for_each(|(x, y)| *x += factor * y);
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(x, y)| x - y).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ill_conditioned_quadratic_is_solved() {
        let scales = [1.0, 100.0, 0.01, 10.0];
        let target = [1.0, -2.0, 3.0, 0.5];
        let f = |x: &[f64]| {
            let terms = x.iter().zip(scales).zip(target).map(|((x, s), t)| 0.5 * s * (x - t) * (x - t));
            let gradient = x.iter().zip(scales).zip(target).map(|((x, s), t)| s * (x - t)).collect();
            (terms.sum(), gradient)
        };
        let (point, value) = minimise(vec![0.0; 4], 200, 1e-10, f);
        assert!(value < 1e-15, "{value}");
        point.iter().zip(target).for_each(|(x, t)| assert!((x - t).abs() < 1e-6, "{point:?}"));
    }
}
