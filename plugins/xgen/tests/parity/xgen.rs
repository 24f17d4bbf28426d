//! Architecture `xgen_mm`, on the checkpoints that `tests/parity/xgen.py` wrote.

use std::fs;

use plugin_api::{Capability, Open, Request};
use serde_json::{Map, Value, json};

use super::cases::{Case, ask, difference, edit, edit_tensors, generate, images_of, tensor, view};

const CASES: [&str; 2] = ["published", "told"];
const CONFIG: &str = "config.json";
const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

fn case(name: &str) -> Case {
    Case::new(&format!("xgen/{name}"), |open| Ok(Box::new(xgen::xgen_mm::open(open)?)))
}

fn options(pairs: &[(&str, Value)]) -> Map<String, Value> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.clone())).collect()
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
    let case = case("published");
    let description = case.model(&Map::new()).describe();
    assert_eq!(description.capabilities, [Capability::Generate, Capability::Choose]);
    assert_eq!((description.image_size, description.feature_dim), (21, 0));
    // CLIP's projection, 32x11 values, is not read.
    let stored: usize = SHARDS.iter().map(|file| case.stored(file)).sum();
    assert_eq!(description.parameters as usize, stored - 32 * 11);
}

/// What the perceiver is told shows in the logits, and only there.
#[test]
fn the_perceiver_is_told_the_prompt_or_the_question() {
    let case = case("published");
    let look =
        |told: &str| ask(&*case.model(&options(&[("instruction", json!(told))])), "Is it?", false, &["grey"]).unwrap();
    let [prompt, question] = ["prompt", "question"].map(look);
    assert_eq!(difference(&tensor(&prompt, "image_features"), &tensor(&question, "image_features")), 0.0);
    assert!(difference(&tensor(&prompt, "first_logits"), &tensor(&question, "first_logits")) > 1e-3);
    let ids = [prompt, question].map(|found| found.generation.unwrap().prompt_ids);
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn raw_prompts_without_places() {
    for name in CASES {
        let model = case(name).model(&Map::new());
        let ids = |prompt: &str| ask(&*model, prompt, true, &["grey", "small"]).unwrap().generation.unwrap().prompt_ids;
        assert_eq!(ids("Is it?"), ids("<image>\n<image>\nIs it?"), "{name}");
    }
}

#[test]
fn refuses_more_or_fewer_images_than_places() {
    let model = case("published").model(&Map::new());
    let error = ask(&*model, "<image> and <image>", true, &["grey"]).err().unwrap();
    assert_eq!(error.message, "the prompt has `<image>` 2 times for 1 images");
    let requests = [
        Request { prompt: "a <image>?".into(), images: vec![0], ..Default::default() },
        Request { index: 1, prompt: "a?".into(), images: vec![0], ..Default::default() },
    ];
    let decoded = images_of(&["grey"]);
    let short = plugin_api::Image { width: 4, height: 3, rgb: &[0; 5] };
    for (image, failures) in [(view(&decoded[0]), 1), (short, 2)] {
        let answers = generate(&*model, &requests, &[image]);
        assert_eq!(answers.len(), 2);
        assert_eq!(answers.iter().filter(|answer| answer.error.is_some()).count(), failures);
    }
}

#[test]
fn missing_tensors_and_files_are_refused() {
    let case = case("published");
    for key in [
        "vlm.vision_encoder.conv1.weight",
        "vlm.vision_encoder.transformer.resblocks.1.attn.in_proj_bias",
        "vlm.vision_tokenizer.latents",
        "vlm.vision_tokenizer.text_projection.2.bias",
        "vlm.lang_model.model.layers.1.self_attn.qkv_proj.weight",
        "vlm.lang_model.model.layers.0.mlp.gate_up_proj.weight",
        "vlm.lang_model.model.embed_tokens.additional_embedding.weight",
        "vlm.lang_model.lm_head.additional_fc.weight",
    ] {
        let dir = case.copy();
        SHARDS.iter().for_each(|file| edit_tensors(&dir, file, |tensors| drop(tensors.remove(key))));
        case.refuses(&dir, "", &format!("tensor `{key}` "));
    }
    let dir = case.copy();
    let known = "vlm.vision_tokenizer.norm.bias";
    SHARDS.iter().for_each(|file| {
        edit_tensors(&dir, file, |tensors| {
            if let Some(tensor) = tensors.get(known).cloned() {
                tensors.insert("vlm.vision_tokenizer.extra".into(), tensor);
            }
        });
    });
    case.refuses(&dir, "", "`vlm.vision_tokenizer.extra` of shape [32] does not belong to this model");
    for (file, reason) in [(CONFIG, "cannot read"), (SHARDS[1], "cannot read"), ("tokenizer.json", "no tokenizer here")]
    {
        let dir = case.copy();
        fs::remove_file(dir.path().join(file)).unwrap();
        case.refuses(&dir, "", reason);
    }
}

#[test]
fn configurations_that_are_not_built_in_are_refused() {
    let case = case("told");
    for (part, key, value, reason) in [
        ("", "model_type", json!("llava"), "`model_type` is `llava`, expected `xgenmm`"),
        ("text_config", "initial_tokenizer_len", json!(300), "`initial_tokenizer_len` is 300, but"),
        ("text_config", "initial_tokenizer_len", json!(3000), "`initial_tokenizer_len` is 3000, but `vocab_size` is"),
        ("text_config", "partial_rotary_factor", json!(0.5), "`partial_rotary_factor` is 0.5"),
        ("vision_encoder_config", "head_width", json!(7), "`head_width` is 7, which does not divide 24"),
        ("vision_encoder_config", "heads", json!(5), "a width of 24 cannot be divided among 5 attention heads"),
        ("vision_encoder_config", "force_image_size", json!("large"), "`force_image_size` is \"large\""),
        ("vision_tokenizer_config", "heads", json!(4), "14 values cannot be divided among 4 attention heads"),
    ] {
        let dir = case.copy();
        edit(&dir, CONFIG, |config| match part {
            "" => config[key] = value,
            part => config[part][key] = value,
        });
        let file = if key == "initial_tokenizer_len" && reason.contains(" 300,") { "" } else { CONFIG };
        case.refuses(&dir, file, if file.is_empty() { "but the model knows 303 ids" } else { reason });
    }
    let dir = case.copy();
    edit(&dir, CONFIG, |config| config["vision_tokenizer_config"]["num_vis_tokens"] = json!(6));
    case.refuses(&dir, "pytorch_model.bin", "`vlm.vision_tokenizer.latents` has shape [4, 24], expected [6, 24]");
    for (key, value, reason) in [
        ("anyres", json!("yes"), "option `anyres` is \"yes\"; expected true or false"),
        ("instruction", json!("all"), "expected `prompt`, `question`"),
        ("tiles", json!(3), "unknown option `tiles`; architecture `xgen_mm` has `anyres`"),
    ] {
        let error = case.open(&case.dir, "f32", &options(&[(key, value)])).err().unwrap();
        assert!(error.message.contains(reason), "`{}` lacks `{reason}`", error.message);
    }
    let error = xgen::xgen_mm::open(Open::default()).err().unwrap();
    assert_eq!(error.message, "architecture `xgen_mm` needs a directory with weights");
}
