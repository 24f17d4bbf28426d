"""Writes the reference vectors of the scorers of diagnoses (scikit-learn 1.9, numpy): python scorers/vectors.py"""

import json
from pathlib import Path

import numpy as np
from scipy.special import expit, softmax
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    f1_score,
    log_loss,
    recall_score,
    roc_auc_score,
    roc_curve,
)

HERE = Path(__file__).parent
rng = np.random.default_rng(7)


def multi_class(n, classes, step):
    """Logits on a grid of `step`, so that ties occur, that lean towards the label."""
    labels = rng.integers(0, classes, n)
    labels[:classes] = np.arange(classes)
    logits = rng.normal(size=(n, classes)) + 1.2 * np.eye(classes)[labels]
    return np.round(logits / step) * step, labels


def draws(n, labels, count=3):
    """The whole sample, then bootstrap draws in which every class occurs."""
    resamples = [np.arange(n)]
    while len(resamples) <= count:
        draw = rng.integers(0, n, n)
        if all(0 < column[draw].sum() < n for column in labels.T):
            resamples.append(draw)
    return resamples


def cases():
    """Logits, indicators of the true classes, and probabilities of two, four and many classes at a time."""
    for name, n, step in [("binary", 40, 1e-3), ("binary with ties", 60, 0.5)]:
        logits, labels = multi_class(n, 2, step)
        yield name, logits, np.eye(2, dtype=int)[labels], softmax(logits, axis=1)
    logits, labels = multi_class(60, 4, 0.5)
    yield "multi-class with ties", logits, np.eye(4, dtype=int)[labels], softmax(logits, axis=1)
    truth = (rng.random((50, 3)) < 0.3).astype(int)
    logits = np.round((rng.normal(size=truth.shape) + truth) * 2) / 2
    yield "multi-label", logits, truth, expit(logits)


def vector(case, metrics, name="", failed=(), **config):
    """`metrics` gives the values of true classes, probabilities and predicted classes, all of one resample."""
    case_name, logits, truth, probabilities = case
    multi_label = case_name == "multi-label"
    predicted = (probabilities >= 0.5 if multi_label else np.eye(truth.shape[1])[logits.argmax(1)]).astype(int)
    predicted[list(failed)] = 1 - truth[list(failed)]
    resamples = draws(len(logits), truth)
    return {
        "name": case_name + name,
        "config": config,
        "multi_label": multi_label,
        "logits": [[] if i in failed else row.tolist() for i, row in enumerate(logits)],
        "labels": [np.flatnonzero(row).tolist() for row in truth],
        "resamples": [r.tolist() for r in resamples],
        "expected": [list(map(number, metrics(truth[r], probabilities[r], predicted[r]))) for r in resamples],
    }


def number(value):
    return None if value is None else float(value)


def binary(truth):
    return truth.shape[1] == 2


def exclusive(truth):
    return (truth.sum(axis=1) == 1).all()


def auroc(cases):
    def metrics(truth, p, _):
        if binary(truth):
            return [roc_auc_score(truth[:, 1], p[:, 1]), None, None]
        if not exclusive(truth):
            return [roc_auc_score(truth, p, average="macro"), roc_auc_score(truth, p, average="weighted"), None]
        settings = [("ovr", "macro"), ("ovr", "weighted"), ("ovo", "macro")]
        return [roc_auc_score(truth.argmax(1), p, multi_class=m, average=a) for m, a in settings]

    def of_class(truth, p, _):
        return [roc_auc_score(truth[:, 2], p[:, 2]), None, None]

    one = [vector(case, of_class, ", one class", **{"class": 2}) for case in cases[2:]]
    return [vector(case, metrics) for case in cases] + one


def auprc(cases):
    def metrics(truth, p, _):
        columns = slice(1, 2) if binary(truth) else slice(None)
        return [average_precision_score(truth[:, columns], p[:, columns], average="macro")]

    def of_class(truth, p, _):
        return [average_precision_score(truth[:, 2], p[:, 2])]

    one = [vector(case, of_class, ", one class", **{"class": 2}) for case in cases[2:]]
    return [vector(case, metrics) for case in cases] + one


