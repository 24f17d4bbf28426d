//! Datasets whose labels are spreadsheets: PAPILA and Drishti-GS1. `fixtures/make.py` writes the files of Excel.

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dataset/layouts/fixtures").join(name);
    std::fs::read(path).expect("the fixture is there")
}

#[test]
fn papila_joins_both_eyes_of_a_patient_and_leaves_suspects_out() {
    let copy = Copy::of("papila");
    for eye in ["od", "os"] {
        copy.write(&format!("ClinicalData/patient_data_{eye}.xlsx"), fixture(&format!("patient_data_{eye}.xlsx")));
    }
    let patients_there: Vec<u32> = (2..42).collect();
    for patient in &patients_there {
        ["OD", "OS"].iter().for_each(|eye| copy.image(&format!("FundusImages/RET{patient:03}{eye}.jpg")));
    }
    let splits = ["train", "validation", "test"].map(|split| copy.samples(split));
    let all: Vec<Sample> = splits.concat();
    assert_eq!(all.len(), 72, "80 eyes, of which 8 are suspect");
    assert_eq!(all.iter().filter(|sample| sample.target == Target::Labels(vec![1])).count(), 16);
    let eye = all.iter().find(|sample| sample.id == "RET003OS.jpg").expect("there");
    assert_eq!((eye.patient.as_deref(), groups(eye)), (Some("#003"), vec![("age_band", "50-59"), ("sex", "female")]));
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        assert!(patients(&splits[a]).iter().all(|patient| !patients(&splits[b]).contains(patient)));
    }
    assert_eq!(copy.problems(), Vec::<String>::new());

    copy.write("split/new_test.csv", "Path,Diagnosis,Age,Sex\nRET003OS.jpg,1,52,female\n");
    let paper = copy.samples("paper-test");
    assert_eq!((labels(&paper), patients(&paper)), (vec![vec![1]], vec!["RET003"]));
}

#[test]
fn drishti_reads_its_crooked_table_whichever_way_its_images_are_sorted() {
    let table = "Drishti-GS File,Marking 1,Marking 2,Total,Remark\n\
                 drishtiGS_001',Normal,Normal,Normal,\ndrishtiGS_002',Glaucomatous,Normal,Glaucomatous ,seen\n\
                 drishtiGS_003',Normal,Normal,Normal,\n,,,,\n";
    for (train, test) in [("Training/Images", "Test/Images"), ("Training/Images/GLAUCOMA", "Test/Images/normal")] {
        let copy = Copy::of("drishti");
        copy.write("Drishti-GS1_diagnosis.csv", table);
        let folder = "Drishti-GS1_files/Drishti-GS1_files";
        copy.image(&format!("{folder}/{train}/drishtiGS_002.png"));
        ["001", "003"].iter().for_each(|n| copy.image(&format!("{folder}/{test}/drishtiGS_{n}.png")));
        assert_eq!(
            (ids(&copy.samples("train")), labels(&copy.samples("train"))),
            (vec!["drishtiGS_002.png"], vec![vec![1]])
        );
        assert_eq!(ids(&copy.samples("test")), ["drishtiGS_001.png", "drishtiGS_003.png"]);
        assert_eq!(labels(&copy.samples("test")), [[0], [0]]);
        assert_eq!(copy.problems(), Vec::<String>::new());
    }
}
