//! Architecture `qwen2_vl`, and what both architectures have in common.

use std::{collections::HashMap, fs};

use candle_core::{Device, Tensor};
use plugin_api::{Capability, Decoding, Inspect, Open, Request};
use serde_json::{Map, Value, json};

use super::cases::{
    Case, copy, difference, dir, edit, find, generate, images_of, inspection, merge, open, options, refused, tensor,
    view,
};

const HUB: &str = "qwen2_vl/hub";
const CLASS: &str = "qwen2_vl/class";
const MODEL: &str = "model.safetensors";
const CONFIG: &str = "config.json";

#[test]
fn equals_the_reference() {
    [HUB, CLASS].into_iter().for_each(|name| Case::of(name).equals_the_reference());
}

#[test]
fn a_mixed_batch_equals_single_requests() {
    [HUB, CLASS].into_iter().for_each(|name| Case::of(name).a_batch_equals_single_requests());
}

#[test]
fn options_are_as_likely_as_in_the_reference() {
    [HUB, CLASS].into_iter().for_each(|name| Case::of(name).rates_options_as_the_reference());
}

#[test]
fn half_precision_stays_near() {
    [HUB, CLASS].into_iter().for_each(|name| Case::of(name).half_precision_stays_near());
}

#[test]
fn describes_itself() {
    let description = Case::of(HUB).open("f32", &[]).describe();
    assert_eq!(description.capabilities, [Capability::Generate, Capability::Choose]);
    assert_eq!((description.image_size, description.feature_dim), (0, 0));
    let stored = candle_core::safetensors::load(dir(HUB).join(MODEL), &Device::Cpu).unwrap();
    assert_eq!(description.parameters as usize, stored.values().map(Tensor::elem_count).sum::<usize>());
}

/// A raw prompt without places for its images has them first, as a question has.
#[test]
fn raw_prompts_without_places() {
    let model = Case::of(HUB).open("f32", &[]);
    let decoded = images_of(&["grey", "tall"]);
    let views: Vec<_> = decoded.iter().map(view).collect();
    let ids = |prompt: &str| {
        let request = Inspect { prompt: Some(prompt.into()), raw: true, ..inspection(1) };
        model.inspect(&request, &views).unwrap().generation.unwrap().prompt_ids
    };
    let place = "<|vision_start|><|image_pad|><|vision_end|>";
    assert_eq!(ids("Is it?"), ids(&format!("{place}{place}Is it?")));
}

#[test]
fn refuses_what_it_cannot_read() {
    let model = Case::of(HUB).open("f32", &[]);
    let decoded = images_of(&["grey"]);
    let request = Inspect { prompt: Some("<|image_pad|> and <|image_pad|>".into()), raw: true, ..inspection(1) };
    let error = model.inspect(&request, &[view(&decoded[0])]).err().unwrap();
    assert_eq!(error.message, "the prompt has `<|image_pad|>` 2 times for 1 images");
    let bytes = [0; 3 * 402];
    for (width, height, rgb, reason) in [
        (4, 3, &bytes[..5], "5 bytes do not make an RGB image of 4x3 pixels"),
        (402, 1, &bytes[..3 * 402], "an image of 402x1 pixels has an edge more than 200 times the other"),
    ] {
        let error = model.inspect(&inspection(1), &[plugin_api::Image { width, height, rgb }]).err().unwrap();
        assert_eq!(error.message, reason);
    }
    // One that cannot be read does not keep the others from being answered.
    let requests = [
        Request { prompt: "a <|image_pad|>?".into(), images: vec![0], ..Default::default() },
        Request { index: 1, prompt: "a?".into(), images: vec![0], ..Default::default() },
    ];
    let decoding = Decoding { max_new_tokens: 3, ..Default::default() };
    let mut answers = generate(&*model, &requests, &[view(&decoded[0])], &decoding);
    answers.sort_by_key(|answer| answer.index);
    assert_eq!(answers.iter().map(|answer| answer.error.is_some()).collect::<Vec<_>>(), [true, false]);
}

/// Fewer pixels give fewer patches.
#[test]
fn images_can_be_kept_small() {
    let case = Case::of(HUB);
    let patches = |more: &[(&str, Value)]| find(&case.inspect(&*case.open("f32", more), 5), "pixel_values").shape[0];
    assert_eq!((patches(&[]), patches(&[("max_pixels", json!(1000))])), (160, 60));
    assert_eq!(patches(&[("side", json!(24))]), 36);
}

#[test]
fn a_penalty_changes_answers() {
    let case = Case::of(HUB);
    let ids = |more: &[(&str, Value)]| case.inspect(&*case.open("f32", more), 0).generation.unwrap().generated_ids;
    assert_ne!(ids(&[]), ids(&[("repetition_penalty", json!(3.0))]));
}

#[test]
fn ends_are_those_of_the_files_or_the_published_ones() {
    let answer = |name: &str, files: &[&str], end: Option<Value>| {
        let dir = copy(name);
        for file in files {
            edit(&dir, file, |content| match &end {
                Some(end) => content["eos_token_id"] = end.clone(),
                None => drop(content.as_object_mut().unwrap().remove("eos_token_id")),
            });
        }
        let model = open(name, dir.path(), "f32", options(name)).unwrap();
        Case::of(name).inspect(&*model, 5).generation.unwrap().generated_ids
    };
    let generation = "generation_config.json";
    let whole = answer(HUB, &[generation], None);
    let end = whole[3];
    let at = whole.iter().position(|id| *id == end).unwrap();
    assert_eq!(answer(HUB, &[generation], Some(json!([1, end]))), whole[..=at]);
    assert_eq!(answer(HUB, &[generation], Some(json!(end))), whole[..=at]);
    assert_eq!(answer(HUB, &[generation, CONFIG], None), whole);
}

