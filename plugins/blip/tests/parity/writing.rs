//! Models that write: equality with the reference, of batches with single prompts, and what they refuse.

use std::sync::Mutex;

use candle_core::{D, Tensor};
use plugin_api::{
    Array, Blob, Capability, Decoding, Events, Generation, Image, Inspect, Inspection, Model, Open, Request, Sink,
};
use serde::Deserialize;

use super::cases::{Decoded, difference, images, load, path, read, tensor};

/// Folder of the goldens, case.
const CASES: [(&str, &str); 7] = [
    ("blip_generate", "answering"),
    ("blip_generate", "answering-bin"),
    ("blip_generate", "captioning"),
    ("blip2", "inserted"),
    ("blip2", "older"),
    ("xraygpt", "full"),
    ("xraygpt", "half"),
];

/// One prompt and what the reference made of it.
#[derive(Deserialize)]
struct Golden {
    image: u32,
    prompt: String,
    #[serde(default)]
    raw: bool,
    prompt_ids: Vec<u32>,
    generated_ids: Vec<u32>,
    text: String,
}

fn open(folder: &str, case: &str, dtype: &str) -> Box<dyn Model> {
    let weights = Some(path(&format!("{folder}/{case}")));
    let mut request = Open { weights, dtype: dtype.into(), ..Default::default() };
    match folder {
        "blip_generate" => blip::blip::open(request).unwrap(),
        "blip2" => Box::new(blip::blip2::open(request).unwrap()),
        _ => {
            request.options.insert("vision_heads".into(), 4.into());
            request.options.insert("qformer_heads".into(), 3.into());
            Box::new(blip::xraygpt::open(request).unwrap())
        }
    }
}

fn goldens(folder: &str, case: &str) -> Vec<Golden> {
    read(&format!("{folder}/{case}/goldens.json"))
}

fn golden(folder: &str, case: &str, name: &str) -> Tensor {
    load(&format!("{folder}/{case}/goldens.safetensors")).remove(name).unwrap_or_else(|| panic!("{case} has no {name}"))
}

fn decoding() -> Decoding {
    Decoding { max_new_tokens: 24, ..Decoding::default() }
}

fn array(seen: &Inspection, name: &str) -> Tensor {
    let found: Option<&(String, Array)> = seen.arrays.iter().find(|(found, _)| found == name);
    tensor(&found.unwrap_or_else(|| panic!("no {name}")).1)
}

fn ask(model: &dyn Model, golden: &Golden, decoded: &[Decoded]) -> Inspection {
    let request =
        Inspect { prompt: Some(golden.prompt.clone()), raw: golden.raw, decoding: decoding(), ..Default::default() };
    model.inspect(&request, &[decoded[golden.image as usize].view()]).unwrap()
}

#[test]
fn equals_the_reference_in_f32() {
    let decoded = images();
    for (folder, case) in CASES {
        let model = open(folder, case, "f32");
        for (n, asked) in goldens(folder, case).iter().enumerate() {
            let seen = ask(&*model, asked, &decoded);
            let expected = golden(folder, case, &format!("first_logits.{n}"));
            let largest = expected.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            let off = difference(&array(&seen, "first_logits"), &expected);
            assert!(off < 1e-4 * largest, "{case}, prompt {n}: logits up to {largest} differ by {off}");
            let answer = seen.generation.as_ref().unwrap();
            assert_eq!(answer.prompt_ids, asked.prompt_ids, "{case}, prompt {n}");
            assert_eq!(answer.generated_ids, asked.generated_ids, "{case}, prompt {n}");
            assert_eq!(answer.text, asked.text, "{case}, prompt {n}");
            if n == 0 {
                assert_eq!(difference(&array(&seen, "pixel_values"), &golden(folder, case, "pixel_values")), 0.0);
                let features = golden(folder, case, "image_features");
                assert!(difference(&array(&seen, "image_features"), &features) < 1e-4, "{case}");
            }
        }
    }
}

#[test]
fn a_batch_equals_single_prompts() {
    let decoded = images();
    for (folder, case) in CASES {
        let (model, goldens) = (open(folder, case, "f32"), goldens(folder, case));
        let twice = goldens.iter().chain(&goldens).enumerate();
        let requests: Vec<Request> = twice.map(|(n, golden)| request(n, golden, vec![golden.image])).collect();
        let answers = generate(&*model, &requests, &decoded);
        assert_eq!(answers.len(), requests.len());
        for answer in &answers {
            let golden = &goldens[answer.index as usize % goldens.len()];
            assert_eq!((&answer.text, answer.error.as_ref()), (&golden.text, None), "{case}, prompt {}", answer.index);
            assert_eq!(answer.prompt_tokens as usize, golden.prompt_ids.len());
        }
        // What is recorded of an input tells one question from another.
        let inputs: std::collections::HashSet<_> = answers.iter().map(|answer| &answer.input).collect();
        assert_eq!(inputs.len(), goldens.len(), "{case}");
    }
}

#[test]
fn features_are_those_of_the_vision_tower() {
    let decoded = images();
    for (folder, case) in CASES {
        let model = open(folder, case, "f32");
        let description = model.describe();
        assert_eq!(description.capabilities, [Capability::Generate, Capability::Choose, Capability::Features]);
        let found = model.features(&[decoded[0].view(), decoded[2].view()]).unwrap().matrix;
        let expected = golden(folder, case, "image_features");
        assert_eq!((found.columns, description.feature_dim as usize), (expected.dims()[1], expected.dims()[1]));
        let first = Tensor::from_slice(found.row(0), (1, found.columns), expected.device()).unwrap();
        assert!(difference(&first, &expected) < 1e-4, "{case}");
        assert!(model.features(&[]).unwrap_err().message.contains("no images"));
    }
}

