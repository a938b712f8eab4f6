"""The certificate on a terminal: it fits, names what is undecided, and shows the bound behind each verdict."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ropewalk.report.certificate import certificate_tables
from ropewalk.result import Certificate, CertificateCell, CertificateReference, NllCheck

LENGTHS = (256, 512, 1024, 2048, 4096, 8192)


def shown(certificate: Certificate) -> str:
    """As a terminal of 100 columns shows it."""
    console = Console(width=100, markup=False, file=io.StringIO(), no_color=True)
    for table in certificate_tables(certificate):
        console.print(table)
    return console.file.getvalue()


def words_of(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def cell(length: int, tenth: int, **changes) -> CertificateCell:
    fields = {"verdict": "passed", "score": 0.98, "low": 0.91, "high": 0.999, "samples": 50, "failed": 0}
    return CertificateCell(task="passkey", length=length, tenth=tenth, threshold=0.8245, **{**fields, **changes})


def nll(length: int, **changes) -> NllCheck:
    fields = {"verdict": "passed", "value": -0.1, "upper": -0.08, "samples": 168, "failed": 0, "clusters": 21}
    return NllCheck(length=length, baseline_length=256, margin=0.02, unit="documents", **{**fields, **changes})


def reference(**changes) -> CertificateReference:
    fields = {"threshold": 0.8245, "contexts": 300, "samples": 3000, "failed": 0}
    fields |= {"task": "passkey", "length": 256, "score": 0.97, "low": 0.962, "high": 0.977, "chance": 0.0}
    return CertificateReference(**{**fields, **changes})


def certificate(**changes) -> Certificate:
    fields = {
        "trained_length": 256,
        "lengths": LENGTHS,
        "schedule": "exact binomial bounds at 50, 100, 200 contexts, alpha 0.02, 0.015, 0.015",
        "references": (reference(), reference(task="lines", threshold=None, reason="scores 0.40 above chance")),
        "cells": tuple(cell(length, tenth) for length in LENGTHS for tenth in range(10)),
        "nll": (nll(256, value=0.0, upper=0.0), nll(512)),
        "retrieval_length": 8192,
        "nll_length": 512,
    }
    return Certificate(**{**fields, **changes})


def test_every_table_fits_a_hundred_columns():
    open_cell = cell(8192, 9, verdict="undecided", score=None, failed=200, reason="200 of 200 samples failed")
    text = shown(certificate(cells=(*certificate().cells[:-1], open_cell), ruler_length=8192, k_max=7936))
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text


def test_the_headline_stands_above_the_two_lengths_and_the_rules_of_others():
    text = words_of(shown(certificate(ruler_length=8192, k_max=7936)))
    assert "certified 512 the smaller of the two below" in text
    assert "retrieval 8,192" in text
    assert (
        "RULER's effective length 8,192 longest length with a mean score of at least 85.6 %; a point estimate" in text
    )
    assert "Position Interpolation's k_max 7,936" in text
    assert "Tested in order: 256, 512, 1,024" in text
    assert "alpha 0.02, 0.015, 0.015." in text


def test_rules_that_were_not_measured_are_not_named():
    text = shown(certificate())
    assert "RULER" not in text
    assert "k_max" not in text


@pytest.mark.parametrize(
    ("retrieval", "words"), [(None, "certified not certifiable"), (0, "certified none the"), (256, "certified 256")]
)
def test_the_headline_says_when_nothing_is_certified(retrieval, words):
    assert words in words_of(shown(certificate(retrieval_length=retrieval)))


def test_thresholds_stand_beside_their_reference_or_the_reason_why_there_is_none():
    text = words_of(shown(certificate(references=(reference(failed=4, samples=2996), reference(reason="too weak")))))
    assert "The untouched model at its trained 256 tokens" in text
    assert "passkey 0.970 0.000 0.825 2996/300 0.962..0.977 4 failed" in text
    assert "too weak" in text


def test_a_cell_shows_the_bound_that_decides():
    cells = (
        cell(256, 0, samples=99, failed=1),
        cell(256, 1, verdict="below", score=0.5, low=0.3, high=0.7),
        cell(256, 2, verdict="undecided", score=0.86, low=0.79, high=0.91, samples=200, reason="still open"),
        cell(256, -1),
    )
    text = words_of(shown(certificate(cells=cells)))
    assert "0.0-0.1 yes 0.98 100 > 0.91 1 failed" in text
    assert "0.1-0.2 no 0.50 50 < 0.70" in text
    assert "0.2-0.3 ? 0.86 200 0.79..0.91" in text
    assert "all yes 0.98 50" in text
    assert "passkey: is every tenth of the depth at least 0.825?" in text


def test_undecided_cells_are_named_with_their_reason():
    cells = tuple(cell(256, tenth, verdict="undecided", reason="still open at the cap") for tenth in (3, 4))
    text = words_of(shown(certificate(cells=cells)))
    assert (
        "UNDECIDED, hence not certified: passkey at 256 tokens, depth 0.3-0.4, 0.4-0.5: still open at the cap." in text
    )
    assert "UNDECIDED" not in shown(certificate())


def test_nll_rows_show_the_bound_the_margin_and_why_nothing_was_decided():
    none = {"value": None, "upper": None}
    checks = (
        nll(256, value=0.0, upper=0.0),
        nll(512, verdict="not shown", value=0.01, upper=0.031, reason="may be worse"),
        nll(1024, verdict="undecided", **none, failed=9, reason="9 of 177 samples failed"),
    )
    text = words_of(shown(certificate(nll=checks)))
    assert "512 +0.0100 +0.0310 not shown 168/21 documents" in text
    assert "1,024 - - 9 of 177 samples failed 168/21 documents 9 failed" in text
    assert "the margin is 0.02 nats/token" in text


def test_without_text_and_cells_only_the_lengths_are_shown():
    bare = certificate(references=(), cells=(), nll=(), retrieval_length=None, nll_length=None)
    assert len(certificate_tables(bare)) == 1
