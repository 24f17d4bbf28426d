"""Writes the reference vectors of the scorers of texts: python scorers/text_vectors.py

nltk 3.10.4, rouge-score 0.1.2, sacrebleu 2.6.0, pycocoevalcap 1.2, torchmetrics 1.9.0; the published answer
normalisers of SQuAD and VQA v2 are written out below.
"""

import json
import re
import string
from collections import Counter
from pathlib import Path
from random import Random

import torch
from nltk.stem.porter import PorterStemmer
from nltk.translate.meteor_score import meteor_score
from pycocoevalcap.cider.cider import Cider
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU
from torchmetrics.functional.text import bleu_score, rouge_score

HERE = Path(__file__).parent
random = Random(7)

WORDS = """a an the is are no yes not left right lower upper lung lungs lobe lobes heart normal abnormal effusion
effusions pleural opacity opacities opacification consolidated consolidation pneumonia pneumothorax cardiac cardiomegaly
enlarged enlargement enlarging nodule nodular nodules calcified calcification biopsy biopsies shows showing shown
demonstrates demonstrated mild mildly moderate moderately severe severity T2-weighted CT MRI X-ray 3.5 1,000 cm grade
II patient's don't dont""".split()
ODD = [
    ("", ["lung"]),
    ("lung", [""]),
    ("", [""]),
    ("!?", ["."]),
    ("lung lung lung", ["lung"]),
    ("left lung", ["left lung and right lung"]),
    ("yes yes no", ["yes"]),
    ("x ray", ["x-ray"]),
    ("Écho—normal, “straße” 3.5 cm.", ["echo normal, straße 3.5 cm", "Écho normal"]),
    ("肺炎 です", ["肺炎 です", "肺 炎"]),
    ("The the THE", ["the"]),
    ("a b c d e f g", ["g f e d c b a", "a b c", "a b c d e f g h"]),
    ("no, there isn't", ["no there is not"]),
    ("effusions calcified enlarging", ["effusion calcification enlargement"]),
    ("Hello word, where are you", ["May I know the place you are staying?"]),
    ("a &lt;b&gt; c-\nd 5-6 ..x", ["a <b> cd 5 - 6 . . x"]),
]


def text(length):
    words = [random.choice(WORDS) for _ in range(length)]
    marks = ["", "", "", "", ",", ".", ";", " -", "?"]
    return " ".join(word + random.choice(marks) for word in words).capitalize()


def variant(reference):
    """Drops, repeats, swaps and inserts words, so that texts share n-grams."""
    words = reference.split()
    for _ in range(random.randrange(1, 6)):
        at = random.randrange(len(words) + 1)
        action = random.randrange(4)
        if action == 0:
            words[at : at + 1] = []
        elif action == 1:
            words[at:at] = words[at : at + 1]
        elif action == 2:
            words[at : at + 2] = words[at : at + 2][::-1]
        else:
            words.insert(at, random.choice(WORDS))
    return " ".join(words)


def samples(count, longest):
    made = []
    for _ in range(count):
        prediction = text(random.randrange(1, longest))
        references = [variant(prediction) if random.random() < 0.8 else text(6) for _ in range(random.randrange(1, 4))]
        made.append((prediction, references))
    return made


def vector(name, config, pairs, values, metrics=None, tolerance=1e-12):
    """Without metrics, they are the means of the values."""
    if metrics is None:
        metrics = [sum(column) / len(column) for column in zip(*values)]
    return {
        "name": name,
        "config": config,
        "samples": [{"prediction": p, "references": r} for p, r in pairs],
        "values": values,
        "metrics": metrics,
        "tolerance": tolerance,
    }


def words(text):
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def squad(text):
    """`normalize_answer` of evaluate-v1.1.py, but decimal points and lone articles stay."""
    text = text.lower()
    marks = set(string.punctuation)
    point = lambda i: text[i] == "." and 0 < i and text[i - 1 : i].isdigit() and text[i + 1 : i + 2].isdigit()
    text = "".join(c for i, c in enumerate(text) if c not in marks or point(i))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split()) or " ".join(text.split())


def token_f1(pairs):
    def one(prediction, reference):
        p, r = squad(prediction).split(), squad(reference).split()
        if not p and not r:
            return [1.0, 1.0, 1.0]
        common = sum((Counter(p) & Counter(r)).values())
        if common == 0:
            return [0.0, 0.0, 0.0]
        precision, recall = common / len(p), common / len(r)
        return [2 * precision * recall / (precision + recall), precision, recall]

    return [vector("SQuAD", {}, pairs, [max((one(p, r) for r in rs), key=lambda v: v[0]) for p, rs in pairs])]


