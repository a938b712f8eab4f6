"""The section of what was done to models: method, training, checks, notes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ropewalk.report.html.markup import Content, Markup, lines, table
from ropewalk.report.html.provenance import rope_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropewalk.result import ExtensionResult

# Steps over which losses are averaged for people: the first and the last so many.
ENDS = 10


def extensions(found: Sequence[ExtensionResult]) -> Markup | None:
    """One column for each extension."""
    if not found:
        return None
    described = [_facts(extension) for extension in found]
    rows = [[name, *[facts[name] for facts in described]] for name in described[0]]
    return table("What was done", ["", *[one.model.name for one in found]], rows, class_="facts")


def _facts(extension: ExtensionResult) -> dict[str, Content]:
    model = extension.model
    return {
        "method": model.method,
        "window": f"{model.trained_length:,} to {model.target_length:,} tokens",
        "training": _training(extension),
        "training data fingerprint": extension.data or "no training",
        "carrier": _carrier(extension),
        "rope parameters": rope_lines(model.rope),
        "checked afterwards": lines(*extension.self_test),
        "to know": lines(*extension.notes) or "-",
        "ropewalk": extension.environment.ropewalk,
        "wall time": f"{extension.wall_seconds:,.0f} s on {extension.environment.device}",
    }


def _training(extension: ExtensionResult) -> Content:
    if not extension.steps:
        return "none: only the config changed"
    losses = [loss for loss in extension.losses if math.isfinite(loss)]
    words = f"{extension.steps:,} steps, {extension.tokens:,} tokens"
    if len(losses) < 2 * ENDS:
        return words
    first, last = sum(losses[:ENDS]) / ENDS, sum(losses[-ENDS:]) / ENDS
    return lines(
        words, f"mean loss of the first {ENDS} steps {first:.3f}, of the last {ENDS} {last:.3f} nats per token"
    )


def _carrier(extension: ExtensionResult) -> Content:
    how = "plain transformers computes the whole method" if extension.exact else "exact only through ropewalk.load"
    return lines(extension.carrier, how)
