//! Open and closed questions: SLAKE, PathVQA, VQA-RAD, Harvard-FairVLMed10k.

use std::{fs::File, sync::Arc};

use ::parquet::{
    data_type::{ByteArray, ByteArrayType},
    file::writer::SerializedFileWriter,
    schema::parser::parse_message_type,
};
use serde_json::{Value, json};

use super::*;

fn slake_row(number: u32, language: &str, answer: Value, kind: &str) -> Value {
    json!({"img_id": number, "img_name": format!("xmlab{number}/source.jpg"), "question": "Where is it?", "answer": answer,
           "q_lang": language, "location": "Lung", "modality": "X-Ray", "answer_type": kind, "base_type": "vqa",
           "content_type": "Position", "triple": ["vhead", "_", "_"], "qid": 100 + number})
}

#[test]
fn slake_is_read_from_the_hub_and_from_its_authors() {
    let rows = json!([
        slake_row(1, "en", json!("Left "), "OPEN"),
        slake_row(2, "zh", json!("左"), "OPEN"),
        slake_row(3, "en-US", json!("No"), "CLOSED"),
        slake_row(4, "EN", json!(2), "CLOSED "),
    ]);
    for (folder, validation) in [("", "validation.json"), ("Slake1.0/", "validate.json")] {
        let copy = Copy::of("slake");
        for name in ["train.json", validation, "test.json"] {
            copy.write(&format!("{folder}{name}"), rows.to_string());
        }
        [1, 3, 4].iter().for_each(|number| copy.image(&format!("{folder}imgs/xmlab{number}/source.jpg")));
        for split in ["train", "validation", "test"] {
            let samples = copy.samples(split);
            assert_eq!(ids(&samples), ["101", "103", "104"]);
            assert_eq!(closed(&samples), [Some(false), Some(true), Some(true)]);
            assert_eq!(asked(&samples[2]), ("Where is it?", vec!["2"]));
        }
        let samples = copy.samples("test");
        assert_eq!(patients(&samples), ["xmlab1", "xmlab3", "xmlab4"]);
        assert_eq!(groups(&samples[0]), [("content_type", "Position"), ("location", "Lung"), ("modality", "X-Ray")]);
        assert_eq!(samples[1].meta["answer_type"], "CLOSED");
        assert_eq!(copy.problems(), Vec::<String>::new());
        let report = check(&copy.open(), &mut |_, _| {}).expect("checked");
        let sentences =
            ["split `test` has 3 vqa samples, expected 1061", "split `test` has 2 closed questions, expected 416"];
        assert_eq!(report.problems()[..2], sentences);

        std::fs::remove_file(copy.path(&format!("{folder}imgs/xmlab3/source.jpg"))).expect("removed");
        let problems = copy.problems();
        assert!(problems.len() == 1 && problems[0].contains("xmlab3/source.jpg: No such file"), "{problems:?}");
    }
}

/// A file as the hub makes them: `struct<bytes, path>` and two columns of text.
fn write_parquet(copy: &Copy, name: &str, rows: &[(&str, &str)]) {
    let message = "message m { optional group image { optional binary bytes; optional binary path (UTF8); } \
                   optional binary question (UTF8); optional binary answer (UTF8); }";
    let schema = Arc::new(parse_message_type(message).expect("schema"));
    let file = File::create(copy.path(name)).expect("created");
    let mut writer = SerializedFileWriter::new(file, schema, Default::default()).expect("writer");
    let image = |number: usize| {
        let image = format!("{name}-{number}.png");
        copy.image(&image);
        let bytes = std::fs::read(copy.path(&image)).expect("read");
        std::fs::remove_file(copy.path(&image)).expect("removed");
        bytes
    };
    let texts = |of: fn(&(&str, &str)) -> String| rows.iter().map(|row| of(row).into_bytes()).collect::<Vec<_>>();
    let columns = [
        (2, (0..rows.len()).map(image).collect()),
        (2, texts(|_| "image.jpg".into())),
        (1, texts(|row| row.0.into())),
        (1, texts(|row| row.1.into())),
    ];
    let mut group = writer.next_row_group().expect("row group");
    for (level, values) in columns {
        let mut column = group.next_column().expect("column").expect("column");
        let values: Vec<ByteArray> = values.into_iter().map(ByteArray::from).collect();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&vec![level; values.len()]), None).expect("written");
        column.close().expect("closed");
    }
    group.close().expect("closed");
    writer.close().expect("closed");
}

#[test]
fn the_hubs_questions_are_closed_where_the_answer_is_yes_or_no() {
    let rows = [("is it?", "yes"), ("what is it?", "a necrosis"), ("lung or heart?", "lung"), ("is it not?", "No ")];
    for (id, splits) in [("path-vqa", &["train", "validation", "test"][..]), ("vqa-rad", &["train", "test"])] {
        let copy = Copy::of(id);
        for split in splits {
            write_parquet(&copy, &format!("data/{split}-00000-of-00002-0a1b.parquet"), &rows[..3]);
            write_parquet(&copy, &format!("data/{split}-00001-of-00002-2c3d.parquet"), &rows[3..]);
        }
        let samples = copy.samples("test");
        assert_eq!(closed(&samples), [Some(true), Some(false), Some(false), Some(true)], "{id}");
        assert_eq!(ids(&samples), ["test-0", "test-1", "test-2", "test-3"]);
        assert_eq!(asked(&samples[3]), ("is it not?", vec!["No"]));
        assert_eq!(copy.problems(), Vec::<String>::new(), "{id}");
    }
}

