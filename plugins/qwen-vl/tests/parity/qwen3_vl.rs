//! What architecture `qwen3_vl` has of its own.

use std::fs;

use candle_core::{Device, Tensor};
use plugin_api::Inspect;
use serde_json::{Map, Value, json};

use super::cases::{Case, copy, difference, dir, edit, find, images_of, inspection, open, refused, tensor, view};

const HUB: &str = "qwen3_vl/hub";
const CLASS: &str = "qwen3_vl/class";
const MODEL: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const PIXELS: &str = "preprocessor_config.json";

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
fn counts_its_parameters() {
    let stored = candle_core::safetensors::load(dir(HUB).join(MODEL), &Device::Cpu).unwrap();
    let parameters = Case::of(HUB).open("f32", &[]).describe().parameters;
    assert_eq!(parameters as usize, stored.values().map(Tensor::elem_count).sum::<usize>());
}

/// The first layers of the decoder get what the tapped layers of the tower saw.
#[test]
fn lower_layers_of_the_tower_have_a_say() {
    let case = Case::of(HUB);
    let answer = |n: usize, drop: bool| {
        let dir = copy(HUB);
        if drop {
            let path = dir.path().join(MODEL);
            let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
            for (name, value) in &mut tensors {
                if name.contains("deepstack_merger_list.1.linear_fc2") {
                    *value = value.zeros_like().unwrap();
                }
            }
            candle_core::safetensors::save(&tensors, &path).unwrap();
        }
        let found = case.inspect(&*open(HUB, dir.path(), "f32", Map::new()).unwrap(), n);
        ["image_features", "first_logits"]
            .map(|name| found.arrays.iter().any(|(found, _)| found == name).then(|| tensor(find(&found, name))))
    };
    let ([features, logits], [bare_features, bare_logits]) = (answer(0, false), answer(0, true));
    assert_eq!(difference(&features.unwrap(), &bare_features.unwrap()), 0.0);
    assert!(difference(&logits.unwrap(), &bare_logits.unwrap()) > 0.01);
    // A text without images has nothing to do with them.
    let ([_, logits], [_, bare_logits]) = (answer(2, false), answer(2, true));
    assert_eq!(difference(&logits.unwrap(), &bare_logits.unwrap()), 0.0);
}

#[test]
fn pixels_are_bounded_by_the_edges_in_size() {
    let case = Case::of(HUB);
    let patches = |change: fn(&mut Value), more: &[(&str, Value)]| {
        let dir = copy(HUB);
        edit(&dir, PIXELS, change);
        let options = more.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
        find(&case.inspect(&*open(HUB, dir.path(), "f32", options).unwrap(), 5), "pixel_values").shape[0]
    };
    assert_eq!(patches(|_| {}, &[]), 112);
    assert_eq!(patches(|file| file["size"]["longest_edge"] = json!(1000), &[]), 60);
    assert_eq!(patches(|file| file["max_pixels"] = json!(1000), &[]), 60);
    assert_eq!(patches(|_| {}, &[("max_pixels", json!(1000))]), 60);
    assert_eq!(patches(|file| file["size"] = json!({"shortest_edge": 5000, "longest_edge": 6000}), &[]), 336);
}

/// Without a template of its own, the one of the publication has no turn of the system.
#[test]
fn the_published_template_is_known() {
    let case = Case::of(HUB);
    let dir = copy(HUB);
    fs::remove_file(dir.path().join("chat_template.json")).unwrap();
    let model = open(HUB, dir.path(), "f32", Map::new()).unwrap();
    assert_eq!(case.inspect(&*model, 1).generation.unwrap().prompt_ids, case.requests[1].prompt_ids);
}

#[test]
fn places_for_videos_are_refused() {
    let model = Case::of(HUB).open("f32", &[]);
    let decoded = images_of(&["grey"]);
    for (prompt, images) in [
        ("<|vision_start|><|image_pad|><|vision_end|> and <|vision_start|><|video_pad|><|vision_end|>", 1),
        ("<|vision_start|><|video_pad|><|vision_end|>", 0),
    ] {
        let views: Vec<_> = decoded.iter().take(images).map(view).collect();
        let request = Inspect { prompt: Some(prompt.into()), raw: true, ..inspection(1) };
        let error = model.inspect(&request, &views).err().unwrap();
        assert_eq!(error.message, "the prompt has a place for a video, `<|video_pad|>`; only images are shown here");
    }
}

#[test]
fn tensors_that_are_wrong() {
    let refused = |from: &str, to: Option<&str>, parts: &[&str]| {
        let dir = copy(HUB);
        let path = dir.path().join(MODEL);
        let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        let tensor = tensors.remove(from).unwrap();
        to.into_iter().for_each(|to| drop(tensors.insert(to.into(), tensor.clone())));
        candle_core::safetensors::save(&tensors, &path).unwrap();
        let error = open(HUB, dir.path(), "f32", Map::new()).err().unwrap();
        for part in parts.iter().chain([&path.to_string_lossy().as_ref()]) {
            assert!(error.message.contains(part), "`{}` lacks `{part}`", error.message);
        }
    };
    let merger = "model.visual.deepstack_merger_list.1.norm.weight";
    refused(merger, None, &["`model.visual.deepstack_merger_list.1.norm.weight` of shape [64] is missing"]);
    let norm = "model.language_model.layers.0.self_attn.q_norm.weight";
    refused(norm, None, &["`model.language_model.layers.0.self_attn.q_norm.weight` of shape [12] is missing"]);
    let position = "model.visual.pos_embed.weight";
    refused(position, Some("model.visual.merger.norm.weight"), &["`model.visual.", "of shape"]);
}

#[test]
fn files_that_are_wrong() {
    for (file, key, value, reason) in [
        (CONFIG, "model_type", json!("qwen2_5_vl"), "`model_type` is `qwen2_5_vl`, expected `qwen3_vl`"),
        (
            CONFIG,
            "model_type",
            json!("qwen3_vl_moe"),
            "`model_type` is `qwen3_vl_moe`, a mixture of experts, which `qwen3_vl` is not",
        ),
        (CONFIG, "image_token_id", json!(7), "but that of `<|image_pad|>` in the tokenizer is 5"),
        (PIXELS, "patch_size", json!(5), "squares are [5, 2, 2], but those of the tower are [4, 2, 2]"),
        (PIXELS, "size", json!({"longest_edge": 5}), "expected `shortest_edge` and `longest_edge`"),
        (PIXELS, "resample", json!(1), "`resample` is 1; torchvision knows 0, 2 and 3"),
    ] {
        refused(HUB, file, |content| content[key] = value, reason);
    }
    for (part, key, value, reason) in [
        ("text_config", "rope_scaling", json!(null), "gives no frequencies to time, height and width"),
        ("text_config", "rope_scaling", json!({"rope_type": "yarn", "factor": 2.0}), "yarn"),
        ("text_config", "hidden_size", json!(32), "the tower gives vectors of 24, but the language model takes 32"),
        ("vision_config", "hidden_act", json!("mish"), "not a configuration of a vision tower"),
        ("vision_config", "num_position_embeddings", json!(0), "there are no positions to be stretched"),
        ("vision_config", "num_heads", json!(3), "a width of 16 cannot be divided among 3 attention heads"),
    ] {
        refused(HUB, CONFIG, |config| config[part][key] = value, reason);
    }
}
