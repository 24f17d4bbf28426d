//! Tables that name images: Camelyon17, HAM10000, Harvard-FairVLMed10k, CheXpert.

use super::*;

/// Rows as WILDS writes them: the number of the row first, and its heading empty.
fn camelyon(rows: &[(&str, &str, u32, &str, &str, &str)]) -> String {
    let row = |(number, (patient, node, x, tumor, center, split)): (usize, &(&str, &str, u32, &str, &str, &str))| {
        format!("{number},{patient},{node},{x},21792,{tumor},0,{center},{split}\n")
    };
    let header = ",patient,node,x_coord,y_coord,tumor,slide,center,split\n";
    format!("{header}{}", rows.iter().enumerate().map(row).collect::<String>())
}

#[test]
fn camelyon17_has_the_splits_of_wilds_and_of_the_paper() {
    let copy = Copy::of("camelyon17");
    let rows = [
        ("004", "4", 3328, "1", "0", "0"),
        ("017", "1", 5, "0", "3", "1"),
        ("020", "0", 64, "0", "1", "0"),
        ("040", "2", 96, "1", "2", "0"),
    ];
    copy.write("metadata.csv", camelyon(&rows));
    for (patient, node, x, ..) in rows {
        copy.image(&format!(
            "patches/patient_{patient}_node_{node}/patch_patient_{patient}_node_{node}_x_{x}_y_21792.png"
        ));
    }
    let train = copy.samples("train");
    assert_eq!((ids(&train), labels(&train)), (vec!["patient_004_node_4_x_3328_y_21792"], vec![vec![1]]));
    assert_eq!((patients(&train), groups(&train[0])), (vec!["004"], vec![("center", "0")]));
    let found = ["validation-in-domain", "validation", "test"].map(|split| patients(&copy.samples(split)).join(" "));
    assert_eq!(found, ["017", "020", "040"]);
    assert_eq!(copy.problems(), Vec::<String>::new(), "the paper's sample may be absent");

    // Pandas drops the zeros when it rewrites the table.
    copy.write("sample920_test_metadata.csv", camelyon(&[("4", "4", 3328, "1", "0", "0")]));
    let paper = copy.samples("paper-test");
    assert_eq!(ids(&paper), ids(&train));
    let error = copy.open().samples("paper-train", Task::Diagnosis).expect_err("absent").to_string();
    assert!(error.contains("`sample3680_train_metadata.csv` of dataset `camelyon17` is missing"), "{error}");
}

fn ham10000(copy: &Copy) {
    let kinds = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"];
    let row = |i: usize| {
        let (age, sex) = [("57.0", "male"), ("", "female"), ("80.0", "unknown"), ("15.0", "female")][i % 4];
        format!("HAM_{:07},ISIC_{i:07},{},histo,{age},{sex},back\n", i / 2, kinds[i / 2 % 7])
    };
    let rows: String = (0..140).map(row).collect();
    copy.write("HAM10000_metadata.csv", format!("lesion_id,image_id,dx,dx_type,age,sex,localization\n{rows}"));
    for i in 0..140 {
        copy.image(&format!("HAM10000_images_part_{}/ISIC_{i:07}.jpg", 1 + i / 70));
    }
}

#[test]
fn ham10000_is_binary_as_in_the_paper_and_keeps_lesions_together() {
    let copy = Copy::of("ham10000");
    ham10000(&copy);
    let splits = ["train", "validation", "test"].map(|split| copy.samples(split));
    assert_eq!(splits.iter().map(Vec::len).sum::<usize>(), 70, "people of unknown age or sex are left out");
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        assert!(patients(&splits[a]).iter().all(|lesion| !patients(&splits[b]).contains(lesion)));
    }
    for (sample, label) in splits[0].iter().zip(labels(&splits[0])) {
        let malignant = [0, 4].contains(&(sample.id[5..].parse::<u32>().expect("number") / 2 % 7));
        assert_eq!(label, [u32::from(malignant)], "{}", sample.id);
    }
    let bands: Vec<&str> =
        splits.iter().flatten().filter_map(|s| s.groups.get("age_band")).map(String::as_str).collect();
    assert!(bands.contains(&"<20") && bands.contains(&"40-59"));
    assert_eq!(copy.problems(), Vec::<String>::new());

    copy.write("splits.csv", "id,split\nISIC_0000000,test\nISIC_0000001,test\nISIC_0000003,train\n");
    assert_eq!((ids(&copy.samples("test")), ids(&copy.samples("train"))), (vec!["ISIC_0000000"], vec!["ISIC_0000003"]));
    copy.write("split/test.csv", "image_id,dx\nISIC_0000002,bcc\nISIC_0000008,mel\n");
    let paper = copy.samples("paper-test");
    assert_eq!((labels(&paper), patients(&paper)), (vec![vec![0], vec![1]], vec!["-", "-"]));
}

#[test]
fn ham10000_has_seven_classes_too() {
    let copy = Copy::of("ham10000-7");
    ham10000(&copy);
    let splits = ["train", "validation", "test"].map(|split| copy.samples(split));
    assert_eq!(splits.each_ref().map(Vec::len), [98, 14, 28]);
    for class in 0..7 {
        assert_eq!(labels(&splits[2]).iter().filter(|labels| **labels == [class]).count(), 4);
    }
    assert_eq!(copy.problems(), Vec::<String>::new());
}

