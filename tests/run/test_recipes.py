"""The packaged recipes hold the papers' numbers and run on any model."""

from __future__ import annotations

import pytest

from ropewalk.errors import RunFileError, UnknownNameError
from ropewalk.run.plan import resolve
from ropewalk.run.runfile import override, packaged_runs, parse_run, read_run

TRAINED = 256  # tokens: the built-in model's window

# Steps, batch, peak rate, warm-up, schedule, second beta, weight decay; factor; method and positions; window in trained
# windows: from the papers' texts and released code.
PAPERS = {
    "pi": (1000, 64, 2e-5, 20, "constant", 0.95, 0.0, 4, "linear", "contiguous", 4),
    "entropy-abf-100": (6, 32, 2e-5, 0, "cosine", 0.95, 0.1, 4, "entropy-abf", "contiguous", 4),
    "cream": (1000, 32, 2e-5, 10, "linear", 0.999, 0.0, 8, "linear", "cream", 1),
    "cream-chat": (100, 32, 2e-5, 0, "linear", 0.999, 0.0, 8, "linear", "cream", 1),
    "pose": (1000, 64, 2e-5, 10, "linear", 0.999, 0.0, 8, "linear", "pose", 1),
    "yarn-400": (400, 64, 2e-5, 20, "linear", 0.95, 0.0, 16, "yarn", "contiguous", 16),
    "longlora": (1000, 64, 2e-5, 20, "constant", 0.999, 0.0, 8, "linear", "contiguous", 8),
}


def resolved(name: str):
    return resolve(parse_run(override(read_run(name), {"model": "builtin"}), where=name))


@pytest.mark.parametrize("name", PAPERS)
def test_a_recipe_resolves_to_the_numbers_of_its_paper(name):
    plan = resolved(name)
    train = plan.run.train
    found = (
        train.steps,
        train.batch,
        train.learning_rate,
        train.warmup_steps,
        train.schedule,
        train.beta2,
        train.weight_decay,
        plan.target_length / TRAINED,
        plan.method.name,
        plan.sampler.name,
        plan.window / TRAINED,
    )
    assert found == PAPERS[name]
    assert train.beta1 == 0.9
    assert plan.run.data.files == ("builtin",)


def test_every_recipe_of_a_paper_is_in_the_table():
    ours = {name for name in packaged_runs() if name in ("demo", "control", "bridge") or name.startswith("reproduce-")}
    assert set(packaged_runs()) - ours == set(PAPERS)


def test_a_hundred_samples_are_six_whole_batches_of_conversations_with_windows_of_their_own():
    data = resolved("entropy-abf-100").run.data
    assert (data.examples, data.packing, data.drop_last, data.min_tokens) == (100, "none", True, 0)


def test_the_base_of_a_hundred_samples_is_fifty_times_the_models_own():
    plan = resolved("entropy-abf-100")
    assert plan.method.new_base(plan.config.rope) == 50 * plan.config.rope.base
    assert plan.method.exempt_layers == 2


def test_the_script_that_never_clips_is_followed():
    assert resolved("yarn-400").run.train.gradient_clip == 0.0


def test_adapters_of_rank_8_on_the_attention_with_embeddings_and_norms():
    train = resolved("longlora").run.train
    assert train.trainable == "lora"
    assert (train.lora.rank, train.lora.alpha, train.lora.dropout) == (8, 16.0, 0.0)
    assert train.lora.targets == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert train.lora.embeddings_and_norms


@pytest.mark.parametrize("name", PAPERS)
def test_a_recipe_names_no_model_so_that_the_command_must(name):
    values = read_run(name)
    assert "model" not in values
    assert "files" not in values.get("data", {})
    with pytest.raises(RunFileError, match=f"recipe '{name}': the key 'model' must be given"):
        parse_run(values, where=f"recipe '{name}'")


@pytest.mark.parametrize("name", PAPERS)
def test_a_recipe_says_whose_it_is_and_how_it_is_run(name):
    text = packaged_runs()[name]
    assert "arXiv:" in text
    assert f"ropewalk extend MODEL --recipe {name} --data" in " ".join(text.replace("\n#", "").split())


def test_an_unknown_recipe_is_refused_with_those_there_are():
    with pytest.raises(UnknownNameError) as caught:
        read_run("entropy-abf-10")
    assert "did you mean 'entropy-abf-100'?" in str(caught.value)
    assert f"Known: {', '.join(sorted(packaged_runs()))}." in str(caught.value)
