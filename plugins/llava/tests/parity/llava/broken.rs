//! Checkpoints that are wrong, each refused with one sentence that names the file.

use std::{collections::HashMap, fs};

use candle_core::{Device, Tensor};
use plugin_api::{ErrorKind, Open};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::cases::{copy, dir, edit, merge, open, options};

const MODEL: &str = "model.safetensors";
const CONFIG: &str = "config.json";

#[test]
fn tensors() {
    let up = "language_model.model.layers.1.mlp.up_proj.weight";
    let missing = edit_tensors("llama", |tensors| drop(tensors.remove(up)));
    refused("llama", &missing, MODEL, &[up, "of shape [28, 16] is missing"]);

    let extra = edit_tensors("llama", |tensors| {
        tensors.insert("vision_tower.vision_model.extra".into(), tensors[up].clone());
    });
    refused("llama", &extra, MODEL, &["`vision_tower.vision_model.extra` of shape [28, 16] does not belong to this"]);

    // A layer of the tower that nothing is read from.
    let last = "vision_tower.vision_model.encoder.layers.1.mlp.fc1.weight";
    let misshapen = edit_tensors("llama", |tensors| {
        let turned = tensors[last].t().unwrap().contiguous().unwrap();
        tensors.insert(last.into(), turned);
    });
    refused("llama", &misshapen, MODEL, &[last, "has shape [18, 20], expected [20, 18]"]);

    let head = edit_tensors("original", |tensors| drop(tensors.remove("lm_head.weight")));
    refused("original", &head, MODEL, &["`lm_head.weight` of shape"]);
    let projector = edit_tensors("original", |tensors| drop(tensors.remove("model.mm_projector.2.bias")));
    refused("original", &projector, MODEL, &["`model.mm_projector.2.bias` of shape [16] is missing"]);
}

#[test]
fn files() {
    for (name, file, reason) in [
        ("llama", MODEL, "no weights here; expected one of `model.safetensors`"),
        ("llama", CONFIG, "cannot read"),
        ("llama", "tokenizer.json", "no tokenizer here"),
        ("mistral", "model-00002-of-00002.safetensors", "cannot read"),
        ("qwen2", "chat_template.jinja", "no chat template here; option `template` can name `vicuna_v1`"),
        ("original", "tokenizer.model", "no tokenizer here"),
        ("original", "vision_tower/config.json", "cannot read"),
        ("original", "vision_tower/pytorch_model.bin", "no weights here"),
    ] {
        let dir = copy(name);
        fs::remove_file(dir.path().join(file)).unwrap();
        refused(name, &dir, "", &[reason]);
    }
    let cut = copy("llama");
    let bytes = fs::read(cut.path().join(MODEL)).unwrap();
    fs::write(cut.path().join(MODEL), &bytes[..bytes.len() / 2]).unwrap();
    refused("llama", &cut, MODEL, &["truncated, corrupt or not a safetensors file"]);
}

#[test]
fn a_tower_that_is_nowhere() {
    let dir = copy("original");
    fs::remove_dir_all(dir.path().join("vision_tower")).unwrap();
    let reason = "the vision tower `openai/clip-vit-large-patch14-336` is not here; put a copy of its repository into the \
                  subfolder `vision_tower`, or name its folder in option `vision_tower`";
    refused("original", &dir, "", &[reason]);
    let elsewhere = super::cases::dir("original").join("vision_tower");
    let option = |folder: Value| open("original", dir.path(), "f32", merge(Map::new(), &[("vision_tower", folder)]));
    assert!(option(json!(elsewhere)).is_ok());
    assert!(option(json!("nowhere")).err().unwrap().message.contains("nowhere"));
    assert_eq!(option(json!(3)).err().unwrap().message, "option `vision_tower` is 3; expected a folder");
    edit(&dir, CONFIG, |config| config["mm_vision_tower"] = json!(elsewhere));
    assert!(option(json!(elsewhere)).is_ok());
    assert!(open("original", dir.path(), "f32", Map::new()).is_ok());

    // Tensors without dimensions; those of the tower that is named are known.
    let dir = copy("original-med");
    fs::remove_dir_all(dir.path().join("vision_tower")).unwrap();
    refused(
        "original-med",
        &dir,
        MODEL,
        &["patch_embedding.weight` has shape [18, 3, 7, 7], expected [1024, 3, 14, 14]"],
    );
    edit(&dir, CONFIG, |config| config["mm_vision_tower"] = json!("somebody/a-tower"));
    refused("original-med", &dir, CONFIG, &["nothing tells the dimensions of the vision tower `somebody/a-tower`"]);
    let vision: Value = serde_json::from_str(
        &fs::read_to_string(super::cases::dir("original-med").join("vision_tower/config.json")).unwrap(),
    )
    .unwrap();
    edit(&dir, CONFIG, |config| config["vision_config"] = vision);
    assert!(open("original-med", dir.path(), "f32", Map::new()).is_ok());
}

