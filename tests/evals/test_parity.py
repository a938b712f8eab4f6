"""Two forms of a model are the same only if every logit says so, in one call and token by token."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ropewalk.evals.parity import TOLERANCE, compare, spread_prompts, whole_prompts, within_tolerance


class Table:
    """Logits by token and position, as a model without attention has them."""

    def __init__(self, wrong=None, decode_wrong=0.0):
        self.wrong, self.decode_wrong = wrong, decode_wrong

    def prefill(self, prompt):
        logits = torch.stack([prompt.tokens.double(), 0.001 * prompt.positions.double()], dim=1)
        for position, value in (self.wrong or {}).items():
            logits[prompt.positions == position, 1] = value
        return logits

    def decode(self, prompt):
        return self.prefill(prompt) + self.decode_wrong


PROMPTS = spread_prompts((64, 512), vocabulary=50, tokens=12)


def test_prompts_stand_at_the_start_the_middle_and_the_end_of_their_windows():
    assert [prompt.length for prompt in PROMPTS] == [64, 512]
    assert PROMPTS[1].positions.tolist() == [0, 1, 2, 3, 256, 257, 258, 259, 508, 509, 510, 511]
    assert (PROMPTS[0].tokens == PROMPTS[1].tokens).all()
    for length in (1, 2, 3, 5, 31, 32, 33, 40):
        (prompt,) = spread_prompts((length,), vocabulary=50)
        assert len(prompt.tokens) == min(32, length)
        assert (np.diff(prompt.positions) > 0).all()
        assert prompt.positions[-1] == length - 1
    assert whole_prompts((7,), 50)[0].positions.tolist() == list(range(7))


def test_equal_forms_differ_nowhere():
    cells = compare(Table(), Table(), PROMPTS)
    assert [(cell.length, cell.phase) for cell in cells] == [
        (64, "prefill"), (64, "decode"), (512, "prefill"), (512, "decode"),
    ]  # fmt: skip
    assert all(cell.largest_difference == 0 and cell.first_divergent_token is None for cell in cells)
    assert all(map(within_tolerance, cells))


def test_the_first_other_token_is_told_by_its_position():
    cells = compare(Table(), Table(wrong={257: 1e3, 510: 1e3}), PROMPTS)
    assert [cell.first_divergent_token for cell in cells] == [None, None, 257, 257]
    assert cells[2].largest_difference == pytest.approx(1e3, rel=1e-3)


def test_a_stale_cache_shows_in_decoding_alone():
    cells = compare(Table(), Table(decode_wrong=0.1), PROMPTS)
    assert [within_tolerance(cell) for cell in cells] == [True, False, True, False]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_logit_that_is_no_number_is_never_within_tolerance(value):
    cells = compare(Table(), Table(wrong={3: value}), PROMPTS)
    assert not any(map(within_tolerance, cells))


def test_the_tolerance_is_a_share_of_the_largest_logit():
    (cell, *_) = compare(Table(), Table(wrong={3: 0.003 + 40 * TOLERANCE}), PROMPTS)
    assert cell.largest_logit > 41
    assert within_tolerance(cell)
    assert not within_tolerance(cell, TOLERANCE / 2)
