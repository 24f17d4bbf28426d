//! The committed cases: where they are and what they hold.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use contrastive::clip::Clip;
use plugin_api::{Array, Data, Image, Inspect, Model, Open};

pub const CASES: [&str; 5] = ["modern", "legacy", "sharded", "sharded-bin", "defaults"];

/// A case with what the reference computed.
pub struct Case {
    pub dir: PathBuf,
    pub goldens: PathBuf,
}

/// A decoded image.
pub struct Decoded(image::RgbImage);

impl Case {
    pub fn new(name: &str) -> Self {
        let dir = root().join(name);
        Self { goldens: dir.join("goldens.safetensors"), dir }
    }

    pub fn open(&self, dtype: &str) -> Clip {
        open(&self.dir, dtype).unwrap()
    }

    pub fn golden(&self, name: &str) -> Option<Tensor> {
        candle_core::safetensors::load(&self.goldens, &Device::Cpu).unwrap().remove(name)
    }
}

impl Decoded {
    pub fn view(&self) -> Image<'_> {
        Image { width: self.0.width(), height: self.0.height(), rgb: self.0.as_raw() }
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/clip")
}

pub fn open(dir: &Path, dtype: &str) -> plugin_api::Result<Clip> {
    Clip::open(Open { weights: Some(dir.to_path_buf()), dtype: dtype.into(), ..Default::default() })
}

pub fn images() -> Vec<Decoded> {
    let names = inputs("images");
    names
        .iter()
        .map(|n| Decoded(image::open(root().join("images").join(format!("{n}.png"))).unwrap().to_rgb8()))
        .collect()
}

pub fn texts() -> Vec<String> {
    inputs("texts")
}

/// Everything that the model computes of the inputs, by name.
pub fn inspect(model: &impl Model, texts: &[String], images: &[Decoded]) -> Vec<(String, Array)> {
    let request = Inspect { texts: texts.to_vec(), ..Default::default() };
    model.inspect(&request, &images.iter().map(Decoded::view).collect::<Vec<_>>()).unwrap().arrays
}

/// Largest absolute difference of two tensors of one shape.
pub fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let difference = (a.to_dtype(DType::F32).unwrap() - b.to_dtype(DType::F32).unwrap()).unwrap();
    difference.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

pub fn tensor(array: &Array) -> Tensor {
    let Data::F32(values) = &array.data else { panic!("not f32") };
    let shape: Vec<usize> = array.shape.iter().map(|&n| n as usize).collect();
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

fn inputs(key: &str) -> Vec<String> {
    let file: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(root().join("inputs.json")).unwrap()).unwrap();
    serde_json::from_value(file[key].clone()).unwrap()
}
