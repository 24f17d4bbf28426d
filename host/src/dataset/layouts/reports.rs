//! Reports: Harvard-FairVLMed10k, MIMIC-CXR, IU X-Ray.

use serde_json::json;

use super::*;

const PROMPT: &str = "Can you provide a medical report for this image?";

#[test]
fn fairvlmed_summaries_follow_the_official_split() {
    let copy = Copy::of("harvard-fairvlmed10k-caption");
    let uses = [("training", "Training"), ("validation", "Validation"), ("test", "Test")];
    let row = |(i, (name, _)): (usize, &(&str, &str))| {
        format!("data_{i:05}.npz,64.5,female,asian,non-hispanic,english,married,\"a, note\",\"Cup, pale\",yes,{name}\n")
    };
    let header = "filename,age,gender,race,ethnicity,language,maritalstatus,note,gpt4_summary,glaucoma,use\n";
    copy.write("data_summary.csv", format!("{header}{}", uses.iter().enumerate().map(row).collect::<String>()));
    for (i, (_, folder)) in uses.iter().enumerate() {
        let name = format!("{folder}/data_{i:05}.npz");
        archives::write(&copy, &name, &[("slo_fundus", &[2, 3], &[i as u8, 50, 100, 150, 200, 250])]);
    }
    for (i, split) in ["train", "validation", "test"].iter().enumerate() {
        let samples = copy.samples(split);
        assert_eq!(ids(&samples), [format!("data_{i:05}")]);
        assert_eq!(asked(&samples[0]), (PROMPT, vec!["Cup, pale"]));
        assert_eq!(samples[0].groups["age_band"], "60-69");
    }
    assert_eq!(copy.problems(), Vec::<String>::new());
}

#[test]
fn mimic_cxr_shows_the_first_view_or_all() {
    let copy = Copy::of("mimic-cxr");
    let item = |split: &str, images: &[&str]| {
        json!({"id": format!("{split}-1"), "study_id": 50414267, "subject_id": 10000032, "report": " Clear\nlungs. ",
               "image_path": images, "split": split})
    };
    let test = ["p10/p10000032/s50414267/02aa804e.jpg", "p10/p10000032/s50414267/174413ec.jpg"];
    let other = ["p11/p11000011/s51029426/08e3db80.jpg"];
    let annotation =
        json!({"train": [item("train", &other)], "val": [item("val", &other)], "test": [item("test", &test)]});
    copy.write("annotation.json", annotation.to_string());
    test.iter().chain(&other).for_each(|path| copy.image(&format!("images/{path}")));
    let (first, all) = (copy.samples("test"), copy.samples("test-all-views"));
    assert_eq!((first[0].images.len(), all[0].images.len()), (1, 2));
    assert_eq!(first[0].images[0], all[0].images[0]);
    assert!(all[0].images[1].to_string().ends_with("174413ec.jpg"));
    assert_eq!((asked(&first[0]), patients(&first)), ((PROMPT, vec!["Clear\nlungs."]), vec!["p10000032"]));
    assert_eq!((ids(&copy.samples("validation")), first[0].meta["study_id"].as_str()), (vec!["val-1"], "50414267"));
    assert_eq!(copy.problems(), Vec::<String>::new());
    assert_eq!(copy.open().manifest().access, Access::Credentialed);
}

#[test]
fn iu_xray_shows_both_views() {
    for folder in ["", "iu_xray/"] {
        let copy = Copy::of("iu-xray");
        let item = |split: &str, id: &str| {
            let images = [format!("{id}/0.png"), format!("{id}/1.png")];
            images.iter().for_each(|image| copy.image(&format!("{folder}images/{image}")));
            json!([{"id": id, "report": "No effusion.", "image_path": images, "split": split}])
        };
        let annotation = json!({"train": item("train", "CXR1_IM-0001"), "val": item("val", "CXR2_IM-0652"),
                                "test": item("test", "CXR2384_IM-0942")});
        copy.write(&format!("{folder}annotation.json"), annotation.to_string());
        let samples = copy.samples("test");
        assert_eq!((ids(&samples), patients(&samples)), (vec!["CXR2384_IM-0942"], vec!["CXR2384"]));
        assert_eq!((samples[0].images.len(), copy.samples("test-first-view")[0].images.len()), (2, 1));
        assert_eq!(copy.problems(), Vec::<String>::new());
    }
}
