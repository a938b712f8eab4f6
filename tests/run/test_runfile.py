"""A run file is checked key by key, completed, and written back the same."""

from __future__ import annotations

import tomllib

import pytest

from ropewalk.errors import RunFileError, UnknownNameError
from ropewalk.run.flags import run_from_flags
from ropewalk.run.runfile import override, packaged_runs, parse_run, read_run

RUN = {
    "model": "builtin",
    "target_length": 2048,
    "method": {"name": "yarn", "beta_fast": 16.0},
    "train": {"steps": 10, "learning_rate": 1e-3},
}


def refused(values: dict) -> str:
    with pytest.raises(RunFileError) as caught:
        parse_run(values, where="run file runs/a.toml")
    return str(caught.value)


def test_a_run_survives_being_written_and_read():
    run = parse_run(RUN, where="")
    assert parse_run(tomllib.loads(run.to_toml()), where="") == run
    assert run.method.options == {"beta_fast": 16.0}


def test_an_unknown_key_is_refused_with_its_section_and_a_suggestion():
    message = refused({**RUN, "train": {"learning_rat": 1.0}})
    assert message.startswith(
        "run file runs/a.toml, [train]: unknown key 'learning_rat'; did you mean 'learning_rate'?"
    )
    assert "this section knows activation_checkpointing, attention, batch," in message


def test_an_unknown_key_at_the_top_is_refused():
    assert "unknown key 'modle'; did you mean 'model'? this section knows data, factor, method, model," in refused(
        {**RUN, "modle": 1}
    )


def test_a_missing_key_is_named():
    assert refused({"target_length": 2048}) == "run file runs/a.toml: the key 'model' must be given."


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("train", "steps", -1),
        ("train", "learning_rate", 0.0),
        ("train", "learning_rate", float("nan")),
        ("train", "schedule", "cosin"),
        ("data", "recall_share", 1.5),
        ("data", "window", 1),
    ],
)
def test_an_impossible_value_is_refused_with_section_key_and_value(section, key, value):
    message = refused({**RUN, section: {key: value}})
    assert f"[{section}]: {key} = {value!r} cannot be used" in message


def test_flags_lie_over_a_run_section_by_section_and_absent_flags_change_nothing():
    laid = override(RUN, {"target_length": None, "train": {"steps": 3, "seed": None}, "positions": {"name": None}})
    assert laid == {**RUN, "train": {"steps": 3, "learning_rate": 1e-3}}


def test_every_packaged_run_is_valid():
    assert "demo" in packaged_runs()
    for name in packaged_runs():
        parse_run({"model": "builtin", **read_run(name)}, where=name)  # a paper's recipe leaves the model to the user


def test_an_unknown_recipe_is_refused_with_a_suggestion():
    with pytest.raises(UnknownNameError, match="no recipe is called 'dmeo'; did you mean 'demo'"):
        read_run("dmeo")


def test_a_run_file_that_is_missing_or_not_toml_is_refused(tmp_path):
    with pytest.raises(RunFileError, match="cannot be read: No such file"):
        read_run(str(tmp_path / "absent.toml"))
    (tmp_path / "broken.toml").write_text("model = ")
    with pytest.raises(RunFileError, match="must be TOML: Invalid value"):
        read_run(str(tmp_path / "broken.toml"))


@pytest.mark.parametrize("line", ['method = "yarn"', 'data = ["texts/"]', "train = 60"])
def test_a_value_in_the_place_of_a_section_is_refused_before_flags_are_laid_over_it(line, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(f'model = "builtin"\n{line}\n')
    name = line.split()[0]
    with pytest.raises(RunFileError, match=rf"{name} is a section with .*got {name} = .*Write \[{name}\] and its"):
        run_from_flags({"data": {"files": ["builtin"]}, "train": {"trainable": "all"}}, str(path))
