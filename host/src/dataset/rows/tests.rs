//! Rows of small JSON files become samples.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::dataset::{Dataset, ImageRef};

/// A manifest for JSON rows with `id`, `image` and `report`; `extra` is appended.
pub fn manifest(extra: &str) -> Manifest {
    let dir = tempfile::tempdir().expect("directory");
    load(dir.path(), "caption = { report = 'report', prompt = 'describe' }\nsplits.test = {}", extra)
}

fn load(dir: &Path, tasks: &str, extra: &str) -> Manifest {
    let head = "title = 't'\ncitation = 'c'\nlicence = 'l'\naccess = 'open'\nobtain = 'ask the author'\nreader = 'json'\n\
                files = ['a.json']\nfields = { id = 'id', image = 'image', groups = ['sex'] }";
    let path = dir.join("tiny.toml");
    std::fs::write(&path, format!("{head}\n{tasks}\n{extra}\n")).expect("written");
    Manifest::load(&path).expect("valid")
}

fn read(tasks: &str, task: Task, rows: Value) -> Result<Vec<Sample>> {
    let dir = tempfile::tempdir().expect("directory");
    std::fs::write(dir.path().join("a.json"), rows.to_string()).expect("written");
    let manifest = load(dir.path(), "", tasks);
    Dataset::open(&manifest, Some(dir.path())).and_then(|dataset| dataset.samples("test", task))
}

fn failure(tasks: &str, task: Task, rows: Value) -> String {
    let error = read(tasks, task, rows).expect_err("refused").to_string();
    error[error.find("a.json").or(error.find("tiny.toml")).expect("the file is named")..].to_string()
}

const DIAGNOSIS: &str = "[diagnosis]\nlabel = 'dx'\n[[class]]\nname = 'benign'\nvalues = ['nv', 'bkl']\n\
                         prompts = { published = ['b'] }\n[[class]]\nname = 'malignant'\nvalues = ['mel']\n\
                         prompts = { published = ['m'] }\n[splits.test]\n";

#[test]
fn labels_follow_from_the_values_of_the_classes() {
    let rows = json!([
        {"id": 1, "image": "x/1.png", "dx": "nv", "sex": "f"},
        {"id": 2, "image": ["2.png", "3.png"], "dx": " MEL ", "sex": null},
        {"id": 3, "image": "4.png", "dx": ["mel", "bkl"], "sex": ""},
        {"id": 4, "image": "5.png", "dx": [], "sex": ""},
    ]);
    let several = DIAGNOSIS.replace("label = 'dx'", "label = 'dx'\nmulti_label = true");
    let samples = read(&several, Task::Diagnosis, rows).expect("samples");
    let targets: Vec<&Target> = samples.iter().map(|sample| &sample.target).collect();
    let expected = [vec![0], vec![1], vec![0, 1], vec![]].map(Target::Labels);
    assert_eq!(targets, expected.iter().collect::<Vec<_>>());
    assert_eq!(
        samples.iter().map(|sample| (sample.index, sample.id.as_str())).collect::<Vec<_>>(),
        [(0, "1"), (1, "2"), (2, "3"), (3, "4")]
    );
    assert_eq!(samples[0].groups, [("sex".to_string(), "f".to_string())].into());
    assert!(samples[1].groups.is_empty() && samples[2].groups.is_empty());
    assert!(samples[0].images[0].file().is_some_and(|path| path.ends_with("x/1.png")));
    assert_eq!(samples[1].images.len(), 2);
}

#[test]
fn a_class_without_values_stands_for_its_index() {
    let tasks = DIAGNOSIS.replace("values = ['nv', 'bkl']\n", "").replace("values = ['mel']\n", "");
    let rows = json!([{"id": 1, "image": "i", "dx": 1, "sex": ""}]);
    assert_eq!(read(&tasks, Task::Diagnosis, rows).expect("samples")[0].target, Target::Labels(vec![1]));
    let rows = json!([{"id": 1, "image": "i", "dx": 2, "sex": ""}]);
    let error = failure(&tasks, Task::Diagnosis, rows);
    assert_eq!(error, "a.json: row 1: column `dx` has `2`, which is no class (known: 0, 1)");
}