def bleu(pairs):
    vectors = []
    for name, config, options in [
        ("none", {}, {}),
        ("effective order", {"effective_order": True}, {"effective_order": True}),
        ("floor", {"smoothing": "floor"}, {"smooth_method": "floor"}),
        ("add-k", {"smoothing": "add-k"}, {"smooth_method": "add-k"}),
        ("add 0.5", {"smoothing": "add-k", "smoothing_value": 0.5}, {"smooth_method": "add-k", "smooth_value": 0.5}),
        ("exp", {"smoothing": "exp", "effective_order": True}, {"smooth_method": "exp", "effective_order": True}),
        ("white space", {"tokeniser": "whitespace"}, {"tokenize": "none"}),
    ]:
        options = {"smooth_method": "none", "lowercase": True} | options
        scorers = [BLEU(max_ngram_order=n, **options) for n in range(1, 5)]
        values = [[s.sentence_score(p, r).score / 100 for s in scorers] for p, r in pairs]
        most = max(len(r) for _, r in pairs)
        streams = [[r[i] if i < len(r) else None for _, r in pairs] for i in range(most)]
        corpus = [s.corpus_score([p for p, _ in pairs], streams).score / 100 for s in scorers]
        metrics = [sum(column) / len(column) for column in zip(*values)] + corpus
        vectors.append(vector(name, config, pairs, values, metrics))
    return vectors


def rouge(pairs):
    vectors = []
    for stemmer in (False, True):
        scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stemmer)
        scores = [scorer.score_multi(r, p).values() for p, r in pairs]
        parts = ["fmeasure", "precision", "recall"]
        values = [[float(getattr(s, part)) for part in parts for s in row] for row in scores]
        vectors.append(vector(f"stemmer: {stemmer}", {"use_stemmer": stemmer}, pairs, values))
    return vectors


class NoWordNet:
    def synsets(self, _):
        return []


def meteor(pairs):
    def values(tokens, **options):
        score = lambda p, rs: meteor_score([tokens(r) for r in rs], tokens(p), wordnet=NoWordNet(), **options)
        return [[float(score(p, rs))] for p, rs in pairs]

    other = {"alpha": 0.5, "beta": 1.5, "gamma": 0.25}
    return [
        vector("words", {}, pairs, values(words)),
        vector("white space", {"tokeniser": "whitespace"}, pairs, values(str.split)),
        vector("other parameters", other, pairs, values(words, **other)),
    ]


def cider(pairs):
    def of(name, config, tokens, **options):
        joined = lambda text: " ".join(tokens(text))
        truth = {i: [joined(r) for r in rs] for i, (_, rs) in enumerate(pairs)}
        answers = {i: [joined(p)] for i, (p, _) in enumerate(pairs)}
        value, _ = Cider(**options).compute_score(truth, answers)
        return vector(name, config, pairs, [[] for _ in pairs], [float(value)], 1e-10)

    split = lambda text: text.lower().split()
    return [of("words", {}, words), of("white space", {"tokeniser": "whitespace"}, split)]


def vqa_v2(text):
    """`processPunctuation` and `processDigitArticle` of vqaEval.py, as MedVLMBench has them: with the flag in the place
    of the count, and without commas at the end. None of the texts has a contraction but "dont"."""
    result = text
    for mark in ';/[]"{}()=+\\_-><@`,?!':
        if mark + " " in text or " " + mark in text or re.search(r"(\d)(\,)(\d)", text):
            result = result.replace(mark, "")
        else:
            result = result.replace(mark, " ")
    result = re.compile(r"(?!<=\d)(\.)(?!\d)").sub("", result, re.UNICODE)
    kept = [word for word in result.lower().split() if word not in ("a", "an", "the")]
    return " ".join("don't" if word == "dont" else word for word in kept).replace(",", "")


def vqa(text):
    """What `vqaEval.py` means to do."""
    text = re.sub(r"(?<=[0-9]),(?=[0-9])", "", text)
    text = re.sub(r"(?<![0-9])\.|\.(?![0-9])", "", text)
    text = re.sub(r"[;/\[\]\"{}()=+\\_\-><@`,?!]", " ", text)
    numerals = {word: str(i) for i, word in enumerate("zero one two three four five six seven eight nine ten".split())}
    contractions = {"dont": "don't", "im": "i'm", "whats": "what's", "id've": "i'd've"}
    kept = [numerals.get(word, word) for word in text.lower().split() if word not in ("a", "an", "the")]
    return " ".join(contractions.get(word, word) for word in kept)


