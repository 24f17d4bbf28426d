//! Architecture `llava`, on the checkpoints that `tests/parity/llava.py` wrote.

mod broken;
mod cases;

use candle_core::{D, Tensor};
use plugin_api::{Capability, Decoding, Generation, Inspect, Request};
use serde_json::json;

use cases::{CASES, Case, copy, difference, find, images_of, largest, merge, model, open, tensor};

const NEW: u32 = 24;

#[test]
fn equals_the_reference_in_f32() {
    for name in CASES {
        let (case, model) = (Case::read(name), model(name));
        for (n, request) in case.requests.iter().enumerate() {
            let found = case.inspect(&*model, n);
            let generation = found.generation.as_ref().unwrap();
            assert_eq!(generation.prompt_ids, request.prompt_ids, "{name}: prompt {n}");
            assert_eq!(generation.generated_ids, request.generated_ids, "{name}: answer {n}");
            assert_eq!(generation.text, request.text, "{name}: text {n}");
            assert_eq!(generation.prompt_tokens as usize, request.prompt_ids.len());
            for (array, allowed) in [("pixel_values", 0.0), ("image_features", 1e-5), ("first_logits", 1e-5)] {
                if let Some(golden) = case.golden(&format!("{array}.{n}")) {
                    let difference = difference(&tensor(find(&found, array)), &golden);
                    let allowed = allowed * largest(&golden);
                    assert!(difference <= allowed, "{name}: {array} of {n} differs by {difference}, above {allowed}");
                }
            }
        }
    }
}

#[test]
fn a_batch_of_mixed_lengths_equals_single_prompts() {
    for (name, slots) in CASES.into_iter().flat_map(|name| [1, 2, 16].map(|slots| (name, slots))) {
        let mut options = cases::options(name);
        options.insert("slots".into(), json!(slots));
        let (case, model) = (Case::read(name), open(name, &cases::dir(name), "f32", options).unwrap());
        let (images, requests) = case.batch();
        let views: Vec<_> = images.iter().map(cases::view).collect();
        let decoding = Decoding { max_new_tokens: NEW, ..Default::default() };
        let answers = cases::generate(&*model, &requests, &views, &decoding);
        assert_eq!(answers.len(), case.requests.len());
        for Generation { index, text, new_tokens, prompt_tokens, .. } in answers {
            let expected = &case.requests[index as usize];
            assert_eq!(text, expected.text, "{name}, {slots} slots: answer {index}");
            let lengths = (prompt_tokens as usize, new_tokens as usize);
            assert_eq!(lengths, (expected.prompt_ids.len(), expected.generated_ids.len()), "{name}: {index}");
        }
    }
}

#[test]
fn options_are_as_likely_as_in_the_reference() {
    for name in CASES {
        let (case, model) = (Case::read(name), model(name));
        let (images, requests) = case.batch();
        let views: Vec<_> = images.iter().map(cases::view).collect();
        let found = model.choose(&requests, &views).unwrap();
        for (n, (found, request)) in found.iter().zip(&case.requests).enumerate() {
            for (found, expected) in found.iter().zip(&request.rates) {
                assert!((found - expected).abs() < 1e-3 * expected.abs(), "{name}: {found} for {expected} at {n}");
            }
        }
    }
}

#[test]
fn half_precision_stays_near() {
    for (name, dtype) in CASES.into_iter().flat_map(|name| ["bf16", "f16"].map(|dtype| (name, dtype))) {
        let case = Case::read(name);
        let model = open(name, &cases::dir(name), dtype, cases::options(name)).unwrap();
        for n in 0..case.requests.len() {
            let (found, golden) = (case.inspect(&*model, n), case.golden(&format!("first_logits.{n}")).unwrap());
            let difference = difference(&tensor(find(&found, "first_logits")), &golden) / largest(&golden);
            assert!(difference > 0.0 && difference < 0.2, "{name} in {dtype}: differs by {difference} of the largest");
        }
    }
}

#[test]
fn describes_itself() {
    for (name, side) in [("llama", 30), ("mistral", 24), ("qwen2", 28), ("original", 30), ("original-med", 30)] {
        let description = model(name).describe();
        assert_eq!(description.capabilities, [Capability::Generate, Capability::Choose]);
        assert_eq!((description.image_size, description.feature_dim), (side, 0));
    }
    let stored =
        candle_core::safetensors::load(cases::dir("llama").join("model.safetensors"), &candle_core::Device::Cpu);
    let parameters: usize = stored.unwrap().values().map(Tensor::elem_count).sum();
    assert_eq!(model("llama").describe().parameters as usize, parameters);
}

/// The option goes before what the layout's files say.
#[test]
fn images_are_padded_or_cropped() {
    let pixels = |name: &str, options| {
        let model = open(name, &cases::dir(name), "f32", options).unwrap();
        tensor(find(&Case::read(name).inspect(&*model, 4), "pixel_values"))
    };
    let with = |name, image: &str| merge(cases::options(name), &[("image", json!(image))]);
    let [padded, cropped] = ["pad", "processor"].map(|image| pixels("llama", with("llama", image)));
    assert!(difference(&padded, &cropped) > 0.1);
    // Of the same processor, in the other layout, by `image_aspect_ratio`.
    assert_eq!(difference(&padded, &pixels("original", cases::options("original"))), 0.0);
    assert_eq!(difference(&cropped, &pixels("original", with("original", "processor"))), 0.0);
    // The folder's processor pads by itself, with another colour, and so does the option.
    let [file, processor, pad] =
        [cases::options("mistral"), with("mistral", "processor"), with("mistral", "pad")].map(|o| pixels("mistral", o));
    assert_eq!(difference(&file, &pad), 0.0);
    assert!(difference(&file, &processor) > 0.1);
}