#[test]
fn rows_that_make_no_sense_are_named() {
    let row = |dx: Value| json!({"id": 1, "image": "i", "dx": dx, "sex": ""});
    let error = failure(DIAGNOSIS, Task::Diagnosis, json!([row("nv".into()), row("bcc".into())]));
    assert_eq!(error, "a.json: row 2: column `dx` has `bcc`, which is no class (known: nv, bkl, mel)");
    let error = failure(DIAGNOSIS, Task::Diagnosis, json!([row(Value::Null)]));
    assert_eq!(error, "a.json: row 1: column `dx` has no label");
    let error = failure(DIAGNOSIS, Task::Diagnosis, json!([row(json!(["nv", "mel"]))]));
    assert_eq!(error, "a.json: row 1: column `dx` has 2 classes where one applies; is it `multi_label`?");
    let error = failure(DIAGNOSIS, Task::Diagnosis, json!([row("nv".into()), row("nv".into())]));
    assert_eq!(error, "tiny.toml: two samples of split `test` are named `1`");
    let error = failure(DIAGNOSIS, Task::Diagnosis, json!([{"id": 1, "image": "i", "dxx": "nv", "sex": ""}]));
    assert_eq!(error, "a.json: has no column `dx`; did you mean `dxx`?");
    let error = failure(DIAGNOSIS, Task::Diagnosis, json!([{"id": 1, "imag": "i", "dx": "nv", "sex": ""}]));
    assert_eq!(error, "a.json: has no column `image`; did you mean `imag`?");
    let error = failure(DIAGNOSIS, Task::Diagnosis, json!([{"id": 1, "image": "", "dx": "nv", "sex": ""}]));
    assert_eq!(error, "a.json: row 1: column `image` names no image");
}

#[test]
fn a_task_that_is_not_offered_is_a_usage_error() {
    let dir = tempfile::tempdir().expect("directory");
    std::fs::write(dir.path().join("a.json"), "[]").expect("written");
    let dataset = Dataset::open(&load(dir.path(), "", DIAGNOSIS), Some(dir.path())).expect("opened");
    let error = dataset.samples("test", Task::Vqa).expect_err("not offered");
    assert_eq!(error.to_string(), "dataset `tiny` has no task `vqa` (it has: diagnosis)");
    assert_eq!(error.exit_code(), crate::error::USAGE);
}

const VQA: &str = "[[question]]\nname = 'a'\nquestion = 'q1'\nanswer = 'a1'\n\
                   closed_when = { column = 'kind', equals = 'CLOSED' }\n\
                   [[question]]\nname = 'b'\nquestion = 'q2'\nanswer = 'a2'\nclosed = false\noptions = ['A', 'B']\n\
                   [templates]\nyes-no = '{% if answer|lower == \"yes\" %}Yes or no: {% endif %}{{ question }}'\n\
                   [splits.test]\nwhere = [{ column = 'split', in = ['test'] }, { column = 'q1', not = ['', 'none'] }]\n";

#[test]
fn each_row_gives_one_sample_per_question_that_it_answers() {
    let row = |id: u32, split: &str, q1: &str, kind: &str, a2: Value| {
        json!({"id": id, "image": "i", "sex": "", "split": split, "q1": q1, "a1": " Yes", "kind": kind,
               "q2": "where? ", "a2": a2, "A": "left", "B": "right"})
    };
    let rows = json!([
        row(1, "TEST ", "is it?", "CLOSED ", json!(["left", "left side"])),
        row(2, "test", "is it?", "OPEN", json!(12)),
        row(3, "test", "is it?", "OPEN", Value::Null),
        row(4, "test", "none", "OPEN", json!("left")),
        row(5, "train", "is it?", "OPEN", json!("left")),
    ]);
    let samples = read(VQA, Task::Vqa, rows).expect("samples");
    let ids: Vec<&str> = samples.iter().map(|sample| sample.id.as_str()).collect();
    assert_eq!(ids, ["1.a", "1.b", "2.a", "2.b", "3.a"]);
    assert_eq!([samples[0].closed, samples[1].closed, samples[2].closed], [Some(true), Some(false), Some(false)]);
    assert_eq!(samples[0].target, Target::Answers(vec!["Yes".into()]));
    assert_eq!(samples[1].target, Target::Answers(vec!["A".into(), "left".into(), "left side".into()]));
    assert_eq!(samples[3].target, Target::Answers(vec!["12".into()]));
    assert_eq!((samples[1].question.as_deref(), samples[1].options.len()), (Some("where?"), 2));
}

#[test]
fn templates_see_question_and_answer() {
    let dir = tempfile::tempdir().expect("directory");
    let row = json!({"id": 1, "image": "i", "sex": "", "split": "test", "q1": "is it?", "a1": "Yes", "kind": "", "q2": "q",
                     "a2": "left", "A": "", "B": ""});
    std::fs::write(dir.path().join("a.json"), json!([row]).to_string()).expect("written");
    let dataset = Dataset::open(&load(dir.path(), "", VQA), Some(dir.path())).expect("opened");
    let prompts = |template| {
        let samples = dataset.prompted("test", Task::Vqa, template).expect("samples");
        samples.into_iter().map(|sample| sample.prompt.expect("a prompt")).collect::<Vec<_>>()
    };
    assert_eq!(prompts(Some("yes-no")), ["Yes or no: is it?", "q"]);
    assert_eq!(prompts(None), ["is it?", "q"]);
    let error = dataset.prompted("test", Task::Vqa, Some("yes_no")).expect_err("unknown").to_string();
    assert_eq!(error, "dataset `tiny` has no template `yes_no`; did you mean `yes-no`?");
}

