"""The traps of live models that docs/doctor.md names: transformers falls into each, and ropewalk does not."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from tiny_models import TRAINED, VOCABULARY, tiny_config, tiny_model
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from ropewalk import methods
from ropewalk.adapters import extend_model
from ropewalk.adapters.doctor import NOT_VISIBLE
from ropewalk.evals.static_rope import depends_on_length, settle
from ropewalk.rope import Rope

LINEAR = {"rope_type": "linear", "factor": 8.0, "rope_theta": 10000.0}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}


def extended(name):
    """A tiny model that a method of ropewalk was applied to."""
    model, rope = tiny_model(), Rope(head_dim=16, base=10000.0, trained_length=TRAINED)
    extend_model(model, methods.get(name).for_target(rope, 8 * TRAINED), 8 * TRAINED)
    return model


def logits(model, tokens, **options):
    with torch.no_grad():
        return model(tokens, **options).logits


def tokens(length, seed=0):
    return torch.randint(0, VOCABULARY, (1, length), generator=torch.Generator().manual_seed(seed))


def of_trap(words):
    """What the page says of a trap; a renamed one breaks its test."""
    return next(text for trap, text in NOT_VISIBLE.items() if words in trap)


def test_a_config_that_changes_after_loading_changes_nothing_and_extend_does():
    model, text = tiny_model(), tokens(TRAINED)
    before = logits(model, text)
    model.config.rope_parameters = LINEAR
    assert torch.equal(logits(model, text), before)
    assert "nothing" in of_trap("Changing model.config")
    assert (logits(extended("linear"), text) - before).abs().max() > 1e-2


def test_rope_scaling_on_a_loaded_config_loses_the_base():
    config = tiny_config()
    with pytest.warns(FutureWarning, match="rope_scaling"):
        config.rope_scaling = {"rope_type": "linear", "factor": 8.0}
    assert config.rope_parameters.get("rope_theta") is None
    with pytest.raises((TypeError, KeyError)):
        AutoModelForCausalLM.from_config(config)
    assert "loses the base" in of_trap("config.rope_scaling")
    assert extended("linear").config.rope_parameters["rope_theta"] == 10000.0


def test_rope_theta_on_a_loaded_config_is_ignored():
    config = tiny_config()
    config.rope_theta = 5e5
    plain = AutoModelForCausalLM.from_config(tiny_config()).model.rotary_emb.inv_freq
    assert torch.equal(AutoModelForCausalLM.from_config(config).model.rotary_emb.inv_freq, plain)
    assert "ignored" in of_trap("config.rope_theta")
    assert extended("abf").config.rope_parameters["rope_theta"] > 10000.0


def test_dynamic_remembers_the_longest_text_and_a_measurement_does_not():
    text, longer = tokens(TRAINED + 36), tokens(TRAINED + 96, 1)
    model = tiny_model(rope_parameters=DYNAMIC)
    first = logits(model, text)
    logits(model, longer)
    assert (logits(model, text) - first).abs().max() > 1e-3
    assert "order of evaluation" in of_trap("a short text after a long one")
    settle(model, text)
    assert torch.equal(logits(model, text), first)


@pytest.mark.parametrize(
    ("parameters", "agrees"),
    [
        (DYNAMIC, False),
        ({"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [8.0] * 8, "factor": 8.0,
          "original_max_position_embeddings": TRAINED, "rope_theta": 10000.0}, False),
        ({"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": TRAINED, "rope_theta": 10000.0},
         True),
    ],
    ids=["dynamic", "longrope", "yarn"],
)  # fmt: skip
def test_a_cache_across_the_window_is_wrong_where_frequencies_depend_on_the_length(parameters, agrees):
    # Dynamic takes the declared window for the trained one; the others declare the new one.
    window = TRAINED if parameters is DYNAMIC else 8 * TRAINED
    model = tiny_model(rope_parameters=parameters, max_position_embeddings=window)
    text = tokens(TRAINED + 32)
    whole = logits(copy.deepcopy(model), text)[:, -1]
    with torch.no_grad():
        cache = model(text[:, : TRAINED - 8], use_cache=True).past_key_values
        for place in range(TRAINED - 8, text.shape[1]):
            step = model(text[:, place : place + 1], past_key_values=cache, use_cache=True)
    difference = (step.logits[:, -1] - whole).abs().max()
    assert (difference < 1e-4) == agrees, difference
    assert depends_on_length(model, text.shape[1]) != agrees  # such a model is not measured by shared caches
    assert "full forward" in of_trap("with a cache across the window")


def test_a_rope_type_registered_by_code_loads_nowhere_else_and_extend_registers_none(tmp_path, monkeypatch):
    monkeypatch.setitem(ROPE_INIT_FUNCTIONS, "mine", ROPE_INIT_FUNCTIONS["linear"])
    tiny_model(rope_parameters=LINEAR | {"rope_type": "mine"}).save_pretrained(tmp_path / "mine")
    AutoModelForCausalLM.from_pretrained(tmp_path / "mine")
    program = f"from transformers import AutoModelForCausalLM as M; M.from_pretrained({str(tmp_path / 'mine')!r})"
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "KeyError: 'mine'" in ended.stderr
    assert "no other" in of_trap("registered by code")
    known = set(ROPE_INIT_FUNCTIONS)
    extended("entropy-abf")
    assert set(ROPE_INIT_FUNCTIONS) == known


def test_skip_positions_without_a_mask_become_block_diagonal():
    model, text = tiny_model(), tokens(32)
    positions = torch.cat([torch.arange(16), torch.arange(100, 116)])[None]
    changed = text.clone()
    changed[0, 0] = (changed[0, 0] + 1) % VOCABULARY
    # Such a call is taken for packed documents only where it fills no cache, as in training.
    options = {"position_ids": positions, "use_cache": False}
    without = [logits(model, one, **options)[0, -1] for one in (text, changed)]
    mask = torch.ones_like(text)
    with_mask = [logits(model, one, **options, attention_mask=mask)[0, -1] for one in (text, changed)]
    assert torch.equal(*without)  # the last token does not see the first one
    assert not torch.equal(*with_mask)
    assert "block-diagonal" in of_trap("Skip positions")


def test_an_override_while_loading_loses_the_base_too(tmp_path):
    tiny_model().save_pretrained(tmp_path / "m")
    with pytest.warns(FutureWarning, match="rope_scaling"):
        config = AutoConfig.from_pretrained(tmp_path / "m", rope_scaling={"rope_type": "linear", "factor": 8.0})
    with pytest.raises((TypeError, KeyError)):
        AutoModelForCausalLM.from_pretrained(tmp_path / "m", config=config)
