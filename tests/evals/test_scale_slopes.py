"""Loss under other slopes of the logit scale, against models that were extended with that very scale."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from evals_models import SIZES, build_model
from transformers import LlamaConfig

from ropewalk.adapters import attention, extend_model
from ropewalk.adapters.config import loaded_config
from ropewalk.errors import OptionError
from ropewalk.evals.nll import paired_nll
from ropewalk.evals.scale_slopes import LayerSlopes, losses_by_slope, own_slopes
from ropewalk.methods.abf import Abf
from ropewalk.methods.entropy_abf import EntropyAbf
from ropewalk.rope import Rope

TRAINED, LENGTH, SCORED = 48, 160, 24
BASE = 500.0
CONFIG = LlamaConfig(
    **{**SIZES, "hidden_size": 64, "num_hidden_layers": 4, "max_position_embeddings": TRAINED, "vocab_size": 97}
)
ROPE = Rope(head_dim=16, base=1e4, trained_length=TRAINED)
WINDOWS = list(np.random.default_rng(3).integers(1, 97, size=(2, LENGTH)))


def extended(exempt: int | None):
    """The same weights, under Entropy-ABF with so many exempt layers, or under ABF of the same base."""
    model = build_model(copy.deepcopy(CONFIG), spread=0.2)
    base = 50 * loaded_config(model).rope.base
    method = EntropyAbf(base=base, exempt_layers=exempt) if exempt is not None else Abf(base=base)
    extend_model(model, method, LENGTH)
    return model


def losses(model, length: int = LENGTH) -> np.ndarray:
    return paired_nll(model, np.stack(WINDOWS), length, scored=SCORED).mean(axis=1)


def at_slopes(model, *slopes: float, length: int = LENGTH) -> np.ndarray:
    return losses_by_slope(model, WINDOWS, {"these": slopes}, length=length, scored=SCORED)["these"]


def plain_scale(slope: float, position: int) -> float:
    """1 + a (max(ln n / ln L, 1) - 1) with n = position + 1, as a person would work it out."""
    return 1 + slope * (max(math.log(position + 1) / math.log(TRAINED), 1.0) - 1)


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0, 2.0])
def test_a_slope_stretches_what_the_scale_adds_to_one(slope):
    positions = [0, TRAINED - 1, TRAINED, LENGTH - 1]
    got = LayerSlopes(slopes=(9.0, slope)).attention_scale(ROPE, np.array(positions), layer=1)
    np.testing.assert_allclose(got, [plain_scale(slope, position) for position in positions], rtol=1e-14)


@pytest.mark.parametrize(("slopes", "exempt"), [((1, 1, 1, 1), 0), ((0, 1, 1, 1), 1), ((0, 0, 1, 1), 2)])
def test_slope_one_put_into_abf_is_entropy_abf(slopes, exempt):
    abf, scaled = extended(None), extended(exempt)
    np.testing.assert_allclose(at_slopes(abf, *slopes), losses(scaled), atol=1e-6)
    assert np.abs(losses(abf) - losses(scaled)).max() > 1e-3, "the test would see a scale that does nothing"
    assert np.abs(at_slopes(abf, 1, 1, 0, 0) - losses(extended(2))).max() > 1e-3, "and one in the wrong layers"


def test_slope_zero_takes_the_scale_of_entropy_abf_away():
    np.testing.assert_allclose(at_slopes(extended(2), 0, 0, 0, 0), losses(extended(None)), atol=1e-6)


def test_inside_the_trained_window_no_slope_changes_anything():
    model = extended(2)
    assert (at_slopes(model, 2, 2, 2, 2, length=TRAINED) == losses(model, TRAINED)).all()


@pytest.mark.parametrize("exempt", [None, 2])
def test_a_model_is_afterwards_as_it_was_before_even_where_the_block_fails(exempt):
    model = extended(exempt)
    before, own = losses(model), attention.attached(model)
    at_slopes(model, 2, 2, 2, 2)
    with (
        pytest.raises(ZeroDivisionError),
        attention.replaced_scale(model, LayerSlopes(slopes=(2.0,) * 4), loaded_config(model), LENGTH),
    ):
        raise ZeroDivisionError
    assert attention.attached(model) is own
    assert (losses(model) == before).all()


def test_a_models_own_slopes_are_those_of_its_method():
    assert own_slopes(extended(None)) == (0, 0, 0, 0)
    assert own_slopes(extended(2)) == (0, 0, 1, 1)


def test_another_scale_and_a_wrong_number_of_slopes_are_refused():
    model = extended(None)
    other = attention.replaced_scale(model, LayerSlopes(slopes=(1.0,) * 4), loaded_config(model), LENGTH)
    with other, pytest.raises(OptionError, match=r"slopes are counted in Entropy-ABF's scale, so a model must have"):
        own_slopes(model)
    with pytest.raises(OptionError, match=r"every one of the 4 layers needs a slope; 'these' has 3\. Name one"):
        at_slopes(model, 1, 1, 1)
