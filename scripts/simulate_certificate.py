"""How often a certificate is won, and how many contexts it takes: the numbers of docs/certificate.md.

    python scripts/simulate_certificate.py --output results/certificate

A grid of 2 tasks, 4 lengths and 10 depths; every cell has the same true share of right answers, and answers of
different cells are independent. Schedules of looks are computed exactly, betting is simulated. Then how often the
bound of the NLL length lies below the truth, beside two usual bounds. One minute of one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from ropewalk.bounds import binomial_tails, upper_mean
from ropewalk.sequential import OPEN, PASSED, SCHEDULES, BettingSchedule, LookSchedule
from ropewalk.statistics import bootstrap_mean, student_quantile

REFERENCE = 0.97
THRESHOLD = 0.85 * REFERENCE
SHARES = (0.98, 0.97, 0.96, 0.95, 0.94, 0.93, 0.92, 0.91, 0.90, 0.88, THRESHOLD)
GROUPS, DEPTHS = 8, 10
MEASURED = {"two looks": LookSchedule((50, 100), (0.03, 0.02)), **SCHEDULES}
SIMULATED, BLOCKS = 40_000, 10
DAMAGE = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "heavy tails (t, 3 degrees)": lambda rng, shape: rng.standard_t(3, size=shape),
    "few documents harmed (exponential)": lambda rng, shape: rng.exponential(size=shape) - 1,
    "few harmed much (lognormal)": lambda rng, shape: rng.lognormal(size=shape) - np.exp(0.5),
    "few documents helped": lambda rng, shape: 1 - rng.exponential(size=shape),
}
DOCUMENTS = (8, 21, 64)


def looks(schedule: LookSchedule, share: float) -> tuple[float, np.ndarray]:
    """Chance that a cell passes, and of being decided at each look or still open after the last."""
    alive, before, passed, decided = np.array([1.0]), 0, 0.0, []
    for look, alpha in zip(schedule.contexts, schedule.alphas, strict=True):
        tails = binomial_tails(look - before, share)
        alive, before = np.convolve(alive, tails - np.append(tails[1:], 0)), look
        above = binomial_tails(look, THRESHOLD) <= alpha
        below = binomial_tails(look, 1 - THRESHOLD)[::-1] < alpha
        passed += float(alive[above].sum())
        decided.append(float(alive[above | below].sum()))
        alive = np.where(above | below, 0.0, alive)
    return passed, np.array([*decided, 1 - sum(decided)])


def betting(schedule: BettingSchedule, share: float) -> tuple[float, np.ndarray]:
    """The same from simulated cells."""
    passed, counts = 0, np.zeros(len(schedule.looks) + 1)
    for block in range(BLOCKS):
        rng = np.random.default_rng((17, round(1e6 * share), block))
        scores = (rng.random((SIMULATED // BLOCKS, schedule.cap)) < share).astype(float)
        decisions = schedule.decide(scores, THRESHOLD)
        look = np.searchsorted(schedule.looks, decisions.contexts)
        counts += np.bincount(np.where(decisions.verdicts == OPEN, len(schedule.looks), look), minlength=len(counts))
        passed += int(np.sum(decisions.verdicts == PASSED))
    return passed / SIMULATED, counts / SIMULATED


def row(name: str, share: float) -> dict[str, object]:
    """What one schedule does with cells of one true share."""
    schedule = MEASURED[name]
    passed, decided = looks(schedule, share) if isinstance(schedule, LookSchedule) else betting(schedule, share)
    sizes = np.array([*schedule.looks, schedule.cap])
    last_of_ten = np.diff(np.cumsum(decided) ** DEPTHS, prepend=0)
    return {
        "schedule": name,
        "true_share": share,
        "cell_passes": passed,
        "full_length_certified": passed ** (GROUPS * DEPTHS),
        "contexts_per_cell": float(sizes @ decided),
        "contexts_per_task_and_length": float(sizes @ last_of_ten),
    }


def misses(name: str, documents: int, models: int = 4000, bootstraps: int = 1000) -> dict[str, object]:
    """How often each one-sided 95 % bound of a mean over documents lies below the true mean, 0."""
    rng, names = np.random.default_rng((18, documents)), list(range(documents))
    values = DAMAGE[name](rng, (models, documents))
    step = student_quantile(0.9, documents - 1) / np.sqrt(documents)
    high = [bootstrap_mean(v, names, rng, level=0.9, draws=500).high for v in values[:bootstraps]]
    return {
        "damage": name,
        "documents": documents,
        "ours": float(np.mean([upper_mean(v, names).upper < 0 for v in values])),
        "student": float(np.mean(values.mean(axis=1) + step * values.std(axis=1, ddof=1) < 0)),
        "percentile_bootstrap": float(np.mean(np.array(high) < 0)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for simulation.json")
    output: Path = parser.parse_args().output
    rows = [row(name, share) for name in MEASURED for share in SHARES]
    bounds = [misses(name, documents) for name in DAMAGE for documents in DOCUMENTS]
    output.mkdir(parents=True, exist_ok=True)
    record = {"reference": REFERENCE, "threshold": THRESHOLD, "cells": GROUPS * DEPTHS, "rows": rows, "bounds": bounds}
    (output / "simulation.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print("| schedule | true share | cell passes | full length certified | contexts per cell | per task and length |")
    print("| --- | --- | --- | --- | --- | --- |")
    for r in rows:
        print(
            f"| {r['schedule']} | {r['true_share']:.4g} | {r['cell_passes']:.4f} | {r['full_length_certified']:.3f} | "
            f"{r['contexts_per_cell']:.0f} | {r['contexts_per_task_and_length']:.0f} |"
        )
    print("\n| differences | documents | ours | Student's t | percentile bootstrap |")
    print("| --- | --- | --- | --- | --- |")
    for b in bounds:
        rates = " | ".join(f"{b[key]:.3f}" for key in ("ours", "student", "percentile_bootstrap"))
        print(f"| {b['damage']} | {b['documents']} | {rates} |")


if __name__ == "__main__":
    main()