def classification(cases):
    def metrics(truth, _, predicted):
        # The indicators of a failed sample say more than one class, or none; the label -1 stands for that.
        labels, answers = truth.argmax(1), np.where(predicted.sum(1) == 1, predicted.argmax(1), -1)
        mean = lambda average: f1_score(truth, predicted, average=average, zero_division=np.nan)
        means = [mean("macro"), mean("weighted")]
        if not exclusive(truth):
            return [accuracy_score(truth, predicted), None, None, *means, None, None, None]
        recalls = recall_score(truth, predicted, average=None)
        of_two = [f1_score(labels, answers), recalls[1], recalls[0]] if binary(truth) else [None] * 3
        balanced = balanced_accuracy_score(labels, answers)
        kappa = cohen_kappa_score(labels, answers)
        return [accuracy_score(labels, answers), balanced, of_two[0], *means, kappa, *of_two[1:]]

    failed = [vector(case, metrics, ", some failed", failed=range(0, 40, 7)) for case in cases]
    return [vector(case, metrics) for case in cases] + failed


def operating_point(cases):
    def metrics(specificity, sensitivity):
        def at(truth, p, _):
            if not binary(truth) or not exclusive(truth):
                return [None, None]
            fpr, tpr, _ = roc_curve(truth[:, 1], p[:, 1], drop_intermediate=False)
            healthy, ill = truth.sum(axis=0)
            correct = healthy - np.round(fpr * healthy)
            found = np.round(tpr * ill)
            return [
                (found / ill)[correct / healthy >= specificity].max(),
                (correct / healthy)[found / ill >= sensitivity].max(),
            ]

        return at

    other = {"specificity": 0.75, "sensitivity": 0.6}
    named = [vector(case, metrics(**other), ", other targets", **other) for case in cases[:2]]
    return [vector(case, metrics(0.9, 0.9)) for case in cases] + named


def calibration(cases):
    def metrics(bins):
        def of(truth, p, predicted):
            if exclusive(truth):
                confidence, right = p.max(axis=1), (truth * predicted).sum(axis=1)
                loss = log_loss(truth.argmax(1), p, labels=range(truth.shape[1]))
                score = (
                    brier_score_loss(truth[:, 1], p[:, 1])
                    if binary(truth)
                    else brier_score_loss(truth.argmax(1), p, scale_by_half=False)
                )
            else:
                confidence, right = np.maximum(p, 1 - p).ravel(), (truth == predicted).ravel()
                loss = np.mean([log_loss(t, q) for t, q in zip(truth.T, p.T)])
                score = np.mean([brier_score_loss(t, q) for t, q in zip(truth.T, p.T)])
            bin = np.digitize(confidence, np.linspace(0, 1, bins + 1), right=True)
            inside = [bin == k for k in np.unique(bin)]
            ece = sum(abs(confidence[b].mean() - right[b].mean()) * b.mean() for b in inside)
            return [ece, score, loss]

        return of

    other = [vector(case, metrics(7), ", 7 bins", bins=7) for case in cases]
    return [vector(case, metrics(15)) for case in cases] + other


def accuracy():
    logits, labels = multi_class(50, 3, 0.5)
    single = accuracy_score(labels, logits.argmax(axis=1))
    truth = (rng.random((50, 3)) < 0.3).astype(int)
    scores = np.round((rng.normal(size=truth.shape) + 3 * truth - 1) * 2) / 2
    subset = accuracy_score(truth, (expit(scores) >= 0.5).astype(int))
    rows = [
        ("multi-class with ties", False, logits, [[int(label)] for label in labels], single),
        ("multi-label", True, scores, [np.flatnonzero(row).tolist() for row in truth], subset),
    ]
    keys = ("name", "multi_label", "logits", "labels", "expected")
    return [dict(zip(keys, (n, m, l.tolist(), labels, float(e)))) for n, m, l, labels, e in rows]


shared = list(cases())
for scorer, vectors in [
    ("auroc", auroc(shared)),
    ("accuracy", accuracy()),
    ("auprc", auprc(shared)),
    ("classification", classification(shared)),
    ("operating-point", operating_point(shared)),
    ("calibration", calibration(shared)),
]:
    (HERE / scorer / "vectors.json").write_text(json.dumps(vectors) + "\n")
