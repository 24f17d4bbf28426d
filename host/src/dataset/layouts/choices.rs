//! Multiple-choice questions: MedXpertQA, OmniMedVQA, PMC-VQA.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

const LAST: &str = "Answer with the single letter corresponding to the best choice.";

fn medxpertqa(count: u32) -> String {
    let row = |i: u32| {
        let images: Vec<String> =
            (0..=i % 3).map(|view| format!("MM-{i}-{}.jpeg", ["a", "b", "c"][view as usize])).collect();
        let label = ["A", "E"][i as usize % 2];
        json!({"id": format!("MM-{i}"), "question": format!("Which of {i}?\nAnswer Choices: (A) A0 (B) B1 (C) C (D) D (E) A"),
               "options": {"A": "A0", "B": "B1", "C": "C", "D": "D", "E": "A"}, "label": label,
               "images": images, "medical_task": "Diagnosis", "body_system": "Skeletal", "question_type": "Reasoning"})
    };
    (0..count).map(|i| format!("{}\n", row(i))).collect()
}

#[test]
fn medxpertqa_keeps_the_images_of_a_sample_together_and_has_the_fold_of_python() {
    let copy = Copy::of("medxpertqa");
    copy.write("MM/test.jsonl", medxpertqa(10));
    copy.write("MM/dev.jsonl", medxpertqa(5));
    for i in 0..10 {
        ["a", "b", "c"][..=i % 3].iter().for_each(|view| copy.image(&format!("images/MM-{i}-{view}.jpeg")));
    }
    let (train, test) = (copy.samples("train"), copy.samples("test"));
    // order = list(range(10)); random.Random(42).shuffle(order); order[:2] is [7, 3]
    assert_eq!((ids(&test), train.len()), (vec!["MM-3", "MM-7"], 8));
    assert_eq!(train.iter().map(|sample| sample.images.len()).collect::<Vec<_>>(), [1, 2, 3, 2, 3, 1, 3, 1]);
    assert!(train[2].images[2].to_string().ends_with("images/MM-2-c.jpeg"));
    let question = "Which of 3?\nAnswer Choices: (A) A0 (B) B1 (C) C (D) D (E) A";
    assert_eq!(asked(&test[0]), (format!("{question}\n{LAST}").as_str(), vec!["E", "A"]));
    assert_eq!(test[0].question.as_deref(), Some(question));
    assert_eq!((test[0].options[1].letter.as_str(), test[0].options[1].text.as_str()), ("B", "B1"));
    let expected = [("body_system", "Skeletal"), ("medical_task", "Diagnosis"), ("question_type", "Reasoning")];
    assert_eq!(groups(&test[0]), expected);
    assert_eq!((copy.samples("official-test").len(), copy.samples("official-dev").len()), (10, 5));
    assert_eq!(copy.problems(), Vec::<String>::new());

    copy.write("MM/cus_test_fold0.jsonl", medxpertqa(1));
    assert_eq!(ids(&copy.samples("paper-test")), ["MM-0"]);
    copy.write("splits.csv", "id,split\nMM-0,test\nMM-1,train\n");
    assert_eq!((ids(&copy.samples("test")), ids(&copy.samples("train"))), (vec!["MM-0"], vec!["MM-1"]));
    std::fs::remove_file(copy.path("images/MM-5-c.jpeg")).expect("removed");
    let problems = copy.problems();
    assert!(problems.len() == 1 && problems[0].contains("MM-5-c.jpeg: No such file"), "{problems:?}");
}

#[test]
fn the_fold_of_all_of_medxpertqa_is_that_of_python() {
    let copy = Copy::of("medxpertqa");
    copy.write("MM/test.jsonl", medxpertqa(2000));
    let test = copy.open().samples("test", Task::Vqa).expect("samples");
    let positions: Vec<u64> = test.iter().map(|sample| sample.id[3..].parse().expect("a number")).collect();
    // order = list(range(2000)); random.Random(42).shuffle(order); test = sorted(order[:400])
    assert_eq!((positions.len(), positions.iter().sum::<u64>()), (400, 421_959));
    assert_eq!(positions.iter().zip(0..).map(|(p, i)| p * i).sum::<u64>(), 110_784_628);
}

fn omnimed(id: u32, gold: &str, options: &[&str]) -> Value {
    let mut row = json!({"dataset": "ACRIMA", "question_id": format!("ACRIMA_{id:04}"), "question_type": "Disease Diagnosis",
                         "question": "What is it?", "gt_answer": gold, "image_path": format!("Images/ACRIMA/{}.png", id / 2),
                         "modality_type": "Fundus Photography"});
    for (option, letter) in options.iter().zip(["A", "B", "C", "D"]) {
        row[format!("option_{letter}")] = (*option).into();
    }
    row
}

