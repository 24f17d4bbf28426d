//! Adapters that live in the host: heads on frozen features, as files in PEFT layout.

use std::{collections::BTreeMap, fs, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    ids::Usage,
};

mod clip_adapter;
mod features;
mod lbfgs;
mod linear_probe;

pub use clip_adapter::{ClipAdapter, ClipAdapterSettings};
pub use features::FeatureStore;
pub use linear_probe::{Fit, LinearProbe, STRENGTHS};

/// Features `[rows, columns]` with their labels.
#[derive(Debug, Clone, Copy)]
pub struct Examples<'a> {
    /// Width of a feature vector.
    pub columns: usize,
    /// `rows * columns` values.
    pub features: &'a [f32],
    /// The true classes of each row: one, or any number where labels are multi-label.
    pub labels: &'a [Vec<u32>],
}

/// `adapter_config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// `linear-probe` or `clip-adapter`.
    pub usage: Usage,
    /// Class names, in the order of the logits.
    pub classes: Vec<String>,
    /// Width of a feature vector.
    pub feature_dim: usize,
    /// Whether each class has a sigmoid of its own.
    pub multi_label: bool,
    /// Seed of everything random.
    pub seed: u64,
    /// How the adapter came about: strengths tried, losses, epochs.
    pub training: BTreeMap<String, serde_json::Value>,
}

/// A trained adapter of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Adapter {
    /// A linear head on features.
    LinearProbe(LinearProbe),
    /// A residual bottleneck on image features, compared with class embeddings.
    ClipAdapter(ClipAdapter),
}

const WEIGHTS: &str = "adapter_model.safetensors";
const CONFIG: &str = "adapter_config.json";

impl Adapter {
    /// Logits of one feature vector.
    pub fn logits(&self, features: &[f32]) -> Vec<f32> {
        match self {
            Self::LinearProbe(probe) => probe.logits(features),
            Self::ClipAdapter(adapter) => adapter.logits(features),
        }
    }

    /// Writes `adapter_model.safetensors` and `adapter_config.json` into a directory.
    pub fn save(&self, config: &Config, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let tensors = match self {
            Self::LinearProbe(probe) => probe.tensors(),
            Self::ClipAdapter(adapter) => adapter.tensors(),
        };
        let path = dir.join(WEIGHTS);
        let broken = |e: safetensors::SafeTensorError| Error::failed(format!("{}: {e}", path.display()));
        let views: Vec<(&str, TensorView<'_>)> = tensors
            .iter()
            .map(|t| {
                Ok((
                    t.name,
                    TensorView::new(Dtype::F32, t.shape.clone(), bytemuck::cast_slice(t.values)).map_err(broken)?,
                ))
            })
            .collect::<Result<_>>()?;
        let bytes = safetensors::serialize(views, None).map_err(broken)?;
        fs::write(&path, bytes).map_err(Error::io(&path))?;
        let path = dir.join(CONFIG);
        let text = serde_json::to_string_pretty(config).map_err(|e| Error::failed(e.to_string()))?;
        fs::write(&path, text + "\n").map_err(Error::io(&path))
    }

    /// Reads an adapter that [`Adapter::save`] wrote; a missing or misshapen tensor is an error naming it.
    pub fn load(dir: &Path) -> Result<(Self, Config)> {
        let path = dir.join(CONFIG);
        let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
        let config: Config = serde_json::from_str(&text)
            .map_err(|e| Error::invalid(&path, format!("no adapter of this program: {e}")))?;
        let path = dir.join(WEIGHTS);
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        let tensors =
            SafeTensors::deserialize(&bytes).map_err(|e| Error::invalid(&path, format!("no safetensors file: {e}")))?;
        let file = File { path: &path, tensors };
        let adapter = match config.usage {
            Usage::LinearProbe => Self::LinearProbe(LinearProbe::read(&file, &config)?),
            Usage::ClipAdapter => Self::ClipAdapter(ClipAdapter::read(&file, &config)?),
            other => {
                return Err(Error::invalid(
                    dir,
                    format!("an adapter for `{other}` belongs to a model plugin, not to the host"),
                ));
            }
        };
        Ok((adapter, config))
    }
}

/// A tensor to save.
struct Tensor<'a> {
    name: &'static str,
    shape: Vec<usize>,
    values: &'a [f32],
}

/// A file of tensors to read.
struct File<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
}

impl File<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor =
            self.tensors.tensor(name).map_err(|_| Error::invalid(self.path, format!("lacks the tensor `{name}`")))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            let (dtype, found) = (tensor.dtype(), tensor.shape());
            return Err(Error::invalid(self.path, format!("`{name}` is {dtype:?} {found:?}, expected F32 {shape:?}")));
        }
        let value = |chunk: &[u8]| f32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        Ok(tensor.data().chunks_exact(4).map(value).collect())
    }
}

/// Weights of the classes, `N / (n_c * C)`: each class counts the same however rare it is.
fn class_weights(labels: &[Vec<u32>], classes: usize) -> Vec<f64> {
    let mut counts = vec![0_usize; classes];
    for label in labels.iter().flatten() {
        counts[*label as usize] += 1;
    }
    let total = labels.len() as f64;
    counts.iter().map(|n| if *n == 0 { 0.0 } else { total / (*n as f64 * classes as f64) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(usage: Usage) -> Config {
        Config {
            usage,
            classes: vec!["a".into(), "b".into()],
            feature_dim: 3,
            multi_label: false,
            seed: 1,
            training: BTreeMap::new(),
        }
    }

    #[test]
    fn a_saved_adapter_loads_as_it_was() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let probe = Adapter::LinearProbe(LinearProbe {
            columns: 3,
            weight: vec![1.0, 2.0, 3.0, -1.0, 0.5, 0.25],
            bias: vec![0.1, -0.2],
        });
        probe.save(&config(Usage::LinearProbe), dir.path()).expect("saved");
        assert_eq!(Adapter::load(dir.path()).expect("loaded"), (probe, config(Usage::LinearProbe)));
    }

    #[test]
    fn a_misshapen_tensor_is_named() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let probe = Adapter::LinearProbe(LinearProbe { columns: 2, weight: vec![1.0; 4], bias: vec![0.0; 2] });
        probe.save(&config(Usage::LinearProbe), dir.path()).expect("saved");
        let error = Adapter::load(dir.path()).expect_err("refused").to_string();
        assert!(error.ends_with("`classifier.weight` is F32 [2, 2], expected F32 [2, 3]"), "{error}");
    }

    #[test]
    fn rare_classes_weigh_more() {
        let labels = [vec![0], vec![0], vec![0], vec![1]];
        assert_eq!(class_weights(&labels, 2), [4.0 / 6.0, 2.0]);
    }
}
