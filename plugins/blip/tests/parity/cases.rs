//! The committed cases: where they are and what they hold.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use plugin_api::{Array, Data, Image, Inspect, Model, Open};
use serde_json::{Value, json};

/// Cases that score images with texts.
pub const SCORING: [&str; 4] = ["retrieval", "retrieval-bin", "blip2", "blip2-bin"];
/// Cases that do not.
pub const FEATURES: [&str; 2] = ["captioning", "answering"];

/// A decoded image.
pub struct Decoded(image::RgbImage);

impl Decoded {
    pub fn view(&self) -> Image<'_> {
        Image { width: self.0.width(), height: self.0.height(), rgb: self.0.as_raw() }
    }
}

pub fn dir(case: &str) -> PathBuf {
    path("blip").join(case)
}

pub fn golden(case: &str, name: &str) -> Option<Tensor> {
    load(&format!("blip/{case}/goldens.safetensors")).remove(name)
}

/// The tensors of a file below `tests/parity`.
pub fn load(file: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path(file), &Device::Cpu).unwrap()
}

/// Opens a case's directory, or a copy of it, with the option `score` where one is given.
pub fn open(case: &str, dir: &Path, dtype: &str, score: Option<&str>) -> plugin_api::Result<Box<dyn Model>> {
    let options = score.map(|score| ("score".to_string(), json!(score))).into_iter().collect();
    let request = Open { weights: Some(dir.to_path_buf()), dtype: dtype.into(), options, ..Default::default() };
    match case.starts_with("blip2") {
        true => Ok(Box::new(blip::blip2_itm::open(request)?)),
        false => blip::blip::open(request),
    }
}

pub fn model(case: &str, score: Option<&str>) -> Box<dyn Model> {
    open(case, &dir(case), "f32", score).unwrap()
}

pub fn images() -> Vec<Decoded> {
    let names: Value = read("clip/inputs.json");
    let names = names["images"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let path = |name: &str| self::path(&format!("clip/images/{name}.png"));
    names.map(|name| Decoded(image::open(path(name)).unwrap().to_rgb8())).collect()
}

pub fn texts() -> Vec<String> {
    read("blip/texts.json")
}

/// Everything that the model computes of the inputs, by name.
pub fn inspect(model: &dyn Model, texts: &[String], images: &[Decoded]) -> Vec<(String, Array)> {
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

/// A file or folder below `tests/parity`.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity").join(name)
}

/// JSON below `tests/parity`.
pub fn read<T: serde::de::DeserializeOwned>(path: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(self::path(path)).unwrap()).unwrap()
}
