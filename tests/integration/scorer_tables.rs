//! `[[scorer]]`: a metric under a name of its own, with options, for some of the samples.

use integration_tests::Bench;
use serde_json::Value;

const CELL: &str = "runs/suite/mock@dots.test.vqa.zero-shot.s0";

fn bench(tables: &str) -> Bench {
    let bench = Bench::new();
    bench.mock(&[("mock", "")]);
    bench.dots(40);
    let manifest = bench.read("data/dots.toml");
    let manifest = manifest.replace("closed = true", "closed_when = { column = 'part', equals = 'a' }");
    bench.write(
        "data/dots.toml",
        manifest.replace("image = \"file\"", "image = \"file\"\ngroups = [\"part\", \"label\"]"),
    );
    let text = format!("models = ['mock', 'other']\n{tables}\n[[dataset]]\nid = 'dots'\ntask = 'vqa'\n");
    bench.mock(&[("mock", ""), ("other", "feature_dim = 4")]);
    bench.write("suite.toml", text);
    bench
}

const TABLES: &str = "
[[scorer]]
use = 'exact-match'

[[scorer]]
name = 'match-open'
use = 'exact-match'
where = { closed = false }

[[scorer]]
name = 'match-well'
use = 'exact-match'
where = { label = ['WELL', 'unknown'], part = 'b' }
";

#[test]
fn conditions_select_samples_and_their_number_is_shown() {
    let bench = bench(TABLES);
    let said = bench.medvlm(&["run", "suite.toml"]).well();
    assert!(said.err.contains("scorer `match-open` is for 20 of 40 samples"), "{said:#?}");
    let metrics: Value = serde_json::from_str(&bench.read(&format!("{CELL}/metrics.json"))).unwrap();
    let lines: Vec<Value> =
        bench.read(&format!("{CELL}/scores.jsonl")).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |id: &str| -> Vec<(u64, f64)> {
        let own = lines.iter().filter(|line| line["scorer"] == id);
        own.map(|line| (line["index"].as_u64().unwrap(), line["values"][0].as_f64().unwrap())).collect()
    };
    let all = of("exact-match");
    let expected = |select: &dyn Fn(u64) -> bool| all.iter().filter(|(i, _)| select(*i)).copied().collect::<Vec<_>>();
    assert_eq!(of("match-open"), expected(&|i| i % 8 >= 4));
    assert_eq!(of("match-well"), expected(&|i| i % 8 >= 4 && i % 3 != 0));
    for (scorer, id) in metrics["scorers"].as_array().unwrap().iter().zip(["exact-match", "match-open", "match-well"]) {
        let own = of(id);
        let mean = own.iter().map(|(_, value)| value).sum::<f64>() / own.len() as f64;
        assert_eq!((scorer["id"].as_str(), scorer["metrics"][0]["value"].as_f64()), (Some(id), Some(mean)));
        let [first, last] = [0, 1].map(|end| scorer["lines"][end].as_u64().unwrap() as usize);
        assert_eq!(last + 1 - first, own.len());
        assert!(lines[first - 1]["scorer"] == id && lines[last - 1]["scorer"] == id);
    }
    let before = bench.files("runs/suite");
    bench.medvlm(&["score", "runs/suite"]).well();
    assert_eq!(bench.files("runs/suite"), before);
    let arguments = [
        "compare",
        "runs/suite",
        CELL.trim_start_matches("runs/suite/"),
        "runs/suite",
        "other@dots.test.vqa.zero-shot.s0",
    ];
    let said = bench.medvlm(&arguments).well();
    assert!(said.out.contains("match-open"), "{said:#?}");
}

#[test]
fn what_cannot_be_meant_is_found_while_planning() {
    let refused = |tables: &str, code: i32, sentence: &str| {
        let bench = bench(tables);
        bench.medvlm(&["run", "suite.toml"]).refused(code, sentence);
        assert!(!bench.path("runs").exists());
    };
    let one = |line: &str| format!("[[scorer]]\nuse = 'exact-match'\n{line}\n");
    refused(&one("were = { closed = true }"), 3, "unknown key `were`; did you mean `where`?");
    refused(&one("where = { labl = 'ill' }"), 2, "nothing named `labl` is known of the samples; did you mean `label`?");
    refused(&one("where = { label = 'sick' }"), 2, "no sample of `dots` meets its conditions");
    refused(&one("options = { strict = true }"), 2, "bad configuration");
    let second = format!("{}{}", one(""), one("name = 'strict'\noptions = { strict = true }"));
    refused(&second, 2, "bad configuration");
    refused(&one("name = 'Exact Match'"), 2, "is no scorer name");
    refused(&format!("{}{}", one(""), one("")), 3, "two scorers are named `exact-match`");
    refused("[[scorer]]\nuse = 'exact-mach'\n", 2, "unknown scorer `exact-mach`; did you mean `exact-match`?");
}
