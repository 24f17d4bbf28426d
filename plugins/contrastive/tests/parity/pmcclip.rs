//! Architecture `pmcclip` against `open_clip.modified_resnet` and `transformers.BertModel`, on the checkpoints that
//! `tests/parity/pmcclip.py` wrote.

use std::{fs, path::Path};

use candle_core::Tensor;
use contrastive::pmcclip::PmcClip;
use plugin_api::{Model, Open};
use serde_json::{Map, Value, json};

use super::{
    biomedclip::{golden, root, texts},
    cases::{Decoded, difference, images, inspect, tensor},
};

const TOLERANCE: f32 = 1e-4;

#[test]
fn equals_the_reference_in_f32() {
    for (case, options) in [("published", json!({})), ("training", json!({"heads": 32}))] {
        let dir = root("pmcclip").join(case);
        for compat in [None, Some("medvlmbench")] {
            let mut options = options.as_object().unwrap().clone();
            options.extend(compat.map(|name| ("compat".to_string(), Value::from(name))));
            let arrays = inspect(&open(&dir, options).unwrap(), &texts("pmcclip"), &images());
            for (name, array) in arrays.iter().filter(|(name, _)| case == "published" || name != "pixel_values") {
                let expected = golden(&dir, if name == "logits" { compat.unwrap_or(name) } else { name });
                let allowed = match name.as_str() {
                    "pixel_values" => 0.0,
                    // Products of unnormalised embeddings reach hundreds, of which f32 keeps seven digits.
                    "logits" if compat.is_some() => TOLERANCE.max(1e-6 * largest(&expected)),
                    _ => TOLERANCE,
                };
                let difference = difference(&tensor(array), &expected);
                assert!(difference <= allowed, "{case}: {name} differs by {difference}, compat {compat:?}");
            }
        }
    }
}

#[test]
fn a_batch_equals_single_images() {
    let model = open(&root("pmcclip").join("published"), Map::new()).unwrap();
    let decoded = images();
    let views: Vec<_> = decoded.iter().map(Decoded::view).collect();
    let features = model.features(&views).unwrap();
    for (row, view) in views.iter().enumerate() {
        let one = model.features(&[*view]).unwrap();
        assert!(one.matrix.row(0).iter().zip(features.matrix.row(row)).all(|(a, b)| (a - b).abs() <= 1e-5));
    }
}

#[test]
fn the_scale_is_that_of_the_checkpoint_unless_given() {
    let scale = |case: &str, options: Value| {
        open(&root("pmcclip").join(case), options.as_object().unwrap().clone()).unwrap().describe().logit_scale.ln()
    };
    for (case, options, expected) in
        [("published", json!({}), 4.4292), ("training", json!({}), 2.3), ("training", json!({"logit_scale": 1.5}), 1.5)]
    {
        assert!((scale(case, options) - expected).abs() < 1e-5, "{case}");
    }
}

#[test]
fn wrong_checkpoints_are_refused_by_name() {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(root("pmcclip").join("published")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let refused = |reason: &str| {
        let message = open(copy.path(), Map::new()).err().unwrap().message;
        assert!(message.contains(reason), "{message}");
    };
    let projection = copy.path().join("text_projection_layer.pth");
    fs::copy(copy.path().join("image_encoder(resnet50).pth"), &projection).unwrap();
    refused("tensor `text_projection` of shape [128, 24] is missing");
    fs::write(&projection, b"nothing").unwrap();
    refused("text_projection_layer.pth: truncated, corrupt or not a PyTorch (zip format) file");
    fs::remove_file(&projection).unwrap();
    refused("cannot read");
    fs::remove_file(copy.path().join("image_encoder(resnet50).pth")).unwrap();
    refused("no weights here; expected `image_encoder(resnet50).pth`");

    for (options, reason) in [
        (json!({"heads": 0}), "option `heads` is 0; expected a whole number above 0"),
        (json!({"heads": 7}), "cannot be divided among 7 attention heads"),
        (json!({"compat": "other"}), "option `compat` is \"other\"; expected \"medvlmbench\""),
        (json!({"head": 8}), "unknown option `head`"),
    ] {
        let message = open(&root("pmcclip").join("published"), options.as_object().unwrap().clone()).err().unwrap();
        assert!(message.message.contains(reason), "{}", message.message);
    }
}

fn largest(tensor: &Tensor) -> f32 {
    tensor.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

fn open(dir: &Path, options: Map<String, Value>) -> plugin_api::Result<PmcClip> {
    PmcClip::open(Open { weights: Some(dir.to_path_buf()), dtype: "f32".into(), options, ..Default::default() })
}
