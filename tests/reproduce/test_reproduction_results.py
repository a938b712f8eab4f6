"""What is committed in results/reproduction says the same as the rule, and the quick sets contradict no whole study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ropewalk.cells.intervals import crossed_interval
from ropewalk.report.reproduction import FIGURE
from ropewalk.report.reproduction_figure import drawn_fingerprint
from ropewalk.reproduce.claims import NO_SPREAD, contradictions, decide
from ropewalk.reproduce.papers import STUDIES, study
from ropewalk.result import Reproduction

RESULTS = Path(__file__).parents[2] / "results" / "reproduction"


def committed() -> dict[str, Reproduction]:
    """The committed studies by the name of their folder."""
    return {
        path.parent.name: Reproduction.model_validate_json(path.read_text("utf-8"))
        for path in sorted(RESULTS.glob("*/result.json"))
    }


def test_every_interval_and_verdict_follows_from_the_table_beside_it():
    for name, result in committed().items():
        for verdict in result.verdicts:
            effect = verdict.effect
            if effect is None or effect.interval == NO_SPREAD:
                continue
            again = crossed_interval(effect.table, np.random.default_rng(0))
            assert (effect.value, effect.low, effect.high) == pytest.approx((again.value, again.low, again.high)), name
            if verdict.state != "cannot be judged at this scale":
                state = decide(effect.low, effect.high, verdict.smallest_effect, allowance=verdict.widening)
                assert (verdict.widening > 0) == (len(effect.seeds) == 1), (name, verdict.claim)
                assert state == verdict.state, (name, verdict.claim)


def test_every_figure_was_drawn_from_the_record_beside_it():
    for name, result in committed().items():
        with Image.open(RESULTS / name / FIGURE) as image:
            assert image.text["ropewalk:results"] == drawn_fingerprint(result), name


def test_no_quick_set_contradicts_its_whole_study():
    found = committed()
    for name in STUDIES:
        if name in found and f"{name}-quick" in found:
            assert contradictions(found[f"{name}-quick"].verdicts, found[name].verdicts) == ()


def test_quick_sets_take_the_rates_that_the_searches_chose():
    for result in committed().values():
        for record in result.rates:
            assert study(result.study).defaults[record.name] == record.chosen, (result.study, record.name)


def test_claims_are_those_that_are_registered_with_the_same_smallest_effects():
    for result in committed().values():
        registered = {claim.name: claim for claim in study(result.study, quick=result.quick).claims}
        assert {verdict.claim for verdict in result.verdicts} == registered.keys()
        for verdict in result.verdicts:
            assert verdict.smallest_effect == registered[verdict.claim].smallest_effect
            assert verdict.words == registered[verdict.claim].words
