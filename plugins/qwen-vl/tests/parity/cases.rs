//! The committed cases: where they are, what they hold, and what must be true of each.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use plugin_api::{
    Array, Blob, Data, Decoding, ErrorKind, Events, Generation, Image, Inspect, Inspection, Model, Open, Request, Sink,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

const NEW: u32 = 24;

/// What the reference made of one case.
pub struct Case {
    name: String,
    pub requests: Vec<Golden>,
    arrays: HashMap<String, Tensor>,
}

/// A request and its answer.
#[derive(Deserialize)]
pub struct Golden {
    prompt: String,
    images: Vec<String>,
    raw: bool,
    pub prompt_ids: Vec<u32>,
    generated_ids: Vec<u32>,
    text: String,
    options: Vec<String>,
    rates: Vec<f32>,
}

impl Case {
    pub fn of(name: &str) -> Self {
        let requests = serde_json::from_str(&fs::read_to_string(dir(name).join("goldens.json")).unwrap()).unwrap();
        let arrays = candle_core::safetensors::load(dir(name).join("goldens.safetensors"), &Device::Cpu).unwrap();
        Self { name: name.into(), requests, arrays }
    }

    pub fn open(&self, dtype: &str, more: &[(&str, Value)]) -> Box<dyn Model> {
        open(&self.name, &dir(&self.name), dtype, merge(options(&self.name), more)).unwrap()
    }

    /// The answer to the request at `n`.
    pub fn inspect(&self, model: &dyn Model, n: usize) -> Inspection {
        let request = &self.requests[n];
        let decoded = images_of(&request.images);
        let inspect = Inspect { prompt: Some(request.prompt.clone()), raw: request.raw, ..inspection(NEW) };
        model.inspect(&inspect, &decoded.iter().map(view).collect::<Vec<_>>()).unwrap()
    }

    pub fn equals_the_reference(&self) {
        let model = self.open("f32", &[]);
        for (n, request) in self.requests.iter().enumerate() {
            let (found, name) = (self.inspect(&*model, n), &self.name);
            let generation = found.generation.as_ref().unwrap();
            assert_eq!(generation.prompt_ids, request.prompt_ids, "{name}: prompt {n}");
            assert_eq!(generation.generated_ids, request.generated_ids, "{name}: answer {n}");
            assert_eq!(generation.text, request.text, "{name}: text {n}");
            for (array, allowed) in [("pixel_values", 0.0), ("image_features", 1e-5), ("first_logits", 1e-5)] {
                if let Some(golden) = self.arrays.get(&format!("{array}.{n}")) {
                    let difference = difference(&tensor(find(&found, array)), golden);
                    let allowed = allowed * largest(golden);
                    assert!(difference <= allowed, "{name}: {array} of {n} differs by {difference}, above {allowed}");
                }
            }
        }
    }

    pub fn a_batch_equals_single_requests(&self) {
        for slots in [1, 2, 16] {
            let model = self.open("f32", &[("slots", json!(slots))]);
            let (images, requests) = self.batch();
            let views: Vec<_> = images.iter().map(view).collect();
            let decoding = Decoding { max_new_tokens: NEW, ..Default::default() };
            let answers = generate(&*model, &requests, &views, &decoding);
            assert_eq!(answers.len(), self.requests.len());
            for Generation { index, text, new_tokens, prompt_tokens, .. } in answers {
                let expected = &self.requests[index as usize];
                assert_eq!(text, expected.text, "{}, {slots} slots: answer {index}", self.name);
                let lengths = (prompt_tokens as usize, new_tokens as usize);
                assert_eq!(lengths, (expected.prompt_ids.len(), expected.generated_ids.len()), "{index}");
            }
        }
    }

    pub fn rates_options_as_the_reference(&self) {
        let (images, requests) = self.batch();
        let views: Vec<_> = images.iter().map(view).collect();
        let found = self.open("f32", &[]).choose(&requests, &views).unwrap();
        for (n, (found, request)) in found.iter().zip(&self.requests).enumerate() {
            for (found, expected) in found.iter().zip(&request.rates) {
                assert!((found - expected).abs() < 1e-3 * expected.abs(), "{}: {n}: {found}, {expected}", self.name);
            }
        }
    }

    pub fn half_precision_stays_near(&self) {
        for dtype in ["bf16", "f16"] {
            let model = self.open(dtype, &[]);
            for n in 0..self.requests.len() {
                let (found, golden) = (self.inspect(&*model, n), &self.arrays[&format!("first_logits.{n}")]);
                let difference = difference(&tensor(find(&found, "first_logits")), golden) / largest(golden);
                assert!(difference > 0.0 && difference < 0.2, "{} in {dtype}: {n}: {difference}", self.name);
            }
        }
    }

    /// All requests, and the images that they share.
    fn batch(&self) -> (Vec<RgbImage>, Vec<Request>) {
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
    root().join(name)
}

/// The options with which the script asked the reference.
pub fn options(name: &str) -> Map<String, Value> {
    match name {
        "qwen2_5_vl/square" => merge(Map::new(), &[("side", json!(40))]),
        _ => Map::new(),
    }
}

pub fn merge(mut options: Map<String, Value>, more: &[(&str, Value)]) -> Map<String, Value> {
    options.extend(more.iter().map(|(key, value)| (key.to_string(), value.clone())));
    options
}

/// Opens a case's directory, or a copy of it.
pub fn open(name: &str, dir: &Path, dtype: &str, options: Map<String, Value>) -> plugin_api::Result<Box<dyn Model>> {
    let request = Open { weights: Some(dir.to_path_buf()), dtype: dtype.into(), options, ..Default::default() };
    let open = match name.split('/').next() {
        Some("qwen2_vl") => qwen_vl::qwen2_vl::open,
        Some("qwen3_vl") => qwen_vl::qwen3_vl::open,
        _ => qwen_vl::qwen2_5_vl::open,
    };
    Ok(Box::new(open(request)?))
}

/// `file` in a copy of the checkpoint, changed, is why it is refused.
pub fn refused(name: &str, file: &str, change: impl FnOnce(&mut Value), reason: &str) {
    let dir = copy(name);
    edit(&dir, file, change);
    let error = open(name, dir.path(), "f32", options(name)).err();
    let error = error.unwrap_or_else(|| panic!("opened, where this was expected: {reason}"));
    assert_eq!(error.kind, ErrorKind::Config, "{error}");
    for part in [reason, dir.path().to_string_lossy().as_ref()] {
        assert!(error.message.contains(part), "`{}` lacks `{part}`", error.message);
    }
    assert!(!error.message.contains('\n'), "{}", error.message);
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
    let copied = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copied.path().join(path.file_name().unwrap())).unwrap();
    }
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

fn largest(tensor: &Tensor) -> f32 {
    tensor.abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity")
}
