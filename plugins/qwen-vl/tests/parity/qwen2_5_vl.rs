//! What architecture `qwen2_5_vl` has of its own.

use serde_json::{Value, json};

use super::cases::{Case, difference, find, refused, tensor};

const HUB: &str = "qwen2_5_vl/hub";
const SQUARE: &str = "qwen2_5_vl/square";
const CONFIG: &str = "config.json";

#[test]
fn equals_the_reference() {
    [HUB, SQUARE].into_iter().for_each(|name| Case::of(name).equals_the_reference());
}

#[test]
fn a_mixed_batch_equals_single_requests() {
    [HUB, SQUARE].into_iter().for_each(|name| Case::of(name).a_batch_equals_single_requests());
}

#[test]
fn options_are_as_likely_as_in_the_reference() {
    [HUB, SQUARE].into_iter().for_each(|name| Case::of(name).rates_options_as_the_reference());
}

#[test]
fn half_precision_stays_near() {
    [HUB, SQUARE].into_iter().for_each(|name| Case::of(name).half_precision_stays_near());
}

#[test]
fn compat_brings_images_to_the_benchmarks_square() {
    let case = Case::of(HUB);
    let pixels = |options: Value| {
        let options: Vec<_> =
            options.as_object().unwrap().iter().map(|(key, value)| (&key[..], value.clone())).collect();
        tensor(find(&case.inspect(&*case.open("f32", &options), 0), "pixel_values"))
    };
    // More pixels than the file allows, so that they are shrunk from the square.
    let square = pixels(json!({"side": 224}));
    assert_eq!(difference(&pixels(json!({"compat": "medvlmbench"})), &square), 0.0);
    assert_eq!(pixels(json!({"compat": "medvlmbench", "side": 32})).dims(), [64, 96]);
    assert_eq!(square.dims(), [144, 96]);
}

#[test]
fn towers_that_are_wrong() {
    for (key, value, reason) in [
        ("hidden_act", json!("gelu"), "`hidden_act` is `gelu`, expected `silu`"),
        ("window_size", json!(7), "a window has no room for a vector"),
        ("out_hidden_size", json!(23), "the tower gives vectors of 23, but the language model takes 24"),
        ("fullatt_block_indexes", json!("all"), "not a configuration of a vision tower"),
        ("num_heads", json!(5), "a width of 24 cannot be divided among 5 attention heads"),
    ] {
        refused(HUB, CONFIG, |config| config["vision_config"][key] = value, reason);
    }
    refused(HUB, CONFIG, |config| config["model_type"] = json!("qwen2_vl"), "expected `qwen2_5_vl`");
}