#[test]
fn vqa_rad_has_blanks_numbers_and_a_textual_id() {
    let copy = Copy::of("vqa-rad-original");
    let row = |id: Value, phrase: &str, answer: Value, kind: &str| {
        json!({"qid": id, "phrase_type": phrase, "image_case_url": "https://medpix.nlm.nih.gov/case?id=48e1", "image_name":
               "synpic54610.jpg", "image_organ": "HEAD", "question": "How many?", "question_type": "COUNT, POS",
               "question_rephrase": null, "answer": answer, "answer_type": kind})
    };
    let rows = json!([
        row(json!("0"), "freeform", json!("Yes"), "CLOSED "),
        row(json!(1), "para", json!(4), "OPEN"),
        row(json!(2), "test_para", json!(" no"), "CLOSED"),
        row(json!(3), "test_freeform", json!(0), "OPEN"),
    ]);
    copy.write("VQA_RAD Dataset Public.json", rows.to_string());
    copy.image("VQA_RAD Image Folder/synpic54610.jpg");
    let (train, test) = (copy.samples("train"), copy.samples("test"));
    assert_eq!((ids(&train), ids(&test)), (vec!["0", "1"], vec!["2", "3"]));
    assert_eq!([closed(&train), closed(&test)], [[Some(true), Some(false)]; 2]);
    assert_eq!([&train[1], &test[0], &test[1]].map(|sample| asked(sample).1[0]), ["4", "no", "0"]);
    assert_eq!(patients(&test), ["https://medpix.nlm.nih.gov/case?id=48e1"; 2]);
    assert_eq!(test[0].meta["question_type"], "COUNT, POS");
    assert_eq!(copy.problems(), Vec::<String>::new());
}

fn eye(copy: &Copy, folder: &str, number: u8) {
    let pixels: Vec<u8> = (0..664 * 512).map(|i: u32| (i % 251) as u8 ^ number).collect();
    archives::write(copy, &format!("{folder}/data_{number:05}.npz"), &[("slo_fundus", &[664, 512], &pixels)]);
}

#[test]
fn fairvlmed_questions_come_from_the_tables_of_the_benchmark() {
    let copy = Copy::of("harvard-fairvlmed10k-vqa");
    copy.write(
        "vqa_test.csv",
        ",gpt_summary,filename,image_path,question type,question,answer\n\
         0,\"Pale, large cup.\",data_00001.npz,/home/a/Test/data_00001.npz,OPEN,What is seen?,A large cup\n\
         1,\"Pale, large cup.\",data_00001.npz,/home/a/Test/data_00001.npz,CLOSED,Is the cup large?,Yes\n\
         2,Normal.,data_00002.npz,/home/a/Test/data_00002.npz,OPEN,What is seen?,\n\
         3,,data_00002.npz,/home/a/Test/data_00002.npz,CLOSED,Is the cup large?,no\n",
    );
    eye(&copy, "Test", 1);
    let samples = copy.samples("test");
    assert_eq!(ids(&samples), ["data_00001.open", "data_00001.closed"], "incomplete rows are left out");
    assert_eq!(
        (asked(&samples[0]), asked(&samples[1])),
        (("What is seen?", vec!["A large cup"]), ("Is the cup large?", vec!["Yes"]))
    );
    assert_eq!((closed(&samples), patients(&samples)), (vec![Some(false), Some(true)], vec!["data_00001"; 2]));
    let pixels = copy.open().pixels(&samples[0].images[0]).expect("decoded");
    assert_eq!((pixels.width, pixels.height, &pixels.rgb[3..9]), (512, 664, &[0, 0, 0, 3, 3, 3][..]));
    assert_eq!(copy.problems(), Vec::<String>::new());
}

#[test]
fn fairvlmed_questions_can_be_generated_anew() {
    let copy = Copy::of("harvard-fairvlmed10k-vqa");
    copy.write(
        "generated_test.csv",
        "filename,reply\n\
         data_00003.npz,\"[What does the disc show?]\n[A large, pale cup]\n[Is there glaucoma?]\n[Yes]\"\n\
         data_00004.npz,\"Here you are:\n\n[What is seen?]\n[Nothing]\nsorry\"\n",
    );
    [3, 4].iter().for_each(|number| eye(&copy, "Test", *number));
    let samples = copy.samples("generated-test");
    assert_eq!(ids(&samples), ["data_00003.open", "data_00003.closed", "data_00004.open"]);
    assert_eq!(asked(&samples[0]), ("What does the disc show?", vec!["A large, pale cup"]));
    assert_eq!(asked(&samples[1]), ("Is there glaucoma?", vec!["Yes"]));
    assert_eq!(closed(&samples), [Some(false), Some(true), Some(false)]);
    assert_eq!(copy.problems(), Vec::<String>::new());
}
