//! The committed cases of a generative model: what a script asked the reference, and what it answered.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use plugin_api::{
    Array, Blob, Data, Decoding, ErrorKind, Events, Generation, Image, Inspect, Inspection, Model, Open, Request,
    Result, Sink,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Tokens of an answer.
pub const NEW: u32 = 24;

/// How an architecture is opened.
pub type Opening = fn(Open) -> Result<Box<dyn Model>>;

/// One checkpoint, and what the reference made of it.
pub struct Case {
    opening: Opening,
    pub dir: PathBuf,
    pub requests: Vec<Golden>,
    arrays: HashMap<String, Tensor>,
}

/// A request and its answer.
#[derive(Deserialize)]
pub struct Golden {
    pub prompt: String,
    pub images: Vec<String>,
    pub raw: bool,
    /// Options of the row.
    #[serde(default)]
    pub row: Map<String, Value>,
    pub prompt_ids: Vec<u32>,
    pub generated_ids: Vec<u32>,
    pub text: String,
    pub options: Vec<String>,
    pub rates: Vec<f32>,
}

impl Case {
    /// The case in `tests/parity/NAME`.
    pub fn new(name: &str, opening: Opening) -> Self {
        let dir = root().join(name);
        let arrays = candle_core::safetensors::load(dir.join("goldens.safetensors"), &Device::Cpu).unwrap();
        let requests = serde_json::from_str(&fs::read_to_string(dir.join("goldens.json")).unwrap()).unwrap();
        Self { opening, dir, requests, arrays }
    }

    pub fn open(&self, dir: &Path, dtype: &str, options: &Map<String, Value>) -> Result<Box<dyn Model>> {
        let options = options.clone();
        (self.opening)(Open { weights: Some(dir.to_path_buf()), dtype: dtype.into(), options, ..Default::default() })
    }

    /// The model for requests with these options.
    pub fn model(&self, options: &Map<String, Value>) -> Box<dyn Model> {
        self.open(&self.dir, "f32", options).unwrap()
    }

    /// Ids, texts, pixels, vectors and logits.
    pub fn equals_the_reference(&self) {
        for (n, request) in self.requests.iter().enumerate() {
            let (found, what) = (inspect(&*self.model(&request.row), request), self.what(n));
            let generation = found.generation.as_ref().unwrap();
            assert_eq!(generation.prompt_ids, request.prompt_ids, "{what}: prompt");
            assert_eq!(generation.generated_ids, request.generated_ids, "{what}: answer");
            assert_eq!(generation.text, request.text, "{what}: text");
            for (array, allowed) in [("pixel_values", 0.0), ("image_features", 2e-5), ("first_logits", 2e-5)] {
                if let Some(golden) = self.arrays.get(&format!("{array}.{n}")) {
                    let difference = difference(&tensor(&found, array), golden);
                    let allowed = allowed * largest(golden);
                    assert!(difference <= allowed, "{what}: {array} differs by {difference}, above {allowed}");
                }
            }
        }
    }

    /// One batch of all requests without options, in fewer and in more slots than it has requests.
    pub fn batches_equal_singles(&self) {
        for slots in [1, 2, 16] {
            let model = self.model(&Map::from_iter([("slots".into(), json!(slots))]));
            let (images, requests) = self.batch();
            let views: Vec<_> = images.iter().map(view).collect();
            let answers = generate(&*model, &requests, &views);
            assert_eq!(answers.len(), requests.len());
            for Generation { index, text, new_tokens, prompt_tokens, .. } in answers {
                let (expected, what) = (&self.requests[index as usize], self.what(index as usize));
                assert_eq!(text, expected.text, "{what}, {slots} slots");
                let lengths = (prompt_tokens as usize, new_tokens as usize);
                assert_eq!(lengths, (expected.prompt_ids.len(), expected.generated_ids.len()), "{what}");
            }
        }
    }

