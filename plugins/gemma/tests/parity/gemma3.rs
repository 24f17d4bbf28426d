//! Architecture `gemma3`, on the checkpoints that `tests/parity/gemma3.py` wrote.

mod broken;
mod cases;

use candle_core::Tensor;
use plugin_api::{Capability, Decoding, Generation, Inspect, Request};
use serde_json::{Map, json};

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
            for (array, allowed) in [("pixel_values", 0.0), ("image_features", 1e-5), ("first_logits", 1e-5)] {
                if let Some(golden) = case.golden(&format!("{array}.{n}")) {
                    let difference = difference(&tensor(find(&found, array)), &golden);
                    let allowed = allowed * largest(&golden);
                    assert!(difference <= allowed, "{name}: {array} of {n} differs by {difference}, above {allowed}");
                }
            }
            assert_eq!(generation.generated_ids, request.generated_ids, "{name}: answer {n}");
            assert_eq!(generation.text, request.text, "{name}: text {n}");
            assert_eq!(generation.prompt_tokens as usize, request.prompt_ids.len());
        }
    }
}

#[test]
fn a_batch_of_mixed_lengths_equals_single_prompts() {
    for (name, slots) in CASES.into_iter().flat_map(|name| [1, 2, 16].map(|slots| (name, slots))) {
        let options = merge(cases::options(name), &[("slots", json!(slots))]);
        let (case, model) = (Case::read(name), open(&cases::dir(name), "f32", options).unwrap());
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
        let (case, model) = (Case::read(name), open(&cases::dir(name), dtype, cases::options(name)).unwrap());
        for n in 0..case.requests.len() {
            let (found, golden) = (case.inspect(&*model, n), case.golden(&format!("first_logits.{n}")).unwrap());
            let difference = difference(&tensor(find(&found, "first_logits")), &golden) / largest(&golden);
            assert!(difference > 0.0 && difference < 0.2, "{name} in {dtype}: differs by {difference} of the largest");
        }
    }
}

#[test]
fn describes_itself() {
    for (name, side) in [("medgemma", 30), ("inner", 28), ("old", 35)] {
        let description = model(name).describe();
        assert_eq!(description.capabilities, [Capability::Generate, Capability::Choose]);
        assert_eq!((description.image_size, description.feature_dim), (side, 0));
    }
    let path = cases::dir("medgemma").join("model.safetensors");
    let stored = candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap();
    let parameters: usize = stored.values().map(Tensor::elem_count).sum();
    assert_eq!(model("medgemma").describe().parameters as usize, parameters);
}

#[test]
fn a_question_and_its_images_in_either_order() {
    let name = "old";
    let decoded = images_of(&["grey"]);
    let views: Vec<_> = decoded.iter().map(cases::view).collect();
    let ids = |options: &[(&str, serde_json::Value)], prompt: &str, raw| {
        let model = open(&cases::dir(name), "f32", merge(Map::new(), options)).unwrap();
        let request = Inspect { prompt: Some(prompt.into()), raw, ..cases::inspection(1) };
        model.inspect(&request, &views).unwrap().generation.unwrap().prompt_ids
    };
    let spelled = |user: &str| {
        let text = format!("<bos><start_of_turn>user\n{user}<end_of_turn>\n<start_of_turn>model\n");
        ids(&[], &text, true)
    };
    let (images_first, text_first) = (spelled("<start_of_image>Is it?"), spelled("Is it?<start_of_image>"));
    assert_eq!(ids(&[], " Is it?\n", false), images_first);
    assert_eq!(ids(&[("text_first", json!(true))], "Is it?", false), text_first);
    assert_eq!(ids(&[("compat", json!("medvlmbench"))], "Is it?", false), text_first);
    let both = [("compat", json!("medvlmbench")), ("text_first", json!(false))];
    assert_eq!(ids(&both, "Is it?", false), images_first);
    let system = [("system", json!("Be brief."))];
    assert_eq!(ids(&system, "Is it?", false), spelled("Be brief.\n\n<start_of_image>Is it?"));
    // A raw prompt without places for its images has them where a question has.
    assert_eq!(ids(&[], "Is it?", true), ids(&[], "<start_of_image>Is it?", true));
    assert_eq!(ids(&both[..1], "Is it?", true), ids(&[], "Is it?<start_of_image>", true));
}

/// Where the folder has no template, the published one is the same.
#[test]
fn the_published_template() {
    for name in CASES {
        let (dir, case) = (copy(name), Case::read(name));
        std::fs::remove_file(dir.path().join("chat_template.jinja")).unwrap();
        let model = open(dir.path(), "f32", cases::options(name)).unwrap();
        for n in 0..case.requests.len() {
            let found = case.inspect(&*model, n).generation.unwrap();
            assert_eq!(found.prompt_ids, case.requests[n].prompt_ids, "{name}: {n}");
        }
    }
}

#[test]
fn ends_by_the_files_or_as_published() {
    let name = "medgemma";
    let (case, dir) = (Case::read(name), copy(name));
    let stops = |id: Option<u32>| {
        cases::edit(&dir, "generation_config.json", |config| config["eos_token_id"] = json!(id));
        let model = open(dir.path(), "f32", cases::options(name)).unwrap();
        case.inspect(&*model, 0).generation.unwrap().generated_ids
    };
    let expected = &case.requests[0].generated_ids;
    let third = expected[2];
    let cut = expected.iter().position(|id| *id == third).unwrap() + 1;
    assert_eq!(stops(Some(third)), expected[..cut]);
    // Then `config.json` counts.
    cases::edit(&dir, "config.json", |config| config["eos_token_id"] = json!([third, 1]));
    assert_eq!(stops(None), expected[..cut]);
}

#[test]
fn refuses_more_or_fewer_images_than_places() {
    for name in CASES {
        let model = model(name);
        let decoded = images_of(&["grey"]);
        let view = [cases::view(&decoded[0])];
        let refused = |prompt: &str, raw| {
            let request = Inspect { prompt: Some(prompt.into()), raw, ..cases::inspection(1) };
            model.inspect(&request, &view).err().unwrap().message
        };
        let twice = "<start_of_image> and <start_of_image>";
        assert_eq!(refused(twice, true), "the prompt has `<start_of_image>` 2 times for 1 images", "{name}");
        assert_eq!(refused(twice, false), "the prompt has `<start_of_image>` 3 times for 1 images", "{name}");
        let spelled = "the prompt spells out tokens that stand for images";
        assert_eq!(refused("a <image_soft_token> b", false), spelled, "{name}");
        let requests = [
            Request { prompt: "a <start_of_image>?".into(), images: vec![0], ..Default::default() },
            Request { index: 1, prompt: "a?".into(), images: vec![0], ..Default::default() },
        ];
        let decoding = Decoding { max_new_tokens: 3, ..Default::default() };
        let answers = cases::generate(&*model, &requests, &view, &decoding);
        assert_eq!((answers.len(), answers.iter().filter(|answer| answer.error.is_some()).count()), (2, 1), "{name}");
        let short = plugin_api::Image { width: 4, height: 3, rgb: &[0; 5] };
        let error = model.inspect(&cases::inspection(1), &[short]).err().unwrap();
        assert_eq!(error.message, "5 bytes do not make an RGB image of 4x3 pixels", "{name}");
    }
}
