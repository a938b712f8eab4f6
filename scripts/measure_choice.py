"""Compares `extend --method auto` with a comparison that leaves nothing out: every method trained whole, and certified.

    python scripts/measure_choice.py --work build/choice --output results/choice/result.json

Three models: the built-in one, and two of other shapes that are pre-trained here (`choice_models.py`). Every method
that can go to the target is trained with the same run file and certified; `auto` gets the same run file and no method.
All of it are commands that a user would type. Each leaves a checkpoint in `--work`, so a killed measurement goes on
with the same command. --models lets several processes share the work; the same command without it then writes all.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from choice_models import MODELS

from ropewalk.adapters.config import read_model_config
from ropewalk.cells.measuring import settled_precision
from ropewalk.choose.automatic import CHOICE
from ropewalk.choose.suitability import suitable_methods
from ropewalk.cli.progress import LiveReporter
from ropewalk.evals.environment import environment
from ropewalk.evals.store import RESULT, read_evaluation, write_text
from ropewalk.result import ExtensionResult, MethodChoice
from ropewalk.run.certify import EVALUATION
from ropewalk.run.device import default_device
from ropewalk.run.flags import AUTO
from ropewalk.run.output import RECORDS
from ropewalk.run.runfile import BUILT_IN

TARGET = 1024  # four times the window of all three models
RUN = """\
# Every method gets this run, and the choice too.
target_length = 1024

[train]
steps = 60
batch = 8
micro_batch = 1
learning_rate = 1e-3
warmup_steps = 6
schedule = "linear"
beta2 = 0.95
precision = "auto"

[data]
files = ["builtin"]
packing = "fill"
recall_share = 0.5
"""
SECONDS = "seconds.json"  # beside the checkpoints: what their commands took, stops included
NAMES = {BUILT_IN: "the built-in model"} | {base.name: base.about for base in MODELS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="Keeps models, checkpoints and certificates.")
    parser.add_argument("--output", type=Path, required=True, help="Where the result goes.")
    parser.add_argument("--models", nargs="*", choices=NAMES, help="These alone; the result holds no others.")
    arguments = parser.parse_args()
    found = {name: measured_model(name, arguments.work) for name in arguments.models or NAMES}
    result = {
        "protocol": f"{TARGET:,} tokens, 60 steps of 8 windows, learning rate 1e-3, seed 0; certificate of `standard`",
        "environment": environment(default_device()).model_dump(mode="json"),
        "models": found,
    }
    write_text(arguments.output, json.dumps(result, indent=1) + "\n")


def measured_model(name: str, work: Path) -> dict[str, Any]:
    """All extensions of one model, and the choice."""
    model, place = model_of(name, work), work / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "run.toml").write_text(RUN, "utf-8")
    config = read_model_config(model)
    suits = suitable_methods(config.rope, TARGET)
    done = {method: extended(model, method, place) for method in (AUTO, *(one.method for one in suits))}
    choice = MethodChoice.model_validate_json((place / AUTO / RECORDS / CHOICE).read_text("utf-8"))
    compared = 0 if choice.ranking is None else sum(one.tokens for one in choice.ranking.candidates)
    automatic = done.pop(AUTO)
    automatic["tokens"] += compared
    return {
        "about": NAMES[name],
        "head_dim": config.rope.head_dim,
        "base": config.rope.base,
        "trained_length": config.rope.trained_length,
        "automatic": automatic | {"chosen": choice.method, "because": choice.because},
        "exhaustive": done,
    }


def model_of(name: str, work: Path) -> str:
    """The model's folder, or its name; made now if nobody has."""
    if name == BUILT_IN:
        return BUILT_IN
    base = next(base for base in MODELS if base.name == name)
    with LiveReporter() as reporter:
        return str(base.make(work, settled_precision(work), reporter)[0])


def extended(model: str, method: str, place: Path) -> dict[str, Any]:
    """One method's checkpoint and certificate, made by the command, and what it cost."""
    folder = place / method
    took = json.loads((place / SECONDS).read_text("utf-8")) if (place / SECONDS).is_file() else {}
    if not (folder / RECORDS / EVALUATION / RESULT).is_file():
        command = ("extend", model, "--recipe", str(place / "run.toml"), "--method", method, "--no-gate", "--certify")
        started = time.monotonic()
        ran = subprocess.run(
            [sys.executable, "-m", "ropewalk", *command, "--resume", "-o", str(folder)],
            check=False,
            capture_output=True,
            text=True,
        )
        took[method] = took.get(method, 0.0) + time.monotonic() - started
        write_text(place / SECONDS, json.dumps(took, indent=1) + "\n")
        print(f"{place.name}, {method}: {took[method]:.0f} s, exit code {ran.returncode}", flush=True)
        if ran.returncode:
            return {"failed": ran.stderr.strip().splitlines()[-1], "tokens": 0, "seconds": took[method]}
    record = ExtensionResult.model_validate_json((folder / RECORDS / RESULT).read_text("utf-8"))
    certificate = read_evaluation(folder / RECORDS / EVALUATION)[0].certificate
    assert certificate is not None
    run = tomllib.loads((folder / RECORDS / "run.toml").read_text("utf-8"))
    return {
        "method": record.model.method,
        "learning_rate": run["train"]["learning_rate"],
        "tokens": record.tokens,
        "seconds": took[method],
        "certified": certificate.length,
        "retrieval": certificate.retrieval_length,
        "nll": certificate.nll_length,
    }


if __name__ == "__main__":
    main()