    /// How likely the options are, in logarithms.
    pub fn options_are_as_likely(&self) {
        let (images, requests) = self.batch();
        let views: Vec<_> = images.iter().map(view).collect();
        for (request, found) in requests.iter().zip(self.model(&Map::new()).choose(&requests, &views).unwrap()) {
            let expected = &self.requests[request.index as usize].rates;
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-3 * expected.abs(), "{}: {found} for {expected}", request.prompt);
            }
        }
    }

    /// Rounded weights give other logits, but not by much.
    pub fn half_precision_stays_near(&self) {
        for dtype in ["bf16", "f16"] {
            let model = self.open(&self.dir, dtype, &Map::new()).unwrap();
            for (n, request) in self.plain() {
                let (found, golden) = (inspect(&*model, request), &self.arrays[&format!("first_logits.{n}")]);
                let difference = difference(&tensor(&found, "first_logits"), golden) / largest(golden);
                assert!(
                    difference > 0.0 && difference < 0.2,
                    "{} in {dtype}: {difference} of the largest",
                    self.what(n)
                );
            }
        }
    }

    /// The values that the checkpoint holds.
    pub fn stored(&self, file: &str) -> usize {
        let tensors = candle_core::safetensors::load(self.dir.join(file), &Device::Cpu).unwrap();
        tensors.values().map(Tensor::elem_count).sum()
    }

    /// A copy of the checkpoint, to be changed.
    pub fn copy(&self) -> TempDir {
        let copied = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(&self.dir).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copied.path().join(path.file_name().unwrap())).unwrap();
        }
        copied
    }

    /// Refuses a changed checkpoint with one sentence that names `file` and has `reason`.
    pub fn refuses(&self, dir: &TempDir, file: &str, reason: &str) {
        let error = self.open(dir.path(), "f32", &Map::new()).err();
        let error = error.unwrap_or_else(|| panic!("opened, where this was expected: {reason}"));
        assert_eq!(error.kind, ErrorKind::Config, "{error}");
        let path = if file.is_empty() { dir.path().to_path_buf() } else { dir.path().join(file) };
        for part in [reason, path.to_string_lossy().as_ref()] {
            assert!(error.message.contains(part), "`{}` lacks `{part}`", error.message);
        }
        assert!(!error.message.contains('\n'), "{}", error.message);
    }

    /// The requests without options, with their places.
    fn plain(&self) -> impl Iterator<Item = (usize, &Golden)> {
        self.requests.iter().enumerate().filter(|(_, request)| request.row.is_empty())
    }

    /// Those requests, and the images that they share.
    fn batch(&self) -> (Vec<RgbImage>, Vec<Request>) {
        let mut names: Vec<&String> = self.plain().flat_map(|(_, request)| &request.images).collect();
        names.sort();
        names.dedup();
        let request = |(index, golden): (usize, &Golden)| Request {
            index: index as u32,
            prompt: golden.prompt.clone(),
            raw: golden.raw,
            images: golden.images.iter().map(|image| names.binary_search(&image).unwrap() as u32).collect(),
            options: golden.options.clone(),
        };
        (images_of(&names), self.plain().map(request).collect())
    }

    fn what(&self, n: usize) -> String {
        format!("{}, request {n}", self.dir.display())
    }
}

pub fn inspect(model: &dyn Model, request: &Golden) -> Inspection {
    ask(model, &request.prompt, request.raw, &request.images).unwrap()
}

pub fn ask(model: &dyn Model, prompt: &str, raw: bool, images: &[impl AsRef<str>]) -> Result<Inspection> {
    let decoded = images_of(images);
    let decoding = Decoding { max_new_tokens: NEW, ..Default::default() };
    let inspect = Inspect { prompt: Some(prompt.into()), raw, decoding, ..Default::default() };
    model.inspect(&inspect, &decoded.iter().map(view).collect::<Vec<_>>())
}

/// Answers, in the order in which they were finished.
pub fn generate(model: &dyn Model, requests: &[Request], images: &[Image<'_>]) -> Vec<Generation> {
    let heard = Heard::default();
    let decoding = Decoding { max_new_tokens: NEW, ..Default::default() };
    model.generate(requests, images, &decoding, &Sink::new(&heard)).unwrap();
    heard.0.into_inner().unwrap()
}

#[derive(Default)]
struct Heard(Mutex<Vec<Generation>>);

impl Events for Heard {
    fn event(&self, op: &str, header: &str, _: &[Blob<'_>]) -> Result<(String, Vec<Array>)> {
        if op == plugin_api::message::event::FINISHED {
            self.0.lock().unwrap().push(serde_json::from_str(header).unwrap());
        }
        Ok(Default::default())
    }
}

pub fn images_of(names: &[impl AsRef<str>]) -> Vec<RgbImage> {
    let path = |name: &str| root().join("clip/images").join(format!("{name}.png"));
    names.iter().map(|name| image::open(path(name.as_ref())).unwrap().to_rgb8()).collect()
}

pub fn view(image: &RgbImage) -> Image<'_> {
    Image { width: image.width(), height: image.height(), rgb: image.as_raw() }
}

/// Changes a JSON file in a copy.
pub fn edit(dir: &TempDir, file: &str, change: impl FnOnce(&mut Value)) {
    let path = dir.path().join(file);
    let mut content = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut content);
    fs::write(path, content.to_string()).unwrap();
}

/// Changes the tensors in a copy.
pub fn edit_tensors(dir: &TempDir, file: &str, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
    let path = dir.path().join(file);
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, &path).unwrap();
}

pub fn tensor(inspection: &Inspection, name: &str) -> Tensor {
    let array = &inspection.arrays.iter().find(|(found, _)| found == name).unwrap().1;
    let Data::F32(values) = &array.data else { panic!("not f32") };
    let shape: Vec<usize> = array.shape.iter().map(|&n| n as usize).collect();
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

/// Largest absolute difference of two tensors of one shape.
pub fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    largest(&(a.to_dtype(DType::F32).unwrap() - b.to_dtype(DType::F32).unwrap()).unwrap())
}

fn largest(a: &Tensor) -> f32 {
    a.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity")
}
