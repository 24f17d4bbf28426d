//! Architecture `internvl`, on the checkpoints that `tests/parity/internvl.py` wrote.

use std::fs;

use plugin_api::{Capability, Open, Request};
use serde_json::{Map, Value, json};

use super::cases::{self, Case, ask, edit, edit_tensors, images_of, view};

const CASES: [&str; 3] = ["qwen2", "llama", "whole"];
const CONFIG: &str = "config.json";

fn case(name: &str) -> Case {
    Case::new(&format!("internvl/{name}"), |open| Ok(Box::new(internvl::internvl::open(open)?)))
}

#[test]
fn equals_the_reference_in_f32() {
    CASES.into_iter().for_each(|name| case(name).equals_the_reference());
}

#[test]
fn a_batch_of_mixed_lengths_equals_single_prompts() {
    CASES.into_iter().for_each(|name| case(name).batches_equal_singles());
}

#[test]
fn options_are_as_likely_as_in_the_reference() {
    CASES.into_iter().for_each(|name| case(name).options_are_as_likely());
}

#[test]
fn half_precision_stays_near() {
    CASES.into_iter().for_each(|name| case(name).half_precision_stays_near());
}

#[test]
fn describes_itself() {
    let description = case("whole").model(&Map::new()).describe();
    assert_eq!(description.capabilities, [Capability::Generate, Capability::Choose]);
    assert_eq!((description.image_size, description.feature_dim), (20, 0));
    assert_eq!(description.parameters as usize, case("whole").stored("model.safetensors"));
}

#[test]
fn raw_prompts_without_places() {
    for name in CASES {
        let model = case(name).model(&Map::new());
        let ids = |prompt: &str| ask(&*model, prompt, true, &["grey", "small"]).unwrap().generation.unwrap().prompt_ids;
        assert_eq!(ids("Is it?"), ids("<IMG_CONTEXT>\n<IMG_CONTEXT>\nIs it?"), "{name}");
    }
}

#[test]
fn refuses_more_or_fewer_images_than_places() {
    let model = case("qwen2").model(&Map::new());
    let error = ask(&*model, "<IMG_CONTEXT> and <IMG_CONTEXT>", true, &["grey"]).err().unwrap();
    assert_eq!(error.message, "the prompt has `<IMG_CONTEXT>` 2 times for 1 images");
    let requests = [
        Request { prompt: "a <IMG_CONTEXT>?".into(), images: vec![0], ..Default::default() },
        Request { index: 1, prompt: "a?".into(), images: vec![0], ..Default::default() },
    ];
    let decoded = images_of(&["grey"]);
    let short = plugin_api::Image { width: 4, height: 3, rgb: &[0; 5] };
    for (image, failures) in [(view(&decoded[0]), 1), (short, 2)] {
        let answers = cases::generate(&*model, &requests, &[image]);
        assert_eq!(answers.len(), 2);
        assert_eq!(answers.iter().filter(|answer| answer.error.is_some()).count(), failures);
    }
}

#[test]
fn wrong_tensors_are_refused() {
    let (case, file) = (case("whole"), "model.safetensors");
    let refuses = |change: &dyn Fn(&mut std::collections::HashMap<String, candle_core::Tensor>), reason: &str| {
        let dir = case.copy();
        edit_tensors(&dir, file, |tensors| change(tensors));
        case.refuses(&dir, file, reason);
    };
    for key in [
        "vision_tower.encoder.layer.1.lambda_2",
        "vision_tower.encoder.layer.0.attention.k_norm.weight",
        "vision_tower.encoder.layer.0.attention.v_proj.bias",
        "multi_modal_projector.layer_norm.bias",
        "language_model.model.layers.1.mlp.up_proj.weight",
    ] {
        refuses(&|tensors| drop(tensors.remove(key)), &format!("tensor `{key}` of shape"));
        refuses(
            &|tensors| drop(tensors.insert(key.into(), tensors[key].unsqueeze(0).unwrap().repeat((2, 1)).unwrap())),
            key,
        );
    }
    let extra = "vision_tower.layernorm.weight";
    refuses(
        &|tensors| drop(tensors.insert(extra.into(), tensors["vision_tower.encoder.layer.1.lambda_2"].clone())),
        "`vision_tower.layernorm.weight` of shape [18] does not belong to this model",
    );
}

#[test]
fn missing_and_cut_files_are_refused() {
    for (name, file, reason) in [
        ("whole", "model.safetensors", "no weights here; expected one of `model.safetensors`"),
        ("whole", CONFIG, "cannot read"),
        ("whole", "tokenizer.json", "no tokenizer here"),
        ("whole", "preprocessor_config.json", "cannot read"),
        ("qwen2", "model-00002-of-00002.safetensors", "cannot read"),
    ] {
        let dir = case(name).copy();
        fs::remove_file(dir.path().join(file)).unwrap();
        case(name).refuses(&dir, "", reason);
    }
    let cut = case("llama").copy();
    let bytes = fs::read(cut.path().join("pytorch_model.bin")).unwrap();
    fs::write(cut.path().join("pytorch_model.bin"), &bytes[..bytes.len() / 2]).unwrap();
    case("llama").refuses(&cut, "pytorch_model.bin", "truncated, corrupt or not a PyTorch");
}

#[test]
fn configurations_that_are_not_built_in_are_refused() {
    let vision = |key: &str, value: Value| ("vision_config", Some(key.to_string()), value);
    for ((key, inner, value), reason) in [
        (("model_type", None, json!("llava")), "`model_type` is `llava`, expected `internvl`"),
        (("vision_feature_layer", None, json!(-2)), "`vision_feature_layer` is -2, expected -1"),
        (("vision_feature_select_strategy", None, json!("full")), "is `full`, expected `default`"),
        (("downsample_ratio", None, json!(0.3)), "`downsample_ratio` is 0.3"),
        (("downsample_ratio", None, json!(1.0 / 3.0)), "4 patches along a side cannot be joined by 3"),
        (("image_token_id", None, json!(7)), "the image's id is 7, but that of `<IMG_CONTEXT>` in the tokenizer is 6"),
        (("text_config", None, json!({"model_type": "gpt2"})), "`gpt2` is no language model known here"),
        (vision("image_size", json!([20, 25])), "`image_size` is [20, 25], expected a square"),
        (vision("norm_type", json!("batch_norm")), "not a configuration of an InternVL"),
        (vision("use_absolute_position_embeddings", json!(false)), "a tower without positions is not built in"),
        (vision("num_channels", json!(1)), "`num_channels` is 1, expected 3"),
        (vision("num_attention_heads", json!(4)), "a width of 18 cannot be divided among 4 attention heads"),
    ] {
        let dir = case("whole").copy();
        edit(&dir, CONFIG, |config| match &inner {
            Some(inner) => config[key][inner] = value,
            None => config[key] = value,
        });
        case("whole").refuses(&dir, CONFIG, reason);
    }
    let dir = case("whole").copy();
    edit(&dir, "preprocessor_config.json", |config| config["size"] = json!({"height": 28, "width": 28}));
    case("whole").refuses(&dir, "preprocessor_config.json", "but the vision tower takes 20x20 pixels");
    let error = internvl::internvl::open(Open::default()).err().unwrap();
    assert_eq!(error.message, "architecture `internvl` needs a directory with weights");
    let options = Map::from_iter([("tiles".to_string(), json!(3))]);
    let error = case("whole").open(&case("whole").dir, "f32", &options).err().unwrap();
    assert_eq!(error.message, "unknown option `tiles`; architecture `internvl` has `repetition_penalty`, `slots`");
}