#[test]
fn what_config_json_leaves_out_has_the_default() {
    let dir = copy(HUB);
    edit(&dir, CONFIG, |config| {
        for key in ["vision_start_token_id", "architectures", "tie_word_embeddings", "torch_dtype"] {
            config.as_object_mut().unwrap().remove(key);
        }
        let vision = config["vision_config"].as_object_mut().unwrap();
        for key in ["hidden_act", "in_channels", "spatial_merge_size", "temporal_patch_size"] {
            vision.remove(key);
        }
    });
    fs::remove_file(dir.path().join("generation_config.json")).unwrap();
    let (model, case) = (open(HUB, dir.path(), "f32", Map::new()).unwrap(), Case::of(HUB));
    let [found, expected] = [&*model, &*case.open("f32", &[])].map(|model| case.inspect(model, 1));
    let logits = [&found, &expected].map(|found| tensor(find(found, "first_logits")));
    assert_eq!(difference(&logits[0], &logits[1]), 0.0);
}

#[test]
fn tensors_that_are_wrong() {
    let refused = |change: fn(&mut HashMap<String, Tensor>), parts: &[&str]| {
        let dir = copy(HUB);
        let path = dir.path().join(MODEL);
        let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        change(&mut tensors);
        candle_core::safetensors::save(&tensors, &path).unwrap();
        let error = open(HUB, dir.path(), "f32", Map::new()).err().unwrap();
        for part in parts.iter().chain([&path.to_string_lossy().as_ref()]) {
            assert!(error.message.contains(part), "`{}` lacks `{part}`", error.message);
        }
    };
    refused(
        |tensors| drop(tensors.remove("visual.blocks.1.attn.qkv.bias")),
        &["tensor `visual.blocks.1.attn.qkv.bias` of shape [72] is missing"],
    );
    refused(|tensors| drop(tensors.remove("lm_head.weight")), &["`lm_head.weight` of shape"]);
    refused(
        |tensors| drop(tensors.insert("visual.extra".into(), tensors["lm_head.weight"].clone())),
        &["`visual.extra` of shape", "does not belong to this model"],
    );
    refused(
        |tensors| {
            let turned = tensors["visual.merger.mlp.2.weight"].t().unwrap().contiguous().unwrap();
            tensors.insert("visual.merger.mlp.2.weight".into(), turned);
        },
        &["`visual.merger.mlp.2.weight` has shape [96, 24], expected [24, 96]"],
    );
}

#[test]
fn files_that_are_wrong() {
    for (file, reason) in [
        (MODEL, "no weights here; expected one of `model.safetensors`"),
        (CONFIG, "cannot read"),
        ("tokenizer.json", "no tokenizer here"),
    ] {
        let dir = copy(HUB);
        fs::remove_file(dir.path().join(file)).unwrap();
        let error = open(HUB, dir.path(), "f32", Map::new()).err().unwrap();
        assert!(error.message.contains(reason), "{error}");
    }
    for (file, key, value, reason) in [
        (CONFIG, "model_type", json!("qwen2_5_vl"), "`model_type` is `qwen2_5_vl`, expected `qwen2_vl`"),
        (
            CONFIG,
            "image_token_id",
            json!(7),
            "`image_token_id` is 7, but that of `<|image_pad|>` in the tokenizer is 5",
        ),
        (CONFIG, "rope_scaling", json!(null), "`rope_scaling` has no `mrope_section`"),
        (CONFIG, "rope_scaling", json!({"type": "mrope", "mrope_section": [1, 1, 1]}), "half of a head, 4"),
        (
            CONFIG,
            "vision_config",
            json!({"hidden_size": 30}),
            "the tower gives vectors of 30, but the language model takes 24",
        ),
        (CONFIG, "vision_config", json!({"hidden_act": "mish"}), "not a configuration of a vision tower"),
        (CONFIG, "vision_config", json!({"in_channels": 1}), "`in_channels` is 1, expected 3"),
        (
            "preprocessor_config.json",
            "patch_size",
            json!(5),
            "squares are [5, 2, 2], but those of the tower are [4, 2, 2]",
        ),
        ("preprocessor_config.json", "size", json!({"height": 5}), "expected `shortest_edge` and `longest_edge`"),
        ("generation_config.json", "eos_token_id", json!("end"), "\"end\" is no id of a token"),
    ] {
        refused(HUB, file, |content| content[key] = value, reason);
    }
    refused(
        HUB,
        CONFIG,
        |config| config["vision_config"]["num_heads"] = json!(12),
        "a width of 24 cannot be divided among 12 attention heads",
    );
}

#[test]
fn options_that_make_no_sense() {
    for (key, value, reason) in [
        ("sides", json!(3), "unknown option `sides`; architecture `qwen2_vl` has `side`, `max_pixels`"),
        ("side", json!(0), "option `side` is 0; expected a whole number above 0"),
        ("compat", json!("medvlmbench"), "unknown option `compat`"),
    ] {
        let error = open(HUB, &dir(HUB), "f32", merge(Map::new(), &[(key, value)])).err().unwrap();
        assert!(error.message.contains(reason), "`{}` lacks `{reason}`", error.message);
    }
    let error = qwen_vl::qwen2_vl::open(Open::default()).err().unwrap();
    assert_eq!(error.message, "architecture `qwen2_vl` needs a directory with weights");
}
