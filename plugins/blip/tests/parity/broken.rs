//! Checkpoints that are wrong, each refused with one sentence that names the file.

use std::{collections::HashMap, fs, path::Path};

use candle_core::{Device, Tensor};
use plugin_api::{ErrorKind, Open};
use tempfile::TempDir;

use super::cases::{dir, open, path};

const MODEL: &str = "model.safetensors";
const CONFIG: &str = "config.json";

#[test]
fn tensors() {
    let query = "text_encoder.encoder.layer.2.crossattention.self.query.weight";
    let missing = edit_tensors("retrieval", |tensors| drop(tensors.remove(query)));
    refused("retrieval", &missing, MODEL, &[query, "of shape [24, 24] is missing"]);

    let extra = edit_tensors("retrieval", |tensors| {
        tensors.insert("text_decoder.extra".into(), tensors["itm_head.bias"].clone());
    });
    refused("retrieval", &extra, MODEL, &["tensor `text_decoder.extra` of shape [2] does not belong to this model"]);

    let key = "text_encoder.encoder.layer.0.crossattention.self.key.weight";
    let misshapen = edit_tensors("retrieval", |tensors| {
        let turned = tensors[key].t().unwrap().contiguous().unwrap();
        tensors.insert(key.into(), turned);
    });
    refused("retrieval", &misshapen, MODEL, &[key, "has shape [32, 24], expected [24, 32]"]);

    let position = "vision_model.embeddings.position_embedding";
    let longer = edit_tensors("captioning", |tensors| {
        let twice = tensors[position].repeat((2, 1, 1)).unwrap();
        tensors.insert(position.into(), twice);
    });
    refused("captioning", &longer, MODEL, &[position, "has shape [2, 145, 8], expected [145, 8]"]);

    let ids = edit_tensors("retrieval", |tensors| {
        let ids = Tensor::zeros((1, 23), candle_core::DType::I64, &Device::Cpu).unwrap();
        tensors.insert("text_encoder.embeddings.position_ids".into(), ids);
    });
    assert!(open("retrieval", ids.path(), "f32", None).is_ok());
}

#[test]
fn configurations() {
    for (case, file, from, to, reason) in [
        ("retrieval", CONFIG, "\"blip\"", "\"clip\"", "`model_type` is `clip`, expected `blip`"),
        (
            "retrieval",
            CONFIG,
            "BlipForImageTextRetrieval",
            "BlipFor",
            "`architectures` is `BlipFor`; known are `BlipForI",
        ),
        ("retrieval", CONFIG, "\"hidden_size\": 32", "\"hidden_size\": \"wide\"", "expected usize"),
        ("retrieval", CONFIG, "\"num_attention_heads\": 4", "\"num_attention_heads\": 5", "5 attention heads"),
        ("retrieval", CONFIG, "\"num_attention_heads\": 3", "\"num_attention_heads\": 0", "0 attention heads"),
        ("retrieval", CONFIG, "_text_hidden_size\": 20", "_text_hidden_size\": 0", "`image_text_hidden_size` is 0"),
        ("retrieval", CONFIG, "}", "", "not a configuration"),
        ("retrieval", "preprocessor_config.json", "\"height\"", "\"shortest_edge\"", "`size` is {\"shortest_edge\":21"),
        ("retrieval", "tokenizer.json", "\"[SEP]\"", "\"[END]\"", "`[SEP]`"),
        ("blip2", CONFIG, "\"blip-2\"", "\"blip\"", "`model_type` is `blip`, expected `blip-2`"),
        ("blip2", CONFIG, "Blip2ForImageTextRetrieval", "Blip2Model", "`architectures` is `Blip2Model`, expected"),
        ("blip2", CONFIG, "text_input\": true", "text_input\": false", "this Q-Former reads no texts"),
        ("blip2", CONFIG, "qkv_bias\": true", "qkv_bias\": false", "`qkv_bias` is false"),
        ("blip2", CONFIG, "query_tokens\": 5", "query_tokens\": -5", "`num_query_tokens` is -5"),
    ] {
        let dir = copy(case);
        let path = dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} lacks {from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        refused(case, &dir, file, &[reason]);
    }
}

#[test]
fn files() {
    let dir = copy("retrieval");
    fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    refused("retrieval", &dir, "", &["no tokenizer here"]);
    let dir = copy("blip2");
    fs::remove_file(dir.path().join("model-00002-of-00003.safetensors")).unwrap();
    refused("blip2", &dir, "model-00002-of-00003.safetensors", &["cannot read"]);
    let dir = copy("captioning");
    fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    refused("captioning", &dir, "", &["no tokenizer here"]);
}

