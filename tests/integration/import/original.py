"""Writes golden.json: python tests/integration/import/original.py [DIRECTORY OF VQA-RAD]

What MedVLMBench makes of predictions, from the description of its formulas (torchmetrics 1.9.0 for BLEU and ROUGE, nltk
3.10.4 for METEOR), and what is right beside it (sacrebleu 2.6.0, rouge-score 0.1.2, nltk, scikit-learn 1.9). The answers
to VQA-RAD, whose numbers are kept only, are made by a rule that the test follows too.
"""

import json
import re
import string
import sys
from collections import Counter
from pathlib import Path

import torch
from nltk.translate.meteor_score import meteor_score
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU
from sklearn.metrics import accuracy_score, roc_auc_score
from torchmetrics.functional.text import bleu_score, rouge_score

HERE = Path(__file__).parent

# Question, answer, whether it is closed, prediction; `None` where the model failed.
QUESTIONS = [
    ("Is this a CT?", "yes", True, "Yes, this is a CT scan."),
    ("Is the heart enlarged?", "no", True, "The heart is normal."),
    ("Is there an effusion?", "no", True, "I know of an abnormality on the left"),
    ("Is the trachea midline?", "yes", True, "no"),
    ("Are the lungs clear?", "Yes", True, "YES."),
    ("Is there free air?", "no", True, None),
    ("Left or right?", "left", True, "Left-sided, in the left lung"),
    ("Which plane is this?", "axial", False, "axial"),
    ("Where is the lesion?", "left lung and right lung", False, "left lung"),
    ("What is shown?", "x-ray", False, "x ray"),
    ("How many nodules are there?", "two", False, "There are 2 nodules"),
    ("What is abnormal?", "pleural effusion", False, "lung lung lung"),
    ("What modality is used?", "ct", False, "the image is a ct scan"),
    ("What does the film show?", "an opacity in the right upper lobe", False, "Opacity in the right upper lobe, 3.5 cm."),
    ("What is the finding?", "right lower lobe pneumonia with effusion", False, "pneumonia of the right lower lobe with effusion"),
    ("What else?", "the heart isnt enlarged; lungs are clear", False, "The heart isn't enlarged, and the lungs are clear!"),
    ("What is seen below?", "1,000 cells, and more", False, "1000 cells and more"),
    ("Which organ?", "lung", False, None),
    ("What is the size?", "3.5 cm. mass", False, ""),
    ("Which weighting?", "T2-weighted MRI: axial", False, "MRI"),
]
# Some in which the score is 0.5, ties, and rounding to single precision.
SCORES = [0.5, 0.1, 0.9, 0.75, 0.25, 0.75, 0.3, 0.62, 0.38, 0.99999994, 1e-7, 0.45, 0.55, 0.5, 0.7, 0.2]
LABELS = [0, 0, 1, 1, 0, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 0]

NUMERALS = {"none": "0"} | {
    word: str(i) for i, word in enumerate("zero one two three four five six seven eight nine ten".split())
}
# Those of the table of VQA v2 that occur in the texts.
CONTRACTIONS = {"isnt": "isn't", "dont": "don't", "doesnt": "doesn't", "cant": "can't", "whats": "what's", "thats": "that's"}


def normalise(text):
    result = text
    for mark in ';/[]"{}()=+\\_-><@`,?!':
        touches = f"{mark} " in text or f" {mark}" in text
        result = result.replace(mark, "" if touches or re.search(r"\d,\d", text) else " ")
    result = re.sub(r"\.(?!\d)", "", result, count=32)
    tokens = [NUMERALS.get(token, token) for token in result.lower().split()]
    tokens = [CONTRACTIONS.get(token, token) for token in tokens if token not in ("a", "an", "the")]
    return " ".join(tokens).replace(",", "")


def original(answer, closed, prediction):
    """Values of one sample by name; a failed one scores nothing."""
    names = ["exact_match", "precision", "recall", "f1", "accuracy"]
    text = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge1", "rouge2", "rougeL", "meteor"]
    if prediction is None:
        return dict.fromkeys(names if closed else names + text, 0.0)
    output, truth = prediction.lower(), answer.lower()
    c, r = normalise(output), normalise(truth)
    tokens, reference = Counter(c.split()), Counter(r.split())
    shared = [token for token in reference if token in tokens]
    hits = sum(tokens[token] for token in shared)
    misses = sum(count for token, count in reference.items() if token not in tokens)
    values = dict.fromkeys(names, 0.0)
    if hits:
        precision, recall = hits / tokens.total(), hits / (hits + misses)
        values |= {"exact_match": len(shared) / tokens.total(), "precision": precision, "recall": recall}
        values["f1"] = 2 * precision * recall / (precision + recall)
    values["accuracy"] = float(truth in output if closed else values["recall"] >= 0.75)
    if not closed:
        values |= {f"bleu_{n}": float(bleu_score([c], [[r]], n_gram=n)) for n in range(1, 5)}
        rouge = rouge_score(c, r, rouge_keys=("rouge1", "rouge2", "rougeL"))
        values |= {key: float(rouge[f"{key}_fmeasure"]) for key in ("rouge1", "rouge2", "rougeL")}
        values["meteor"] = float(meteor_score([[r]], [c], wordnet=NoWordNet()))
    return values


