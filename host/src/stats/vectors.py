"""Writes the reference values of the statistics (numpy, scipy 1.17, statsmodels 0.15, scikit-learn 1.9, krippendorff 0.9):
python host/src/stats/vectors.py

DeLong and Obuchowski are written out pair by pair from the papers, and DeLong's covariance is checked against the
sample covariance of the structural components. Random permutations come from ChaCha8 written out from RFC 8439.
"""

import json
import struct
from pathlib import Path
from types import SimpleNamespace

import krippendorff
import numpy as np
from scipy import stats
from sklearn import metrics
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa
from statsmodels.stats.multitest import multipletests

RNG = np.random.default_rng(20)


def bca():
    cases = []
    skewed = RNG.lognormal(size=40)
    for name, data, statistic, level in [
        ("mean of a skewed sample", skewed, np.mean, 0.95),
        ("deviation", skewed, np.std, 0.9),
        ("median with ties", np.round(skewed[:24], 1), np.median, 0.95),
        ("share", (RNG.random(60) < 0.9).astype(float), np.mean, 0.99),
    ]:
        draws = np.array([statistic(RNG.choice(data, len(data))) for _ in range(400)])
        result = stats.bootstrap(
            (data,), statistic, n_resamples=0, vectorized=False, confidence_level=level, method="BCa",
            bootstrap_result=SimpleNamespace(bootstrap_distribution=draws),
        )
        interval = result.confidence_interval
        cases.append(dict(
            name=name, values=draws.tolist(), estimate=float(statistic(data)), level=level,
            jackknife=[float(statistic(np.delete(data, i))) for i in range(len(data))],
            low=float(interval.low), high=float(interval.high),
        ))
    return cases


def components(scores, labels):
    """Structural components by their definition, one for each sample, and the area."""
    kernel = lambda x, y: 1.0 if x > y else 0.5 if x == y else 0.0
    positive, negative = scores[labels == 1], scores[labels == 0]
    beats = np.array([
        np.mean([kernel(s, y) for y in negative]) if l == 1 else np.mean([kernel(x, s) for x in positive])
        for s, l in zip(scores, labels)
    ])
    return beats, beats[labels == 1].mean()


def obuchowski(scores, labels, clusters):
    parts = [components(s, labels) for s in scores]
    names = np.unique(clusters)
    m, n = (labels == 1).sum(), (labels == 0).sum()
    held = lambda label: sum(any(labels[clusters == c] == label) for c in names)
    sums = lambda part, label: np.array([
        (part[0][(clusters == c) & (labels == label)] - part[1]).sum() for c in names
    ])
    covariance = np.zeros((2, 2))
    for r in range(2):
        for s in range(2):
            x, y = [sums(p, 1) for p in parts], [sums(p, 0) for p in parts]
            s10 = held(1) / ((held(1) - 1) * m) * (x[r] @ x[s])
            s01 = held(0) / ((held(0) - 1) * n) * (y[r] @ y[s])
            s11 = len(names) / (len(names) - 1) * (x[r] @ y[s] + y[r] @ x[s])
            covariance[r, s] = s10 / m + s01 / n + s11 / (m * n)
    if len(names) == len(labels):
        plain = sum(np.cov([p[0][labels == l] for p in parts]) / (labels == l).sum() for l in (0, 1))
        assert np.allclose(plain, covariance, rtol=1e-12)
    return [p[1] for p in parts], covariance


def delong():
    cases = []
    for name, count, patients, decimals in [
        ("independent", 60, 60, 12), ("ties", 80, 80, 1), ("patients", 90, 35, 12), ("patients with ties", 70, 25, 1),
    ]:
        clusters = np.arange(count) if patients == count else RNG.integers(0, patients, count)
        effect = RNG.normal(size=count)[clusters]
        labels = (RNG.normal(size=count) + effect > 0.3).astype(int)
        first = np.round(labels + effect + RNG.normal(size=count), decimals)
        second = np.round(0.5 * labels + effect + RNG.normal(size=count), decimals)
        areas, covariance = obuchowski([first, second], labels, clusters)
        half = stats.norm.ppf(0.975) * np.sqrt(np.diag(covariance))
        error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
        z = (areas[0] - areas[1]) / error
        cases.append(dict(
            name=name, first=first.tolist(), second=second.tolist(), labels=labels.tolist(),
            clusters=clusters.tolist(), areas=list(map(float, areas)), covariance=covariance.tolist(),
            intervals=[[max(0.0, a - h), min(1.0, a + h)] for a, h in zip(areas, half)],
            z=float(z), p=float(2 * stats.norm.sf(abs(z))),
        ))
    return cases


def mcnemar_cases():
    counts = [(0, 0), (1, 0), (0, 6), (3, 3), (10, 2), (5, 21), (40, 61), (300, 250), (1200, 1500)]
    return [(b, c, float(mcnemar([[2, b], [c, 3]], exact=True).pvalue)) for b, c in counts]


def correction():
    cases = []
    for name, p in [
        ("plain", [0.01, 0.04, 0.03, 0.005]), ("ties", [0.02, 0.02, 0.5, 0.02, 1.0]), ("many", RNG.random(40) ** 3),
    ]:
        adjusted = lambda method: multipletests(p, method=method)[1].tolist()
        cases.append(dict(name=name, p=list(map(float, p)), holm=adjusted("holm"), benjamini_hochberg=adjusted("fdr_bh")))
    return cases