def normalised(pairs):
    """Each text as `squad`, `vqa` and `medvlmbench`; the last without numerals and contractions, see `vqa_v2`."""
    texts = {text for p, rs in pairs for text in (p, *rs)}
    odd = ["1,000 cells, and more; a-b", "3.5 cm. mass v1.x", "." * 40, "a.b.c 1.2.3 .5 5.", "x;y z ;", "A", "the a"]
    rows = [[text, squad(text), vqa(text), vqa_v2(text)] for text in [*sorted(texts), *odd]]
    counted = ["Im sure two, whats one", "Id've zero"]
    return rows + [[text, squad(text), vqa(text), None] for text in counted]


def medvlmbench(pairs):
    pairs = [(p, rs[:1]) for p, rs in pairs]
    stem = PorterStemmer().stem

    def one(output, reference):
        output, reference = output.lower(), reference.lower()
        p, r = vqa_v2(output), vqa_v2(reference)
        answer, truth = Counter(p.split()), Counter(r.split())
        shared = answer.keys() & truth.keys()
        tp = sum(answer[token] for token in shared)
        fp = sum(answer.values()) - tp
        fn = sum(count for token, count in truth.items() if token not in shared)
        precision, recall = (tp / (tp + fp), tp / (tp + fn)) if tp else (0.0, 0.0)
        f1 = 2 * precision * recall / (precision + recall) if tp else 0.0
        exact = len(shared) / sum(answer.values()) if answer else 0.0
        if reference in ("yes", "no"):
            return [exact, precision, recall, f1, float(reference in output)] + [None] * 8
        bleus = [float(bleu_score([p], [[r]], n_gram=n)) for n in range(1, 5)]
        scores = rouge_score(p, r, rouge_keys=("rouge1", "rouge2", "rougeL"))
        rouges = [float(scores[f"{key}_fmeasure"]) for key in ("rouge1", "rouge2", "rougeL")]
        meteor = float(meteor_score([[r]], [p], wordnet=NoWordNet()))
        return [exact, precision, recall, f1, float(recall >= 0.75), *bleus, *rouges, meteor]

    values = [one(p, rs[0]) for p, rs in pairs]
    mean = lambda column: sum(column) / len(column) if column else None
    of = lambda rows, count: [mean([row[i] for row in rows]) for i in range(count)]
    open_rows = [row for row in values if row[5] is not None]
    closed_rows = [row for row in values if row[5] is None]
    metrics = of(open_rows, 13) + of(closed_rows, 5) + [None] * 5 + of(values, 4)
    return [vector("functions of the original", {}, pairs, values, metrics, 1e-6)]


def porter():
    endings = """s es ies sses ed eed ied ing ings y ly ational tional enci anci izer bli alli entli eli ousli ization
    ation ator alism iveness fulness ousness aliti iviti biliti fulli logi logy icate ative alize iciti ical ful ness al
    ance ence er ic able ible ant ement ment ent ion sion tion ou ism ate iti ous ive ize e ll""".split()
    stems = "sky tr fa opac effus calcif nod enlarg biops radi pneumon hopp fall fizz fil snow box yy geo rel o ös".split()
    some = {random.choice(stems) + ending + random.choice(["", "", "s", "ly"]) for ending in endings for _ in range(6)}
    irregular = "sky skies dying lying tying news innings howe proceed die dies died tied is as yes eed ing ied".split()
    every = sorted(some | set(irregular) | {w.lower() for w in WORDS} | {"Ärzte", "straßen", "naïvely", "肺肺ing"})
    return [[word, PorterStemmer().stem(word)] for word in every]


if __name__ == "__main__":
    torch.set_num_threads(1)
    short = samples(30, 12) + ODD
    for scorer, vectors in [
        ("token-f1", token_f1(short)),
        ("bleu", bleu(short)),
        ("rouge", rouge(short)),
        ("meteor", meteor(short)),
        ("cider", cider(samples(20, 25) + ODD)),
        ("medvlmbench-compat", medvlmbench(short + [("It is normal.", ["no"]), ("Yes", ["yes"])])),
    ]:
        (HERE / scorer / "vectors.json").write_text(json.dumps(vectors) + "\n")
    (HERE / "kit" / "normalised.json").write_text(json.dumps(normalised(short)) + "\n")
    (HERE / "kit" / "porter.json").write_text(json.dumps(porter()) + "\n")
