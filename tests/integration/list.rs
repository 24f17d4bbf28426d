//! `medvlm list models`, from which the table of `plugins/README.md` is generated.

use std::collections::BTreeMap;

use integration_tests::Bench;

/// The models of MedVLMBench's README.
const PAPER: [&str; 21] = [
    "BLIP",
    "LLaVA-1.5",
    "BLIP2-2.7b",
    "LLaVA-Med",
    "MedGemma",
    "Qwen2-VL",
    "Qwen25-VL",
    "XGenMiniV1",
    "XrayGPT",
    "NVILA",
    "VILA-M3",
    "VILA1.5",
    "Lingshu",
    "BioMedCLIP",
    "CLIP",
    "MedCLIP",
    "PMCCLIP",
    "PLIP",
    "MedSigLIP",
    "PubMedCLIP",
    "SigLIP",
];

fn models() -> Vec<BTreeMap<String, String>> {
    let listed = Bench::new().medvlm(&["list", "models", "--json"]).well();
    serde_json::from_str(&listed.out).unwrap()
}

#[test]
fn all_models_of_the_paper_are_there_with_all_that_is_known_of_them() {
    let models = models();
    for name in PAPER {
        let rows: Vec<_> = models.iter().filter(|row| row["medvlmbench"] == name).collect();
        assert!(!rows.is_empty(), "{name}");
        for (row, key) in rows.iter().flat_map(|row| row.keys().map(move |key| (row, key))) {
            assert!(!row[key].is_empty(), "{name}: {key}");
        }
        assert!(
            rows.iter().all(|row| row["parity"] != "not compared" && row["usages"].contains("zero-shot")),
            "{name}"
        );
    }
}
