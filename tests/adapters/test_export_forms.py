"""Every form that claims to be exact gives the applied method's logits; every other one says what it loses."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import TARGET, TRAINED, reference_logits, tiny_config, tiny_model
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from ropewalk import methods
from ropewalk.adapters import extend_model
from ropewalk.adapters.carriers.folded import query_changes
from ropewalk.adapters.carriers.staircase import staircase, staircase_scale
from ropewalk.adapters.config import loaded_config
from ropewalk.adapters.export import ENGINES, choose, find_engine
from ropewalk.adapters.export.folder import exported_config
from ropewalk.adapters.export.form import Subject
from ropewalk.errors import CarrierError, UnknownNameError
from ropewalk.evals.parity import ModelRunner, compare, spread_prompts
from ropewalk.method import Method

TOLERANCE = 1e-4  # of logits, absolute, float32
PROMPTS = spread_prompts((TRAINED, TARGET), 64, tokens=8)


@dataclasses.dataclass(frozen=True)
class Still(Method):
    """No rotary embedding."""

    def frequencies(self, rope):
        return 0.0 * rope.frequencies


@dataclasses.dataclass(frozen=True)
class Wavy(Method):
    """A newcomer's constant scale and frequencies that no native type knows."""

    def frequencies(self, rope):
        return rope.frequencies / (2 + np.sin(np.arange(rope.pairs)))

    def attention_scale(self, rope, positions, layer):
        return np.full(np.shape(positions), 1.44)


def example(name, rope):
    made = {"still": Still, "wavy": Wavy}.get(name)
    return made() if made else methods.get(name).example(rope, TARGET)


def subject_of(model, method, target=TARGET):
    """What `read_subject` would find in the folder of the extended model."""
    return Subject(Path("extended"), loaded_config(model), method, target)


def exported(form, subject, state):
    """The model that plain transformers makes of a form and of the untouched weights."""
    raw = exported_config(form, subject)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[raw["model_type"]].from_dict(raw), dtype=torch.float32)
    shapes = {name: tuple(weight.shape) for name, weight in state.items()}
    changes = query_changes(shapes, subject.config, form.query_factor) if form.query_factor != 1 else {}
    model.load_state_dict({k: changes[k].apply(v.clone(), 0) if k in changes else v for k, v in state.items()})
    return model.eval()


def differences(form, subject, model, state):
    return compare(ModelRunner(model), ModelRunner(exported(form, subject, state)), PROMPTS)


@pytest.mark.parametrize("name", [*methods.names(), "still", "wavy"])
def test_every_exact_form_of_every_method_gives_the_applied_models_logits(name):
    model = tiny_model(num_hidden_layers=3 if name == "entropy-abf" else 1)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    method = example(name, loaded_config(model).rope)
    extend_model(model, method, TARGET)
    if name in ("still", "wavy"):  # not registered, so no config could name them
        model.config.ropewalk = None
        subject = subject_of(tiny_model(num_hidden_layers=1), method)
    else:
        subject = subject_of(model, method)
    exact = {}
    for engine in ENGINES.values():
        try:
            offered = [form for form in engine.forms(subject) if engine.complaint(form, subject) is None]
        except CarrierError:
            continue
        exact |= {repr((form.carrier, form.rope_parameters)): form for form in offered if form.loses is None}
    for form in exact.values():
        cells = differences(form, subject, model, state)
        assert [cell.length for cell in cells] == [TRAINED, TRAINED, TARGET, TARGET]
        assert {cell.phase for cell in cells} == {"prefill", "decode"}
        assert max(cell.largest_difference for cell in cells) <= TOLERANCE, form
    assert exact or method.scale_varies


def test_one_factor_off_by_a_percent_is_no_longer_the_applied_model():
    model = tiny_model(num_hidden_layers=2)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    extend_model(model, "yarn", TARGET)
    subject = subject_of(model, methods.get("yarn").for_target(loaded_config(model).rope, TARGET))
    form = choose(find_engine("vllm"), subject, carrier="longrope")
    for pair in range(subject.config.rope.pairs):
        parameters = dict(form.rope_parameters)
        for key in ("short_factor", "long_factor"):
            parameters[key] = [f * (1.01 if i == pair else 1) for i, f in enumerate(parameters[key])]
        wrong = dataclasses.replace(form, rope_parameters=parameters)
        for engine in ENGINES.values():
            assert f"turns pair {pair} by" in engine.complaint(wrong, subject)
        if pair in (0, 4):
            assert max(cell.largest_difference for cell in differences(wrong, subject, model, state)) > TOLERANCE