class NoWordNet:
    """Synonyms of single words, the only ones that MedVLMBench can find, are left out."""

    def synsets(self, _):
        return []


def mean(values):
    return sum(values) / len(values)


def compat(rows):
    """The numbers of `results.csv` by kind of question."""
    scored = [(closed, original(answer, closed, prediction)) for answer, closed, prediction in rows]
    metrics = {}
    for kind, name in [(False, "open"), (True, "closed")]:
        of_kind = [values for closed, values in scored if closed == kind]
        metrics |= {f"{key}_{name}": mean([values[key] for values in of_kind]) for key in of_kind[0]}
    for key in ["exact_match", "precision", "recall", "f1"]:
        metrics[f"{key}_overall"] = mean([values[key] for _, values in scored])
    return metrics


def squad(text):
    marks = set(string.punctuation)
    point = lambda i: text[i] == "." and text[i - 1 : i].isdigit() and text[i + 1 : i + 2].isdigit()
    text = "".join(c for i, c in enumerate(text.lower()) if c not in marks or point(i))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def token_f1(prediction, answer):
    p, r = squad(prediction).split(), squad(answer).split()
    common = sum((Counter(p) & Counter(r)).values())
    return 2 * common / (len(p) + len(r)) if common else 0.0


def right(rows):
    """The numbers of the standard scorers; a failed sample is an empty answer that scores nothing."""
    words = lambda text: "".join(c if c.isalnum() else " " for c in text.lower()).split()
    rouge = RougeScorer(["rouge1", "rouge2", "rougeL"])
    bleus = [BLEU(max_ngram_order=n, smooth_method="none", lowercase=True) for n in range(1, 5)]
    pairs = [(prediction or "", answer) for answer, _, prediction in rows]
    metrics = {f"bleu_{n + 1}": mean([b.sentence_score(p, [r]).score / 100 for p, r in pairs]) for n, b in enumerate(bleus)}
    for key in ("rouge1", "rouge2", "rougeL"):
        metrics[key] = mean([rouge.score(r, p)[key].fmeasure for p, r in pairs])
    metrics["meteor"] = mean([float(meteor_score([words(r)], words(p), wordnet=NoWordNet())) for p, r in pairs])
    metrics["token_f1"] = mean([token_f1(p, r) for p, r in pairs])
    return metrics


def answer_by_rule(i, answer):
    """The rule of the test `the_numbers_of_real_questions_are_those_of_the_original`."""
    words = answer.split(" ")
    return [answer, f"It is {answer}.", "It is normal", words[0], " ".join(words[::-1]), f"Yes, {answer}"][i % 6]


def vqa_rad(directory):
    rows = json.loads((Path(directory) / "VQA_RAD Dataset Public.json").read_text())
    rows = [row for row in rows if row["phrase_type"] in ("test_freeform", "test_para")]
    answers = [(str(row["answer"]).strip(), row["answer_type"].strip() == "CLOSED") for row in rows]
    return [(answer, closed, answer_by_rule(i, answer)) for i, (answer, closed) in enumerate(answers)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    golden_file = HERE / "golden.json"
    golden = json.loads(golden_file.read_text()) if golden_file.exists() else {}
    rows = [(answer, closed, prediction) for _, answer, closed, prediction in QUESTIONS]
    golden["questions"] = {
        "samples": [dict(zip(("question", "answer", "closed", "prediction"), row)) for row in QUESTIONS],
        "compat": compat(rows),
        "right": right(rows),
    }
    predicted = [int(score > 0.5) for score in SCORES]
    golden["diagnoses"] = {
        "samples": [dict(zip(("true_label", "pred_label", "pred_score"), row)) for row in zip(LABELS, predicted, SCORES)],
        "accuracy": accuracy_score(LABELS, predicted),
        "auroc": roc_auc_score(LABELS, SCORES),
    }
    if len(sys.argv) > 1:
        rows = vqa_rad(sys.argv[1])
        golden["vqa-rad"] = {"samples": len(rows), "compat": compat(rows), "right": right(rows)}
    golden_file.write_text(json.dumps(golden, indent=1) + "\n")
