//! Heads on frozen features: trained once, kept as files, evaluated again.

use std::fs;

use integration_tests::Bench;
use serde_json::Value;

const CELL: &str = "runs/suite/mock@dots.test.diagnosis.linear-probe.s0";

fn bench(usage: &str) -> Bench {
    let bench = Bench::new();
    bench.mock(&[("mock", "feature_dim = 32")]);
    bench.dots(48);
    let text = format!("models = ['mock']\nusages = ['{usage}']\n[[dataset]]\nid = 'dots'\n");
    // The test split of `dots` is the whole of it.
    let allowed = ["train", "validation"].map(|split| {
        format!("[[allow_leak]]\ntrain = 'dots.{split}'\ntest = 'dots.test'\nreason = 'how it ends is not the point'\n")
    });
    bench.write("suite.toml", text + &allowed.concat());
    bench
}

#[test]
fn a_linear_probe_is_fitted_saved_and_used() {
    let bench = bench("linear-probe");
    bench.medvlm(&["run", "suite.toml"]).well();
    let config: Value = serde_json::from_str(&bench.read(&format!("{CELL}/adapter/adapter_config.json"))).unwrap();
    assert_eq!(config["feature_dim"], 32);
    assert_eq!(
        (&config["training"]["train_samples"], &config["training"]["validation_samples"]),
        (&24.into(), &24.into())
    );

    // The logits are those of the saved head on the stored features, computed here once more.
    let weights = fs::read(bench.path(&format!("{CELL}/adapter/adapter_model.safetensors"))).unwrap();
    let header = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let about: Value = serde_json::from_slice(&weights[8..8 + header]).unwrap();
    let tensor = |name: &str| -> Vec<f32> {
        let [start, end] = [0, 1].map(|i| 8 + header + about[name]["data_offsets"][i].as_u64().unwrap() as usize);
        weights[start..end].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let (weight, bias) = (tensor("classifier.weight"), tensor("classifier.bias"));
    let features = fs::read_dir(bench.path("runs/suite/features")).unwrap().flatten().next().unwrap().path();
    let rows = fs::read(features).unwrap();
    assert_eq!(rows.len(), 48 * (32 + 4 * 32), "each picture is encoded once");
    let line: Value =
        serde_json::from_str(bench.read(&format!("{CELL}/predictions.jsonl")).lines().next().unwrap()).unwrap();
    let digest = line["digests"]["pixels"].as_str().unwrap().as_bytes();
    let row = rows.chunks_exact(160).find(|row| row.starts_with(digest)).unwrap();
    let x: Vec<f32> = row[32..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    for class in 0..2 {
        let logit: f32 = bias[class] + x.iter().zip(&weight[32 * class..]).map(|(x, w)| x * w).sum::<f32>();
        let said = line["logits"][class].as_f64().unwrap() as f32;
        assert!((logit - said).abs() < 1e-4, "{logit} {said}");
    }
}

#[test]
fn a_trained_head_is_a_file_that_evaluates_again_with_the_same_bytes() {
    let bench = bench("linear-probe");
    bench.medvlm(&["run", "suite.toml"]).well();
    let adapter = format!("{CELL}/adapter");
    bench.medvlm(&["run", "suite.toml", "--out", "again", "--adapter", &adapter]).well();
    let predictions =
        |run: &str| bench.read(&format!("{run}/mock@dots.test.diagnosis.linear-probe.s0/predictions.jsonl"));
    assert_eq!(predictions("runs/suite"), predictions("again"));
    // Trained anew in another directory, in batches of another size.
    bench.medvlm(&["run", "suite.toml", "--out", "anew", "--batch-size", "5"]).well();
    assert_eq!(bench.files(&adapter), bench.files("anew/mock@dots.test.diagnosis.linear-probe.s0/adapter"));
    assert_eq!(predictions("runs/suite"), predictions("anew"));
}

#[test]
fn changed_training_pictures_are_not_mixed_into_an_old_probe() {
    let bench = bench("linear-probe");
    let manifest =
        bench.read("data/dots.toml").replace("[splits.train]\n", "[splits.train]\nfiles = [\"train.csv\"]\n");
    bench.write("data/dots.toml", manifest);
    let table = bench.read("data/dots/table.csv");
    bench.write("data/dots/train.csv", &table);
    bench.medvlm(&["run", "suite.toml"]).well();
    bench.write("data/dots/train.csv", table.replace(",ill,", ",well,"));
    bench.medvlm(&["run", "suite.toml"]).refused(2, "changed: dataset.train_files");
}

#[test]
fn an_adapter_of_other_classes_is_refused() {
    let bench = bench("linear-probe");
    bench.medvlm(&["run", "suite.toml"]).well();
    let config = bench.read(&format!("{CELL}/adapter/adapter_config.json")).replace("\"ill\"", "\"sick\"");
    bench.write(&format!("{CELL}/adapter/adapter_config.json"), config);
    let adapter = format!("{CELL}/adapter");
    let said = bench.medvlm(&["run", "suite.toml", "--out", "again", "--adapter", &adapter]);
    said.refused(3, "was trained for the classes well, sick; dots has well, ill");
}

#[test]
fn a_model_without_a_shared_space_cannot_have_a_clip_adapter() {
    bench("clip-adapter")
        .medvlm(&["run", "suite.toml"])
        .refused(2, "`clip-adapter` needs image features and class embeddings");
}
