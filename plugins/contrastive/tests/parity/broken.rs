//! Checkpoints that are wrong, each refused with one sentence that names the file.

use std::{collections::HashMap, fs, path::Path};

use candle_core::{Device, Tensor};
use plugin_api::ErrorKind;
use tempfile::TempDir;

use super::cases::{Case, open};

const MODEL: &str = "model.safetensors";

#[test]
fn tensors() {
    let fc1 = "vision_model.encoder.layers.1.mlp.fc1.weight";
    let missing = edit_tensors(|tensors| drop(tensors.remove(fc1)));
    refused(&missing, MODEL, &[fc1, "of shape [44, 32] is missing"]);

    let extra = edit_tensors(|tensors| {
        tensors.insert("vision_model.extra".into(), tensors["logit_scale"].clone());
    });
    refused(&extra, MODEL, &["tensor `vision_model.extra` of shape [] does not belong to this model"]);

    let misshapen = edit_tensors(|tensors| {
        let turned = tensors[fc1].t().unwrap().contiguous().unwrap();
        tensors.insert(fc1.into(), turned);
    });
    refused(&misshapen, MODEL, &[fc1, "has shape [32, 44], expected [44, 32]"]);

    let ids = edit_tensors(|tensors| {
        let ids = Tensor::zeros((1, 17), candle_core::DType::I64, &Device::Cpu).unwrap();
        tensors.insert("text_model.embeddings.position_ids".into(), ids);
    });
    assert!(open(ids.path(), "f32").is_ok());
}

#[test]
fn files() {
    let dir = copy("modern");
    let bytes = fs::read(dir.path().join(MODEL)).unwrap();
    for length in [0, 5, 200, bytes.len() / 2, bytes.len() - 1] {
        fs::write(dir.path().join(MODEL), &bytes[..length]).unwrap();
        refused(&dir, MODEL, &["truncated, corrupt or not a safetensors file"]);
    }
    fs::remove_file(dir.path().join(MODEL)).unwrap();
    refused(&dir, "", &["no weights here", "pytorch_model.bin.index.json"]);

    let dir = copy("legacy");
    let bytes = fs::read(dir.path().join("pytorch_model.bin")).unwrap();
    for length in [0, 300, bytes.len() / 2, bytes.len() - 1] {
        fs::write(dir.path().join("pytorch_model.bin"), &bytes[..length]).unwrap();
        refused(&dir, "pytorch_model.bin", &["truncated, corrupt or not a PyTorch (zip format) file"]);
    }

    let dir = copy("sharded");
    fs::remove_file(dir.path().join("model-00002-of-00004.safetensors")).unwrap();
    refused(&dir, "model-00002-of-00004.safetensors", &["cannot read"]);
}

#[test]
fn configurations() {
    let dir = copy("modern");
    fs::remove_file(dir.path().join("config.json")).unwrap();
    refused(&dir, "config.json", &["cannot read", "No such file"]);

    for (file, from, to, reason) in [
        ("config.json", "\"model_type\": \"clip\"", "\"model_type\": \"siglip\"", "`model_type` is `siglip`"),
        ("config.json", "\"hidden_size\": 32", "\"hidden_size\": \"wide\"", "expected usize"),
        ("config.json", "\"quick_gelu\"", "\"mish\"", "unknown variant `mish`, expected one of `quick_gelu`"),
        ("config.json", "\"num_attention_heads\": 4", "\"num_attention_heads\": 5", "5 attention heads"),
        ("config.json", "}", "", "not a CLIP configuration"),
        ("config.json", "\"eos_token_id\": 553", "\"eos_token_id\": 552", "ends them with 553"),
        ("config.json", "\"vocab_size\": 554", "\"vocab_size\": 553", "the model knows 553 ids"),
        ("preprocessor_config.json", "\"resample\": 3", "\"resample\": 9", "`resample` is 9; known are 0 to 5"),
        ("preprocessor_config.json", "\"shortest_edge\"", "\"longest_edge\"", "`size` is {\"longest_edge\":21}"),
        ("preprocessor_config.json", "\"height\": 21", "\"height\": 0", "`crop_size` is"),
        ("tokenizer.json", "\"<|endoftext|>\"", "\"<|end|>\"", "`<|endoftext|>`"),
        ("tokenizer.json", "\"model\"", "model", "key must be a string"),
        (
            "tokenizer_config.json",
            "\"bos_token\": \"<|startoftext|>\"",
            "\"bos_token\": \"!\"",
            "an empty text becomes",
        ),
        ("tokenizer_config.json", "\"pad_token\": \"<|endoftext|>\"", "\"pad_token\": \"[PAD]\"", "`[PAD]` has no id"),
    ] {
        let dir = copy("modern");
        let path = dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} lacks {from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        refused(&dir, "", &[reason]);
    }
}

#[test]
fn sizes_that_do_not_fit() {
    let dir = copy("modern");
    fs::remove_file(dir.path().join("preprocessor_config.json")).unwrap();
    let clip = open(dir.path(), "f32").unwrap();
    let image = plugin_api::Image { width: 2, height: 1, rgb: &[0; 6] };
    let message = plugin_api::Model::features(&clip, &[image]).unwrap_err().message;
    assert!(message.contains("yields images of 224x224 pixels, but the model takes 21x21"), "{message}");
}

#[test]
fn settings() {
    let dir = Case::new("modern").dir;
    let error = open(&dir, "f8").err().unwrap();
    assert_eq!((error.kind, error.message.contains("`f8`")), (ErrorKind::Config, true));
    let error = contrastive::clip::Clip::open(plugin_api::Open::default()).err().unwrap();
    assert!(error.message.contains("directory with weights"));
}

#[test]
fn old_configurations_repeat_the_towers() {
    let dir = copy("modern");
    let path = dir.path().join("config.json");
    let mut config: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let tower = config["text_config"].take();
    config["text_config_dict"] = tower;
    config["vision_config_dict"] = serde_json::Value::Null;
    fs::write(&path, config.to_string()).unwrap();
    assert!(open(dir.path(), "f32").is_ok());
}

fn copy(case: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(Case::new(case).dir).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

fn edit_tensors(edit: impl FnOnce(&mut HashMap<String, Tensor>)) -> TempDir {
    let dir = copy("modern");
    let path = dir.path().join(MODEL);
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    edit(&mut tensors);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    dir
}

fn refused(dir: &TempDir, file: &str, parts: &[&str]) {
    let error = open(dir.path(), "f32").err().unwrap_or_else(|| panic!("opened, where this was expected: {parts:?}"));
    assert_eq!(error.kind, ErrorKind::Config, "{error}");
    let path = if file.is_empty() { dir.path().to_path_buf() } else { Path::new(dir.path()).join(file) };
    for part in parts.iter().copied().chain([path.to_string_lossy().as_ref()]) {
        assert!(error.message.contains(part), "`{}` lacks `{part}`", error.message);
    }
    assert!(!error.message.contains('\n'), "{}", error.message);
}
