//! Architecture `biomedclip` against `open_clip.CustomTextCLIP`, on the checkpoints that `tests/parity/biomedclip.py`
//! wrote.

use std::{
    fs,
    path::{Path, PathBuf},
};

use blocks::{
    text::BertConfig,
    tokens::{WordPieceTokenizer, clean},
};
use candle_core::{DType, Device, Tensor};
use contrastive::biomedclip::BiomedClip;
use plugin_api::{Model, Open};
use serde_json::{Map, Value, json};

use super::cases::{Decoded, difference, images, inspect, tensor};

const TOLERANCE: f32 = 1e-4;

#[test]
fn equals_the_reference_in_f32() {
    for case in ["published", "other"] {
        let model = open(&dir(case), options(case)).unwrap();
        let arrays = inspect(&model, &texts("biomedclip"), &images());
        let names: Vec<_> = arrays.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["pixel_values", "image_features", "image_embeds", "text_embeds", "logits"]);
        for (name, array) in &arrays {
            let difference = difference(&tensor(array), &golden(&dir(case), name));
            let allowed = if name == "pixel_values" { 0.0 } else { TOLERANCE };
            assert!(difference <= allowed, "{case}: {name} differs by {difference}");
        }
    }
}

#[test]
fn tokenizes_and_encodes_as_the_reference() {
    for case in ["published", "other"] {
        let model = open(&dir(case), options(case)).unwrap();
        let bert = model.model().text();
        let BertConfig { vocab_size, .. } = bert.config();
        let expected: Vec<Vec<u32>> = golden(&dir(case), "input_ids").to_dtype(DType::U32).unwrap().to_vec2().unwrap();
        let tokenizer = WordPieceTokenizer::from_dir(&dir(case), expected[0].len(), *vocab_size).unwrap();
        let ids = tokenizer.encode(&texts("biomedclip").iter().map(|text| clean(text)).collect::<Vec<_>>()).unwrap();
        assert_eq!(ids, expected, "{case}");
        let states = bert.hidden_states(&ids, &tokenizer.mask(&ids), false).unwrap();
        let states = Tensor::stack(&states, 0).unwrap().narrow(1, 3, 2).unwrap();
        let difference = difference(&states, &golden(&dir(case), "hidden"));
        assert!(difference <= TOLERANCE, "{case}: hidden states differ by {difference}");
    }
}

#[test]
fn a_batch_equals_single_images() {
    let model = open(&dir("published"), Map::new()).unwrap();
    let decoded = images();
    let views: Vec<_> = decoded.iter().map(Decoded::view).collect();
    let features = model.features(&views).unwrap();
    for (row, view) in views.iter().enumerate() {
        let one = model.features(&[*view]).unwrap();
        assert_eq!(one.inputs[0], features.inputs[row]);
        assert!(one.matrix.row(0).iter().zip(features.matrix.row(row)).all(|(a, b)| (a - b).abs() <= 1e-5));
    }
}

#[test]
fn describes_itself() {
    let description = open(&dir("other"), options("other")).unwrap().describe();
    assert_eq!((description.feature_dim, description.image_size), (15, 30));
    assert!((description.logit_scale - 1.7f32.exp()).abs() < 0.01);
    let stored = candle_core::safetensors::load(dir("other").join("open_clip_model.safetensors"), &Device::Cpu);
    let stored = stored.unwrap().values().map(Tensor::elem_count).sum::<usize>();
    assert_eq!(description.parameters as usize, stored);
}

#[test]
fn wrong_checkpoints_are_refused_by_name() {
    let edits: [(&str, &str, &str, &str); 6] = [
        ("open_clip_config.json", "\"timm_pool\": \"\"", "\"timm_pool\": \"rot_attn\"", "unknown variant `rot_attn`"),
        ("open_clip_config.json", "\"image_size\": 28", "\"image_size\": 35", "shape [1, 17, 32], expected [26, 32]"),
        ("open_clip_config.json", "\"image_size\": 28", "\"image_size\": [28, 35]", "expected one side of a square"),
        ("open_clip_config.json", "\"timm_model_name\"", "\"timm\"", "`vision_cfg` lacks `timm_model_name`"),
        ("open_clip_config.json", "\"embed_dim\": 20", "\"embed_dim\": 21", "visual.head.proj.weight"),
        ("vocab.txt", "[PAD]", "[pad]", "token `[PAD]` has id 182, but the model knows 182 ids"),
    ];
    for (file, from, to, reason) in edits {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(dir("published")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        let text = fs::read_to_string(copy.path().join(file)).unwrap();
        assert!(text.contains(from), "{file} lacks {from}");
        fs::write(copy.path().join(file), text.replacen(from, to, 1)).unwrap();
        let message = open(copy.path(), Map::new()).err().unwrap().message;
        assert!(message.contains(reason) && message.contains(&*copy.path().to_string_lossy()), "{message}");
    }
    let message = open(&dir("published"), json!({"heads": 3}).as_object().unwrap().clone()).err().unwrap().message;
    assert!(message.contains("unknown option `heads`"), "{message}");
}

fn options(case: &str) -> Map<String, Value> {
    match case {
        "other" => json!({"vision_heads": 3}).as_object().unwrap().clone(),
        _ => Map::new(),
    }
}

fn dir(case: &str) -> PathBuf {
    root("biomedclip").join(case)
}

fn open(dir: &Path, options: Map<String, Value>) -> plugin_api::Result<BiomedClip> {
    BiomedClip::open(Open { weights: Some(dir.to_path_buf()), dtype: "f32".into(), options, ..Default::default() })
}

pub fn root(architecture: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity").join(architecture)
}

pub fn golden(dir: &Path, name: &str) -> Tensor {
    candle_core::safetensors::load(dir.join("goldens.safetensors"), &Device::Cpu).unwrap().remove(name).unwrap()
}

pub fn texts(architecture: &str) -> Vec<String> {
    serde_json::from_str(&fs::read_to_string(root(architecture).join("texts.json")).unwrap()).unwrap()
}
