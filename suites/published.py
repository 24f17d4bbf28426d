"""Writes medvlmbench-published.csv: python suites/published.py RESULTS.csv

RESULTS.csv is the table of MedVLMBench's published values (task, dataset, model, model_type, setting, metric, value, ci_low,
ci_high, n, ood, source), gathered from the result files and notebooks of its repository. Here its names become those of our
models, datasets, usages and metrics, and each value gets what is known to speak against it.
"""

import csv
import sys
from pathlib import Path

MODELS = {
    "BLIP2-2.7b": "blip2-itm", "BioMedCLIP": "biomedclip", "CLIP": "clip", "MedCLIP": "medclip", "MedSigLIP": "medsiglip",
    "PLIP": "plip", "PubMedCLIP": "pubmedclip", "SigLIP": "siglip", "Gemma3": "gemma3", "InternVL3": "internvl3",
    "LLaVA-1.5": "llava-1.5", "LLaVA-Med": "llava-med", "Lingshu": "lingshu", "MedGemma": "medgemma",
    "Qwen2-VL": "qwen2-vl", "Qwen25-VL": "qwen2.5-vl", "gemini-2.5-pro": "gemini-2.5-pro", "o3": "o3",
}
DATASETS = {
    ("diagnosis", "Camelyon17"): "camelyon17", ("diagnosis", "CheXpert"): "chexpert", ("diagnosis", "GF3300"): "gf3300",
    ("diagnosis", "HAM10000"): "ham10000", ("diagnosis", "HarvardFairVLMed10k"): "harvard-fairvlmed10k",
    ("diagnosis", "PAPILA"): "papila", ("vqa", "Harvard-FairVLMed10k"): "harvard-fairvlmed10k-vqa",
    ("vqa", "MedXpertQA"): "medxpertqa", ("vqa", "OmniMedVQA"): "omnimedvqa", ("vqa", "PathVQA"): "path-vqa",
    ("vqa", "SLAKE"): "slake", ("vqa", "VQA-RAD"): "vqa-rad",
}
USAGES = {"ZS": "zero-shot", "FT-LP": "linear-probe", "FT-LoRA": "lora", "ML": "lora"}
METRICS = {"auroc": "auroc", "accuracy_closed": "accuracy_closed", "gpt_score_overall": "gpt_overall",
           "f1_score_overall": "f1_overall"}
MULTIPLE_CHOICE = {"omnimedvqa", "medxpertqa"}
HEAD = ["model", "dataset", "task", "usage", "metric", "value", "low", "high", "n", "source", "doubt"]


def doubts(row, model, dataset):
    tuned = row["setting"] != "ZS"
    if row["ci_low"]:
        yield "mean of 1,000 bootstrap draws of single items rather than the value on the test set"
    else:
        yield "read from a plotting notebook, without interval and number of items"
    if row["task"] == "diagnosis" and row["setting"] == "FT-LoRA":
        yield "the encoder ran without gradients, so that this is a linear probe with another random head"
    if row["task"] == "diagnosis" and tuned:
        yield "the trained head was not saved, so that nobody can evaluate it again"
    if row["metric"] == "accuracy_closed" and dataset not in MULTIPLE_CHOICE:
        yield "a closed answer counts as right where it contains the reference anywhere, as `no` in `normal`"
    if dataset in MULTIPLE_CHOICE:
        yield "not in the paper; letters by a cascade of patterns that reads `this is a CT` as A"
    if row["metric"] == "gpt_score_overall":
        yield "mixes judge grades of open questions with substring matches of closed ones; judge, prompt and temperature are not published"
        if model == "medgemma" and dataset == "harvard-fairvlmed10k-vqa" and tuned:
            yield "a notebook of the repository subtracts 5 from each grade below 100 of this cell"
        if model == "o3" and dataset == "vqa-rad":
            yield "a notebook of the repository subtracts 10 from each grade below 100 of this cell"
    if model == "o3" and dataset == "path-vqa":
        yield "a notebook of the repository makes rows of this cell from those of Gemini 2.5 Pro"
    if model == "gemini-2.5-pro":
        yield "the repository's class of this name asks gemini-2.5-flash-preview-05-20"
    if row["task"] == "vqa" and tuned:
        yield "tuned with other adapters and budgets than its peers; the one committed configuration has 1,000 training samples"
        if model == "llava-med":
            yield "only the projector was tuned"
        if model == "lingshu":
            yield "tuned without the question, which a bug of the repository drops"


def main():
    rows = []
    for row in csv.DictReader(open(sys.argv[1], newline="")):
        model, dataset = MODELS[row["model"]], DATASETS[row["task"], row["dataset"]]
        metric = "accuracy_mc" if dataset in MULTIPLE_CHOICE else METRICS[row["metric"]]
        rows.append([
            model, dataset, row["task"], USAGES[row["setting"]], metric, row["value"], row["ci_low"], row["ci_high"],
            row["n"], f"MedVLMBench repository, {row['source']}", "; ".join(doubts(row, model, dataset)),
        ])
    with Path(__file__).with_name("medvlmbench-published.csv").open("w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(HEAD)
        writer.writerows(sorted(rows))


main()