#[test]
fn harvard_fairvlmed_has_the_split_of_fairmedfm_and_the_official_one() {
    let copy = Copy::of("harvard-fairvlmed10k");
    let uses = [("training", "Training"), ("validation", "Validation"), ("test", "Test")];
    let row = |i: usize| {
        let sex = if i % 5 < 3 { "female" } else { "male" };
        let glaucoma = if i.is_multiple_of(2) { "yes" } else { "no" };
        format!(
            "data_{i:05}.npz,{}.5,{sex},asian,non-hispanic,english,married,\"a, note\",g,{glaucoma},{}\n",
            35 + i,
            uses[i % 3].0
        )
    };
    let header = "filename,age,gender,race,ethnicity,language,maritalstatus,note,gpt4_summary,glaucoma,use\n";
    copy.write("data_summary.csv", format!("{header}{}", (0..50).map(row).collect::<String>()));
    (0..50).for_each(|i| copy.image(&format!("{}/slo_fundus_{i:05}.jpg", uses[i % 3].1)));
    let test = copy.samples("test");
    // 20 of 50 are men, so int(0.2 * 20) of each sex are held out.
    assert_eq!((test.len(), copy.samples("train").len()), (8, 42));
    assert_eq!(test.iter().filter(|sample| sample.groups["gender"] == "male").count(), 4);
    let official = copy.samples("official-test");
    assert_eq!((ids(&official)[0], labels(&official)[0].clone()), ("data_00002", vec![1]));
    let expected = [
        ("age_band", "<40"),
        ("ethnicity", "non-hispanic"),
        ("gender", "female"),
        ("language", "english"),
        ("race", "asian"),
    ];
    assert_eq!(groups(&official[0]), expected);
    assert_eq!(copy.problems(), Vec::<String>::new());

    copy.write("split/test.csv", "path,glaucoma\n/somewhere/slo_fundus_00007.jpg,no\n");
    let paper = copy.samples("paper-test");
    assert_eq!((ids(&paper), labels(&paper)), (vec!["slo_fundus_00007"], vec![vec![0]]));
}

const FINDINGS: &str = "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,\
                        Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices";

fn chexpert(copy: &Copy) {
    let header = format!("Path,Sex,Age,Frontal/Lateral,AP/PA,{FINDINGS}\n");
    let root = "CheXpert-v1.0-small";
    let rows = [
        ("train/patient00001/study1/view1_frontal", "Female,68,Frontal,AP", "1.0,,,,,,,,,0.0,,,,1.0"),
        ("train/patient00002/study1/view1_lateral", "Male,87,Lateral,", ",,-1.0,1.0,,-1.0,-1.0,,-1.0,,-1.0,,1.0,"),
        ("train/patient00002/study2/view1_frontal", "Male,87,Frontal,AP", ",,,,,,,,,,,,,"),
    ];
    let line = |(path, person, findings): &(&str, &str, &str)| format!("{root}/{path}.jpg,{person},{findings}\n");
    copy.write(&format!("{root}/train.csv"), format!("{header}{}", rows.iter().map(line).collect::<String>()));
    let valid = "valid/patient64541/study1/view1_frontal";
    let none = line(&(valid, "Male,73,Frontal,AP", "0.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0"));
    copy.write(&format!("{root}/valid.csv"), format!("{header}{none}"));
    rows.iter().map(|row| row.0).chain([valid]).for_each(|path| copy.image(&format!("{root}/{path}.jpg")));
}

#[test]
fn chexpert_counts_only_a_positive_no_finding_as_normal() {
    let copy = Copy::of("chexpert");
    chexpert(&copy);
    let train = copy.samples("train");
    assert_eq!(labels(&train), [[1], [0], [0]]);
    assert_eq!(train[0].id, "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg");
    assert_eq!(patients(&train)[1..], ["CheXpert-v1.0-small/train/patient00002"; 2]);
    assert_eq!(groups(&train[1]), [("Frontal/Lateral", "Lateral"), ("Sex", "Male"), ("age_band", "80+")]);
    assert_eq!(labels(&copy.samples("validation")), [[0]]);
    assert!(!copy.open().manifest().multi_label());
    assert_eq!(copy.problems(), Vec::<String>::new());
}

#[test]
fn chexpert_14_has_any_number_of_labels_and_three_policies_for_uncertain_ones() {
    let copy = Copy::of("chexpert-14");
    chexpert(&copy);
    let (zeros, ones, ignore) = (copy.samples("train"), copy.samples("train-ones"), copy.samples("train-ignore"));
    assert_eq!(labels(&zeros), [vec![0, 13], vec![3, 12], vec![]]);
    assert_eq!(labels(&ones), [vec![0, 13], vec![2, 3, 5, 6, 8, 10, 12], vec![]]);
    assert_eq!(labels(&ignore), labels(&zeros));
    assert_eq!(ignore[1].unknown, [2, 5, 6, 8, 10]);
    assert!(zeros.iter().chain(&ones).all(|sample| sample.unknown.is_empty()));
    assert_eq!(labels(&copy.samples("validation")), [[1]]);
    let dataset = copy.open();
    assert!(dataset.manifest().multi_label());
    assert_eq!(dataset.manifest().classes.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(","), FINDINGS);
    assert_eq!(copy.problems(), Vec::<String>::new());
}
