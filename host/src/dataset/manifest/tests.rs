//! What a manifest may hold, and how the errors read.

use super::*;

const HEAD: &str = "title = 't'\ncitation = 'c'\nlicence = 'l'\naccess = 'open'\nobtain = 'o'\nreader = 'csv'\n\
                    files = ['a.csv']\nfields = { image = 'file' }\n";

const CLASSES: &str = "[diagnosis]\nlabel = 'y'\n\
                       [[class]]\nname = 'no'\nprompts = { published = ['a'], ensemble = ['a', 'b'] }\n\
                       [[class]]\nname = 'yes'\nprompts = { published = ['c'], ensemble = ['d'] }\n\
                       [splits.test]\n";

fn load(text: &str) -> std::result::Result<Manifest, String> {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("tiny.toml");
    std::fs::write(&path, text).expect("written");
    Manifest::load(&path).map_err(|e| {
        assert_eq!(e.exit_code(), crate::error::INVALID);
        let text = e.to_string();
        text[text.find("tiny.toml").expect("the file is named")..].to_string()
    })
}

#[test]
fn the_file_name_is_the_id_and_the_tables_give_the_tasks() {
    let manifest = load(&format!("{HEAD}{CLASSES}")).expect("valid");
    assert_eq!((manifest.id.as_str(), manifest.tasks()), ("tiny", vec![Task::Diagnosis]));
    assert_eq!(manifest.digest, digest(format!("{HEAD}{CLASSES}").as_bytes()));
}

#[test]
fn unknown_keys_and_values_name_line_and_nearest() {
    let error = load(&format!("{HEAD}{CLASSES}").replace("licence", "license")).expect_err("unknown key");
    assert_eq!(error, "tiny.toml:3: unknown key `license`; did you mean `licence`?");
    let error = load(&format!("{HEAD}{CLASSES}").replace("label", "lable")).expect_err("unknown key");
    assert!(error.ends_with("unknown key `lable`; did you mean `label`?"), "{error}");
    let error = load(&format!("{HEAD}{CLASSES}").replace("'csv'", "'cvs'")).expect_err("unknown reader");
    assert_eq!(error, "tiny.toml:6: unknown value `cvs`; did you mean `csv`?");
    let error = load(&format!("{HEAD}{CLASSES}counts = {{ vqq = 1 }}\n")).expect_err("unknown task");
    assert!(error.ends_with("unknown value `vqq`; did you mean `vqa`?"), "{error}");
}

#[test]
fn prompts_come_by_class_and_variant() {
    let manifest = load(&format!("{HEAD}{CLASSES}")).expect("valid");
    assert_eq!(manifest.class_prompts(None).expect("published"), [["a"], ["c"]]);
    assert_eq!(manifest.class_prompts(Some("ensemble")).expect("known"), [vec!["a", "b"], vec!["d"]]);
    let error = manifest.class_prompts(Some("ensembel")).expect_err("unknown").to_string();
    assert_eq!(error, "dataset `tiny` has no class prompts `ensembel`; did you mean `ensemble`?");
    let error = manifest.split("tset").expect_err("unknown").to_string();
    assert_eq!(error, "dataset `tiny` has no split `tset`; did you mean `test`?");
}

#[test]
fn what_cannot_work_is_refused_when_it_is_read() {
    let question = "question = 'q'\nanswer = 'a'\n";
    let cases = [
        ("[splits.test]\n".to_string(), "no task: add [diagnosis], [[question]] or [caption]"),
        (format!("splits = {{}}\n[[question]]\n{question}"), "no split: add [splits.test]"),
        (
            "[diagnosis]\nlabel = 'y'\n[splits.test]\n".to_string(),
            "[diagnosis] and at least two [[class]] tables go together",
        ),
        (CLASSES.replace("published = ['c'], ", ""), "class `yes` needs prompts, at least of the variant `published`"),
        (CLASSES.replace(", ensemble = ['d']", ""), "class `yes` has other variants of prompts than `no`"),
        (format!("any_of = ['b']\n{CLASSES}"), "`files` and `any_of` exclude each other"),
        (
            format!("[[question]]\n{question}[[question]]\n{question}[splits.test]\n"),
            "with several [[question]] tables each needs a `name`",
        ),
        (
            CLASSES.replace("label = 'y'", ""),
            "the labels need either `label` in [diagnosis] or `column` in each [[class]]",
        ),
        (
            CLASSES.replace("label = 'y'", "").replace("name = ", "column = 'c'\nname = "),
            "classes with a `column` of their own need `multi_label = true` in [diagnosis]",
        ),
        (
            CLASSES.replace("label = 'y'", "label = 'y'\nuncertain = 'ones'"),
            "`uncertain` needs `uncertain_values` in [diagnosis] and `column` in each [[class]]",
        ),
        (
            format!("partition = {{ rule = 'seeded', unit = 'u', parts = {{ a = 0.5, b = 0.4 }} }}\n{CLASSES}"),
            "the `parts` of [partition] must be shares that sum to 1",
        ),
        (
            format!(
                "partition = {{ rule = 'fairmedfm', unit = 'u', parts = {{ train = 0.5, test = 0.5 }} }}\n{CLASSES}"
            ),
            "the rule `fairmedfm` needs a `group`, and the parts `train` and `test`",
        ),
        (
            format!("partition = {{ rule = 'python', unit = 'u', parts = {{ a = 0.5, b = 0.5 }} }}\n{CLASSES}"),
            "the rule `python` needs the parts `train` and `test`, and takes no `group`",
        ),
        (
            format!("[[question]]\n{question}letter = true\n[splits.test]\n"),
            "`letter` and `options` of a [[question]] go together",
        ),
        (
            format!("[[question]]\n{question}[templates]\ndefault = '{{% if answer %}}{{% endif %}}'\n[splits.test]\n"),
            "template `default`: it looks at the answer; give it another name",
        ),
        (format!("array = {{ key = 'a' }}\n{CLASSES}"), "[array] and the reader `npz-per-image` go together"),
        (
            format!("{CLASSES}closed = 1\n"),
            "split `test` counts closed questions, and the manifest has no [[question]]",
        ),
        (
            format!("{CLASSES}counts = {{ caption = 1 }}\n"),
            "split `test` counts samples of `caption`, which the manifest does not offer",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(load(&format!("{HEAD}{text}")).expect_err(message), format!("tiny.toml: {message}"));
    }
    let error = load(&format!("{HEAD}columns = {{ c = '{{{{ a|pad(3' }}\n{CLASSES}")).expect_err("broken column");
    assert!(error.starts_with("tiny.toml: column `c`: "), "{error}");
    let error = load(&format!("{HEAD}templates = {{ t = '{{{{ question' }}\n{CLASSES}")).expect_err("broken template");
    assert!(error.starts_with("tiny.toml: template `t`: "), "{error}");
}

#[test]
fn the_manifest_in_the_readme_is_valid() {
    let readme = include_str!("../../../../data/README.md");
    let example = readme.split("```").find_map(|part| part.strip_prefix("toml\n")).expect("an example");
    assert_eq!(load(example).expect("valid").tasks(), [Task::Diagnosis]);
}
