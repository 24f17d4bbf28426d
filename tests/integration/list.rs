//! `medvlm list models`, from which the table of `plugins/README.md` is generated, and the suites that name the models.

use std::collections::{BTreeMap, BTreeSet};

use integration_tests::{Bench, Said, dist};
use serde_json::Value;

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

/// Without weights and data every cell of the paper's suites is planned, and blocked by what is not at hand.
#[test]
fn the_papers_suites_have_as_many_cells_as_the_paper() {
    for (suite, cells) in
        [("medvlmbench-diagnosis", 144), ("medvlmbench-diagnosis-paper", 144), ("medvlmbench-vqa", 40)]
    {
        let bench = Bench::new();
        let path = dist().join(format!("suites/{suite}.toml"));
        let mut command = bench.command();
        command.args(["run", path.to_str().unwrap(), "--dry-run", "--json"]).env("HF_HOME", bench.path("hub"));
        let said: Said = command.env_remove("OPENAI_API_KEY").output().unwrap().into();
        assert_eq!(said.code, Some(1), "{said:#?}");
        let plan: Value = serde_json::from_str(&said.out).unwrap();
        let blocked = plan["blocked"].as_array().unwrap();
        assert_eq!((plan["cells"].as_array().map(Vec::len), blocked.len()), (Some(0), cells), "{suite}");
        let names: BTreeSet<&str> = blocked.iter().map(|cell| cell["cell"].as_str().unwrap()).collect();
        assert_eq!(names.len(), cells);
        assert!(blocked.iter().all(|cell| !cell["why"].as_str().unwrap().is_empty()));
    }
}
