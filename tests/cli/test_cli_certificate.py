"""The whole command on a model with real weights: what it can read is certified, and what it cannot is not.

The built-in weights under a window of 128 tokens, half of their own, stand for the untouched model, and with their
whole window of 256 for a perfect extension. With its position ids clamped at 127 the same extension cannot tell the
tokens of its second half apart.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

import ropewalk
from ropewalk.adapters.source import resolve_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HALF, WHOLE = 128, 256
SUITE = """
about = "Certificate alone."
lengths = "doublings"
tasks = ["paired"]
[sizes]
windows_per_document = 2
[certificate]
tasks = ["key-value", "passkey"]
"""


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """`evaluate` of an extension to 256 tokens whose original has half of that."""
    original = tmp_path / "original"
    original.mkdir()
    for file in resolve_source("builtin").iterdir():
        (original / file.name).write_bytes(file.read_bytes())
    config = json.loads((original / "config.json").read_text())
    (original / "config.json").write_text(json.dumps(config | {"max_position_embeddings": HALF}))
    extended = ropewalk.extend(original, "none", WHOLE, output=tmp_path / "extended")
    (tmp_path / "suite.toml").write_text(SUITE)
    return ["evaluate", str(extended), "--suite", str(tmp_path / "suite.toml"), "--json"]


def certificate(run: Callable[..., Any], arguments: list[str]) -> dict[str, Any]:
    outcome = run(*arguments)
    assert outcome.exit_code == 0, outcome.err
    result: dict[str, Any] = json.loads(outcome.out)["certificate"]
    assert result["lengths"] == [HALF, WHOLE]
    return result


def test_a_window_that_is_readable_to_its_end_is_certified_to_its_end(
    run: Callable[..., Any], arguments: list[str]
) -> None:
    found = certificate(run, arguments)
    assert (found["retrieval_length"], found["nll_length"], found["length"]) == (WHOLE, WHOLE, WHOLE)


def test_a_window_whose_second_half_is_unreadable_is_certified_to_its_half(
    run: Callable[..., Any], arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = LlamaRotaryEmbedding.forward

    def clamped(self: Any, x: Any, position_ids: Any) -> Any:
        return forward(self, x, position_ids.clamp(max=HALF - 1))

    monkeypatch.setattr(LlamaRotaryEmbedding, "forward", clamped)
    found = certificate(run, arguments)
    assert (found["retrieval_length"], found["nll_length"], found["length"]) == (HALF, HALF, HALF)
    worst = {c["task"] for c in found["cells"] if c["length"] == WHOLE and c["verdict"] == "below"}
    assert worst, found["cells"]
