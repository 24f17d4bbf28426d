//! The committed cases: where they are, what they hold, and what must be true of each.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use candle_core::{DType, Device, Tensor};
use plugin_api::{
    Array, Data, Decoding, ErrorKind, Generation, Image, Inspect, Inspection, Model, Open, Request, Result, Sink,
    tensor::Blob,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Logits and features may differ by this share of the largest.
const TOLERANCE: f32 = 1e-4;
const NEW: u32 = 24;

/// A checkpoint and its goldens.
pub struct Case {
    architecture: String,
    pub dir: PathBuf,
    requests: Vec<Value>,
    arrays: HashMap<String, Tensor>,
}

impl Case {
    pub fn of(name: &str) -> Self {
        let dir = root().join(name);
        let arrays = candle_core::safetensors::load(dir.join("goldens.safetensors"), &Device::Cpu).unwrap();
        let requests = json_file(&dir.join("goldens.json")).as_array().unwrap().clone();
        Self { architecture: name.split('/').next().unwrap().into(), dir, requests, arrays }
    }

    pub fn open(&self, options: &Value) -> Result<Box<dyn Model>> {
        open(&self.architecture, &self.dir, options, "f32")
    }

    pub fn inspect(&self, model: &dyn Model, request: &Value) -> Result<Inspection> {
        let images = images(request);
        let inspect = Inspect {
            prompt: Some(request["text"].as_str().unwrap().into()),
            raw: request["raw"] == json!(true),
            decoding: Decoding { max_new_tokens: NEW, ..Decoding::default() },
            ..Inspect::default()
        };
        model.inspect(&inspect, &images.iter().map(view).collect::<Vec<_>>())
    }

    /// Pixels, features, prompts, logits, tokens and texts.
    pub fn equals_the_reference(&self) {
        for (n, request) in self.requests.iter().enumerate() {
            let model = self.open(&request["options"]).unwrap();
            let found = self.inspect(&*model, request).unwrap();
            let (arrays, generation) = (found.arrays.into_iter().collect::<HashMap<_, _>>(), found.generation.unwrap());
            let what = format!("{} request {n}", self.dir.display());
            assert_eq!(json!(generation.prompt_ids), request["prompt_ids"], "{what}");
            if let Some(tiles) = self.arrays.get(&format!("tiles.{n}")) {
                assert_eq!(arrays["pixel_values"], self.pixels(tiles), "{what}");
                self.close(&arrays, "image_features", n, TOLERANCE);
            }
            self.close(&arrays, "first_logits", n, TOLERANCE);
            assert_eq!(json!(generation.generated_ids), request["generated_ids"], "{what}");
            assert_eq!(json!(generation.text), request["answer"], "{what}");
        }
    }

    /// All requests at once, in any company, against each alone.
    pub fn a_batch_equals_single_requests(&self) {
        let plain: Vec<&Value> = self.requests.iter().filter(|r| r["options"].is_null()).collect();
        for slots in [1, 3, 16] {
            let model = self.open(&json!({"slots": slots})).unwrap();
            let mut all = Vec::new();
            let requests: Vec<Request> = plain
                .iter()
                .enumerate()
                .map(|(n, request)| {
                    let first = all.len() as u32;
                    all.extend(images(request));
                    Request {
                        index: n as u32,
                        prompt: request["text"].as_str().unwrap().into(),
                        raw: request["raw"] == json!(true),
                        images: (first..all.len() as u32).collect(),
                        ..Request::default()
                    }
                })
                .collect();
            let views: Vec<_> = all.iter().map(view).collect();
            let answers = Answers::default();
            let decoding = Decoding { max_new_tokens: NEW, ..Decoding::default() };
            model.generate(&requests, &views, &decoding, &Sink::new(&answers)).unwrap();
            let mut answers = answers.0.into_inner().unwrap();
            answers.sort_by_key(|answer| answer.index);
            assert_eq!(answers.len(), plain.len());
            for (answer, request) in answers.iter().zip(&plain) {
                assert_eq!(json!(answer.text), request["answer"], "{} with {slots} slots", self.dir.display());
                assert_eq!(answer.prompt_tokens as usize, request["prompt_ids"].as_array().unwrap().len());
            }
        }
    }

    /// What greedy decoding finds is likelier than anything else of one token.
    pub fn rates_options(&self) {
        let model = self.open(&json!({})).unwrap();
        let request = &self.requests[0];
        let images = images(request);
        let logits = self.arrays["first_logits.0"].to_vec1::<f32>().unwrap();
        let options = vec!["a".to_string(), "!".to_string(), "Z".to_string()];
        let asked = Request {
            prompt: request["text"].as_str().unwrap().into(),
            images: vec![0],
            options: options.clone(),
            ..Request::default()
        };
        let rated = model.choose(&[asked], &images.iter().map(view).collect::<Vec<_>>()).unwrap().remove(0);
        let largest = logits.iter().copied().fold(f32::MIN, f32::max);
        let total = logits.iter().map(|logit| (logit - largest).exp()).sum::<f32>().ln() + largest;
        let vocabulary = json_file(&self.dir.join("llm/tokenizer.json"));
        for (option, rated) in options.iter().zip(rated) {
            let id = vocabulary["model"]["vocab"][option.as_str()].as_u64().unwrap() as usize;
            assert!((rated - (logits[id] - total)).abs() < 1e-3, "{option}: {rated}");
        }
    }

    /// The same prompts, and logits near those in f32.
    pub fn runs_in_bfloat16(&self) {
        let model = open(&self.architecture, &self.dir, &json!({}), "bf16").unwrap();
        let found = self.inspect(&*model, &self.requests[3]).unwrap();
        let arrays = found.arrays.into_iter().collect::<HashMap<_, _>>();
        assert_eq!(json!(found.generation.unwrap().prompt_ids), self.requests[3]["prompt_ids"]);
        self.close(&arrays, "first_logits", 3, 0.1);
    }

    fn close(&self, arrays: &HashMap<String, Array>, name: &str, n: usize, tolerance: f32) {
        let (found, expected) = (tensor(&arrays[name]), &self.arrays[&format!("{name}.{n}")]);
        let found = if name == "first_logits" { found.squeeze(0).unwrap() } else { found };
        assert_eq!(found.dims(), expected.dims());
        let largest = |tensor: &Tensor| tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        let (difference, largest) = (largest(&(&found - expected).unwrap()), largest(expected));
        assert!(difference <= tolerance * largest, "{} {name} of request {n}: {difference}", self.dir.display());
    }

    /// What the reference's processor makes of bytes `[tiles, rows, columns, 3]`.
    fn pixels(&self, tiles: &Tensor) -> Array {
        let table = self.arrays["table"].to_vec2::<f32>().unwrap();
        let (count, rows, columns, _) = tiles.dims4().unwrap();
        let bytes = tiles.permute((0, 3, 1, 2)).unwrap().flatten_all().unwrap().to_vec1::<u8>().unwrap();
        let planes = bytes.chunks_exact(rows * columns).enumerate();
        let values = planes.flat_map(|(plane, bytes)| bytes.iter().map(move |&byte| (plane % 3, byte)));
        let values = values.map(|(channel, byte)| table[channel][usize::from(byte)]).collect();
        Array { shape: [count, 3, rows, columns].map(|n| n as u64).into(), data: Data::F32(values) }
    }
}

/// Collects finished answers.
#[derive(Default)]
struct Answers(Mutex<Vec<Generation>>);

impl plugin_api::Events for Answers {
    fn event(&self, op: &str, header: &str, _: &[Blob<'_>]) -> Result<(String, Vec<Array>)> {
        if op == plugin_api::message::event::FINISHED {
            let answer: Generation = serde_json::from_str(header).unwrap();
            assert_eq!(answer.error, None);
            self.0.lock().unwrap().push(answer);
        }
        Ok((String::new(), Vec::new()))
    }
}

pub fn copy(case: &str) -> TempDir {
    let copied = tempfile::tempdir().unwrap();
    for folder in ["", "llm", "mm_projector", "vision_tower"] {
        fs::create_dir_all(copied.path().join(folder)).unwrap();
        for entry in fs::read_dir(root().join(case).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, copied.path().join(folder).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    copied
}

pub fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = json_file(path);
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

pub fn refused(architecture: &str, dir: &Path, file: &str, expected: &str) {
    let error = open(architecture, dir, &json!({}), "f32").err();
    let error = error.unwrap_or_else(|| panic!("opened, where this was expected: {expected}"));
    assert_eq!(error.kind, ErrorKind::Config, "{error}");
    for part in [expected, dir.join(file).to_string_lossy().as_ref()] {
        assert!(error.message.contains(part), "`{}` lacks `{part}`", error.message);
    }
    assert!(!error.message.contains('\n'), "{}", error.message);
}

fn open(architecture: &str, dir: &Path, options: &Value, dtype: &str) -> Result<Box<dyn Model>> {
    let options = options.as_object().cloned().unwrap_or_default();
    let request = Open { weights: Some(dir.to_path_buf()), dtype: dtype.into(), options, ..Open::default() };
    match architecture {
        "nvila" => Ok(Box::new(llava::nvila::open(request)?)),
        _ => Ok(Box::new(llava::vila::open(request)?)),
    }
}

fn images(request: &Value) -> Vec<image::RgbImage> {
    let names = request["images"].as_array().unwrap().iter();
    let path = |name: &Value| root().join("clip/images").join(format!("{}.png", name.as_str().unwrap()));
    names.map(|name| image::open(path(name)).unwrap().to_rgb8()).collect()
}

fn view(image: &image::RgbImage) -> Image<'_> {
    Image { width: image.width(), height: image.height(), rgb: image.as_raw() }
}

fn tensor(array: &Array) -> Tensor {
    let Data::F32(values) = &array.data else { panic!("not f32") };
    let shape: Vec<usize> = array.shape.iter().map(|&n| n as usize).collect();
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap()
}

fn json_file(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity")
}
