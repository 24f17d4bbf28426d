//! Token embeddings by a model plugin, for BERTScore.

use super::*;

/// The mock embeds words, without special tokens.
const TABLES: &str = "[options.bertscore]\nfirst = 0\nlast = 0\n[embed]\nmodel = 'words'\n";

fn bench() -> Bench {
    let bench = super::bench("");
    bench.mock(&[("mock", ""), ("words", "feature_dim = 6")]);
    write(&bench, TABLES);
    bench
}

fn write(bench: &Bench, tables: &str) {
    suite(bench, tables);
    bench.write("suite.toml", bench.read("suite.toml").replace("gpt-judge", "bertscore"));
}

#[test]
fn texts_are_embedded_once_and_replayed_without_the_model() {
    let bench = bench();
    medvlm(&bench, &["run", "suite.toml"]).well();
    let lines = evidence(&bench);
    // Answers and references are yes or no: two texts.
    assert_eq!(lines.iter().map(|line| line["kind"].as_str().unwrap()).collect::<Vec<_>>(), ["embed"; 2]);
    assert_eq!(fs::metadata(bench.path(&format!("{CELL}/evidence.f32"))).unwrap().len(), 2 * 6 * 4);
    let scores: Vec<Value> =
        bench.read(&format!("{CELL}/scores.jsonl")).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let f1: Vec<f64> = scores.iter().map(|line| line["values"][0].as_f64().unwrap()).collect();
    let same = f1.iter().filter(|f1| (**f1 - 1.0).abs() < 1e-12).count();
    assert!(same > 0 && same < 40, "{f1:?}");
    // Those that match are those that exact match finds.
    let before = bench.files("runs/suite");
    fs::remove_dir_all(bench.path("plugins")).unwrap();
    for arguments in [&["score", "runs/suite"][..], &["score", "runs/suite", "--offline"]] {
        forget_scores(&bench);
        medvlm(&bench, arguments).well();
        assert_eq!(bench.files("runs/suite"), before);
    }
    let path = format!("{CELL}/evidence.jsonl");
    let first = bench.read(&path).lines().next().unwrap().to_string();
    bench.write(&path, format!("{first}\n"));
    forget_scores(&bench);
    medvlm(&bench, &["score", "runs/suite"])
        .refused(1, "embeddings by `words` are not on record, and it cannot be asked");
    medvlm(&bench, &["score", "runs/suite", "--offline"]).refused(1, "1 requests of scorers have no answer");
    assert!(metric(&bench, "bertscore_f1")["missing"].as_u64() > Some(0));
}

#[test]
fn a_bert_embeds_answers() {
    let bench = super::bench("");
    fs::copy(dist().join("plugins/bert.so"), bench.path("plugins/bert.so")).unwrap();
    bench.write("plugins/bert.toml", "[[model]]\nid = 'tiny-bert'\narchitecture = 'bert'\nweights = 'path:tiny'\n");
    for entry in fs::read_dir(integration_tests::root().join("tests/parity/bert/head")).unwrap().flatten() {
        bench.write(&format!("plugins/tiny/{}", entry.file_name().display()), fs::read(entry.path()).unwrap());
    }
    write(&bench, "[embed]\nmodel = 'tiny-bert'\n");
    medvlm(&bench, &["run", "suite.toml"]).well();
    let scores = bench.read(&format!("{CELL}/scores.jsonl"));
    let f1 = scores.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["values"][0].as_f64().unwrap());
    let f1: Vec<f64> = f1.collect();
    assert_eq!(f1.len(), 40);
    // Equal answers are 1; of others, the embeddings are alike but for something.
    assert!(f1.iter().any(|f1| (f1 - 1.0).abs() < 1e-6) && f1.iter().any(|f1| *f1 < 0.999), "{f1:?}");
    assert!(f1.iter().all(|f1| *f1 <= 1.0 + 1e-6), "{f1:?}");
}

#[test]
fn the_model_that_embeds_must_be_there_and_able() {
    let bench = bench();
    write(&bench, "");
    medvlm(&bench, &["run", "suite.toml"]).refused(3, "add a table [embed] with model = \"…\" to the suite");
    write(&bench, "[embed]\nmodel = 'word'\n");
    medvlm(&bench, &["run", "suite.toml"]).refused(2, "[embed]: unknown model `word`; did you mean `words`?");
    write(&bench, "[embed]\nmodel = 'phantom-clip'\n");
    medvlm(&bench, &["run", "suite.toml"]).refused(2, "[embed]: model `phantom-clip` offers no `embed-text`");
}