#[test]
fn options_are_as_likely_as_their_tokens() {
    let decoded = images();
    for (folder, case) in CASES {
        let (model, goldens) = (open(folder, case, "f32"), goldens(folder, case));
        // The first two are one token each.
        let second = if folder == "xraygpt" { "the" } else { "g" };
        let options = ["a", second, "no finding"].map(String::from).to_vec();
        let asked = Request { options: options.clone(), ..request(0, &goldens[2], vec![goldens[2].image]) };
        let views: Vec<Image<'_>> = decoded.iter().map(Decoded::view).collect();
        let found =
            model.choose(&[asked.clone(), Request { options: options[2..].to_vec(), ..asked }], &views).unwrap();
        assert_eq!((found[0].len(), found[1].len()), (3, 1));
        assert!((found[0][2] - found[1][0]).abs() < 1e-3, "{case}");
        let logits = golden(folder, case, "first_logits.2").squeeze(0).unwrap();
        let normal = logits.log_sum_exp(D::Minus1).unwrap().to_scalar::<f32>().unwrap();
        let logs: Vec<f32> = logits.to_vec1::<f32>().unwrap().iter().map(|logit| logit - normal).collect();
        for likelihood in &found[0][..2] {
            let near = |log: &f32| (log - likelihood).abs() < 1e-3 * likelihood.abs().max(1.0);
            assert!(logs.iter().any(near), "{case}: {likelihood} is the likelihood of no token");
        }
    }
}

#[test]
fn the_benchmark_tells_the_prompt_too() {
    for case in ["inserted", "older"] {
        let mut asked = Open { weights: Some(path(&format!("blip2/{case}"))), ..Default::default() };
        asked.options.insert("compat".into(), "medvlmbench".into());
        let model = blip::blip2::open(asked).unwrap();
        let texts: Vec<serde_json::Value> = read(&format!("blip2/{case}/goldens.json"));
        for (golden, expected) in goldens("blip2", case).iter().zip(texts) {
            let seen = ask(&model, golden, &images()).generation.unwrap();
            assert_eq!(seen.text, expected["with_prompt"].as_str().unwrap(), "{case}");
        }
    }
}

#[test]
fn bf16_stays_near() {
    let decoded = images();
    for (folder, case) in CASES {
        let model = open(folder, case, "bf16");
        for (n, asked) in goldens(folder, case).iter().enumerate() {
            let found = array(&ask(&*model, asked, &decoded), "first_logits");
            let expected = golden(folder, case, &format!("first_logits.{n}"));
            let largest = expected.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            let off = difference(&found, &expected);
            assert!(0.0 < off && off < 0.15 * largest, "{case}, prompt {n}: logits up to {largest} differ by {off}");
        }
    }
}

#[test]
fn one_image_with_a_prompt() {
    let decoded = images();
    for (folder, case) in CASES {
        let (model, goldens) = (open(folder, case, "f32"), goldens(folder, case));
        let asked = &goldens[0];
        let requests = [request(0, asked, vec![0, 1]), request(1, asked, vec![asked.image]), request(2, asked, vec![])];
        let answers = generate(&*model, &requests, &decoded);
        let of = |index: u32| answers.iter().find(|answer| answer.index == index).unwrap();
        assert_eq!(of(0).error.as_deref(), Some("this model takes one image with a prompt, not 2"));
        assert_eq!(of(2).error.as_deref(), Some("this model takes one image with a prompt, not 0"));
        assert_eq!(of(1).text, asked.text);
        let request = Inspect { prompt: Some(asked.prompt.clone()), ..Default::default() };
        let error = model.inspect(&request, &[decoded[0].view(), decoded[1].view()]).unwrap_err();
        assert!(error.message.contains("one image with a prompt, not 2"), "{error}");
        // Without a prompt, there is something to see of each image.
        let seen = model.inspect(&Inspect::default(), &[decoded[0].view(), decoded[1].view()]).unwrap();
        assert_eq!(array(&seen, "image_features").dims()[0], 2);
        assert!(seen.generation.is_none());
        let texts = Inspect { texts: vec!["a".into()], ..Default::default() };
        assert!(model.inspect(&texts, &[]).unwrap_err().message.contains("`zero-shot`"));
    }
}

fn request(index: usize, golden: &Golden, images: Vec<u32>) -> Request {
    Request { index: index as u32, prompt: golden.prompt.clone(), raw: golden.raw, images, options: Vec::new() }
}

/// What a host keeps of the answers.
#[derive(Default)]
struct Kept(Mutex<Vec<Generation>>);

impl Events for Kept {
    fn event(&self, op: &str, header: &str, _: &[Blob<'_>]) -> plugin_api::Result<(String, Vec<Array>)> {
        if op == plugin_api::message::event::FINISHED {
            self.0.lock().unwrap().push(serde_json::from_str(header)?);
        }
        Ok((String::new(), Vec::new()))
    }
}

fn generate(model: &dyn Model, requests: &[Request], decoded: &[Decoded]) -> Vec<Generation> {
    let (kept, views) = (Kept::default(), decoded.iter().map(Decoded::view).collect::<Vec<_>>());
    model.generate(requests, &views, &decoding(), &Sink::new(&kept)).unwrap();
    kept.0.into_inner().unwrap()
}
