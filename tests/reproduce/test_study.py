"""A whole small study: cells are made once, whatever happens in between, and end in a result, a figure and a page."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from studies import LENGTHS, RECALL, TEXT, losses, small_cell, small_study, untouched_cell

from ropewalk.adapters import resolve_source
from ropewalk.cells.measuring import measure_cell, settled_precision
from ropewalk.errors import InterruptedRunError, OutputError
from ropewalk.evals.store import read_evaluation
from ropewalk.report.reproduction import reproduction_page
from ropewalk.reproduce.search import Search
from ropewalk.reproduce.study import run_study
from ropewalk.result import Reproduction
from ropewalk.run.extension import Silent

HERE = Path(__file__).parent


class Heard(Silent):
    """Remembers the stages and counts the training steps."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.steps = 0

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def step(self, *_: object, **__: object) -> None:
        self.steps += 1


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "pi"
    heard = Heard()
    return folder, run_study(small_study(), folder, heard), heard


def test_it_leaves_a_result_a_figure_a_page_and_the_cells_without_their_weights(done):
    folder, result, _ = done
    assert {path.name for path in folder.iterdir()} == {
        "result.json",
        "figure.png",
        "page.md",
        "cells",
        "locks",
        "precision",
    }
    assert {path.name for path in (folder / "cells").iterdir()} == {"untouched", "linear-seed-0", "none-seed-0"}
    cell = folder / "cells" / "linear-seed-0"
    assert {path.name for path in cell.iterdir()} == {"cell.json", "conditions.json", "text", "recall"}
    assert len(read_evaluation(cell / "text")[1]) == 5 * len(LENGTHS)
    assert Reproduction.model_validate_json((folder / "result.json").read_text()) == result
    assert (folder / "page.md").read_text() == reproduction_page(result)
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_every_claim_has_a_verdict_and_only_the_absent_cell_leaves_one_open(done):
    _, result, _ = done
    states = {verdict.claim: verdict.state for verdict in result.verdicts}
    assert states["scale"] == "cannot be judged at this scale"
    assert states["absent"] == "not measured"
    assert states["text"] in ("holds", "does not hold", "undecided")
    effect = result.verdicts[0].effect
    assert (effect.seeds, len(effect.documents)) == ((0,), 5)


def test_the_effect_is_the_difference_of_the_cells_own_samples(done):
    folder, result, _ = done
    means = {}
    for name in ("linear", "none"):
        _, samples = read_evaluation(folder / "cells" / f"{name}-seed-0" / "text")
        values = [sample.value for sample in samples if sample.length == 256]
        means[name] = sum(values) / len(values)
    assert result.verdicts[0].effect.value == pytest.approx(means["none"] - means["linear"])
    assert result.find("none", "text", "paired_nll", 256).estimate.value == pytest.approx(means["none"])


def test_cells_take_the_rate_of_their_search_and_say_how_they_were_made(done):
    _, result, _ = done
    untouched, linear, none = result.cells
    assert (untouched.run, untouched.seed, untouched.steps, untouched.method) == (None, None, 0, "untouched")
    assert linear.run["train"]["learning_rate"] == 1e-4
    assert none.run["train"]["learning_rate"] == 2e-4
    assert (linear.steps, linear.tokens, linear.method) == (1, 512, "linear, factor 2")


def test_people_hear_of_each_cell_and_of_the_time_left(done):
    _, _, heard = done
    lines = [stage for stage in heard.stages if stage.startswith("cell ")]
    assert lines[0] == "cell 1 of 3: untouched"
    assert lines[1].startswith("cell 1 of 3: untouched: ")
    assert lines[1].endswith("min left")
    assert lines[-1].startswith("cell 3 of 3: none-seed-0: ")
    assert lines[-1].endswith(" s")


def test_a_cell_that_is_done_is_never_made_again(done):
    folder, result, _ = done
    again = Heard()
    assert run_study(small_study(), folder, again) == result
    assert again.steps == 0
    assert "cell 2 of 3: linear-seed-0: measured before" in again.stages


def test_a_study_that_grows_makes_only_what_is_new(done):
    folder, result, _ = done
    grown = small_study(
        untouched_cell(), small_cell(), small_cell("none"), small_cell(seed=1), small_cell("none", seed=1)
    )
    heard = Heard()
    more = run_study(grown, folder, heard)
    assert heard.steps == 2
    assert more.cells[:3] == result.cells
    assert more.verdicts[0].effect.seeds == (0, 1)


