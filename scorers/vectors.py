"""Writes the reference vectors of accuracy and auroc (scikit-learn 1.9, numpy): python scorers/vectors.py"""

import json
from pathlib import Path

import numpy as np
from scipy.special import expit, softmax
from sklearn.metrics import accuracy_score, roc_auc_score

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


def auroc_vector(name, logits, truth, probabilities, score):
    resamples = draws(len(logits), truth)
    return {
        "name": name,
        "multi_label": name == "multi-label",
        "logits": logits.tolist(),
        "labels": [np.flatnonzero(row).tolist() for row in truth],
        "resamples": [r.tolist() for r in resamples],
        "expected": [float(score(truth[r], probabilities[r])) for r in resamples],
    }


def auroc():
    vectors = []
    for name, n, step in [("binary", 40, 1e-3), ("binary with ties", 60, 0.5)]:
        logits, labels = multi_class(n, 2, step)
        score = lambda truth, p: roc_auc_score(truth[:, 1], p[:, 1])
        vectors.append(auroc_vector(name, logits, np.eye(2)[labels], softmax(logits, axis=1), score))
    logits, labels = multi_class(60, 4, 0.5)
    score = lambda truth, p: roc_auc_score(truth.argmax(1), p, multi_class="ovr", average="macro")
    vectors.append(auroc_vector("multi-class with ties", logits, np.eye(4)[labels], softmax(logits, axis=1), score))
    truth = (rng.random((50, 3)) < 0.3).astype(float)
    logits = np.round((rng.normal(size=truth.shape) + truth) * 2) / 2
    score = lambda truth, p: roc_auc_score(truth, p, average="macro")
    vectors.append(auroc_vector("multi-label", logits, truth, expit(logits), score))
    return vectors


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


for scorer, vectors in [("auroc", auroc()), ("accuracy", accuracy())]:
    (HERE / scorer / "vectors.json").write_text(json.dumps(vectors) + "\n")
