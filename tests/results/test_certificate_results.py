"""What the documents claim of certificates, read off the committed simulation and the demo's certificate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ropewalk.result import DemoResult, EvaluationResult
from ropewalk.sequential import SCHEDULES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "certificate.md").read_text("utf-8")
SIMULATION = json.loads((ROOT / "results" / "certificate" / "simulation.json").read_text("utf-8"))
NAMES = ("two looks", *SCHEDULES)
ROWS = {(row["schedule"], row["true_share"]): row for row in SIMULATION["rows"]}
SHARES = sorted({share for _, share in ROWS})


@pytest.mark.parametrize("share", SHARES)
def test_the_page_shows_the_power_that_was_measured(share):
    cells = [
        f"{row['full_length_certified']:.3f} ({row['contexts_per_task_and_length']:.0f})"
        for row in (ROWS[name, share] for name in NAMES)
    ]
    assert f"| {share:.4g} | {' | '.join(cells)} |" in PAGE


@pytest.mark.parametrize("row", SIMULATION["bounds"], ids=lambda row: f"{row['damage']}-{row['documents']}")
def test_the_page_shows_how_often_each_bound_missed(row):
    rates = " | ".join(f"{row[key]:.3f}" for key in ("ours", "student", "percentile_bootstrap"))
    assert f"| {row['damage']} | {row['documents']} | {rates} |" in PAGE


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_at_the_threshold_passed_in_at_most_five_percent(name):
    rate = ROWS[name, SIMULATION["threshold"]]["cell_passes"]
    assert rate <= 0.05
    assert f"{name} {rate:.3f}" in " ".join(PAGE.split())


@pytest.mark.parametrize("name", NAMES)
def test_a_true_share_of_97_percent_was_certified_to_the_full_length(name):
    assert ROWS[name, 0.97]["full_length_certified"] >= 0.8


def test_the_demos_certificate_is_what_the_documents_say_of_it():
    measured = EvaluationResult.model_validate_json((ROOT / "results" / "certificate" / "demo.json").read_text("utf-8"))
    demo = DemoResult.model_validate_json((ROOT / "results" / "demo" / "result.json").read_text("utf-8"))
    proof = measured.certificate
    assert measured.suite == "standard"
    assert measured.model.weights == demo.after.model.weights
    assert (proof.length, proof.retrieval_length, proof.nll_length) == (1024, 1024, 2048)
    failed = [cell for cell in proof.cells if cell.verdict == "below"]
    assert [(cell.task, cell.length, cell.tenth, cell.score) for cell in failed] == [("key-value", 2048, 0, 0.6)]
    assert measured.wall_seconds < 600, "the suite is documented to take minutes"
