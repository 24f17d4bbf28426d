//! Architecture `siglip` against `transformers.SiglipModel`, on the checkpoints that `tests/parity/siglip.py` wrote.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use blocks::{
    tokens::{PadTo, SiglipTokenizer},
    weights::Weights,
};
use candle_core::{DType, Device, Tensor};
use contrastive::{
    dual::Joint,
    siglip::{NAMES, Siglip, SiglipConfig, SiglipModel},
};
use plugin_api::{Classes, Model, Open};
use serde_json::{Value, json};

use super::cases::{Decoded, difference, images, inspect, tensor};

const CASES: [&str; 4] = ["pieces", "json", "as-written", "defaults"];
const TOLERANCE: f32 = 1e-4;

#[test]
fn equals_the_reference_in_f32() {
    for name in CASES {
        let model = open(&dir(name), json!({})).unwrap();
        let arrays = inspect(&model, &texts(), &images());
        let names: Vec<_> = arrays.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["pixel_values", "image_features", "image_embeds", "text_embeds", "logits"]);
        for (array, values) in &arrays {
            match goldens(name).get(array.as_str()) {
                Some(golden) => {
                    let difference = difference(&tensor(values), golden);
                    let allowed = if array == "pixel_values" { 0.0 } else { TOLERANCE };
                    assert!(difference <= allowed, "{name}: {array} differs by {difference}");
                }
                None => assert_eq!((name, array.as_str()), ("defaults", "pixel_values")),
            }
        }
    }
}

#[test]
fn the_benchmark_pads_to_the_longest() {
    for name in CASES {
        let model = open(&dir(name), json!({"compat": "medvlmbench"})).unwrap();
        let arrays: HashMap<_, _> = inspect(&model, &texts()[..3], &images()).into_iter().collect();
        for array in ["text_embeds", "logits"] {
            let golden = &goldens(name)[&format!("{array}.longest")];
            let difference = difference(&tensor(&arrays[array]), golden);
            assert!(difference <= TOLERANCE, "{name}: {array} differs by {difference}");
        }
    }
    let longest = &goldens("pieces")["text_embeds.longest"];
    let default = goldens("pieces")["text_embeds"].narrow(0, 0, 3).unwrap();
    assert!(difference(longest, &default) > 0.01, "padding makes no difference, so the test shows nothing");
}

