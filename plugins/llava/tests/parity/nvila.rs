//! Architecture `nvila` against a reference composed of `transformers`' parts, `tests/parity/vila.py`.

use std::collections::BTreeSet;

use llava::nvila::Scales;
use serde_json::json;

use super::vila::{Case, copy, edit, refused};

const CASES: [&str; 2] = ["nvila/s2", "nvila/coarse"];

#[test]
fn equals_the_reference() {
    for name in CASES {
        Case::of(name).equals_the_reference();
    }
}

#[test]
fn a_mixed_batch_equals_single_requests() {
    for name in CASES {
        Case::of(name).a_batch_equals_single_requests();
    }
}

#[test]
fn options_are_rated_as_the_answer_was_found() {
    Case::of("nvila/s2").rates_options();
}

#[test]
fn bfloat16_runs() {
    Case::of("nvila/coarse").runs_in_bfloat16();
}

#[test]
fn every_grid_is_chosen_as_the_reference_chooses_it() {
    let settings = [(vec![14, 28, 42], 12, 15), (vec![24, 12], 7, 11)];
    for (name, (sides, most, different)) in CASES.into_iter().zip(settings) {
        let scales = Scales::new(sides, most, 0).unwrap();
        let path = Case::of(name).dir.join("grids.json");
        let grids: Vec<[usize; 4]> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut chosen = BTreeSet::new();
        for [width, height, rows, columns] in grids {
            assert_eq!(scales.grid(width, height), (rows, columns), "{name}: {width}x{height}");
            chosen.insert((rows, columns));
        }
        assert_eq!(chosen.len(), different, "{name}");
    }
}

#[test]
fn broken_checkpoints_are_refused() {
    let dir = copy("nvila/s2");
    let file = dir.path().join("config.json");
    edit(&file, |config| config["s2_scales"] = json!("15,30"));
    refused("nvila", dir.path(), "config.json", "`s2_scales` begin at 15, but the tower takes 14 pixels");
    edit(&file, |config| config["s2_scales"] = json!("14,wide"));
    refused("nvila", dir.path(), "config.json", "`s2_scales` is \"14,wide\"");
    edit(&file, |config| config["s2_scales"] = json!([14, 28]));
    refused("nvila", dir.path(), "mm_projector/model.safetensors", "`layers.1.weight` has shape [216], expected [144]");
    let error = Case::of("nvila/s2").open(&json!({"several": "all"})).err().unwrap();
    assert!(error.message.contains("expected `squash`, `tiles`"), "{error}");
}
