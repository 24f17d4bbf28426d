//! Equality with the reference, and of batches with single inputs.

use blocks::tokens::WordPieceTokenizer;
use candle_core::{Device, Tensor};
use plugin_api::{Classes, ErrorKind, Image, Inspect, Matrix, Model};

use super::cases::{Decoded, FEATURES, SCORING, difference, dir, golden, images, inspect, model, open, tensor, texts};

/// What the issue asks for.
const TOLERANCE: f32 = 1e-4;

#[test]
fn equals_the_reference_in_f32() {
    for case in SCORING {
        let arrays = inspect(&*model(case, None), &texts(), &images());
        let names: Vec<_> = arrays.iter().map(|(name, _)| name.as_str()).collect();
        let inputs = ["pixel_values", "image_features", "image_embeds", "text_embeds"];
        assert_eq!(names, [&inputs[..], &["itc_scores", "itm_scores", "logits"]].concat());
        for (name, array) in &arrays {
            assert_near(case, name, &tensor(array), &golden(case, name).unwrap());
        }
    }
}

/// Those that write have the same features; they do not compare images with texts.
#[test]
fn checkpoints_that_write_have_features() {
    for case in FEATURES {
        let (model, decoded) = (model(case, None), images());
        let views: Vec<_> = decoded.iter().map(Decoded::view).collect();
        assert_near(
            case,
            "features",
            &as_tensor(&model.features(&views).unwrap().matrix),
            &golden(case, "image_features").unwrap(),
        );
        for (name, array) in inspect(&*model, &[], &decoded) {
            match golden(case, &name) {
                Some(golden) => assert_near(case, &name, &tensor(&array), &golden),
                None => assert_eq!((case, name.as_str()), ("captioning", "pixel_values")),
            }
        }
        let request = Inspect { texts: texts(), ..Default::default() };
        for error in [
            model.zero_shot(&views[..1], &Classes::default()).unwrap_err(),
            model.inspect(&request, &views[..1]).unwrap_err(),
        ] {
            assert_eq!(error.kind, ErrorKind::Unsupported);
            assert!(error.message.contains("`zero-shot`"), "{error}");
        }
    }
}

#[test]
fn tokenizes_as_the_reference() {
    for case in SCORING {
        let tokenizer = WordPieceTokenizer::from_dir(&dir(case), 23, usize::MAX).unwrap();
        let ids: Vec<Vec<i64>> = golden(case, "input_ids").unwrap().to_vec2().unwrap();
        let found = tokenizer.encode(&texts()).unwrap();
        assert_eq!(found.iter().map(|ids| ids.iter().map(|&id| i64::from(id)).collect()).collect::<Vec<Vec<_>>>(), ids);
    }
}

#[test]
fn the_option_chooses_the_score() {
    for case in SCORING {
        let (itc, itm) = (golden(case, "itc_scores").unwrap(), golden(case, "itm_scores").unwrap());
        let odds = (itm.get_on_dim(2, 1).unwrap() - itm.get_on_dim(2, 0).unwrap()).unwrap();
        for (score, golden) in [("itc", itc), ("itm", odds)] {
            let model = model(case, Some(score));
            let (_, logits) = inspect(&*model, &texts(), &images()).pop().unwrap();
            assert_near(case, score, &tensor(&logits), &golden);
            let prompts: Vec<_> = texts().into_iter().map(|text| vec![text]).collect();
            assert_near(case, score, &as_tensor(&zero_shot(&*model, &images(), &prompts)), &golden);
        }
    }
}

#[test]
fn prompts_of_a_class_are_averaged() {
    let prompts = vec![texts()[..2].to_vec(), texts()[2..3].to_vec()];
    for case in SCORING {
        let odds = golden(case, "itm_scores").unwrap();
        let odds = (odds.get_on_dim(2, 1).unwrap() - odds.get_on_dim(2, 0).unwrap()).unwrap();
        let mean = odds.narrow(1, 0, 2).unwrap().mean_keepdim(1).unwrap();
        let expected = Tensor::cat(&[&mean, &odds.narrow(1, 2, 1).unwrap()], 1).unwrap();
        let found = as_tensor(&zero_shot(&*model(case, Some("itm")), &images(), &prompts));
        assert_near(case, "mean logit", &found, &expected);

        let embeds = golden(case, "text_embeds").unwrap();
        let mean = embeds.narrow(0, 0, 2).unwrap().mean_keepdim(0).unwrap();
        let length = mean.sqr().unwrap().sum_all().unwrap().sqrt().unwrap();
        let expected =
            Tensor::cat(&[mean.broadcast_div(&length).unwrap(), embeds.narrow(0, 2, 1).unwrap()], 0).unwrap();
        let found = as_tensor(&model(case, Some("itc")).encode_classes(&prompts).unwrap());
        assert_near(case, "mean embedding", &found, &expected);
    }
    let error = model("retrieval", None).encode_classes(&[vec!["a".into()], vec![]]).unwrap_err();
    assert!(error.message.contains("class 1"), "{error}");
}

