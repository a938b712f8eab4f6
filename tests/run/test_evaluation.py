"""`evaluate` measures a checkpoint by name and by folder, on the built-in texts and on one's own; nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

import ropewalk
from ropewalk.errors import DataError, OptionError, OutputError, UnknownNameError
from ropewalk.evals.journal import FILE
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.evals.store import RESULT, SAMPLES
from ropewalk.result import EvaluationResult
from ropewalk.run.checkpoint import reference_of
from ropewalk.run.evaluation import evaluate, measure, weights_fingerprint

PLAN = EvaluationPlan(lengths=(256,), windows_per_document=1, tasks=("paired",))
SUITE = """
about = "Small, in many batches."
lengths = "ends"
tasks = ["truncate", "paired", "passkey", "key-value"]
[sizes]
windows_per_document = 2
depths = [0.5]
trials = 2
contexts = 2
keys = 3
batch_tokens = 200
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from ropewalk.evals.journal import Journal
from ropewalk.run.evaluation import evaluate


add = Journal.add
def add_and_die(self, batch, samples):
    add(self, batch, samples)
    if len(self._known) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
Journal.add = add_and_die
model, suite, text, output = sys.argv[1:]
evaluate(model, [144, 192], suite=suite, data=[text], output=Path(output))
"""


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "many.toml").write_text(SUITE)
    return str(tmp_path / "many.toml")


def without_clock(folder):
    return EvaluationResult.model_validate_json((folder / RESULT).read_text()).model_copy(update={"wall_seconds": 0.0})


def test_the_record_names_the_model_its_method_its_weights_and_its_data(tmp_path):
    folder = ropewalk.extend("builtin", "entropy-abf", 1024, output=tmp_path / "long")
    result, samples = measure(folder, PLAN)
    assert result.model.method == "entropy-abf, base 25000 (was 500), exempt layers 2"
    assert (result.model.trained_length, result.model.target_length) == (256, 1024)
    untouched, _ = measure("builtin", PLAN)
    assert untouched.model.method == "untouched"
    assert untouched.model.weights == result.model.weights
    assert untouched.data == result.data
    assert len(samples) == 21


def test_the_fingerprint_of_weights_sees_one_changed_byte(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    first = weights_fingerprint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"weightz")
    assert weights_fingerprint(tmp_path) != first


def test_an_earlier_result_is_refused_before_any_work_and_kept(tmp_path):
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(OutputError, match="an earlier result must not be lost"):
        evaluate("builtin", [256], output=tmp_path)
    assert (tmp_path / "result.json").read_text() == "{}"


def test_texts_of_ones_own_that_are_shorter_than_a_window_are_refused(tmp_path):
    (tmp_path / "short.txt").write_text("short")
    with pytest.raises(DataError, match="must hold one window of 512 tokens"):
        evaluate("builtin", [256, 512], data=[tmp_path / "short.txt"])


def test_an_empty_text_is_refused(tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(DataError, match=r"a text file must hold text; '.*empty.txt' is empty"):
        evaluate("builtin", [256], data=[tmp_path / "empty.txt"])


def test_an_evaluation_needs_lengths_or_a_suite():
    with pytest.raises(OptionError, match=r"got neither\. Add --lengths 256,512 or --suite smoke"):
        evaluate("builtin")


def test_a_suite_and_a_task_that_do_not_exist_are_refused():
    with pytest.raises(UnknownNameError, match="no suite is called 'standart'; did you mean 'standard'"):
        evaluate("builtin", suite="standart")
    with pytest.raises(UnknownNameError, match="no measurement is called 'passkeys'; did you mean"):
        evaluate("builtin", [256], tasks=["passkeys"])


def test_an_evaluation_killed_in_its_midst_goes_on_where_it_stopped(tmp_path, checkpoints, text_file, suite):
    model = checkpoints["qwen3"]
    expected, resumed = tmp_path / "expected", tmp_path / "resumed"
    evaluate(model, [144, 192], suite=suite, data=[text_file], output=expected)
    command = [sys.executable, "-c", KILLED, str(model), suite, str(text_file), str(resumed)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    partial = tmp_path / "resumed.partial"
    assert not resumed.exists()
    assert len((partial / FILE).read_text().splitlines()) == 6
    with (partial / FILE).open("a") as file:
        file.write('{"batch": "passkey/192/0.5/0", "samp')  # as if it had been killed while writing
    evaluate(model, [144, 192], suite=suite, data=[text_file], output=resumed)
    assert (resumed / SAMPLES).read_bytes() == (expected / SAMPLES).read_bytes()
    assert without_clock(resumed) == without_clock(expected)
    assert not partial.exists()


def test_unfinished_work_of_another_evaluation_is_refused_or_replaced_on_demand(tmp_path, checkpoints, text_file):
    model, output = checkpoints["qwen3"], tmp_path / "out"

    def run(seed, *, overwrite=False):
        return evaluate(
            model,
            [144],
            tasks=["passkey"],
            data=[text_file],
            output=output,
            seed=seed,
            overwrite=overwrite,
            progress=stop if seed == 0 else None,
        )

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(0)
    with pytest.raises(OutputError, match=r"differs from what is asked now in: plan\.seed\. Repeat .*--overwrite"):
        run(1)
    assert run(1, overwrite=True).seed == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out"]


def test_a_certificate_knows_which_model_the_checkpoint_was_made_from(tmp_path, checkpoints):
    folder = ropewalk.extend("builtin", "yarn", 512, output=tmp_path / "long")
    assert reference_of(folder, None) == "builtin"
    assert reference_of("builtin", None) == "builtin"
    with pytest.raises(OptionError, match=r"whose window is 256 tokens; '.*' was trained with 64.*--reference MODEL"):
        reference_of(folder, checkpoints["qwen3"])
    with pytest.raises(OptionError, match=r"here 'no/such/', which cannot be read: .*--no-certificate"):
        reference_of(folder, "no/such/")
    (folder / "ropewalk" / "run.toml").unlink()
    with pytest.raises(OptionError, match=r"does not say which one .* was made from\. Name it with --reference"):
        reference_of(folder, None)
