"""Writes gpt-judge/alpha.json (krippendorff 0.9) and bertscore/vectors.json (bert-score 0.3.13 on a small random BERT of
transformers 4.53): python scorers/vectors_judged.py"""

import json
from collections import defaultdict
from pathlib import Path

import krippendorff
import numpy as np
import torch
from bert_score.utils import greedy_cos_idf
from transformers import BertConfig, BertModel

HERE = Path(__file__).parent
rng = np.random.default_rng(11)


def alphas():
    """Ratings by two to five raters, with and without gaps."""
    vectors = []
    for units, raters, gaps, noise in [(6, 2, 0, 0.1), (40, 3, 0.2, 0.2), (25, 5, 0.4, 0.05), (30, 2, 0.3, 1), (200, 4, 0.1, 0.3)]:
        truth = rng.random((units, 1))
        ratings = np.round(np.clip(truth + noise * rng.normal(size=(units, raters)), 0, 1) * 100) / 100
        ratings[rng.random(ratings.shape) < gaps] = np.nan
        alpha = krippendorff.alpha(reliability_data=ratings.T, level_of_measurement="interval")
        rows = [[None if np.isnan(value) else value for value in row] for row in ratings.tolist()]
        vectors.append({"units": rows, "alpha": float(alpha)})
    return vectors


def matches():
    """Token ids with 2 and 3 around them, as [CLS] and [SEP]; no idf, so special tokens weigh 0 and others 1."""
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=50, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, max_position_embeddings=32
    )
    model = BertModel(config).eval()
    weights = defaultdict(lambda: 1.0, {2: 0.0, 3: 0.0})

    def embed(ids):
        with torch.no_grad():
            return model(torch.tensor([ids])).last_hidden_state

    vectors = []
    for left, right in [(3, 5), (1, 1), (7, 2), (12, 12), (1, 9), (4, 4)]:
        ids = [[2, *rng.integers(4, 50, n).tolist(), 3] for n in (left, right)]
        (answer, reference) = embeddings = [embed(i) for i in ids]
        masks = [torch.ones(1, len(i), dtype=torch.long) for i in ids]
        idfs = [torch.tensor([[weights[t] for t in i]]) for i in ids]
        p, r, f = greedy_cos_idf(reference.clone(), masks[1], idfs[1], answer.clone(), masks[0], idfs[0])
        flat = [[float(x) for x in e.flatten()] for e in embeddings]
        vectors.append(
            {"width": 8, "answer": flat[0], "reference": flat[1], "precision": p.item(), "recall": r.item(), "f1": f.item()}
        )
    return vectors


(HERE / "gpt-judge/alpha.json").write_text(json.dumps(alphas()) + "\n")
(HERE / "bertscore/vectors.json").write_text(json.dumps(matches()) + "\n")
