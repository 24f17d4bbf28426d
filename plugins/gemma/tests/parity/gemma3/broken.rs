//! Checkpoints that are wrong, each refused with one sentence that names the file.

use std::{collections::HashMap, fs};

use candle_core::{Device, Tensor};
use plugin_api::{ErrorKind, Open};
use serde_json::json;
use tempfile::TempDir;

use super::cases::{copy, dir, edit, merge, open, options};

const MODEL: &str = "model.safetensors";
const CONFIG: &str = "config.json";

#[test]
fn tensors() {
    let up = "language_model.model.layers.1.mlp.up_proj.weight";
    let missing = edit_tensors(|tensors| drop(tensors.remove(up)));
    refused("medgemma", &missing, MODEL, &[up, "of shape [28, 20] is missing"]);
    let norm = "language_model.model.layers.2.self_attn.k_norm.weight";
    let missing = edit_tensors(|tensors| drop(tensors.remove(norm)));
    refused("medgemma", &missing, MODEL, &[norm, "of shape [8] is missing"]);
    let extra = edit_tensors(|tensors| {
        tensors.insert("vision_tower.vision_model.extra".into(), tensors[up].clone());
    });
    refused(
        "medgemma",
        &extra,
        MODEL,
        &["`vision_tower.vision_model.extra` of shape [28, 20] does not belong to this"],
    );
    let matrix = "multi_modal_projector.mm_input_projection_weight";
    let turned = edit_tensors(|tensors| {
        let turned = tensors[matrix].t().unwrap().contiguous().unwrap();
        tensors.insert(matrix.into(), turned);
    });
    refused("medgemma", &turned, MODEL, &[matrix, "has shape [20, 18], expected [18, 20]"]);
}

#[test]
fn files() {
    for (name, file, reason) in [
        ("medgemma", MODEL, "no weights here; expected one of `model.safetensors`"),
        ("medgemma", CONFIG, "cannot read"),
        ("medgemma", "tokenizer.json", "no tokenizer here"),
        ("inner", "model-00002-of-00003.safetensors", "cannot read"),
    ] {
        let dir = copy(name);
        fs::remove_file(dir.path().join(file)).unwrap();
        refused(name, &dir, "", &[reason]);
    }
    let cut = copy("medgemma");
    let bytes = fs::read(cut.path().join(MODEL)).unwrap();
    fs::write(cut.path().join(MODEL), &bytes[..bytes.len() / 2]).unwrap();
    refused("medgemma", &cut, MODEL, &["truncated, corrupt or not a safetensors file"]);
}

#[test]
fn configurations() {
    for (file, key, value, reason) in [
        (CONFIG, "model_type", json!("gemma3_text"), "`model_type` is `gemma3_text`, expected `gemma3`"),
        (CONFIG, "image_token_index", json!(7), "the image's id is 7, but that of `<image_soft_token>` in the"),
        (CONFIG, "vision_config", json!({"model_type": "swin"}), "the vision tower is `swin`, expected `siglip_vision"),
        (CONFIG, "vision_config", json!({"hidden_size": "wide"}), "not a configuration of a vision tower"),
        (CONFIG, "vision_config", json!({"num_channels": 1}), "`num_channels` is 1, expected 3"),
        (CONFIG, "text_config", json!({"final_logit_softcapping": 30.0}), "`final_logit_softcapping` is 30.0, but"),
        (CONFIG, "text_config", json!({"layer_types": ["full_attention"]}), "`layer_types` names 1 layers, but there"),
        (CONFIG, "mm_tokens_per_image", json!(25), "25 tokens cannot be made of an image of 30 pixels in patches of 7"),
        (CONFIG, "mm_tokens_per_image", json!("many"), "`mm_tokens_per_image` is \"many\", expected a number"),
        ("generation_config.json", "eos_token_id", json!("end"), "`eos_token_id` has \"end\", which is no id"),
        ("processor_config.json", "image_seq_length", json!(9), "`image_seq_length` is 9, but the vision tower of"),
        ("preprocessor_config.json", "size", json!({"shortest_edge": 30}), "expected `height` and `width`"),
    ] {
        let dir = copy("medgemma");
        edit(&dir, file, |content| content[key] = value);
        refused("medgemma", &dir, file, &[reason]);
    }
    let dir = copy("medgemma");
    edit(&dir, "tokenizer_config.json", |content| {
        content["extra_special_tokens"].as_object_mut().unwrap().remove("boi_token");
        content["boi_token"] = json!("<boi>");
    });
    refused("medgemma", &dir, CONFIG, &["the tokenizer does not know `<boi>`, which stands for a part of an image"]);
    let dir = copy("medgemma");
    edit(&dir, "preprocessor_config.json", |content| content["size"] = json!({"height": 28, "width": 28}));
    let (model, case) = (open(dir.path(), "f32", options("medgemma")).unwrap(), super::Case::read("medgemma"));
    let request = plugin_api::Inspect { prompt: Some(case.requests[0].prompt.clone()), ..super::cases::inspection(1) };
    let decoded = super::images_of(&case.requests[0].images);
    let error = model.inspect(&request, &[super::cases::view(&decoded[0])]).err().unwrap();
    assert!(error.message.contains("yields images of 28x28 pixels, but the model takes 30x30"), "{error}");
}

#[test]
fn options_that_make_no_sense() {
    for (key, value, reason) in [
        ("template", json!("chat"), "unknown option `template`; architecture `gemma3` has `system`, `text_first`"),
        ("system", json!(3), "option `system` is 3; expected a text"),
        ("text_first", json!("yes"), "option `text_first` is \"yes\"; expected true or false"),
        ("compat", json!("mine"), "expected \"medvlmbench\""),
    ] {
        let error = open(&dir("medgemma"), "f32", merge(options("medgemma"), &[(key, value)])).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Config, "{error}");
        assert!(error.message.contains(reason), "`{}` lacks `{reason}`", error.message);
    }
    let error = gemma::gemma3::open(Open::default()).err().unwrap();
    assert_eq!(error.message, "architecture `gemma3` needs a directory with weights");
}

fn edit_tensors(change: impl FnOnce(&mut HashMap<String, Tensor>)) -> TempDir {
    let dir = copy("medgemma");
    let path = dir.path().join(MODEL);
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    dir
}

fn refused(name: &str, dir: &TempDir, file: &str, parts: &[&str]) {
    let error = open(dir.path(), "f32", options(name)).err();
    let error = error.unwrap_or_else(|| panic!("opened, where this was expected: {parts:?}"));
    assert_eq!(error.kind, ErrorKind::Config, "{error}");
    let path = if file.is_empty() { dir.path().to_path_buf() } else { dir.path().join(file) };
    for part in parts.iter().copied().chain([path.to_string_lossy().as_ref()]) {
        assert!(error.message.contains(part), "`{}` lacks `{part}`", error.message);
    }
    assert!(!error.message.contains('\n'), "{}", error.message);
}
