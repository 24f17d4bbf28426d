//! The committed cases: where they are and what they hold.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use plugin_api::{
    Array, Blob, Data, Decoding, Events, Generation, Image, Inspect, Inspection, Model, Open, Request, Sink,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Every way to lay a checkpoint out.
pub const CASES: [&str; 3] = ["medgemma", "inner", "old"];

/// What the reference made of one case.
pub struct Case {
    name: String,
    pub requests: Vec<Golden>,
}

/// A request and its answer.
#[derive(Deserialize)]
pub struct Golden {
    pub prompt: String,
    pub images: Vec<String>,
    pub raw: bool,
    pub prompt_ids: Vec<u32>,
    pub generated_ids: Vec<u32>,
    pub text: String,
    pub options: Vec<String>,
    pub rates: Vec<f32>,
}

impl Case {
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(dir(name).join("goldens.json")).unwrap();
        Self { name: name.into(), requests: serde_json::from_str(&text).unwrap() }
    }

    pub fn golden(&self, name: &str) -> Option<Tensor> {
        let path = dir(&self.name).join("goldens.safetensors");
        candle_core::safetensors::load(path, &Device::Cpu).unwrap().remove(name)
    }

    /// The answer to the request at `n`.
    pub fn inspect(&self, model: &dyn Model, n: usize) -> Inspection {
        let request = &self.requests[n];
        let decoded = images_of(&request.images);
        let inspect = Inspect { prompt: Some(request.prompt.clone()), raw: request.raw, ..inspection(24) };
        model.inspect(&inspect, &decoded.iter().map(view).collect::<Vec<_>>()).unwrap()
    }

    /// All requests, and the images that they share.
    pub fn batch(&self) -> (Vec<RgbImage>, Vec<Request>) {
        let mut names: Vec<&String> = self.requests.iter().flat_map(|request| &request.images).collect();
        names.sort();
        names.dedup();
        let request = |(index, golden): (usize, &Golden)| Request {
            index: index as u32,
            prompt: golden.prompt.clone(),
            raw: golden.raw,
            images: golden.images.iter().map(|image| names.binary_search(&image).unwrap() as u32).collect(),
            options: golden.options.clone(),
        };
        (images_of(&names), self.requests.iter().enumerate().map(request).collect())
    }
}

pub fn dir(name: &str) -> PathBuf {
    root().join("gemma3").join(name)
}

/// The options with which the script asked the reference.
pub fn options(name: &str) -> Map<String, Value> {
    match name {
        "medgemma" => {
            let system = "You are an expert on understanding medical images.";
            merge(Map::new(), &[("system", json!(system))])
        }
        "inner" => merge(Map::new(), &[("text_first", json!(true))]),
        _ => Map::new(),
    }
}

pub fn merge(mut options: Map<String, Value>, more: &[(&str, Value)]) -> Map<String, Value> {
    options.extend(more.iter().map(|(key, value)| (key.to_string(), value.clone())));
    options
}

/// Opens a case's directory, or a copy of it.
pub fn open(dir: &Path, dtype: &str, options: Map<String, Value>) -> plugin_api::Result<Box<dyn Model>> {
    let request = Open { weights: Some(dir.to_path_buf()), dtype: dtype.into(), options, ..Default::default() };
    Ok(Box::new(gemma::gemma3::open(request)?))
}

pub fn model(name: &str) -> Box<dyn Model> {
    open(&dir(name), "f32", options(name)).unwrap()
}

pub fn inspection(max_new_tokens: u32) -> Inspect {
    Inspect { decoding: Decoding { max_new_tokens, ..Default::default() }, ..Default::default() }
}

pub fn images_of(names: &[impl AsRef<str>]) -> Vec<RgbImage> {
    let path = |name: &str| root().join("clip/images").join(format!("{name}.png"));
    names.iter().map(|name| image::open(path(name.as_ref())).unwrap().to_rgb8()).collect()
}

pub fn view(image: &RgbImage) -> Image<'_> {
    Image { width: image.width(), height: image.height(), rgb: image.as_raw() }
}

/// Answers, in the order in which they were finished.
pub fn generate(model: &dyn Model, requests: &[Request], images: &[Image<'_>], decoding: &Decoding) -> Vec<Generation> {
    let heard = Heard::default();
    model.generate(requests, images, decoding, &Sink::new(&heard)).unwrap();
    heard.0.into_inner().unwrap()
}

#[derive(Default)]
struct Heard(Mutex<Vec<Generation>>);

impl Events for Heard {
    fn event(&self, op: &str, header: &str, _: &[Blob<'_>]) -> plugin_api::Result<(String, Vec<Array>)> {
        if op == plugin_api::message::event::FINISHED {
            self.0.lock().unwrap().push(serde_json::from_str(header).unwrap());
        }
        Ok(Default::default())
    }
}

/// A copy of a case, to be changed.
pub fn copy(name: &str) -> TempDir {
    fn fill(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let target = to.join(path.file_name().unwrap());
            if path.is_dir() {
                fs::create_dir(&target).unwrap();
                fill(&path, &target);
            } else {
                fs::copy(&path, target).unwrap();
            }
        }
    }
    let copied = tempfile::tempdir().unwrap();
    fill(&dir(name), copied.path());
    copied
}

/// Changes a JSON file in a copy.
pub fn edit(dir: &TempDir, file: &str, change: impl FnOnce(&mut Value)) {
    let path = dir.path().join(file);
    let mut content = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut content);
    fs::write(path, content.to_string()).unwrap();
}

pub fn find<'a>(inspection: &'a Inspection, name: &str) -> &'a Array {
    &inspection.arrays.iter().find(|(found, _)| found == name).unwrap().1
}

pub fn tensor(array: &Array) -> Tensor {
    let Data::F32(values) = &array.data else { panic!("not f32") };
    let shape: Vec<usize> = array.shape.iter().map(|&n| n as usize).collect();
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

/// Largest absolute difference of two tensors of one shape.
pub fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    largest(&(a.to_dtype(DType::F32).unwrap() - b.to_dtype(DType::F32).unwrap()).unwrap())
}

/// Largest absolute value.
pub fn largest(a: &Tensor) -> f32 {
    a.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity")
}
