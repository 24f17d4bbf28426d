//! Architecture `medclip` against package `medclip` and `transformers`, on the checkpoints that
//! `tests/parity/medclip.py` wrote.

use std::{fs, path::PathBuf};

use blocks::{tokens::WordPieceTokenizer, weights::Weights};
use candle_core::{DType, Device, Tensor};
use contrastive::medclip::{MedClip, MedClipConfig, MedClipModel, NAMES};
use plugin_api::{Classes, ErrorKind, Inspect, Model, Open};
use serde_json::json;
use tempfile::TempDir;

use super::cases::{Decoded, difference, images, tensor, texts};

const CASES: [&str; 3] = ["archive", "unpacked", "odd"];
const TOLERANCE: f32 = 1e-4;

#[test]
fn equals_the_reference_in_f32() {
    for name in CASES {
        for (compat, prefix) in [(false, ""), (true, "compat.")] {
            let model = open(name, "f32", compat);
            for (array_name, array) in inspect(&model, &texts()) {
                let golden_name = match array_name.as_str() {
                    "text_embeds" => "text_embeds".to_string(),
                    // Probes are fitted on the normalised embedding.
                    "image_features" => format!("{prefix}image_embeds"),
                    other => format!("{prefix}{other}"),
                };
                let Some(golden) = golden(name, &golden_name) else {
                    assert_eq!((name, array_name.as_str()), ("archive", "pixel_values"));
                    continue;
                };
                let difference = difference(&array, &golden);
                let allowed = if array_name == "pixel_values" { 0.0 } else { TOLERANCE };
                assert!(difference <= allowed, "{name}: {golden_name} differs by {difference}");
            }
        }
    }
}

#[test]
fn texts_and_hidden_states_are_as_in_the_reference() {
    for name in CASES {
        let tower = open(name, "f32", false);
        let text = tower.model().text().config();
        let context = text.max_position_embeddings.min(77);
        let tokenizer = WordPieceTokenizer::from_dir(&dir(name), context, text.vocab_size).unwrap();
        let ids: Vec<Vec<i64>> = golden(name, "input_ids").unwrap().to_vec2().unwrap();
        let found = tokenizer.encode(&texts()).unwrap();
        assert_eq!(found.iter().map(|ids| ids.iter().map(|&id| i64::from(id)).collect()).collect::<Vec<Vec<_>>>(), ids);
        if let Some(pixels) = golden(name, "pixel_values") {
            let vision = tower.model().vision();
            let hidden = vision.hidden(&pixels.narrow(0, 0, 2).unwrap(), 1, false).unwrap();
            assert!(difference(&hidden, &golden(name, "hidden").unwrap()) <= TOLERANCE);
            assert!(vision.hidden(&pixels, 9, false).unwrap_err().to_string().contains("stage 9"));
        }
    }
}

#[test]
fn a_batch_equals_single_images() {
    for name in CASES {
        let model = open(name, "f32", false);
        let decoded = images();
        let views: Vec<_> = decoded.iter().map(Decoded::view).collect();
        let prompts: Vec<Vec<String>> = texts()[..3].iter().map(|text| vec![text.clone()]).collect();
        let classes = Classes { encoded: model.encode_classes(&prompts).unwrap(), prompts };
        let (features, logits) = (model.features(&views).unwrap(), model.zero_shot(&views, &classes).unwrap());
        let inspected = inspect(&model, &texts()[..3]).pop().unwrap().1.to_vec2::<f32>().unwrap();
        for (row, view) in views.iter().enumerate() {
            let one = model.features(&[*view]).unwrap();
            assert_eq!(one.inputs[0], features.inputs[row]);
            assert!(close(one.matrix.row(0), features.matrix.row(row)), "{name}: features of image {row}");
            let one = model.zero_shot(&[*view], &classes).unwrap();
            assert!(close(one.matrix.row(0), logits.matrix.row(row)), "{name}: logits of image {row}");
            assert!(close(&inspected[row], logits.matrix.row(row)), "{name}: zero-shot logits of image {row}");
        }
    }
}

