"""Writes lm-eval tasks with local documents, in the shapes of the public ones. Nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

FILLER = "\n".join(f"    step_{i} = run(step_{i - 1}, {i})" for i in range(1, 10))
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MC2 = """
import numpy as np


def process_results(doc, results):
    logprobs = np.array([logprob for logprob, _ in results])
    shares = np.exp(logprobs - logprobs.max())
    return {"acc": float(shares[: doc["right"]].sum() / shares.sum())}
"""


def word(rng, low=2, high=7) -> str:
    return "".join(rng.choice(list(LETTERS), size=int(rng.integers(low, high))))


def choice_documents(seed: int, count: int, *, choices: int = 3, gold=None) -> list[dict]:
    """Questions with answers of different lengths; `gold` maps a document to the index of its right answer."""
    rng = np.random.default_rng(seed)
    documents = []
    for number in range(count):
        document = {
            "query": " ".join(word(rng) for _ in range(int(rng.integers(3, 7)))),
            "choices": [word(rng) for _ in range(choices)],
            "label": int(rng.integers(choices)),
            "right": 1,
        }
        document["label"] = document["label"] if gold is None else gold(number, document)
        documents.append(document)
    return documents


def recall_documents(seed: int, count: int, *, choices: int = 3) -> list[dict]:
    """Which value did this name have, a few lines ago? The built-in model knows; the first choice is the right one."""
    rng = np.random.default_rng(seed)
    documents = []
    for _ in range(count):
        values = [" " + "".join(map(str, rng.integers(0, 10, size=5))) for _ in range(choices)]
        query = f"pass_key ={values[0]}\n{FILLER}\npass_key ="
        documents.append({"query": query, "choices": values, "label": 0, "right": 1})
    return documents


def write_task(folder: Path, name: str, documents: list[dict], **changes) -> None:
    """A multiple-choice task over a JSONL file; keywords are further lines of its YAML, as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(document) + "\n" for document in documents), "utf-8")
    config = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"validation": str(data)}, "cache_dir": str(folder / "cache")},
        "validation_split": "validation",
        "output_type": "multiple_choice",
        "doc_to_text": "{{query}} is",
        "doc_to_target": "label",
        "doc_to_choice": "choices",
        "metric_list": [
            {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
            {"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True},
        ],
        **changes,
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in config.items() if value is not None]
    (folder / f"{name}.yaml").write_text("\n".join(lines) + "\n", "utf-8")


def write_truthful_task(folder: Path, name: str, documents: list[dict]) -> None:
    """A task scored like TruthfulQA's mc2: the probability of the right answers among all."""
    write_task(folder, name, documents, metric_list=[{"metric": "acc", "aggregation": "mean"}])
    (folder / "mc2.py").write_text(MC2, "utf-8")
    with (folder / f"{name}.yaml").open("a", encoding="utf-8") as file:
        file.write("process_results: !function mc2.process_results\n")


def write_group(folder: Path, name: str, tasks: list[str]) -> None:
    """A group such as MMLU, whose score weighs its tasks by size."""
    lines = [f"group: {name}", f"task: {json.dumps(tasks)}", "aggregate_metric_list:"]
    lines += ["  - {metric: acc, aggregation: mean, weight_by_size: true}"]
    (folder / f"{name}.yaml").write_text("\n".join(lines) + "\n", "utf-8")


def write_short_suite(folder: Path, count: int) -> Path:
    """The eight tasks of the short-context suite under their public names, in their shapes, with local documents."""
    shown = {"fewshot_split": "validation"}
    for seed, name in enumerate(("boolq", "piqa", "winogrande", "race")):
        write_task(folder, name, choice_documents(seed, count))
    for seed, name in enumerate(("arc_challenge", "hellaswag"), 4):
        write_task(folder, name, choice_documents(seed, max(count, 30), choices=2), **shown)
    for seed, name in enumerate(("mmlu_one", "mmlu_other"), 6):
        write_task(folder, name, choice_documents(seed, max(count, 10), choices=2), **shown)
    write_group(folder, "mmlu", ["mmlu_one", "mmlu_other"])
    write_truthful_task(folder, "truthfulqa_mc2", choice_documents(8, count))
    return folder