#[test]
fn the_first_rule_that_fits_gives_the_patient() {
    let rules = "patient = [{ column = 'image', starts = 'person', until = '_' }, { column = 'sex', until = '/' }]\n";
    let rows = json!([
        {"id": 1, "image": "person1946_bacteria_4875", "sex": "f", "report": "r"},
        {"id": 2, "image": "other", "sex": "m", "report": "r"},
        {"id": 3, "image": "other", "sex": "", "report": "r"},
        {"id": 4, "image": "other", "sex": "", "report": null},
    ]);
    let tasks = format!("{rules}[caption]\nreport = 'report'\nprompt = 'describe'\n[splits.test]\n");
    let samples = read(&tasks, Task::Caption, rows).expect("samples");
    let patients: Vec<Option<&str>> = samples.iter().map(|sample| sample.patient.as_deref()).collect();
    assert_eq!(patients, [Some("person1946"), Some("m"), None]);
    assert_eq!(samples[0].question.as_deref(), Some("describe"));
}

#[test]
fn image_references_read_as_paths() {
    let rows = json!([{"id": 1, "image": "x.png", "sex": "", "report": "r"}]);
    let tasks = "[caption]\nreport = 'report'\nprompt = 'describe'\n[splits.test]\n";
    let image: ImageRef = read(tasks, Task::Caption, rows).expect("samples")[0].images[0].clone();
    assert!(image.to_string().ends_with("x.png"), "{image}");
}

const CHOICES: &str = "[[question]]\nquestion = 'q'\nanswer = 'gold'\noptions = ['A', 'B', 'C']\n[splits.test]\n";

fn choices(extra: &str, gold: Value, b: &str) -> Sample {
    let row =
        json!({"id": 1, "image": "i", "sex": "", "q": "which?", "gold": gold, "A": "Left lung ", "B": b, "C": "A"});
    let tasks = CHOICES.replace("[splits", &format!("{extra}\n[splits"));
    read(&tasks, Task::Vqa, json!([row])).expect("samples").remove(0)
}

#[test]
fn the_right_option_is_known_by_its_text_or_by_its_letter() {
    let right = |extra, gold: Value, b| match choices(extra, gold, b).target {
        Target::Answers(answers) => answers.join("|"),
        Target::Labels(_) => panic!("no answers"),
    };
    assert_eq!(right("", json!("LEFT LUNG"), "heart"), "A|Left lung");
    assert_eq!(right("", json!("a"), "heart"), "C|A");
    assert_eq!(right("", json!("liver"), "heart"), "liver", "no option is right");
    assert_eq!(right("letter = true", json!("a"), "heart"), "A|Left lung");
    assert_eq!(right("letter = true", json!("D"), "heart"), "D", "no such option");
    let gap = choices("letter = true", json!("C"), " ");
    let letters: Vec<&str> = gap.options.iter().map(|choice| choice.letter.as_str()).collect();
    assert_eq!((letters, gap.target), (vec!["A", "C"], Target::Answers(vec!["C".into(), "A".into()])));
}

#[test]
fn conditions_on_beginnings_and_missing_values_leave_rows_out() {
    let row = |id: u32, lang: Value, more: Value| json!({"id": id, "image": "i", "sex": "", "report": "r", "lang": lang, "more": more});
    let rows = json!([
        row(1, json!("EN"), json!("x")),
        row(2, json!("en-gb"), json!("None")),
        row(3, json!("zh"), json!("x")),
        row(4, Value::Null, json!("x")),
        row(5, json!("é"), json!("x")),
        row(6, json!("english"), Value::Null),
        row(7, json!("english"), json!("none")),
    ]);
    let found = |head: &str, rows: &Value| {
        let tasks = format!("{head}\n[caption]\nreport = 'report'\nprompt = 'p'\n[splits.test]\n");
        let samples = read(&tasks, Task::Caption, rows.clone()).expect("samples");
        samples.into_iter().map(|sample| sample.id).collect::<Vec<_>>().join("")
    };
    assert_eq!(found("where = [{ column = 'lang', starts = 'en' }]", &rows), "1267");
    let mut whole = rows.clone();
    whole.as_array_mut().expect("rows").iter_mut().for_each(|row| row["sex"] = json!("f"));
    assert_eq!(found("complete = true", &whole), "1357", "as pandas' dropna would");
}