#[test]
fn the_scale_is_clamped() {
    for (name, scale) in [("archive", 2.1f32.exp()), ("unpacked", 4.6052f32.exp()), ("odd", 1.0)] {
        let found = open(name, "f32", false).describe();
        // The checkpoint is in half precision.
        assert!((found.logit_scale / scale - 1.0).abs() < 1e-3, "{name}: {}", found.logit_scale);
    }
    let description = open("unpacked", "f32", false).describe();
    assert_eq!((description.feature_dim, description.image_size), (17, 29));
}

#[test]
fn half_precision_stays_near() {
    for dtype in ["bf16", "f16"] {
        for name in CASES {
            for (array_name, array) in inspect(&open(name, dtype, false), &texts()) {
                if array_name.ends_with("embeds") {
                    let difference = difference(&array, &golden(name, &array_name).unwrap());
                    assert!(
                        difference > 0.0 && difference < 0.05,
                        "{name}, {dtype}: {array_name} differs by {difference}"
                    );
                }
            }
        }
    }
}

#[test]
fn shapes_tell_what_the_configuration_tells() {
    let dir = dir("unpacked");
    let weights = Weights::open(&dir, &NAMES, DType::F32, &Device::Cpu).unwrap();
    let told = MedClipConfig::find(&dir, &weights, None).unwrap();
    let bare = tempfile::tempdir().unwrap();
    let found = MedClipConfig::find(bare.path(), &weights, Some(9)).unwrap();
    let (vision, told_vision) = (&found.vision, &told.vision);
    assert_eq!((vision.embed_dim, vision.patch_size, vision.window_size), (12, 2, 4));
    assert_eq!((&vision.depths, &vision.num_heads), (&told_vision.depths, &told_vision.num_heads));
    let mlp = |ratio: f64| [12.0, 24.0, 48.0].map(|width| (ratio * width) as usize);
    assert_eq!(mlp(vision.mlp_ratio), mlp(told_vision.mlp_ratio));
    assert_eq!((vision.image_size, told_vision.image_size), (224, 29));
    assert_eq!((found.text.num_hidden_layers, found.text.vocab_size), (3, told.text.vocab_size));
    assert_eq!((found.text.num_attention_heads, told.text.num_attention_heads), (9, 3));
    assert_eq!((found.projection_dim, found.context(), told.context()), (17, 77, 77));
}

#[test]
fn gradients_reach_every_variable() {
    let dir = dir("unpacked");
    let checkpoint = Weights::open(&dir, &NAMES, DType::F32, &Device::Cpu).unwrap();
    let config = MedClipConfig::find(&dir, &checkpoint, None).unwrap();
    let weights = Weights::fresh(3, &Device::Cpu);
    let model = MedClipModel::new(&config, &weights).unwrap();
    let pixels = golden("unpacked", "pixel_values").unwrap();
    let features = |train| model.image_features(&pixels, train).unwrap();
    assert!(difference(&features(true), &features(false)) < 1e-5);
    let gradients = features(true).sqr().unwrap().sum_all().unwrap().backward().unwrap();
    for (name, var) in weights.vars().iter().filter(|(name, _)| name.starts_with("vision.")) {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
        let size = gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(size > 0.0 || name.ends_with("key.bias"), "{name} has a gradient of zero");
    }
}