@pytest.mark.parametrize(
    "family", ["llama", "qwen2", "qwen3", "olmo2", "olmo3", "gpt_neox", "phi3", "phi", "stablelm", "gemma2", "seed_oss"]
)
def test_a_folded_scale_is_the_same_logits_in_every_layout(family):
    model = tiny_model(family, num_hidden_layers=4 if family == "olmo3" else 1)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    extend_model(model, methods.get("longrope").example(loaded_config(model).rope, TARGET), TARGET)
    subject = subject_of(model, methods.get("longrope").example(loaded_config(model).rope, TARGET))
    form = choose(find_engine("transformers"), subject, carrier="folded")
    assert form.factor == 1
    assert form.query_factor == pytest.approx(1 + math.log(8) / math.log(TRAINED))
    assert max(cell.largest_difference for cell in differences(form, subject, model, state)) <= TOLERANCE


def test_a_folded_scale_is_the_square_and_not_the_factor():
    """The bite: the factor on cos and sin itself, in the weights, is another model."""
    model = tiny_model(num_hidden_layers=2)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    method = methods.get("yarn")(factor=8.0)
    extend_model(model, method, TARGET)
    subject = subject_of(model, method)
    form = choose(find_engine("transformers"), subject, carrier="folded")
    wrong = dataclasses.replace(form, query_factor=math.sqrt(form.query_factor))
    assert max(cell.largest_difference for cell in differences(wrong, subject, model, state)) > 100 * TOLERANCE


def test_weights_that_make_queries_in_an_unknown_way_are_not_folded():
    config = loaded_config(tiny_model("olmo", clip_qkv=4.0))
    with pytest.raises(CarrierError, match=r"by one of q_norm, .* in layer 0 of this olmo queries are clipped"):
        query_changes({"model.layers.0.self_attn.q_proj.weight": (64, 64)}, config, 1.4)
    config = loaded_config(tiny_model())
    with pytest.raises(CarrierError, match=r"in layer 0 of this llama it has Wqkv"):
        query_changes({"model.layers.0.self_attn.Wqkv.weight": (64, 64)}, config, 1.4)
    with pytest.raises(
        CarrierError, match=r"'q_proj' must have one row for each dimension of its heads, 64; it has 48"
    ):
        query_changes({"model.layers.0.self_attn.q_proj.weight": (48, 64)}, config, 1.4)


def test_the_staircase_lies_near_entropy_abfs_curve_and_says_how_near():
    config = loaded_config(tiny_model(max_position_embeddings=4096))
    method = methods.get("entropy-abf").for_target(config.rope, 65_536)
    found = staircase(method, config, 65_536)
    assert found.beta == pytest.approx(1 / math.log(4096))
    everywhere = np.arange(65_536)
    apart = np.abs(staircase_scale(everywhere, found.beta, 4096) - method.attention_scale(config.rope, everywhere, 2))
    assert found.largest == pytest.approx(apart.max())  # ln 2 / ln 4096, at position 4096
    assert found.largest == pytest.approx(0.0833, abs=1e-4)
    assert found.mean == pytest.approx(apart.mean(), rel=0.05)
    assert found.exempt == (0, 1)
    assert found.loses == (
        f"the scale on logits differs by at most 0.0833, {found.mean:.2g} on average; "
        "layers 0, 1 are scaled, too, by up to 1.333"
    )


def test_the_stairs_are_what_the_exported_model_computes():
    model = tiny_model(num_hidden_layers=2)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    method = methods.get("entropy-abf")(exempt_layers=0)
    extend_model(model, method, TARGET)
    subject = subject_of(model, method)
    form = choose(find_engine("vllm"), subject, approximate=True)
    assert form.carrier == "staircase"
    assert "layers" not in form.loses
    written = exported(form, subject, state)
    assert type(written).__name__ == "Ministral3ForCausalLM"
    prompt = PROMPTS[1]

    def stairs(layer, positions):
        return 1 + np.log1p(np.floor(positions / TRAINED)) / math.log(TRAINED)

    plain = tiny_model(num_hidden_layers=2)
    wanted = reference_logits(
        plain,
        prompt.tokens[None],
        prompt.positions.numpy(),
        method.frequencies(subject.config.rope),
        query_scale=stairs,
    )
    assert np.abs(ModelRunner(written).prefill(prompt).numpy() - wanted).max() < 2 * TOLERANCE
    inside, _, beyond, _ = differences(form, subject, model, state)
    assert inside.largest_difference <= TOLERANCE  # the first stair is 1, as the method is
    assert 20 * TOLERANCE < beyond.largest_difference < 2


