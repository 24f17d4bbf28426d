//! Seeded trainable variables.

use std::{
    collections::BTreeMap,
    f64::consts::TAU,
    sync::{Mutex, PoisonError},
};

use candle_core::{Device, Shape, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Init;
use crate::{Error, Result};

/// Variables made on request. candle's own generator cannot be seeded on the CPU, so values come from ChaCha.
pub struct Fresh(Mutex<State>);

struct State {
    rng: ChaCha8Rng,
    vars: BTreeMap<String, Var>,
}

impl Fresh {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(State { rng: ChaCha8Rng::seed_from_u64(seed), vars: BTreeMap::new() }))
    }

    pub fn get(&self, name: String, shape: Shape, init: Init, device: &Device) -> Result<Tensor> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(var) = state.vars.get(&name) {
            return match var.shape() == &shape {
                true => Ok(var.as_tensor().clone()),
                false => Err(Error::Setting(format!("variable `{name}` is used as {:?} and {shape:?}", var.shape()))),
            };
        }
        let values = (0..shape.elem_count()).map(|_| draw(&mut state.rng, init) as f32).collect::<Vec<_>>();
        let var = Var::from_vec(values, shape, device)?;
        let tensor = var.as_tensor().clone();
        state.vars.insert(name, var);
        Ok(tensor)
    }

    pub fn vars(&self) -> Vec<(String, Var)> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.vars.iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }
}

/// One value; the normal distribution by Box and Muller.
fn draw(rng: &mut ChaCha8Rng, init: Init) -> f64 {
    match init {
        Init::Constant(value) => value,
        Init::Normal(std) => {
            let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
            std * radius * (TAU * rng.random::<f64>()).cos()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(seed: u64) -> Vec<f32> {
        let fresh = Fresh::new(seed);
        fresh.get("w".into(), 4000.into(), Init::Normal(0.5), &Device::Cpu).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn seeded_and_normal() {
        assert_eq!(values(7), values(7));
        assert_ne!(values(7), values(8));
        let v = values(7);
        let mean = v.iter().sum::<f32>() / v.len() as f32;
        let std = (v.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / v.len() as f32).sqrt();
        assert!(mean.abs() < 0.03 && (std - 0.5).abs() < 0.03, "mean {mean}, std {std}");
    }

    #[test]
    fn one_variable_for_one_name() {
        let fresh = Fresh::new(1);
        let get = |shape: usize| fresh.get("w".into(), shape.into(), Init::Constant(1.0), &Device::Cpu);
        assert_eq!(get(3).unwrap().id(), get(3).unwrap().id());
        assert!(get(4).unwrap_err().to_string().contains("`w`"));
    }
}