#[test]
fn checkpoints_that_are_wrong() {
    let table = "vision_model.model.encoder.layers.1.blocks.1.attention.self.relative_position_bias_table";
    let dir = copy("odd");
    let path = dir.path().join("model.safetensors");
    let intact = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    for (edit, reason) in [
        (None, format!("tensor `{table}` of shape [81, 2] is missing")),
        (Some(intact[table].t().unwrap()), format!("tensor `{table}` has shape [2, 81], expected [81, 2]")),
    ] {
        let mut tensors = intact.clone();
        tensors.remove(table);
        tensors.extend(edit.map(|tensor| (table.to_string(), tensor.contiguous().unwrap())));
        candle_core::safetensors::save(&tensors, &path).unwrap();
        refused(&dir, &["model.safetensors", &reason]);
    }
    let mut tensors = intact.clone();
    tensors.insert("vision_model.extra".into(), intact["logit_scale"].clone());
    candle_core::safetensors::save(&tensors, &path).unwrap();
    refused(&dir, &["tensor `vision_model.extra` of shape [] does not belong to this model"]);
    candle_core::safetensors::save(&intact, &path).unwrap();

    let config = dir.path().join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    for (from, to, reason) in [
        ("\"window_size\": 5", "\"window_size\": 7", "6x6 tokens in stage 1, fewer than a window of 7x7"),
        ("\"num_attention_heads\": 4", "\"num_attention_heads\": 5", "5 attention heads"),
        ("\"image_size\": 32", "\"image_size\": \"large\"", "`vision_config` is wrong: invalid type: string"),
        (
            "\"projection_dim\": 15",
            "\"projection_dim\": 16",
            "projection_head.weight` has shape [15, 20], expected [16, 20]",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(&config, text.replace(from, to)).unwrap();
        refused(&dir, &[reason]);
    }
}

#[test]
fn archives_that_are_wrong() {
    let name = "medclip-vit-pretrained.zip";
    let dir = copy("archive");
    let bytes = fs::read(dir.path().join(name)).unwrap();
    fs::write(dir.path().join(name), &bytes[..bytes.len() / 2]).unwrap();
    refused(&dir, &[name, "truncated, corrupt or not a zip file"]);

    let mut damaged = bytes.clone();
    let middle = bytes.len() / 2;
    damaged[middle..middle + 64].fill(0x55);
    fs::write(dir.path().join(name), &damaged).unwrap();
    refused(&dir, &[name, "cannot unpack `pytorch_model.bin`"]);

    let mut other = zip::ZipWriter::new(fs::File::create(dir.path().join(name)).unwrap());
    other.start_file("pytorch_model.bin.txt", zip::write::SimpleFileOptions::default()).unwrap();
    other.finish().unwrap();
    refused(&dir, &[name, "there is no `pytorch_model.bin` in the archive"]);

    let mut other = zip::ZipWriter::new(fs::File::create(dir.path().join(name)).unwrap());
    other.start_file("folder/pytorch_model.bin", zip::write::SimpleFileOptions::default()).unwrap();
    other.finish().unwrap();
    refused(&dir, &[name, "truncated, corrupt or not a PyTorch (zip format) file"]);
}

#[test]
fn options() {
    for (key, value, reason) in [
        ("compat", json!("clip"), "option `compat` is \"clip\"; expected \"medvlmbench\""),
        ("heads", json!(8), "unknown option `heads`; architecture `medclip` has `compat`, `text_heads`"),
    ] {
        let options = serde_json::Map::from_iter([(key.to_string(), value)]);
        let open = Open { weights: Some(dir("odd")), dtype: "f32".into(), options, ..Default::default() };
        assert_eq!(MedClip::open(open).err().unwrap().message, reason);
    }
}

fn dir(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/medclip").join(case)
}

fn open(case: &str, dtype: &str, compat: bool) -> MedClip {
    let options = compat.then(|| ("compat".to_string(), json!("medvlmbench"))).into_iter().collect();
    let weights = Some(dir(case));
    MedClip::open(Open { weights, dtype: dtype.into(), options, ..Default::default() }).unwrap()
}

fn golden(case: &str, name: &str) -> Option<Tensor> {
    candle_core::safetensors::load(dir(case).join("goldens.safetensors"), &Device::Cpu).unwrap().remove(name)
}

fn inspect(model: &MedClip, texts: &[String]) -> Vec<(String, Tensor)> {
    let decoded = images();
    let request = Inspect { texts: texts.to_vec(), ..Default::default() };
    let inspection = model.inspect(&request, &decoded.iter().map(Decoded::view).collect::<Vec<_>>()).unwrap();
    inspection.arrays.iter().map(|(name, array)| (name.clone(), tensor(array))).collect()
}

fn copy(case: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir(case)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

fn refused(dir: &TempDir, parts: &[&str]) {
    let open = Open { weights: Some(dir.path().to_path_buf()), dtype: "f32".into(), ..Default::default() };
    let error = MedClip::open(open).err().unwrap_or_else(|| panic!("opened, where this was expected: {parts:?}"));
    assert_eq!(error.kind, ErrorKind::Config, "{error}");
    for part in parts.iter().copied().chain([dir.path().to_string_lossy().as_ref()]) {
        assert!(error.message.contains(part), "`{}` lacks `{part}`", error.message);
    }
    assert!(!error.message.contains('\n'), "{}", error.message);
}

fn close(a: &[f32], b: &[f32]) -> bool {
    // Logits reach 100, the highest scale.
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + a.abs()))
}