#[test]
fn settings() {
    let error = open("retrieval", &dir("retrieval"), "f32", Some("cosine")).err().unwrap();
    assert_eq!(error.message, "option `score` is \"cosine\"; expected `itm`, `itc`");
    let error = blip::blip::open(Open::default()).err().unwrap();
    assert_eq!(error.message, "architecture `blip` needs a directory with weights");
    let mut request = Open { weights: Some(dir("blip2")), ..Default::default() };
    request.options.insert("scores".into(), "itm".into());
    let error = blip::blip2_itm::open(request).err().unwrap();
    assert_eq!(error.message, "unknown option `scores`; architecture `blip2_itm` has `score`");
}

#[test]
fn what_config_json_leaves_out_has_the_default() {
    let dir = copy("retrieval");
    let path = dir.path().join(CONFIG);
    let mut config: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    config.as_object_mut().unwrap().remove("architectures");
    config["vision_config"].as_object_mut().unwrap().remove("hidden_act");
    config["text_config"]["hidden_act"] = serde_json::Value::Null;
    fs::write(&path, config.to_string()).unwrap();
    assert!(open("retrieval", dir.path(), "f32", None).is_ok());
    config["text_config"].as_object_mut().unwrap().remove("vocab_size");
    fs::write(&path, config.to_string()).unwrap();
    refused("retrieval", &dir, MODEL, &["word_embeddings.weight` has shape [129, 24], expected [30524, 24]"]);
}

/// What is asked of models that write, file by file.
#[test]
fn models_that_write() {
    let open = |folder: &str, dir: &TempDir| {
        let request = Open { weights: Some(dir.path().to_path_buf()), ..Default::default() };
        let error = match folder {
            "blip2" => blip::blip2::open(request).err(),
            "xraygpt" => blip::xraygpt::open(request).err(),
            _ => blip::blip::open(request).err(),
        };
        error.unwrap_or_else(|| panic!("{folder} opened")).message
    };
    for (folder, case, file, from, to, reason) in [
        ("blip2", "inserted", CONFIG, "\"opt\"", "\"t5\"", "is `t5`, but only `opt` is built in"),
        ("blip2", "inserted", CONFIG, "ForConditionalGeneration", "Model", "`architectures` is `Blip2Model`, expected"),
        ("blip2", "inserted", CONFIG, "text_input\": false", "text_input\": true", "reads no texts"),
        ("blip2", "inserted", CONFIG, "\"image_token_index\": 290", "\"image_token_index\": -1", "-1 is no token id"),
        ("blip2", "older", CONFIG, "\"num_query_tokens\": 3", "\"num_query_tokens\": 4", "query_tokens` has shape"),
        ("blip_generate", "captioning", CONFIG, "\"vocab_size\": ", "\"vocab_size\": 1", "embeddings.word_embeddings"),
        ("xraygpt", "full", "Vicuna_Radiology_fp16/config.json", "\"llama\"", "\"opt\"", "expected `llama`"),
    ] {
        let dir = copy_of(&path(&format!("{folder}/{case}")));
        let path = dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} lacks {from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        let message = open(folder, &dir);
        assert!(message.contains(reason), "`{message}` lacks `{reason}`");
    }
    for (folder, case, file) in [
        ("blip2", "older", "pytorch_model.bin"),
        ("blip2", "inserted", "tokenizer.json"),
        ("xraygpt", "half", "eva_vit_g.pth"),
        ("xraygpt", "half", "xraygpt_pretrained1.pth"),
        ("xraygpt", "half", "Vicuna_Radiology_fp16/tokenizer.model"),
        ("xraygpt", "half", "Vicuna_Radiology_fp16/pytorch_model-00002-of-00002.bin"),
    ] {
        let dir = copy_of(&path(&format!("{folder}/{case}")));
        fs::remove_file(dir.path().join(file)).unwrap();
        let message = open(folder, &dir);
        assert!(message.contains(&dir.path().to_string_lossy().into_owned()), "{message}");
    }
}

fn copy(case: &str) -> TempDir {
    copy_of(&dir(case))
}

fn copy_of(dir: &Path) -> TempDir {
    let copied = tempfile::tempdir().unwrap();
    copy_into(dir, copied.path());
    copied
}

fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir(&copy).unwrap();
            copy_into(&path, &copy);
        } else {
            fs::copy(&path, &copy).unwrap();
        }
    }
}

fn edit_tensors(case: &str, edit: impl FnOnce(&mut HashMap<String, Tensor>)) -> TempDir {
    let dir = copy(case);
    let path = dir.path().join(MODEL);
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    edit(&mut tensors);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    dir
}

fn refused(case: &str, dir: &TempDir, file: &str, parts: &[&str]) {
    let error = open(case, dir.path(), "f32", None).err();
    let error = error.unwrap_or_else(|| panic!("opened, where this was expected: {parts:?}"));
    assert_eq!(error.kind, ErrorKind::Config, "{error}");
    let path = if file.is_empty() { dir.path().to_path_buf() } else { dir.path().join(file) };
    for part in parts.iter().copied().chain([path.to_string_lossy().as_ref()]) {
        assert!(error.message.contains(part), "`{}` lacks `{part}`", error.message);
    }
    assert!(!error.message.contains('\n'), "{}", error.message);
}