def test_a_scale_that_follows_the_stairs_itself_is_carried_exactly():
    @dataclasses.dataclass(frozen=True)
    class Stairs(Method):
        beta: float = 0.1
        scale_varies = True

        def attention_scale(self, rope, positions, layer):
            return 1 + self.beta * np.log1p(np.floor(np.asarray(positions) / rope.trained_length))

    subject = subject_of(tiny_model(), Stairs())
    form = choose(find_engine("vllm"), subject)
    assert (form.carrier, form.stairs, form.loses) == ("staircase", (0.1, TRAINED), None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"family": "qwen3"}, "this model is 'qwen3'"),
        ({"attention_bias": True}, "this model is 'llama' with attention_bias"),
        ({"family": "mistral", "sliding_window": 300}, "'mistral' with a sliding window of 300 tokens"),
    ],
)
def test_a_model_without_the_layout_of_ministral3_has_no_staircase(changes, words):
    model = tiny_model(changes.pop("family", "llama"), **changes)
    subject = subject_of(model, methods.get("entropy-abf").for_target(loaded_config(model).rope, TARGET))
    with pytest.raises(CarrierError, match=words):
        choose(find_engine("transformers"), subject, approximate=True)


def test_a_scale_of_another_law_is_no_staircase():
    class Square(Method):
        scale_varies = True

        def attention_scale(self, rope, positions, layer):
            return 1 + (np.asarray(positions) / rope.trained_length) ** 2

    with pytest.raises(CarrierError, match=r"that of '' differs from it by [\d.]+ on average. Use ropewalk.load"):
        staircase(Square(), loaded_config(tiny_model()), TARGET)


def test_an_approximation_is_written_only_when_it_is_asked_for():
    entropy = subject_of(tiny_model(), methods.get("entropy-abf")())
    with pytest.raises(CarrierError, match=r"nearest form is 'staircase': the scale on logits .* with --approximate"):
        choose(find_engine("transformers"), entropy)
    dynamic = subject_of(tiny_model(), methods.get("dynamic-ntk")())
    with pytest.raises(CarrierError, match=r"nearest form is 'frozen': .* inside the trained window up to 8 times too"):
        choose(find_engine("vllm"), dynamic)
    frozen = choose(find_engine("sglang"), dynamic, approximate=True)
    assert (frozen.carrier, frozen.kind) == ("frozen", "default")
    with pytest.raises(CarrierError, match=r"no form of 'entropy-abf' .* \('staircase': SGLang scales queries by"):
        choose(find_engine("sglang"), entropy, approximate=True)


def test_no_rotary_embedding_is_linear_where_tables_are_made_on_the_way_and_a_container_where_they_are_stored():
    subject = subject_of(tiny_model(), Still())
    assert choose(find_engine("transformers"), subject).rope_parameters["factor"] == 1e12
    assert choose(find_engine("vllm"), subject).kind == "longrope"


def test_layers_with_tables_of_their_own_are_not_promised_to_engines():
    subject = subject_of(tiny_model("olmo3"), methods.get("yarn")(factor=8.0))
    with pytest.raises(CarrierError, match=r"in ways that nobody has checked: rope_parameters"):
        choose(find_engine("vllm"), subject)


def test_an_unknown_engine_or_carrier_is_named():
    with pytest.raises(UnknownNameError, match=r"no engine is called 'vlm'; did you mean 'vllm'\?"):
        find_engine("vlm")
    subject = subject_of(tiny_model(), methods.get("linear")(factor=8.0))
    with pytest.raises(CarrierError, match=r"for this llama does in vllm \(there is none to try\)"):
        choose(find_engine("vllm"), subject, carrier="folded")


def test_phi3_tells_readers_of_the_top_level_the_same_window():
    config = tiny_config("phi3")
    assert config.original_max_position_embeddings == TRAINED
    subject = subject_of(tiny_model("phi3"), methods.get("yarn")(factor=8.0))
    form = choose(find_engine("sglang"), subject)
    assert exported_config(form, subject)["original_max_position_embeddings"] == TARGET
