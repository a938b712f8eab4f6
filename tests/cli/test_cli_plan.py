"""`ropewalk plan` as a user meets it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ropewalk.cli.app import app


def call(*words: str):
    return CliRunner().invoke(app, ["plan", *words])


def test_the_plan_of_the_built_in_model_reads_well_at_a_hundred_columns():
    done = call("builtin", "--to", "2k", "--gpu", "h200")
    assert done.exit_code == 0, done.output
    assert max(map(len, done.output.splitlines())) <= 100
    for words in (
        "256 tokens trained, 2,048 wanted (8 x)",
        "> cream",
        "yarn",
        "Recommended: cream",
        "optimizer states",
    ):
        assert words in done.output
    assert "Hours assume 70% of the peak of h200 in products and 60% in attention" in " ".join(done.output.split())


def test_without_hardware_no_hours_are_named():
    done = call("builtin", "--to", "1024")
    assert "Name the hardware with --gpu NAME" in " ".join(done.output.split())
    assert "Recommended: entropy-abf-100" in done.output


def test_machines_get_the_whole_plan():
    plan = json.loads(call("builtin", "--to", "2k", "--json").output)
    assert (plan["recommended"], plan["geometry"]["critical_dimension"], plan["device"]) == ("cream", 40, None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("builtin", "--to", "128"), "at least the trained window"),
        (("builtin", "--to", "2k", "--gpu", "h20"), "h200"),
        (("builtin", "--to", "2k", "--gpus", "0"), "at least 1 device"),
        (("nowhere", "--to", "2k"), "nowhere"),
        (("builtin", "--to", "2k", "--data", "x.txt"), "--data has nothing to act on; add --probe, or leave it out."),
    ],
)
def test_bad_input_gets_one_paragraph_and_exit_code_2(words, said):
    done = call(*words)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert "Traceback" not in done.output