#[test]
fn a_batch_equals_single_inputs() {
    let (prompts, decoded) = (vec![texts()[..2].to_vec(), texts()[4..6].to_vec()], images());
    let views: Vec<_> = decoded.iter().map(Decoded::view).collect();
    for (case, score) in SCORING.into_iter().flat_map(|case| ["itm", "itc"].map(|score| (case, score))) {
        let model = model(case, Some(score));
        let classes = Classes { encoded: model.encode_classes(&prompts).unwrap(), prompts: prompts.clone() };
        let (features, logits) = (model.features(&views).unwrap(), model.zero_shot(&views, &classes).unwrap());
        assert_eq!((features.matrix.rows(), logits.matrix.rows(), logits.matrix.columns), (5, 5, 2));
        assert_eq!(features.inputs, logits.inputs);
        for (row, view) in views.iter().enumerate() {
            let one = model.features(&[*view]).unwrap();
            assert_eq!(one.inputs[0], features.inputs[row]);
            assert!(close(one.matrix.row(0), features.matrix.row(row)), "{case}: features of image {row}");
            let one = model.zero_shot(&[*view], &classes).unwrap();
            assert!(close(one.matrix.row(0), logits.matrix.row(row)), "{case}: {score} of image {row}");
        }
    }
}

/// More than one pass of texts, and more than one of images for each.
#[test]
fn many_pairs_equal_few() {
    let text =
        |n: usize| ["a photo of pneumonia", "no finding", "a nodule in the left lung", "x ray"][n % 4].to_string();
    let many: Vec<_> = (0..70).map(text).collect();
    for case in ["retrieval", "blip2"] {
        let model = model(case, Some("itm"));
        let (few, all) = (inspect(&*model, &many[..4], &images()), inspect(&*model, &many, &images()));
        for name in ["itm_scores", "logits", "itc_scores"] {
            let find = |arrays: &[(String, plugin_api::Array)]| tensor(&arrays.iter().find(|a| a.0 == name).unwrap().1);
            let (few, all) = (find(&few), find(&all));
            for start in (0..68).step_by(4) {
                assert!(difference(&all.narrow(1, start, 4).unwrap(), &few) <= 1e-5, "{case}: {name} from {start}");
            }
        }
    }
}

#[test]
fn half_precision_stays_near() {
    for (case, dtype) in SCORING.into_iter().flat_map(|case| ["bf16", "f16"].map(|dtype| (case, dtype))) {
        let model = open(case, &dir(case), dtype, None).unwrap();
        for (name, array) in inspect(&*model, &texts(), &images()).iter().filter(|(name, _)| name.ends_with("embeds")) {
            let difference = difference(&tensor(array), &golden(case, name).unwrap());
            assert!(difference < 0.1, "{case} in {dtype}: {name} differs by {difference}");
            assert!(difference > 0.0, "{case} in {dtype}: {name} was computed in f32");
        }
    }
}

#[test]
fn describes_itself() {
    for (case, size) in [("retrieval", 21), ("blip2", 21), ("blip2-bin", 26)] {
        let description = model(case, None).describe();
        assert_eq!((description.image_size, description.logit_scale), (size, 0.0));
        assert_eq!(description.feature_dim as usize, golden(case, "image_features").unwrap().dim(1).unwrap());
    }
    let stored = candle_core::safetensors::load(dir("retrieval").join("model.safetensors"), &Device::Cpu).unwrap();
    let parameters = stored.values().map(Tensor::elem_count).sum::<usize>();
    assert_eq!(model("retrieval", None).describe().parameters as usize, parameters);
}

#[test]
fn refuses_inputs_that_make_no_sense() {
    let blip2 = model("blip2-bin", None);
    assert!(blip2.features(&[]).unwrap_err().message.contains("no images"));
    let short = Image { width: 4, height: 4, rgb: &[0; 47] };
    assert_eq!(blip2.features(&[short]).unwrap_err().message, "47 bytes do not make an RGB image of 4x4 pixels");
    let error = blip2.encode_classes(&[vec!["an <image>".into()]]).unwrap_err();
    assert!(error.message.contains("is outside the vocabulary of"), "{error}");
}

fn zero_shot(model: &dyn Model, images: &[Decoded], prompts: &[Vec<String>]) -> Matrix {
    let classes = Classes { encoded: model.encode_classes(prompts).unwrap(), prompts: prompts.to_vec() };
    model.zero_shot(&images.iter().map(Decoded::view).collect::<Vec<_>>(), &classes).unwrap().matrix
}

fn as_tensor(matrix: &Matrix) -> Tensor {
    Tensor::from_slice(&matrix.data, (matrix.rows(), matrix.columns), &Device::Cpu).unwrap()
}

fn assert_near(case: &str, name: &str, found: &Tensor, golden: &Tensor) {
    let difference = difference(found, golden);
    let allowed = if name == "pixel_values" { 0.0 } else { TOLERANCE };
    assert!(difference <= allowed, "{case}: {name} differs by {difference}");
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5)
}
