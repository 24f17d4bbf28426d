//! Architecture `bert` against `transformers.BertModel`, on the checkpoints that `tests/parity/bert.py` wrote.

#![allow(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use bert::bert::BertEncoder;
use candle_core::{DType, Device, Tensor};
use plugin_api::{Data, Inspect, Model, Open};
use serde_json::{Value, json};

const TOLERANCE: f32 = 1e-4;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/bert")
}

fn texts() -> Vec<String> {
    serde_json::from_str(&fs::read_to_string(root().join("texts.json")).unwrap()).unwrap()
}

fn open(case: &str, options: Value) -> plugin_api::Result<BertEncoder> {
    let options = options.as_object().unwrap().clone();
    BertEncoder::open(Open { weights: Some(root().join(case)), options, ..Open::default() })
}

fn golden(case: &str, name: &str) -> Tensor {
    let all = candle_core::safetensors::load(root().join(case).join("goldens.safetensors"), &Device::Cpu).unwrap();
    all[name].to_dtype(DType::F32).unwrap()
}

/// The largest difference where the mask is 1.
fn difference(found: &Tensor, expected: &Tensor, mask: &Tensor) -> f32 {
    let difference = (found - expected).unwrap().abs().unwrap();
    let mask = mask.unsqueeze(2).unwrap().broadcast_as(difference.shape()).unwrap();
    (difference * mask).unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn every_layer_equals_the_reference_in_f32() {
    for (case, depth) in [("head", 3), ("alone", 2)] {
        let mask = golden(case, "attention_mask");
        for layer in (0..=depth).map(Some).chain([None]) {
            let options = layer.map_or(json!({}), |layer| json!({ "layer": layer }));
            let request = Inspect { texts: texts(), ..Inspect::default() };
            let arrays = open(case, options).unwrap().inspect(&request, &[]).unwrap().arrays;
            for (name, array) in arrays {
                let Data::F32(values) = array.data else { panic!("{name} is f32") };
                let shape: Vec<usize> = array.shape.iter().map(|n| *n as usize).collect();
                let found = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
                match name.as_str() {
                    "token_embeds" => {
                        let expected = golden(case, &format!("layer_{}", layer.unwrap_or(depth)));
                        let difference = difference(&found, &expected, &mask);
                        assert!(difference <= TOLERANCE, "{case}: layer {layer:?} differs by {difference}");
                    }
                    tokens => {
                        let expected = golden(case, tokens).to_vec2::<f32>().unwrap();
                        assert_eq!(found.to_vec2::<f32>().unwrap(), expected, "{case}: {tokens}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_batch_equals_single_texts_without_their_padding() {
    let model = open("head", json!({})).unwrap();
    let texts = texts();
    let together = model.embed_text(&texts).unwrap();
    for (text, together) in texts.iter().zip(&together) {
        let alone = &model.embed_text(std::slice::from_ref(text)).unwrap()[0];
        assert_eq!((alone.rows(), alone.columns), (together.rows(), together.columns), "{text}");
        assert!(alone.data.iter().zip(&together.data).all(|(a, b)| (a - b).abs() <= 1e-5), "{text}");
    }
}

#[test]
fn refuses_what_is_wrong() {
    let refuse = |options| open("alone", options).err().unwrap().message;
    assert_eq!(refuse(json!({"layer": 3})), "option `layer` is 3, but the model has layers up to 2");
    assert_eq!(refuse(json!({"pool": 1})), "unknown option `pool`; architecture `bert` has `layer`");
    let nothing = open("alone", json!({})).unwrap().inspect(&Inspect::default(), &[]).err().unwrap();
    assert_eq!(nothing.message, "there are no texts");
}