#[test]
fn configurations() {
    for (name, file, key, value, reason) in [
        ("llama", CONFIG, "model_type", json!("blip"), "`model_type` is `blip`, expected `llava`"),
        (
            "llama",
            CONFIG,
            "vision_feature_layer",
            json!(-4),
            "features of layer -4 are asked for, but the vision tower has 2",
        ),
        ("llama", CONFIG, "vision_feature_layer", json!([]), "`vision_feature_layer` names no layer"),
        ("llama", CONFIG, "vision_feature_layer", json!("last"), "\"last\" is no index of a layer"),
        ("llama", CONFIG, "vision_feature_select_strategy", json!("cls"), "known are `default` and `full`"),
        (
            "llama",
            CONFIG,
            "projector_hidden_act",
            json!("mish"),
            "`projector_hidden_act` is `\"mish\"`; known are `gelu`",
        ),
        (
            "llama",
            CONFIG,
            "image_token_index",
            json!(7),
            "the image's id is 7, but that of `<image>` in the tokenizer is",
        ),
        (
            "llama",
            CONFIG,
            "text_config",
            json!({"model_type": "gpt2"}),
            "the language model is `gpt2`; known are `llama`",
        ),
        ("llama", CONFIG, "vision_config", json!({"model_type": "swin"}), "the vision tower is `swin`; known are"),
        ("llama", CONFIG, "vision_config", json!({"hidden_size": "wide"}), "not a configuration of a vision tower"),
        (
            "llama",
            "preprocessor_config.json",
            "image_processor_type",
            json!("ViTImageProcessor"),
            "known are `LlavaImage",
        ),
        ("llama", "preprocessor_config.json", "image_mean", json!("grey"), "`image_mean` is \"grey\""),
        ("llama", "generation_config.json", "eos_token_id", json!("end"), "\"end\" is no id of a token"),
        ("original", CONFIG, "model_type", json!("llava_mpt"), "`model_type` is `llava_mpt`; known are `llava`"),
        (
            "original",
            CONFIG,
            "image_aspect_ratio",
            json!("anyres"),
            "`image_aspect_ratio` is `anyres`; known are `pad`",
        ),
        ("original", CONFIG, "mm_vision_select_feature", json!("cls"), "known are `patch` and `cls_patch`"),
        ("original", CONFIG, "mm_projector_type", json!("ldp"), "`mm_projector_type` is `ldp`; known are `linear`"),
        ("original", CONFIG, "mm_use_im_start_end", json!(true), "the tokenizer does not know `<im_start>`"),
    ] {
        let dir = copy(name);
        edit(&dir, file, |content| content[key] = value);
        refused(name, &dir, file, &[reason]);
    }
}

#[test]
fn options_that_make_no_sense() {
    for (name, key, value, reason) in [
        (
            "llama",
            "templates",
            json!("chat"),
            "unknown option `templates`; architecture `llava` has `template`, `image`",
        ),
        ("llama", "template", json!("alpaca"), "expected `vicuna_v1`, `mistral_instruct`, `chat`"),
        ("llama", "image", json!("crop"), "expected `pad`, `processor`"),
        ("llama", "vision_tower", json!("there"), "option `vision_tower` is none of this layout"),
        ("original", "template", json!("chat"), "no chat template here"),
        ("original-med", "compat", json!("medvlmbench"), "no weights here; expected one of"),
        ("original-med", "compat", json!("mine"), "expected \"medvlmbench\""),
    ] {
        let error = open(name, &dir(name), "f32", merge(options(name), &[(key, value)])).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Config, "{error}");
        assert!(error.message.contains(reason), "`{}` lacks `{reason}`", error.message);
    }
    let error = llava::llava::open(Open::default()).err().unwrap();
    assert_eq!(error.message, "architecture `llava` needs a directory with weights");
}

#[test]
fn what_config_json_leaves_out_has_the_default() {
    let dir = copy("llama");
    edit(&dir, CONFIG, |config| {
        let config = config.as_object_mut().unwrap();
        for key in ["vision_feature_layer", "vision_feature_select_strategy", "projector_hidden_act", "architectures"] {
            config.remove(key);
        }
        config["vision_config"].as_object_mut().unwrap().remove("hidden_act");
    });
    fs::remove_file(dir.path().join("preprocessor_config.json")).unwrap();
    fs::remove_file(dir.path().join("generation_config.json")).unwrap();
    let (model, case) = (open("llama", dir.path(), "f32", options("llama")).unwrap(), super::Case::read("llama"));
    let found = case.inspect(&*model, 4).generation.unwrap();
    assert_eq!((found.generated_ids, found.prompt_ids.len()), (case.requests[4].generated_ids.clone(), 147));
    edit(&dir, CONFIG, |config| drop(config.as_object_mut().unwrap().remove("vision_config")));
    refused(
        "llama",
        &dir,
        MODEL,
        &["embeddings.patch_embedding.weight` has shape [18, 3, 7, 7], expected [1024, 3, 14, 14]"],
    );
}

fn edit_tensors(name: &str, change: impl FnOnce(&mut HashMap<String, Tensor>)) -> TempDir {
    let dir = copy(name);
    let path = dir.path().join(MODEL);
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    dir
}

fn refused(name: &str, dir: &TempDir, file: &str, parts: &[&str]) {
    let error = open(name, dir.path(), "f32", options(name)).err();
    let error = error.unwrap_or_else(|| panic!("opened, where this was expected: {parts:?}"));
    assert_eq!(error.kind, ErrorKind::Config, "{error}");
    let path = if file.is_empty() { dir.path().to_path_buf() } else { dir.path().join(file) };
    for part in parts.iter().copied().chain([path.to_string_lossy().as_ref()]) {
        assert!(error.message.contains(part), "`{}` lacks `{part}`", error.message);
    }
    assert!(!error.message.contains('\n'), "{}", error.message);
}
