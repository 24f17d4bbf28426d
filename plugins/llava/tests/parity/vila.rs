//! Architecture `vila` against a reference composed of `transformers`' parts, `tests/parity/vila.py`.

mod cases;

use std::{collections::HashMap, fs};

use candle_core::{Device, Tensor};
use plugin_api::{Capability, ErrorKind};
use serde_json::{Value, json};

pub use cases::{Case, copy, edit, refused};

const CASES: [&str; 3] = ["vila/llama3", "vila/bin", "vila/joined"];

#[test]
fn equals_the_reference() {
    for name in CASES {
        Case::of(name).equals_the_reference();
    }
}

#[test]
fn a_mixed_batch_equals_single_requests() {
    for name in CASES {
        Case::of(name).a_batch_equals_single_requests();
    }
}

#[test]
fn options_are_rated_as_the_answer_was_found() {
    Case::of("vila/llama3").rates_options();
}

#[test]
fn bfloat16_runs() {
    Case::of("vila/joined").runs_in_bfloat16();
}

#[test]
fn describes_itself() {
    let case = Case::of("vila/llama3");
    let description = case.open(&json!({})).unwrap().describe();
    assert_eq!(description.capabilities, [Capability::Generate, Capability::Choose]);
    assert_eq!((description.image_size, description.feature_dim), (23, 0));
    let folders = ["llm", "mm_projector", "vision_tower"].map(|folder| {
        let tensors =
            candle_core::safetensors::load(case.dir.join(folder).join("model.safetensors"), &Device::Cpu).unwrap();
        let counted = tensors.iter().filter(|(name, _)| !name.starts_with("vision_model.head"));
        counted.map(|(_, tensor)| tensor.elem_count() as u64).sum::<u64>()
    });
    assert_eq!(description.parameters, folders.iter().sum::<u64>());
}

#[test]
fn a_prompt_and_its_images_belong_together() {
    let case = Case::of("vila/llama3");
    let model = case.open(&json!({})).unwrap();
    let error =
        case.inspect(&*model, &json!({"images": ["small"], "text": "<image> and <image>", "raw": true})).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Input);
    assert!(error.message.contains("2 times `<image>`, but there are 1 images"), "{error}");
}

#[test]
fn options_are_checked() {
    let case = Case::of("vila/llama3");
    for (options, expected) in [
        (json!({"several": "tiles"}), "unknown option `several`"),
        (json!({"bos": "twice"}), "expected `once`, `tokenizer`"),
        (json!({"compat": "llava"}), "option `compat`"),
    ] {
        let error = case.open(&options).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Config);
        assert!(error.message.contains(expected), "{error}");
    }
}

#[test]
fn broken_checkpoints_are_refused() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str); 8] = [
        ("config.json", |c| c["model_type"] = json!("blip"), "`model_type` is `blip`, expected `llava_llama`"),
        (
            "config.json",
            |c| c["image_aspect_ratio"] = json!("dynamic"),
            "known are `resize`, `square` and `dynamic_s2`",
        ),
        ("config.json", |c| c["mm_vision_select_layer"] = json!(-6), "is -6, but the tower has 3 layers"),
        ("config.json", |c| c["mm_vision_select_feature"] = json!("patch"), "only `cls_patch` suits"),
        ("config.json", |c| c["s2"] = json!(true), "`s2` is true"),
        ("mm_projector/config.json", |c| c["mm_projector_type"] = json!("linear"), "`mm_projector_type` is `linear`"),
        (
            "vision_tower/config.json",
            |c| c["model_type"] = json!("clip_vision_model"),
            "expected `siglip_vision_model`",
        ),
        ("llm/config.json", |c| c["model_type"] = json!("gemma"), "`gemma`"),
    ];
    for (file, change, expected) in cases {
        let dir = copy("vila/llama3");
        edit(&dir.path().join(file), change);
        refused("vila", dir.path(), file, expected);
    }
    for file in ["config.json", "llm/config.json", "mm_projector/config.json", "vision_tower/config.json"] {
        let dir = copy("vila/llama3");
        fs::remove_file(dir.path().join(file)).unwrap();
        refused("vila", dir.path(), file, "cannot read");
    }
}

#[test]
fn tensors_are_all_there_and_all_used() {
    type Change = fn(&mut HashMap<String, Tensor>);
    let cases: [(&str, Change, &str); 4] = [
        ("llm", |t| drop(t.remove("model.norm.weight")), "`model.norm.weight` of shape [32] is missing"),
        ("mm_projector", |t| drop(t.remove("layers.2.bias")), "`layers.2.bias` of shape [32] is missing"),
        ("vision_tower", |t| drop(t.insert("extra".into(), t["vision_model.post_layernorm.bias"].clone())), "`extra`"),
        (
            "mm_projector",
            |t| drop(t.insert("layers.1.bias".into(), t["layers.2.bias"].clone())),
            "`layers.1.bias` has shape [32], expected [72]",
        ),
    ];
    for (folder, change, expected) in cases {
        let dir = copy("vila/llama3");
        let path = dir.path().join(folder).join("model.safetensors");
        let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        change(&mut tensors);
        candle_core::safetensors::save(&tensors, &path).unwrap();
        refused("vila", dir.path(), &format!("{folder}/model.safetensors"), expected);
    }
}
