"""Results of every kind that a page shows: certificates, gates, extensions, comparisons, attention entropy."""

from __future__ import annotations

import math
from typing import Any

from report.report_results import LENGTHS, estimate, result

from ropewalk.result import (
    Certificate,
    CertificateCell,
    CertificateReference,
    Comparison,
    ControlRecord,
    DemoResult,
    EntropyResult,
    EvaluationResult,
    ExtensionResult,
    GateCheck,
    GateResult,
    LayerEntropy,
    ModelRecord,
    NllCheck,
)

YARN = "yarn, factor 8"
BEFORE = result("untouched")
AFTER = result(YARN, (9.25, 8.21, 8.25, 8.3), (0.97, 0.97, 0.97, 0.95))


def certificate(**changes: Any) -> Certificate:
    """One that certifies 1,024 of 2,048 tokens: at the end a cell is below and one is undecided."""
    nll = [
        NllCheck(
            length=length,
            baseline_length=256,
            verdict="passed" if length <= 1024 else "not shown",
            value=-0.05,
            upper=0.01 if length <= 1024 else 0.0312,
            margin=0.02,
            samples=168,
            failed=0,
            clusters=21,
            unit="documents",
            reason=None if length <= 1024 else "the upper bound is above the margin",
        )
        for length in LENGTHS[1:]
    ]
    fields = {
        "trained_length": 256,
        "lengths": LENGTHS[1:],
        "schedule": "looks at 50, 100, 200 contexts spending 0.02, 0.015, 0.015",
        "references": (_reference("multi-passkey", 0.83), _reference("frequent-words", None)),
        "cells": tuple(_cell(length, tenth) for length in LENGTHS[1:] for tenth in range(10)),
        "nll": tuple(nll),
        "retrieval_length": 1024,
        "nll_length": 1024,
        "ruler_length": 2048,
        "k_max": 1984,
    }
    return Certificate(**{**fields, **changes})


def gate(verdict: str = "PASS", **changes: Any) -> GateResult:
    """One with a check against the original and one against the control."""
    if verdict == "SKIPPED":
        return GateResult(verdict="SKIPPED", reason="no text; give --gate-data FILE")
    value = 0.003 if verdict == "PASS" else 0.31
    checks = [
        GateCheck(
            subject="text",
            reference=reference,
            verdict=verdict,
            reason=f"at most {value + 0.002:.4f} nats per token worse, margin 0.02",
            margin=0.02,
            change=_change("gate_nll_change", value),
            details=(_change("divergence", 0.011), _change("nll_change_in_part", value / 2)),
        )
        for reference in ("original", "control")
    ]
    fields = {
        "verdict": verdict,
        "reason": f"{value:+.4f} nats per token inside the old window",
        "notes": ("An under-trained base hides damage.",),
        "text": "21 held-out modules of the built-in corpus",
        "data": "fedcba9876543210",
        "checks": tuple(checks),
        "control": ControlRecord(steps=130, batch=4, window=256, tokens=133120, losses=(2.0, 1.5)),
    }
    return GateResult(**{**fields, **changes})


def extension(method: str = YARN, **changes: Any) -> ExtensionResult:
    fields = {
        "model": ModelRecord(
            name="builtin", method=method, trained_length=256, target_length=2048, rope={"rope_type": "yarn"}
        ),
        "carrier": "yarn",
        "exact": True,
        "notes": ("vLLM reads this config.",),
        "self_test": ("cached decoding equals the full forward",),
        "data": "0773921f92f21739",
        "steps": 40,
        "tokens": 327680,
        "losses": tuple(2.0 - 0.01 * step for step in range(40)),
        "wall_seconds": 78.0,
        "environment": BEFORE.environment,
        "gate": gate(),
    }
    return ExtensionResult(**{**fields, **changes})


def comparison(before: EvaluationResult = BEFORE, after: EvaluationResult = AFTER) -> Comparison:
    changes = {"unit": "nats/token", "protocol": "after minus before on the same samples"}
    found = [estimate("paired_nll_change", length, -0.2, 0.1, **changes) for length in LENGTHS]
    return Comparison(
        before=before.model, after=after.model, data=before.data, seed=before.seed, estimates=tuple(found)
    )


def demo(before: EvaluationResult = BEFORE, after: EvaluationResult = AFTER, **changes: Any) -> DemoResult:
    """A whole demo; its second model has a certificate."""
    certified = after.model_copy(update={"certificate": certificate()})
    fields = {
        "extension": extension(),
        "before": before,
        "after": certified,
        "comparison": comparison(before, certified),
        "wall_seconds": 300.0,
    }
    return DemoResult(**{**fields, **changes})


def entropy(method: str = "untouched", **changes: Any) -> EntropyResult:
    """Four layers over stretches of an octave each; the last layer has no slope."""
    last = (64, 128, 256, 512, 1024, 2048)
    rise = 0.2 if method == "untouched" else 0.05
    layers = []
    for layer in range(4):
        values = tuple(1.5 + 0.1 * layer + rise * i for i in range(len(last)))
        slope = estimate("flat_scale_slope", 2048, 0.4, 0.1, unit="per ln n / ln L") if layer < 3 else None
        layers.append(
            LayerEntropy(
                layer=layer,
                entropy=values,
                low=tuple(value - 0.1 for value in values),
                high=tuple(value + 0.1 for value in values),
                largest=tuple(math.log(length) for length in last),
                flat_scale=(None,) * len(last),
                flat_scale_low=(None,) * len(last),
                flat_scale_high=(None,) * len(last),
                slope=slope,
            )
        )
    fields = {
        "status": "complete",
        "model": ModelRecord(name="builtin", method=method, trained_length=256, target_length=2048),
        "data": "0123456789abcdef",
        "seed": 0,
        "documents": ("one", "two"),
        "failed": (),
        "length": 2048,
        "heads": 4,
        "first": (1, 65, 129, 257, 513, 1025),
        "last": last,
        "protocol": "mean over documents and heads of -sum p ln p",
        "interval": "Student over documents",
        "layers": tuple(layers),
        "environment": BEFORE.environment,
        "wall_seconds": 20.0,
    }
    return EntropyResult(**{**fields, **changes})


def _reference(task: str, threshold: float | None) -> CertificateReference:
    return CertificateReference(
        task=task,
        length=256,
        score=0.976 if threshold else 0.41,
        low=0.97 if threshold else 0.38,
        high=0.98 if threshold else 0.44,
        chance=0.0,
        threshold=threshold,
        contexts=300,
        samples=3000,
        failed=0,
        reason=None if threshold else "the untouched model scores 0.410, below the floor of 0.8",
    )


def _cell(length: int, tenth: int) -> CertificateCell:
    verdict, score, reason = "passed", 0.97, None
    if length == 2048 and tenth == 3:
        verdict, score = "below", 0.2
    if length == 2048 and tenth == 4:
        verdict, score, reason = "undecided", 0.86, "still open at the cap of 200 contexts"
    return CertificateCell(
        task="multi-passkey",
        length=length,
        tenth=tenth,
        verdict=verdict,
        score=score,
        low=score - 0.05,
        high=score + 0.02,
        threshold=0.83,
        samples=100,
        failed=0,
        reason=reason,
    )


def _change(measure: str, value: float) -> Any:
    return estimate(measure, 256, value, 0.002, unit="nats/token", protocol="text windows of 256 tokens")