def sign_flip():
    cases = []
    for name, differences, clusters in [
        ("samples", RNG.normal(0.3, 1, 12), np.arange(12)),
        ("ties", RNG.integers(-1, 2, 13) * 0.1, np.arange(13)),
        ("patients", RNG.normal(0.3, 1, 30), RNG.integers(0, 11, 30)),
    ]:
        sums = np.array([differences[clusters == c].sum() for c in np.unique(clusters)])
        test = stats.permutation_test(
            (sums,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", vectorized=True, n_resamples=np.inf
        )
        # SciPy doubles the smaller tail; the flips are symmetric, so that this is the share of absolute values.
        cases.append(dict(name=name, differences=differences.tolist(), clusters=clusters.tolist(), p=float(test.pvalue)))
    return cases


def chacha8(seed, purpose, stream, words):
    """The first words of the key stream: a 64-bit block counter, then a 64-bit stream number."""
    rotate = lambda v, k: (v << k | v >> (32 - k)) & 0xFFFFFFFF
    out = []
    for block in range(-(-words // 16)):
        key = struct.pack("<QQ16x", seed, purpose)
        start = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<QQ", block, stream)))
        state = start[:]
        for _ in range(4):
            for a, b, c, d in [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                               (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]:
                for left, right, k, target in [(a, b, 16, d), (c, d, 12, b), (a, b, 8, d), (c, d, 7, b)]:
                    state[left] = (state[left] + state[right]) & 0xFFFFFFFF
                    state[target] = rotate(state[target] ^ state[left], k)
        out += [(x + y) & 0xFFFFFFFF for x, y in zip(state, start)]
    return out[:words]


def random_sign_flip():
    cases = []
    for name, differences, clusters, permutations, seed in [
        ("few", RNG.normal(0.2, 1, 20), np.arange(20), 500, 3),
        ("many patients", RNG.normal(0.1, 1, 900), np.arange(900) // 2, 200, 2**40 + 5),
    ]:
        sums = np.array([differences[clusters == c].sum() for c in np.unique(clusters)])
        extreme = 1
        for number in range(permutations):
            words = chacha8(seed, 1, number, -(-len(sums) // 32))
            signs = [-1.0 if words[k // 32] >> (k % 32) & 1 else 1.0 for k in range(len(sums))]
            extreme += abs(sums @ signs) >= abs(sums.sum()) * (1 - 1e-12)
        cases.append(dict(
            name=name, differences=differences.tolist(), clusters=clusters.tolist(), permutations=permutations,
            seed=seed, p=float(extreme / (permutations + 1)),
        ))
    return cases


def agreement():
    cases = []
    for name, samples, raters, noise, grades, missing in [
        ("two raters", 40, 2, 0.2, 4, 0.0), ("five raters", 60, 5, 0.3, 4, 0.0), ("hundred grades", 50, 3, 0.1, 100, 0.0),
        ("missing ratings", 80, 3, 0.25, 4, 0.15), ("no agreement", 30, 2, 9.0, 4, 0.0),
    ]:
        ratings = RNG.random((samples, 1)) + RNG.normal(0, noise, (samples, raters))
        ratings = np.round(np.clip(ratings, 0, 1) * grades) / grades
        ratings[RNG.random(ratings.shape) < missing] = np.nan
        whole = ratings[~np.isnan(ratings).any(axis=1)]
        verdicts = (whole >= 0.5).astype(int)
        cases.append(dict(
            name=name, ratings=[[None if np.isnan(r) else float(r) for r in unit] for unit in ratings],
            alpha=float(krippendorff.alpha(ratings.T, level_of_measurement="interval")),
            fleiss=float(fleiss_kappa(aggregate_raters(verdicts, n_cat=2)[0])),
            cohen=float(metrics.cohen_kappa_score(verdicts[:, 0], verdicts[:, 1])),
            spearman=float(stats.spearmanr(whole[:, 0], whole[:, 1]).statistic),
        ))
    return cases


def precision_recall():
    cases = []
    for name, count, decimals, share in [("distinct", 40, 12, 0.5), ("ties", 60, 1, 0.3), ("rare", 50, 2, 0.06)]:
        labels = (RNG.random(count) < share).astype(int)
        labels[:2] = 1
        scores = np.round(labels * 0.4 + RNG.random(count), decimals)
        precision, recall, _ = metrics.precision_recall_curve(labels, scores)
        cases.append(dict(
            name=name, scores=scores.tolist(), labels=labels.tolist(), recall=recall[::-1].tolist(),
            precision=precision[::-1].tolist(), average=float(metrics.average_precision_score(labels, scores)),
        ))
    return cases


def best():
    cases = []
    for name, counts, draws, higher, level in [
        ("one each", (1, 1), 60, True, 0.95), ("several", (3, 2), 80, True, 0.95), ("smaller is better", (2, 4), 70, False, 0.9),
    ]:
        sides = [0.7 + RNG.normal(0, 0.03, (n, 1)) + RNG.normal(0, 0.04, (n, draws + 1)) for n in counts]
        signed = [side if higher else -side for side in sides]
        difference = signed[0].max(axis=0) - signed[1].max(axis=0)
        low, high = np.percentile(difference[1:], [50 * (1 - level), 50 * (1 + level)])
        shares = [float(np.mean(s[:, 1:].argmax(axis=0) == s[:, 0].argmax())) for s in signed]
        cases.append(dict(
            name=name, first=sides[0].tolist(), second=sides[1].tolist(), higher_is_better=higher, level=level,
            difference=float(difference[0]), low=float(low), high=float(high), shares=shares,
        ))
    return cases


VECTORS = dict(
    bca=bca(), delong=delong(), mcnemar=mcnemar_cases(), correction=correction(), sign_flip=sign_flip(),
    random_sign_flip=random_sign_flip(), agreement=agreement(), precision_recall=precision_recall(), best=best(),
)
lines = [f"{json.dumps(key)}: [\n" + ",\n".join(map(json.dumps, cases)) + "\n]" for key, cases in VECTORS.items()]
Path(__file__).with_name("vectors.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