#[test]
fn omnimedvqa_skips_and_counts_questions_without_their_image() {
    let options = ["Glaucoma", "Normal ", "Drusen", "Cataract"];
    let rows: Vec<Value> = (0..200).map(|i| omnimed(i, ["normal", "Glaucoma."][i as usize % 2], &options)).collect();
    for folder in ["", "OmniMedVQA/"] {
        let copy = Copy::of("omnimedvqa");
        copy.write(&format!("{folder}QA_information/Open-access/ACRIMA.json"), json!(rows).to_string());
        let two = json!([omnimed(900, "No", &["Yes", "No"])]);
        copy.write(&format!("{folder}QA_information/Open-access/Two options.json"), two.to_string());
        (0..100)
            .chain([450])
            .filter(|i| i % 10 != 3)
            .for_each(|i| copy.image(&format!("{folder}Images/ACRIMA/{i}.png")));
        let all = copy.samples("all");
        assert_eq!(all.len(), 181, "10 of 101 images are missing, with two questions each");
        let asked_of = |sample: &Sample| (asked(sample).0.to_string(), asked(sample).1.join("|"));
        let four = format!("What is it?\nOptions:\n(A) Glaucoma\n(B) Normal\n(C) Drusen\n(D) Cataract\n{LAST}");
        assert_eq!(asked_of(&all[0]), (four.clone(), "B|Normal".into()));
        assert_eq!(asked_of(&all[1]), (four, "Glaucoma.".into()), "an answer that is no option stays as it is");
        assert_eq!(asked_of(&all[180]), (format!("What is it?\nOptions:\n(A) Yes\n(B) No\n{LAST}"), "B|No".into()));
        assert_eq!(all[0].meta["dataset"], "ACRIMA");

        let (train, test) = (copy.samples("train"), copy.samples("test"));
        let images =
            |samples: &[Sample]| patients(samples).iter().map(|path| (*path).to_string()).collect::<BTreeSet<_>>();
        assert_eq!((images(&train).len(), images(&test).len()), (3, 6), "of 91 images");
        assert!(patients(&train).iter().all(|image| !patients(&test).contains(image)));
        let report = check(&copy.open(), &mut |_, _| {}).expect("checked");
        let warnings = report.warnings();
        assert!(
            warnings[0].ends_with("ACRIMA.json: 20 of 200 rows name an image that is not there, and give no sample")
        );
        assert_eq!(report.skipped.len(), 1, "{warnings:?}");
        assert!(report.unreadable.is_empty() && report.files.is_empty());
    }
}

#[test]
fn pmc_vqa_loses_the_marks_of_its_choices() {
    let clean = "Figure_path,Question,Answer,Choice A,Choice B,Choice C,Choice D,Answer_label\n\
                 PMC1_Fig1.jpg, What is shown? , The liver,A: The heart, B:The liver , C: A: nothing,The lung,B\n\
                 PMC1_Fig1.jpg,Which plane?,Axial,A:Axial,B:Coronal,C:Sagittal,D:Oblique,A\n";
    let copy = Copy::of("pmc-vqa");
    ["train.csv", "test.csv", "test_clean.csv"].iter().for_each(|name| copy.write(name, clean));
    copy.image("images/PMC1_Fig1.jpg");
    for split in ["train", "test", "test-clean"] {
        let samples = copy.samples(split);
        let options = "(A) The heart\n(B) The liver\n(C) A: nothing\n(D) The lung";
        let prompt = format!("What is shown?\nOptions:\n{options}\n{LAST}");
        assert_eq!(asked(&samples[0]), (prompt.as_str(), vec!["B", "The liver"]));
        assert_eq!(asked(&samples[1]).1, ["A", "Axial"]);
        assert_eq!(
            (samples[0].id.clone(), samples[1].patient.as_deref()),
            (format!("{split}-0"), Some("PMC1_Fig1.jpg"))
        );
    }
    assert_eq!(copy.problems(), Vec::<String>::new());

    let second = "index,Figure_path,Caption,Question,Choice A,Choice B,Choice C,Choice D,Answer,split\n\
                  7,PMC2_Fig1.jpg,\"a, b\",Which plane?, A:Axial, B:Coronal, C:Sagittal, D:Oblique,C,test\n";
    let copy = Copy::of("pmc-vqa-2");
    ["train_2.csv", "test_2.csv"].iter().for_each(|name| copy.write(name, second));
    copy.image("figures/PMC2_Fig1.jpg");
    assert_eq!(asked(&copy.samples("test")[0]).1, ["C", "Sagittal"]);
    assert_eq!(copy.problems(), Vec::<String>::new());
}
