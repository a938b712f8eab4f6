"""What methods refuse, in words that say what to do next."""

import re

import pytest

from ropewalk import methods
from ropewalk.errors import OptionError, UnknownNameError
from ropewalk.rope import Rope

LLAMA = Rope(head_dim=128, base=10_000.0, trained_length=4096)

REFUSED = [
    ("linear", {"factor": 0.5}, "factor must be a finite number of at least 1 (1 keeps the trained window); got 0.5"),
    ("linear", {"factor": True}, "factor must be a finite number of at least 1"),
    ("yarn", {"ramp": "bent"}, "ramp must be one of index, turns, revised; got 'bent'."),
    ("yarn", {"beta_fast": 0}, "beta_fast must be a finite number above 0, because it counts turns inside the"),
    ("yarn", {"beta_slow": "1"}, "beta_slow must be a finite number above 0"),
    ("ntk-by-parts", {"beta_fast": 1, "beta_slow": 32}, "beta_fast must be above beta_slow, because fast pairs turn"),
    ("yarn", {"attention_factor": -1.0}, "attention_factor must be a finite number above 0, because logits are"),
    ("dynamic-ntk", {"alpha": 0.5}, "alpha must be a finite number of at least 1, because below 1 the base would"),
    ("abf", {"base": 5_000}, "base must be above the model's own base of 10000, because a smaller one makes pairs"),
    ("abf", {"base": 10_000}, "got 10000. The default is 50 x 10000 = 500000."),
    ("abf", {"base": float("nan")}, "base must be a finite number above 0, because frequencies are powers of it"),
    ("entropy-abf", {"base": 10_000}, "base must be above the model's own base of 10000"),
    ("entropy-abf", {"exempt_layers": -1}, "exempt_layers must be a whole number of at least 0, because it counts"),
    ("entropy-abf", {"exempt_layers": 1.5}, "The paper's rule is 2, its released code behaves like 0."),
    ("llama3", {"low_freq_factor": 4, "high_freq_factor": 1}, "high_freq_factor must be above low_freq_factor"),
    ("llama3", {"low_freq_factor": 0}, "low_freq_factor must be a finite number above 0"),
    ("longrope", {}, "longrope needs one of factors for each of the 64 pairs, because they are found by a search"),
    ("longrope", {"factors": [0.0]}, "every one of factors must be a finite number above 0"),
    ("longrope", {"factors": [1.0], "attention_factor": 0}, "attention_factor must be a finite number above 0"),
    ("longrope2", {"critical_pair": 0}, "critical_pair must be a whole number of at least 1, because the fastest"),
    ("longrope2", {"critical_pair": 64}, "critical_pair must be below the 64 pairs of a head, because pairs count"),
    ("cope", {"clipped_pairs": -1}, "clipped_pairs must be a whole number of at least 0, because it counts the slow"),
    ("cope", {"clipped_pairs": 65}, "clipped_pairs must be at most the 64 pairs of a head, because no more can be"),
    ("hard-clip", {"clipped_pairs": 2.5}, "got 2.5. The released code clips 20 of 64."),
    ("hard-clip", {"clipped_pairs": 65}, "got 65. The default is 5 / 16 of them, 20."),
    ("p-rope", {"kept_fraction": 0}, "kept_fraction must be a number above 0 and at most 1, because it is the share"),
    ("drope", {"logit_scale": 0}, "logit_scale must be a finite number above 0, because logits are multiplied by it"),
    ("giraffe", {"basis": "bent"}, "basis must be one of truncated, power; got 'bent'."),
    ("giraffe", {"cutoff_length": 0}, "cutoff_length must be a finite number above 0, because it is a number of"),
    ("giraffe", {"power": -1}, "power must be a finite number of at least 0, because below 0 pairs would turn"),
    ("resonance", {"over": "drope"}, "resonance must be laid over a method under which every pair turns, because"),
    ("staircase", {"beta": 0}, "beta must be a finite number above 0, because the scale is to grow"),
    ("staircase", {"step_length": 0}, "step_length must be a finite number above 0, because it is a number of tokens"),
    ("staircase", {"offset": 2}, "offset must be 0 (Ministral 3, positions from 0) or 1 (Llama 4, positions from 1)"),
    ("ssmax", {"strength": 0}, "strength must be a finite number above 0, because the logarithm of the number"),
    ("cope", {"over": "entropy-abf"}, "over must name a method with fixed frequencies, one attention scale and no"),
    ("cope", {"over": "dynamic-ntk"}, "because 'cope' is laid over it; got 'dynamic-ntk'. Use none, linear, ntk,"),
    ("cope", {"over": "pose"}, "got 'pose'. Use none, linear, ntk, ntk-by-parts, yarn, abf or llama3."),
    ("cope", {"over": "hard-clip"}, "over must name a method with fixed frequencies"),
    ("cope", {"over": "longrope"}, "longrope needs one of factors for each of the 64 pairs"),
]


@pytest.mark.parametrize(("name", "options", "words"), REFUSED)
def test_an_option_that_cannot_be_is_refused_with_the_reason(name, options, words):
    with pytest.raises(OptionError, match=re.escape(words)):
        methods.get(name).for_target(LLAMA, 32_768, options)


def test_ntk_refuses_a_head_of_one_pair():
    rope = Rope(head_dim=2, base=10_000.0, trained_length=64)
    for name in ("ntk", "dynamic-ntk"):
        method = methods.get(name).for_target(LLAMA, 32_768).at(128)
        with pytest.raises(OptionError, match=r"NTK-aware scaling needs head_dim of at least 4.*got 2\. Use linear"):
            method.frequencies(rope)


def test_a_misspelt_option_or_method_is_answered_with_the_nearest():
    with pytest.raises(
        UnknownNameError, match="option of method 'yarn' is called 'beta_fats'; did you mean 'beta_fast'"
    ):
        methods.get("yarn").for_target(LLAMA, 32_768, {"beta_fats": 1})
    with pytest.raises(UnknownNameError, match=r"no method is called 'yarnn'; did you mean 'yarn'"):
        methods.get("cope").for_target(LLAMA, 32_768, {"over": "yarnn"})
    with pytest.raises(UnknownNameError, match=r"no method is called 'yarm'; did you mean 'yarn'.*Known: abf, cope"):
        methods.get("yarm")


def test_a_target_below_the_window_is_refused():
    with pytest.raises(OptionError, match="factor must be a finite number of at least 1"):
        methods.get("yarn").for_target(LLAMA, 2048)


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("none", "none"),
        ("yarn", "yarn, factor 8"),
        ("abf", "abf, base 500000 (was 10000)"),
        ("entropy-abf", "entropy-abf, base 500000 (was 10000), exempt layers 2"),
        ("dynamic-ntk", "dynamic-ntk"),
    ],
)
def test_a_method_describes_itself_in_one_phrase(name, phrase):
    assert methods.get(name).for_target(LLAMA, 32_768).describe(LLAMA) == phrase


def test_a_given_option_is_part_of_the_phrase():
    method = methods.get("yarn").for_target(LLAMA, 32_768, {"ramp": "turns"})
    assert method.describe(LLAMA) == "yarn, factor 8, ramp turns"
    assert (
        methods.get("dynamic").for_target(LLAMA, 8192).at(8192).describe(LLAMA) == "dynamic-ntk, alpha 1, length 8192"
    )
