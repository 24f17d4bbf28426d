//! No default template looks at the answer, and multiple-choice prompts are those that were published.

use std::path::Path;

use super::*;
use crate::dataset::{Catalog, Choice};

fn catalog() -> Catalog {
    Catalog::load(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("../data")]).expect("the manifests are valid")
}

fn sample(answers: &[&str], closed: Option<bool>) -> Sample {
    let options = [("A", "no"), ("B", "Yes")];
    Sample {
        index: 0,
        id: "1".into(),
        images: Vec::new(),
        question: Some("Is the heart enlarged?".into()),
        prompt: None,
        closed,
        options: options.map(|(letter, text)| Choice { letter: letter.into(), text: text.into() }).into(),
        target: Target::Answers(answers.iter().map(ToString::to_string).collect()),
        unknown: Vec::new(),
        patient: None,
        groups: Default::default(),
        meta: Default::default(),
    }
}

fn prompt(manifest: &Manifest, template: Option<&str>, sample: Sample) -> String {
    let mut samples = [sample];
    fill(manifest, Task::Vqa, &mut samples, template).expect("filled");
    samples[0].prompt.take().expect("a prompt")
}

#[test]
fn no_default_template_looks_at_the_answer() {
    let catalog = catalog();
    let mut seen = 0;
    for manifest in catalog.iter().filter(|manifest| !manifest.questions.is_empty()) {
        // Where the answer decides whether a question is closed, looking at that is looking at the answer.
        let prompts = [
            sample(&["yes"], Some(true)),
            sample(&["B", "Yes"], None),
            sample(&["left lung"], Some(false)),
            sample(&[""], Some(false)),
        ]
        .map(|sample| prompt(manifest, None, sample));
        assert!(prompts.iter().all(|other| *other == prompts[0]), "{}: {prompts:?}", manifest.id);
        assert!(prompts[0].starts_with("Is the heart enlarged?"), "{}: {prompts:?}", manifest.id);
        assert!(manifest.templates.contains_key(DEFAULT), "{}", manifest.id);
        seen += 1;
    }
    assert!(seen >= 10, "{seen} datasets of questions");
}

#[test]
fn the_template_of_the_paper_depends_on_the_answer() {
    let catalog = catalog();
    for id in ["vqa-rad", "vqa-rad-original", "slake", "path-vqa", "harvard-fairvlmed10k-vqa"] {
        let of = |answer: &str| prompt(catalog.get(id).expect("known"), Some("medvlmbench"), sample(&[answer], None));
        let asked = "Answer the following question about the image with yes or no. Is the heart enlarged?";
        assert_eq!([of("Yes"), of("no")], [asked, asked], "{id}");
        assert_eq!(of("not seen"), "Is the heart enlarged?", "{id}");
    }
}

#[test]
fn multiple_choice_is_asked_as_published() {
    let catalog = catalog();
    let of = |id: &str| prompt(catalog.get(id).expect("known"), None, sample(&["A", "no"], None));
    let last = "Answer with the single letter corresponding to the best choice.";
    assert_eq!(of("medxpertqa"), format!("Is the heart enlarged?\n{last}"));
    for id in ["omnimedvqa", "pmc-vqa", "pmc-vqa-2"] {
        assert_eq!(of(id), format!("Is the heart enlarged?\nOptions:\n(A) no\n(B) Yes\n{last}"), "{id}");
    }
}