def test_a_cell_that_gets_another_exam_is_measured_by_that_alone(tmp_path):
    cell = dataclasses.replace(small_cell().at_rate(1e-4), exams=(TEXT,))
    first = measure_cell(cell, tmp_path, Silent(), keep_model=True)
    heard = Heard()
    more = dataclasses.replace(cell, exams=(TEXT, RECALL))
    second = measure_cell(more, tmp_path, heard)
    assert heard.steps == 0, "the model was kept"
    assert (second.samples["text"], second.fresh) == (first.samples["text"], True)
    assert second.record.wall_seconds > first.record.wall_seconds
    assert measure_cell(cell, tmp_path, heard).record.losses == first.record.losses, "fewer exams may be asked later"
    other = dataclasses.replace(RECALL, plan=dataclasses.replace(RECALL.plan, contexts=3))
    with pytest.raises(OutputError, match=r"differs from what is asked now in: exams.recall.plan.contexts\. Remove"):
        measure_cell(dataclasses.replace(cell, exams=(other,)), tmp_path, Silent())


def test_a_cell_whose_model_was_not_kept_is_trained_again_for_another_exam(tmp_path):
    cell = dataclasses.replace(small_cell().at_rate(1e-4), exams=(RECALL,))
    first = measure_cell(cell, tmp_path, Silent())
    heard = Heard()
    second = measure_cell(dataclasses.replace(cell, exams=(RECALL, TEXT)), tmp_path, heard)
    assert (heard.steps, second.record.losses) == (1, first.record.losses)


def test_conditions_that_cannot_be_read_are_refused(tmp_path):
    place = tmp_path / "cells" / "untouched"
    place.mkdir(parents=True)
    (place / "conditions.json").write_text("half a fi")
    with pytest.raises(OutputError, match=r"differs from what is asked now in: conditions\.json\. Remove that folder"):
        measure_cell(untouched_cell(), tmp_path, Silent())


def test_a_study_can_be_judged_by_what_is_done_so_far(tmp_path):
    half = dataclasses.replace(small_cell(), exams=(TEXT,))
    run_study(small_study(untouched_cell(), half), tmp_path, Silent())
    heard = Heard()
    result = run_study(small_study(), tmp_path, heard, so_far=True)
    assert heard.steps == 0
    assert {cell.name for cell in result.cells} == {"untouched", "linear"}
    assert result.cells_left == 1
    assert "so far 2 of 3 cells" in (tmp_path / "page.md").read_text()
    states = {verdict.claim: verdict.state for verdict in result.verdicts}
    assert states["text"] == "not measured"
    assert result.find("linear", "text", "paired_nll", 256) is not None
    assert result.find("linear", "recall", "key_value", 256) is None, "an exam that is not measured yet"
    assert (tmp_path / "page.md").is_file()


def test_a_cell_under_other_conditions_is_refused_with_what_differs(done):
    folder, _, _ = done
    other = small_cell(steps=2)
    with pytest.raises(
        OutputError, match=r"linear-seed-0' differs from what is asked now in: run.train.steps\. Remove"
    ):
        measure_cell(other.at_rate(1e-4), folder, Silent())


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "cells").write_text("a file")
    with pytest.raises(OutputError, match="a study keeps its cells in a folder"):
        measure_cell(untouched_cell(), tmp_path, Silent())


def test_a_record_that_was_spoilt_is_refused(tmp_path, done):
    folder, _, _ = done
    place = tmp_path / "cells" / "untouched"
    place.mkdir(parents=True)
    (place / "conditions.json").write_text((folder / "cells" / "untouched" / "conditions.json").read_text())
    (place / "cell.json").write_text("{}")
    with pytest.raises(OutputError, match=r"a finished cell must hold cell\.json as this version"):
        measure_cell(untouched_cell(), tmp_path, Silent())


def test_no_record_names_a_place_of_this_machine(done):
    folder, _, _ = done
    assert str(folder.parent) not in (folder / "result.json").read_text()


