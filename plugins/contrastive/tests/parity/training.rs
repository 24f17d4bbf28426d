//! The same model on fresh variables: gradients, learning, and the way to a checkpoint that the plugin opens.

use std::fs;

use blocks::weights::Weights;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, loss::cross_entropy};
use contrastive::clip::{ClipConfig, ClipModel, NAMES, normalize};
use contrastive::dual::Joint;

use super::cases::{Case, difference, open};

#[test]
fn gradients_reach_every_variable_and_lower_the_loss() {
    let (weights, model, pixels, ids) = fresh();
    let vars: Vec<Var> = weights.vars().into_iter().map(|(_, var)| var).collect();
    let first = loss(&model, &pixels, &ids);
    let gradients = first.backward().unwrap();
    for (name, var) in weights.vars() {
        let gradient = gradients.get(&var).unwrap_or_else(|| panic!("{name} has no gradient"));
        let size = gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        // A bias of the keys shifts all scores of a row alike, which softmax cancels.
        assert!(size > 0.0 || name.ends_with("key.bias"), "{name} has a gradient of zero");
    }
    let mut optimizer = AdamW::new(vars, ParamsAdamW { lr: 3e-3, ..Default::default() }).unwrap();
    for _ in 0..30 {
        optimizer.backward_step(&loss(&model, &pixels, &ids)).unwrap();
    }
    let (first, last) = (first.to_scalar::<f32>().unwrap(), loss(&model, &pixels, &ids).to_scalar::<f32>().unwrap());
    assert!(last < 0.2 * first, "the loss went from {first} to {last}");
}

#[test]
fn training_and_inference_kernels_agree() {
    let (_, model, pixels, ids) = fresh();
    let image = |train| model.image_features(&pixels, train).unwrap();
    let text = |train| model.text_features(&ids, train).unwrap();
    assert!(difference(&image(true), &image(false)) < 1e-5);
    assert!(difference(&text(true), &text(false)) < 1e-5);
}

#[test]
fn saved_weights_open_as_a_checkpoint() {
    let (weights, model, pixels, _) = fresh();
    let dir = tempfile::tempdir().unwrap();
    for file in ["tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"] {
        fs::copy(Case::new("modern").dir.join(file), dir.path().join(file)).unwrap();
    }
    weights.save(&dir.path().join("model.safetensors"), &NAMES, DType::F32).unwrap();
    fs::write(dir.path().join("config.json"), serde_json::to_string(&config()).unwrap()).unwrap();
    let opened = open(dir.path(), "f32").unwrap();
    let features = opened.model().image_features(&pixels, false).unwrap();
    assert!(difference(&features, &model.image_features(&pixels, false).unwrap()) < 1e-5);
}

fn config() -> ClipConfig {
    ClipConfig::from_dir(&Case::new("modern").dir).unwrap()
}

fn fresh() -> (Weights, ClipModel, Tensor, Vec<Vec<u32>>) {
    let weights = Weights::fresh(11, &Device::Cpu);
    let model = ClipModel::new(&config(), &weights).unwrap();
    let case = Case::new("modern");
    let pixels = case.golden("pixel_values").unwrap();
    let ids = case.golden("input_ids").unwrap().to_dtype(DType::U32).unwrap().to_vec2().unwrap();
    (weights, model, pixels, ids[..5].to_vec())
}

/// The symmetric contrastive loss; text `i` belongs to image `i`.
fn loss(model: &ClipModel, pixels: &Tensor, ids: &[Vec<u32>]) -> Tensor {
    let images = normalize(&model.image_features(pixels, true).unwrap()).unwrap();
    let texts = normalize(&model.text_features(ids, true).unwrap()).unwrap();
    let logits = model.logits(&images, &texts).unwrap();
    let labels = Tensor::arange(0u32, ids.len() as u32, &Device::Cpu).unwrap();
    let (by_image, by_text) = (cross_entropy(&logits, &labels), cross_entropy(&logits.t().unwrap(), &labels));
    ((by_image.unwrap() + by_text.unwrap()).unwrap() / 2.0).unwrap()
}