#[test]
fn the_longest_of_all_prompts_counts() {
    let model = open(&dir("pieces"), json!({"compat": "medvlmbench"})).unwrap();
    let prompts: Vec<Vec<String>> = (0..70).map(|n| vec![format!("a lung {}", "x".repeat(n % 9))]).collect();
    let all = model.encode_classes(&prompts).unwrap();
    let first = model.encode_classes(&[prompts[69].clone(), prompts[8].clone()]).unwrap();
    assert!(all.row(69).iter().zip(first.row(0)).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn tokenizes_as_the_reference() {
    for name in CASES {
        let text = SiglipConfig::from_dir(&dir(name)).unwrap().text();
        let tokenizer = SiglipTokenizer::from_dir(&dir(name), text.context, text.vocabulary).unwrap();
        for (texts, to, golden) in
            [(&texts()[..], PadTo::Context, "input_ids"), (&texts()[..3], PadTo::Longest, "input_ids.longest")]
        {
            let golden: Vec<Vec<i64>> = goldens(name)[golden].to_vec2().unwrap();
            for ((text, golden), found) in texts.iter().zip(golden).zip(tokenizer.encode(texts, to).unwrap()) {
                let found: Vec<i64> = found.into_iter().map(i64::from).collect();
                assert_eq!(found, golden, "{name}: `{text}`");
            }
        }
        assert_eq!(tokenizer.pad() == tokenizer.eos(), name != "as-written");
    }
}

#[test]
fn hidden_states_are_numbered_as_in_the_reference() {
    for name in CASES {
        let model = open(&dir(name), json!({})).unwrap();
        let (goldens, model) = (goldens(name), model.model());
        let ids: Vec<Vec<u32>> = goldens["input_ids"].to_dtype(DType::U32).unwrap().to_vec2().unwrap();
        let hidden = model.text().hidden(&ids[..1], 2, false).unwrap();
        assert!(difference(&hidden, &goldens["text_hidden"]) <= TOLERANCE);
        let Some(pixels) = goldens.get("pixel_values") else { continue };
        let hidden = model.vision().hidden(&pixels.narrow(0, 0, 1).unwrap(), 1, false).unwrap();
        assert!(difference(&hidden, &goldens["vision_hidden"]) <= TOLERANCE);
    }
}

#[test]
fn a_batch_equals_single_images_and_logits_have_the_bias() {
    for name in CASES {
        let model = open(&dir(name), json!({})).unwrap();
        let decoded = images();
        let views: Vec<_> = decoded.iter().map(Decoded::view).collect();
        let prompts: Vec<Vec<String>> = texts()[..3].iter().map(|text| vec![text.clone()]).collect();
        let classes = Classes { encoded: model.encode_classes(&prompts).unwrap(), prompts };
        let (features, logits) = (model.features(&views).unwrap(), model.zero_shot(&views, &classes).unwrap());
        let golden: Vec<Vec<f32>> = goldens(name)["logits"].to_vec2().unwrap();
        for (row, view) in views.iter().enumerate() {
            let one = model.features(&[*view]).unwrap();
            assert_eq!(one.inputs[0], features.inputs[row]);
            assert!(close(one.matrix.row(0), features.matrix.row(row), 1e-5), "{name}: features of image {row}");
            let one = model.zero_shot(&[*view], &classes).unwrap();
            assert!(close(one.matrix.row(0), logits.matrix.row(row), 1e-5), "{name}: logits of image {row}");
            assert!(close(one.matrix.row(0), &golden[row][..3], TOLERANCE), "{name}: logits of image {row}");
        }
    }
}

#[test]
fn describes_itself() {
    let description = open(&dir("json"), json!({})).unwrap().describe();
    assert_eq!((description.feature_dim, description.image_size), (33, 31));
    assert!((description.logit_scale - 1.7f32.exp()).abs() < 0.01);
    let description = open(&dir("pieces"), json!({})).unwrap().describe();
    let stored = candle_core::safetensors::load(dir("pieces").join("model.safetensors"), &Device::Cpu).unwrap();
    assert_eq!(description.parameters as usize, stored.values().map(Tensor::elem_count).sum::<usize>());
}

#[test]
fn refuses_what_is_wrong() {
    for (file, from, to, reason) in [
        ("config.json", "\"model_type\": \"siglip\"", "\"model_type\": \"clip\"", "`model_type` is `clip`"),
        ("config.json", "\"patch_size\"", "\"vision_use_head\": false, \"patch_size\"", "`vision_use_head` is false"),
        (
            "config.json",
            "\"projection_size\": 36",
            "\"projection_size\": 35",
            "images have 36 features, but texts have 35",
        ),
        ("config.json", "\"num_attention_heads\": 4", "\"num_attention_heads\": 5", "5 attention heads"),
        ("config.json", "\"vocab_size\": 67", "\"vocab_size\": 66", "has id 66, but the model knows 66 ids"),
        (
            "config.json",
            "\"intermediate_size\": 44",
            "\"intermediate_size\": 45",
            "has shape [44, 36], expected [45, 36]",
        ),
        ("preprocessor_config.json", "\"height\": 21", "\"longest_edge\": 21", "expected `height` and `width`"),
        ("tokenizer_config.json", "\"pad_token\": \"</s>\"", "\"pad_token\": \"[PAD]\"", "`[PAD]` has no id"),
    ] {
        let copy = copy("pieces");
        let path = copy.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} lacks {from}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        refused(copy.path(), reason);
    }
    let copy = copy("pieces");
    let model = fs::read(copy.path().join("spiece.model")).unwrap();
    for (bytes, reason) in [(&model[..model.len() - 1], "truncated or corrupt"), (&[], "no pieces")] {
        fs::write(copy.path().join("spiece.model"), bytes).unwrap();
        refused(copy.path(), reason);
    }
    fs::remove_file(copy.path().join("spiece.model")).unwrap();
    refused(copy.path(), "expected `spiece.model` or `tokenizer.json`");

    let refuse = |options| open(&dir("pieces"), options).err().unwrap().message;
    assert_eq!(refuse(json!({"pad": 3})), "unknown option `pad`; architecture `siglip` has `compat`");
    assert_eq!(refuse(json!({"compat": "openclip"})), "option `compat` is \"openclip\"; expected \"medvlmbench\"");
}

#[test]
fn gradients_reach_every_variable_and_weights_return() {
    let config = SiglipConfig::from_dir(&dir("pieces")).unwrap();
    let weights = Weights::fresh(11, &Device::Cpu);
    let model = SiglipModel::new(&config, &weights).unwrap();
    let goldens = goldens("pieces");
    let pixels = &goldens["pixel_values"];
    let ids: Vec<Vec<u32>> = goldens["input_ids"].to_dtype(DType::U32).unwrap().to_vec2().unwrap();
    let (images, texts) = (model.image_features(pixels, true).unwrap(), model.text_features(&ids, true).unwrap());
    let gradients = model.logits(&images, &texts).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
    for (name, var) in weights.vars() {
        assert!(gradients.get(&var).is_some(), "{name} has no gradient");
    }
    let copy = copy("pieces");
    weights.save(&copy.path().join("model.safetensors"), &NAMES, DType::F32).unwrap();
    let opened = open(copy.path(), json!({})).unwrap();
    let features = opened.model().image_features(pixels, false).unwrap();
    assert!(difference(&features, &images) < 1e-5);
}

fn dir(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/siglip").join(case)
}

fn goldens(case: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(dir(case).join("goldens.safetensors"), &Device::Cpu).unwrap()
}

fn texts() -> Vec<String> {
    serde_json::from_str(&fs::read_to_string(dir("texts.json")).unwrap()).unwrap()
}

fn open(dir: &Path, options: Value) -> plugin_api::Result<Siglip> {
    let options = options.as_object().cloned().unwrap();
    Siglip::open(Open { weights: Some(dir.to_path_buf()), dtype: "f32".into(), options, ..Default::default() })
}

fn refused(dir: &Path, reason: &str) {
    let message = open(dir, json!({})).err().unwrap_or_else(|| panic!("opened, in spite of: {reason}")).message;
    assert!(message.contains(reason) && message.contains(&*dir.to_string_lossy()), "`{message}` lacks `{reason}`");
}

fn copy(case: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir(case)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

fn close(a: &[f32], b: &[f32], allowed: f32) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= allowed)
}