def test_a_search_takes_the_rate_with_the_smallest_validation_loss(tmp_path):
    search = Search("linear", dataclasses.replace(small_cell(), exams=()), 256, rates=(1e-5, 1e-2))
    study = small_study(small_cell(), searches=(search,), claims=(), panels=small_study().panels[:1])
    result = run_study(study, tmp_path, Silent())
    (record,) = result.rates
    assert [cell.run["train"]["learning_rate"] for cell in result.cells[:2]] == [1e-5, 1e-2]
    assert record.values[0] != record.values[1]
    assert record.chosen == record.rates[record.values.index(min(record.values))]
    assert result.cells[-1].run["train"]["learning_rate"] == record.chosen
    assert [cell.name for cell in result.cells] == ["search-linear-1e-05", "search-linear-0.01", "linear"]
    assert result.data.keys() == {"validation", "text", "recall"}


def test_a_rate_that_diverged_or_failed_is_no_candidate():
    search = Search("linear", small_cell(), 256, rates=(1e-4, 1e-3, 1e-2))
    samples = {
        f"search-linear-{rate:g}": {0: {"validation": losses(row)}}
        for rate, row in ((1e-4, [3.0, 3.2]), (1e-2, [2.0, None]))
    }
    record = search.choose(samples)
    assert (record.rates, record.values, record.chosen) == ((1e-4,), (pytest.approx(3.1),), 1e-4)
    assert search.choose({}) is None


def test_a_training_that_diverges_is_left_out_and_named(tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(resolve_source("builtin"), broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.embed_tokens.weight"][:200] = 1e20  # so large that the norm of the gradients is no number
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    cell = dataclasses.replace(small_cell(model=str(broken)), model=str(broken))
    heard = Heard()
    study = small_study(untouched_cell(), cell)
    result = run_study(study, tmp_path / "study", heard)
    assert [record.name for record in result.cells] == ["untouched"]
    assert result.notes[-1] == "Diverged, and left out: linear-seed-0."
    assert any(line.startswith("linear-seed-0 diverged and is left out: losses and gradients") for line in heard.stages)


class Interrupts(Silent):
    """Presses Ctrl-C at the second step."""

    def step(self, step: int, *_: object, **__: object) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_keeps_everything_and_says_that_the_same_command_goes_on(tmp_path):
    study = small_study(small_cell(steps=4), claims=(), panels=small_study().panels[:1])
    with pytest.raises(InterruptedRunError, match="the model of 'linear-seed-0' was trained; everything done so far"):
        run_study(study, tmp_path, Interrupts())
    heard = Heard()
    assert run_study(study, tmp_path, heard).cells[0].steps == 4
    assert 0 < heard.steps < 4


def test_all_cells_of_a_study_are_trained_in_the_precision_of_the_first(tmp_path):
    place = tmp_path / "cells" / "earlier"
    place.mkdir(parents=True)
    (place / "conditions.json").write_text(json.dumps({"run": {"train": {"precision": "bfloat16"}}}))
    assert settled_precision(tmp_path) == "bfloat16"
    assert settled_precision(tmp_path / "new") in ("float32", "bfloat16")
    untouched = untouched_cell()
    assert untouched.in_precision("bfloat16") == untouched
    assert small_cell().in_precision("bfloat16").run.train.precision == "float32", "named by the run"


def test_a_study_killed_again_and_again_or_shared_ends_with_the_same_numbers(tmp_path):
    outcome = subprocess.run(
        [sys.executable, HERE / "killed_studies.py", tmp_path, "3"], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    assert int(outcome.stdout.splitlines()[-1]) >= 2, "kills that met the study at work"
    whole, killed, shared = (
        json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "killed", "shared")
    )
    for other in (killed, shared):
        assert [cell["losses"] for cell in other["cells"]] == [cell["losses"] for cell in whole["cells"]]
        assert other["readings"] == whole["readings"]
        assert other["verdicts"] == whole["verdicts"]
    said = [file.read_text() for file in tmp_path.glob("shared-*.said")]
    assert len(said) == 2
    made = [line for text in said for line in text.splitlines() if re.search(r": \d+ s", line)]
    assert sorted(re.findall(r": ([a-z]+-seed-0): ", "\n".join(made))) == ["linear-seed-0", "none-seed-0"]
    assert all(re.search(r": \d+ s", text) for text in said), "each process made one"