/// The benchmark takes the tower's tensors from its own folder.
#[test]
fn compat_takes_the_other_tower() {
    let name = "original-med";
    let (case, folder) = (Case::read(name), cases::dir("original").join("vision_tower"));
    let apart = [("vision_tower", json!(folder)), ("compat", json!("medvlmbench"))];
    let features = |dir: &std::path::Path, options| {
        let model = open(name, dir, "f32", options).unwrap();
        tensor(find(&case.inspect(&*model, 1), "image_features"))
    };
    let own = features(&cases::dir(name), cases::options(name));
    assert_eq!(difference(&own, &features(&cases::dir(name), merge(cases::options(name), &apart[..1]))), 0.0);
    let other = features(&cases::dir(name), merge(cases::options(name), &apart));
    assert!(difference(&own, &other) > 0.01);

    // The same tensors within the checkpoint.
    let dir = copy(name);
    let path = dir.path().join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    for (key, tensor) in candle_core::pickle::read_all(folder.join("pytorch_model.bin")).unwrap() {
        if key.starts_with("vision_model.") && !key.ends_with("position_ids") {
            tensors.insert(format!("model.vision_tower.vision_tower.{key}"), tensor);
        }
    }
    candle_core::safetensors::save(&tensors, &path).unwrap();
    assert_eq!(difference(&other, &features(dir.path(), cases::options(name))), 0.0);
}

#[test]
fn templates() {
    let ids = |name: &str, option: Option<&str>, prompt: &str| {
        let options = option.map(|option| ("template", json!(option)));
        let options = merge(Default::default(), options.as_slice());
        let model = open(name, &cases::dir(name), "f32", options).unwrap();
        let request = Inspect { prompt: Some(prompt.into()), raw: prompt.contains(": "), ..cases::inspection(1) };
        model.inspect(&request, &[]).unwrap().generation.unwrap().prompt_ids
    };
    // In the layout of the hub, the folder's own unless another is named; else the language model's.
    let chat = "USER: Is it? ASSISTANT:";
    assert_eq!(ids("llama", None, "Is it?"), ids("llama", None, chat));
    assert_eq!(ids("mistral", Some("chat"), "Is it?"), ids("mistral", None, chat));
    assert_eq!(ids("mistral", Some("mistral_instruct"), "no: it"), ids("mistral", None, "no: it"));
    assert_eq!(ids("original-med", None, "Is it"), ids("original-med", Some("mistral_instruct"), "Is it"));
    assert_ne!(ids("original-med", None, "Is it"), ids("original-med", Some("vicuna_v1"), "Is it"));
    assert_eq!(ids("original", None, "Is it"), ids("original", Some("vicuna_v1"), "Is it"));
    let piece = |prompt: &str| ids("original", Some("huatuo"), prompt);
    assert_eq!(piece("Is it")[1..], piece("<|user|>\nIs it\n<|assistant|>\n: ")[1..piece("Is it").len()]);
    // A beginning that is spelled out is not put there twice.
    assert_eq!(ids("llama", None, "<s>a: b")[..2], [1, ids("llama", None, "a: b")[1]]);
}

/// A raw prompt without places for its images has them first, as a question has.
#[test]
fn raw_prompts_without_places() {
    for name in CASES {
        let model = model(name);
        let decoded = images_of(&["grey", "tall"]);
        let views: Vec<_> = decoded.iter().map(cases::view).collect();
        let ids = |prompt: &str| {
            let request = Inspect { prompt: Some(prompt.into()), raw: true, ..cases::inspection(1) };
            model.inspect(&request, &views).unwrap().generation.unwrap().prompt_ids
        };
        let image = if name == "original-med" { "<im_start><image><im_end>\n" } else { "<image>\n" };
        assert_eq!(ids("Is it?"), ids(&format!("{image}{image}Is it?")), "{name}");
    }
}

#[test]
fn refuses_more_or_fewer_images_than_places() {
    for name in CASES {
        let model = model(name);
        let decoded = images_of(&["grey"]);
        let request = Inspect { prompt: Some("<image> and <image>".into()), raw: true, ..cases::inspection(1) };
        let error = model.inspect(&request, &[cases::view(&decoded[0])]).err().unwrap();
        assert_eq!(error.message, "the prompt has `<image>` 2 times for 1 images", "{name}");
        let requests = [
            Request { prompt: "a <image>?".into(), images: vec![0], ..Default::default() },
            Request { index: 1, prompt: "a?".into(), images: vec![0], ..Default::default() },
        ];
        let decoding = Decoding { max_new_tokens: 3, ..Default::default() };
        let answers = cases::generate(&*model, &requests, &[cases::view(&decoded[0])], &decoding);
        assert_eq!(answers.len(), 2, "{name}");
        let short = plugin_api::Image { width: 4, height: 3, rgb: &[0; 5] };
        let error = model.inspect(&cases::inspection(1), &[short]).err().unwrap();
        assert_eq!(error.message, "5 bytes do not make an RGB image of 4x3 pixels", "{name}");
    }
}

/// Every way to ask for the same state of the tower.
#[test]
fn layers_count_from_either_end() {
    let name = "llama";
    let features = |layer: i64| {
        let dir = copy(name);
        cases::edit(&dir, "config.json", |config| config["vision_feature_layer"] = json!(layer));
        let model = open(name, dir.path(), "f32", cases::options(name)).unwrap();
        tensor(find(&Case::read(name).inspect(&*model, 4), "image_features"))
    };
    assert_eq!(difference(&features(-2), &features(1)), 0.0);
    assert_eq!(difference(&features(-3), &features(0)), 0.0);
    assert!(difference(&features(-1), &features(-2)) > 1e-3);
    assert_eq!(features(2).dim(D::Minus1).unwrap(), 16);
}
