"""Exports tiny models as GGUF and compares llama.cpp with the applied methods: results/engines/llama-cpp.json.

python scripts/measure_llama_cpp.py --output results/engines

Needs llama-cpp-python (`make engines`). Weights are multiples of 1/128, the same on every machine; the built-in
model is the real one. Each case is also written as a converter that knows no divisors would write it (`plain`), which
shows what the divisors and the factor are for. Exit code 1 where an exact form is off.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.resources
import json
import tempfile
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from ropewalk import methods
from ropewalk.adapters import extend_checkpoint, hide_progress_bars, load_model, read_model_config
from ropewalk.adapters.export import choose, find_engine, read_subject
from ropewalk.adapters.export.load import engine_model
from ropewalk.adapters.gguf import GGUF_ENGINES, read_gguf
from ropewalk.adapters.gguf.file import write_gguf
from ropewalk.adapters.gguf.layout import architecture_of
from ropewalk.adapters.gguf.vocabulary import PRE_TOKENIZERS, read_vocabulary
from ropewalk.analysis.llama_cpp import DIVISORS
from ropewalk.evals.llama_cpp import LlamaCppRunner
from ropewalk.evals.parity import ModelRunner, compare, whole_prompts
from ropewalk.run.export import export
from ropewalk.run.gguf_parity import SAMPLES

TRAINED, TARGET, TAIL = 64, 512, 32
TOLERANCE = 1e-2  # of logits, absolute
LLAMA_CPP = GGUF_ENGINES["llama.cpp"]


@dataclass(frozen=True)
class Case:
    """A model and a method.

    Attributes:
        family: A model type, or `builtin`.
        method: Its name.
        options: Of the method; empty for its own example.
        config: Entries of the model's config.
        reference: For an approximate form, whose export holds the same approximation.
    """

    family: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    reference: str | None = None


CASES = {
    "llama linear": Case("llama", "linear"),
    "llama abf": Case("llama", "abf"),
    "llama yarn": Case("llama", "yarn"),
    "llama yarn, straight in turns": Case("llama", "yarn", {"factor": 8.0, "ramp": "turns"}),
    "llama yarn, betas 16 and 2": Case("llama", "yarn", {"factor": 8.0, "beta_fast": 16.0, "beta_slow": 2.0}),
    "llama llama3": Case("llama", "llama3"),
    "llama longrope": Case("llama", "longrope", {"factors": (1.0, 1.1, 1.3, 1.5, 2.5, 5.0, 7.0, 8.0), "factor": 8.0}),
    "llama staircase": Case("llama", "staircase"),
    "llama entropy-abf as a staircase": Case(
        "llama", "entropy-abf", config={"num_hidden_layers": 3}, reference="transformers"
    ),
    "llama dynamic-ntk, frozen": Case("llama", "dynamic-ntk", reference="vllm"),
    "llama with biases, tied, yarn": Case(
        "llama", "yarn", config={"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}
    ),
    "mistral yarn": Case("mistral", "yarn", config={"sliding_window": None}),
    "qwen2 linear": Case("qwen2", "linear"),
    "qwen2 yarn": Case("qwen2", "yarn"),
    "qwen3 yarn": Case("qwen3", "yarn", config={"head_dim": 32}),
    "qwen3 ntk-by-parts with yarn's ramp": Case("qwen3", "ntk-by-parts", {"factor": 8.0}, {"head_dim": 32}),
    "builtin yarn": Case("builtin", "yarn"),
}


def make_model(case: Case, folder: Path) -> None:
    """A checkpoint with the same weights on every machine."""
    entries = {
        "vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": TRAINED,
        "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
    }  # fmt: skip
    config = CONFIG_MAPPING[case.family](**(entries | case.config))
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    rng = np.random.default_rng(7)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            drawn = torch.from_numpy(rng.integers(-128, 129, size=tuple(weight.shape)) / 128).float()
            sharp = 2.0 if "q_proj.weight" in name or "k_proj.weight" in name else 1.0
            weight.copy_(1 + drawn / 4 if "norm" in name else drawn * (sharp / 4 if weight.ndim > 1 else 0.25))
    model.save_pretrained(folder)


def extended(case: Case, place: Path) -> Path:
    """The extended checkpoint of a case."""
    source: str | Path = "builtin"
    if case.family != "builtin":
        source = place / "base"
        make_model(case, source)
    target = 2048 if case.family == "builtin" else TARGET
    made = methods.get(case.method)
    method = made(**case.options) if case.options else made.example(read_model_config(source).rope, target)
    extend_checkpoint(source, place / "long", method, target)
    return place / "long"


def write(case: Case, place: Path, *, plain: bool = False) -> tuple[Path, str]:
    """The GGUF file of a case in float32, and its carrier; `plain` leaves out the divisors and the factor."""
    subject = read_subject(extended(case, place) if not (place / "long").exists() else place / "long")
    LLAMA_CPP.require(subject)
    form = choose(LLAMA_CPP, subject, approximate=case.reference is not None)
    file = place / ("plain.gguf" if plain else "model.gguf")
    if not plain:
        LLAMA_CPP.write(form, subject, file, "f32", None)
        return file, form.carrier
    keys = {"rope.freq_base": subject.config.rope.base, "rope.scaling.type": "none"}
    if case.method == "yarn":
        keys |= {"rope.scaling.type": "yarn", "rope.scaling.factor": 8.0}
        keys |= {"rope.scaling.original_context_length": subject.config.rope.trained_length}
    vocabulary = read_vocabulary(subject.config, subject.folder)
    form = replace(form, rope_parameters=keys, stairs=None)
    write_gguf(file, form, subject, architecture_of(form, subject), vocabulary, "f32")
    return file, form.carrier


def contents(file: Path) -> dict[str, Any]:
    """What a file says: its keys, divisors, and one digest of all tensors."""
    found = read_gguf(file, digests=True)
    lines = "\n".join(f"{name} {digest}" for name, digest in sorted(found.digests.items()) if name != DIVISORS)
    return {
        "architecture": found.architecture,
        "keys": dict(sorted(found.keys.items())),
        "divisors": None if found.divisors is None else found.divisors.tolist(),
        "tensors": hashlib.sha256(lines.encode()).hexdigest(),
    }


def differences(file: Path, case: Case, place: Path) -> list[dict[str, Any]]:
    """Of llama.cpp from the applied method, or from the same approximation in transformers."""
    subject = read_subject(place / "long")
    model = load_model(place / "long")
    if case.reference is not None:
        engine = find_engine(case.reference)
        folder = place / "reference"
        if not folder.exists():
            export(place / "long", case.reference, folder, approximate=True)
        model = engine_model(engine, folder, subject, None)
    runner = LlamaCppRunner(file, subject.target_length, TAIL)
    prompts = whole_prompts((subject.config.rope.trained_length, subject.target_length), subject.config.vocabulary_size)
    cells = compare(ModelRunner(model, TAIL), runner, prompts)
    runner.close()
    return [cell.model_dump(mode="json") for cell in cells]


def trained_tokenizers() -> dict[str, Tokenizer]:
    """One of each recognised kind, trained on our own corpus."""
    corpus = str(importlib.resources.files("ropewalk") / "assets" / "corpus.txt")
    made = {}
    for (rules, ignores), name in PRE_TOKENIZERS.items():
        steps: list[Any] = []
        for rule in rules:
            if rule.startswith("Split:"):
                steps.append(pre_tokenizers.Split(Regex(rule.removeprefix("Split:")), "isolated"))
            elif rule == "Digits:single":
                steps.append(pre_tokenizers.Digits(individual_digits=True))
            else:
                steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=rule.endswith("regex")))
        made[name] = Tokenizer(models.BPE(ignore_merges=ignores))
        made[name].pre_tokenizer = pre_tokenizers.Sequence(steps)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=1000, special_tokens=["<|end|>"], initial_alphabet=alphabet)
        made[name].train([corpus], trainer)
    pieces = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    pieces.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    # Words are kept apart while it learns, as SentencePiece keeps them; the trained tokenizer does not split.
    pieces.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    special = ["<unk>", "<|end|>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces.train([corpus], trainers.BpeTrainer(vocab_size=1000, special_tokens=special[:2]))
    saved = json.loads(pieces.to_str())
    saved["pre_tokenizer"] = None
    words = [*special, *(word for word in saved["model"]["vocab"] if word not in special)]
    saved["model"]["vocab"] = {word: number for number, word in enumerate(words)}
    return {**made, "llama": Tokenizer.from_str(json.dumps(saved))}


def tokens_agree(tokenizer: Tokenizer) -> bool:
    """Whether llama.cpp cuts the samples and a piece of the corpus as the tokenizer does."""
    size = tokenizer.get_vocab_size()
    case = Case("llama", "linear", config={"vocab_size": size})
    corpus = (importlib.resources.files("ropewalk") / "assets" / "corpus.txt").read_text("utf-8")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        tokenizer.save(str(extended(case, place) / "tokenizer.json"))
        file, _ = write(case, place)
        runner = LlamaCppRunner(file, TARGET, TAIL)
        texts = (*SAMPLES, corpus[-20_000:], "a <|end|> b")
        agree = all(tokenizer.encode(text).ids == runner.tokenize(text) for text in texts)
        runner.close()
    return agree


def measure(case: Case) -> dict[str, Any]:
    """One case, written right and written plainly."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        file, carrier = write(case, place)
        row = {"carrier": carrier, **contents(file), "cells": differences(file, case, place)}
        written = read_gguf(file)
        if written.divisors is not None or "rope.scaling.attn_factor" in written.keys:
            plain = differences(write(case, place, plain=True)[0], case, place)
            row["plain_largest_difference"] = max(cell["largest_difference"] for cell in plain)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="Folder of llama-cpp.json.")
    output = parser.parse_args().output
    hide_progress_bars()
    rows = {}
    for name, case in CASES.items():
        rows[name] = row = measure(case)
        largest = max(cell["largest_difference"] for cell in row["cells"])
        plain = row.get("plain_largest_difference")
        others = [cell["first_divergent_token"] for cell in row["cells"] if cell["first_divergent_token"] is not None]
        row["verdict"] = "PASS" if largest <= TOLERANCE and not others else "FAIL"
        words = "" if plain is None else f"  without divisors {plain:.2g}"
        print(f"{name:34} {row['carrier']:12} {largest:8.2g} {row['verdict']}{words}", flush=True)
    tokenizers = {name: tokens_agree(tokenizer) for name, tokenizer in trained_tokenizers().items()}
    print(f"the same tokens: {tokenizers}")
    names = ("llama-cpp-python", "gguf", "transformers", "torch")
    result = {
        "tolerance": TOLERANCE,
        "versions": {name: version(name) for name in names},
        "tokenizers": tokenizers,
        "cases": rows,
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / "llama-cpp.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    raise SystemExit(not all(tokenizers.values()) or any(row["verdict"] == "FAIL" for row in rows.values()))


if __name__ == "__main__":
    main()
