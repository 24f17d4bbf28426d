//! Against scikit-learn (`vectors.json`, made by `scorers/vectors.py`), and the cases that it leaves open.

use scorer_kit::{
    Error, Sample, Scorer,
    vectors::{assert_vectors, diagnosis, metrics, scored},
};

use crate::Auroc;

fn auroc(samples: impl IntoIterator<Item = Sample>) -> Option<f64> {
    metrics(&Auroc::default(), samples)[0]
}

#[test]
fn equals_scikit_learn_with_ties_classes_and_resamples() {
    assert_vectors::<Auroc>(include_str!("../vectors.json"));
}

#[test]
fn one_class_only_has_no_auroc() {
    assert_eq!(auroc([diagnosis(0, &[0.0, 1.0], &[1]), diagnosis(1, &[1.0, 0.0], &[1])]), None);
    assert_eq!(metrics(&Auroc::default(), []), [None; 3]);
    let scores = scored(&Auroc::default(), [diagnosis(0, &[0.0, 1.0], &[1]), diagnosis(1, &[1.0, 0.0], &[0])]);
    let rows = Auroc::default().aggregate(&scores, &[vec![0, 1], vec![1, 1]]).expect("aggregated");
    assert_eq!(rows, [[Some(1.0), None, None], [None; 3]]);
}

#[test]
fn an_undefined_class_is_left_out_of_the_means() {
    let perfect = [diagnosis(0, &[2.0, 0.0, 0.0], &[0]), diagnosis(1, &[0.0, 2.0, 0.0], &[1])];
    assert_eq!(metrics(&Auroc::default(), perfect), [Some(1.0); 3]);
}

#[test]
fn a_failed_sample_ranks_worst_for_its_label() {
    let failed = |index, label| diagnosis(index, &[], &[label]);
    let answered = [diagnosis(0, &[0.0, 1.0], &[1]), diagnosis(1, &[1.0, 0.0], &[0])];
    assert_eq!(auroc(answered.clone()), Some(1.0));
    assert_eq!(auroc(answered.clone().into_iter().chain([failed(2, 1)])), Some(0.5));
    assert_eq!(auroc(answered.into_iter().chain([failed(2, 0)])), Some(0.5));
    assert_eq!(auroc([failed(0, 0), failed(1, 1)]), Some(0.0));
    assert_eq!(auroc([diagnosis(0, &[0.0, f64::NAN], &[1]), diagnosis(1, &[1.0, 0.0], &[0])]), Some(0.0));
}

#[test]
fn a_failed_sample_loses_every_pair_of_classes() {
    let samples = [
        diagnosis(0, &[2.0, 0.0, 0.0], &[0]),
        diagnosis(1, &[0.0, 2.0, 0.0], &[1]),
        diagnosis(2, &[0.0, 0.0, 2.0], &[2]),
        diagnosis(3, &[], &[0]),
    ];
    // Either class ranks half of the samples of class 0 wrongly, in two of three pairs.
    let two_thirds = (0.5 + 0.5 + 1.0) / 3.0;
    let [.., pairs] = metrics(&Auroc::default(), samples)[..] else { panic!("three metrics") };
    assert!((pairs.expect("defined") - two_thirds).abs() < 1e-15);
}

#[test]
fn a_class_that_does_not_exist_is_an_error() {
    let scorer = Auroc { class: Some(2) };
    let scores = scored(&scorer, [diagnosis(0, &[0.0, 1.0], &[1])]);
    let error = scorer.aggregate(&scores, &[vec![0]]).expect_err("two classes");
    assert_eq!(error, Error::BadInput("the configuration asks for class 2 of 2".into()));
}
