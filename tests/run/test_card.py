"""The model card: front matter that parses, numbers of the records, no place on this machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import metadata_load

from ropewalk.adapters.source import resolve_source
from ropewalk.report.card import Base, card
from ropewalk.result import DemoResult, Estimate, GateCheck, GateResult
from ropewalk.run.api import extend
from ropewalk.run.card import front_matter_of
from ropewalk.run.export import export

RESULTS = Path(__file__).resolve().parents[2] / "results"
README = """---
license: other
license_name: a-licence
license_link: https://example.org/licence
tags: [x]
---
# The base
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    place = tmp_path_factory.mktemp("card")
    shutil.copytree(resolve_source("builtin"), place / "base", ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    (place / "base" / "README.md").write_text(README)
    extend(place / "base", "yarn", 1024, output=place / "long")
    return place


@pytest.fixture(scope="module")
def demo():
    return DemoResult.model_validate_json((RESULTS / "demo" / "result.json").read_text("utf-8")).extension


def test_an_extended_folder_has_a_card_and_keeps_the_bases_readme(extended):
    folder = extended / "long"
    assert (folder / "README.base.md").read_text() == README
    entries = metadata_load(folder / "README.md")
    assert entries["license"] == "other"
    assert entries["license_name"] == "a-licence"
    assert entries["license_link"] == "https://example.org/licence"
    assert entries["library_name"] == "transformers"
    assert {"ropewalk", "yarn"} <= set(entries["tags"])
    assert "base_model" not in entries  # a folder of this machine is no model of the hub
    text = (folder / "README.md").read_text()
    for words in ("`base` was trained with a window of 256 tokens", "256 -> 1,024 tokens", "no weight was changed",
                  "Nothing was measured on text", "arXiv", "2309.00071", "That of `base`: a-licence"):  # fmt: skip
        assert words in text


def test_a_card_names_no_place_on_this_machine(extended, tmp_path):
    export(extended / "long", "vllm", tmp_path / "served")
    for folder in (extended / "long", tmp_path / "served"):
        text = (folder / "README.md").read_text()
        for place in (extended, tmp_path, Path.home()):
            assert str(place) not in text


def test_the_card_of_an_export_gives_the_engines_command_and_the_same_licence(extended, tmp_path):
    _, record = export(extended / "long", "vllm", tmp_path / "served")
    text = (tmp_path / "served" / "README.md").read_text()
    assert "vllm serve served --max-model-len 1024" in text
    assert f"carrier in config.json | {record.carrier}" in text
    assert metadata_load(tmp_path / "served" / "README.md")["license_name"] == "a-licence"
    assert (tmp_path / "served" / "README.base.md").read_text() == README


def test_the_numbers_of_a_card_are_those_of_the_record(demo):
    text = card(demo, Base("builtin"), [], {"batch": "8"})
    assert f"{demo.steps:,} steps, {demo.tokens:,} tokens" in text
    assert f"{demo.losses[0]:.3f} at first, {demo.losses[-1]:.3f} at last" in text
    assert "| batch | 8 |" in text
    assert "Nothing was measured on text" in text


def test_the_gate_of_a_card_shows_change_bounds_margin_and_n(demo):
    change = Estimate(
        measure="nll_change", protocol="p", unit="nats/token", length=256, value=0.0123, low=-0.01, high=0.0345,
        interval="t", samples=40, failed=1,
    )  # fmt: skip
    check = GateCheck(subject="text", reference="original", verdict="PASS", reason="r", margin=0.05, change=change)
    gate = GateResult(verdict="PASS", reason="within the margin", checks=(check,))
    text = card(demo.model_copy(update={"gate": gate}), Base("builtin"), [], {})
    assert "Short-context gate: **PASS** (within the margin)" in text
    row = "| original, text | +0.0123 | -0.0100 to +0.0345 | nats/token | 0.05 | 40 (1 failed) | PASS |"
    assert row in text


def test_a_licence_that_nobody_states_is_said_to_be_unknown(demo):
    assert "The licence of `x` is not stated in its files" in card(demo, Base("x"), [], {})


def test_a_method_that_config_cannot_hold_is_served_by_ropewalk_load(demo):
    text = card(demo.model_copy(update={"exact": False}), Base("x"), [], {})
    assert 'ropewalk.load("DIR")' in text
    assert "AutoModelForCausalLM" not in text


@pytest.mark.parametrize("text", ["# no front matter", "---\n: [\n---\n", "---\n- a list\n---\n", ""])
def test_a_front_matter_that_cannot_be_read_says_nothing(tmp_path, text):
    (tmp_path / "README.md").write_text(text)
    assert front_matter_of(tmp_path / "README.md") == {}
    assert front_matter_of(tmp_path / "none.md") == {}


def test_an_id_of_the_hub_is_the_base_model(demo):
    front = card(demo, Base("m", hub_id="org/m"), [], {}).split("---")[1]
    assert f"base_model: {json.dumps('org/m')}" in front
