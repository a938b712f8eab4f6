"""The journal: what was measured is kept whatever happens, and nothing else is ever taken for it."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
import torch
from evals_models import character_tokenizer, prose, tiny_llama

from ropewalk.errors import DataError, OutputError
from ropewalk.evals.journal import FILE, Journal
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.evals.suite import evaluate_model
from ropewalk.result import SampleResult

CONDITIONS = {"plan": {"lengths": (300, 600), "seed": 0, "limit": None}, "data": "0123"}
SAMPLES = tuple(SampleResult(measure="m", sample=str(i), cluster="c", length=8, value=0.1 * i) for i in range(3))
FAILED = SampleResult(measure="m", sample="x", cluster="c", length=8, status="failed", detail="not finite")
PLAN = EvaluationPlan(
    lengths=(300, 600),
    scored=64,
    windows_per_document=2,
    repeats_per_document=1,
    streams=2,
    depths=(0.0, 1.0),
    trials=1,
    contexts=2,
    keys=4,
    batch_tokens=1200,
)
DOCUMENTS = {f"document {i}": prose(i, 200) for i in range(3)}


def keep(folder, *batches):
    with Journal(folder, CONDITIONS) as journal:
        for name, samples in batches:
            journal.add(name, samples)


def test_what_is_kept_is_found_again_to_the_last_digit(tmp_path):
    keep(tmp_path / "new.partial", ("first", SAMPLES), ("second", (FAILED,)))
    with Journal(tmp_path / "new.partial", CONDITIONS) as journal:
        assert journal.find("first") == SAMPLES
        assert journal.find("second") == (FAILED,)
        assert journal.find("third") is None
        assert journal.samples == 4


def test_each_batch_is_on_disk_before_the_next_is_measured(tmp_path):
    with Journal(tmp_path, CONDITIONS) as journal:
        for number in range(3):
            journal.add(str(number), SAMPLES)
            assert len((tmp_path / FILE).read_text().splitlines()) == number + 2


@pytest.mark.parametrize("cut", [1, 2, 60])
def test_a_last_line_cut_in_half_is_dropped_and_the_rest_goes_on(tmp_path, cut):
    keep(tmp_path, ("first", SAMPLES), ("second", SAMPLES))
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:-cut])
    keep(tmp_path, ("second", SAMPLES))
    assert (tmp_path / FILE).read_bytes() == whole


def test_nothing_after_a_broken_line_is_trusted(tmp_path):
    keep(tmp_path, ("first", SAMPLES), ("second", SAMPLES), ("third", SAMPLES))
    lines = (tmp_path / FILE).read_text().splitlines(keepends=True)
    (tmp_path / FILE).write_text("".join([*lines[:2], "\0\0\0\n", lines[3]]))
    with Journal(tmp_path, CONDITIONS) as journal:
        assert journal.find("first") == SAMPLES
        assert journal.find("third") is None


def test_a_journal_cut_inside_its_first_line_begins_anew(tmp_path):
    keep(tmp_path)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:20])
    keep(tmp_path, ("first", SAMPLES))
    with Journal(tmp_path, CONDITIONS) as journal:
        assert journal.find("first") == SAMPLES


def test_a_journal_of_other_conditions_is_refused_with_what_differs_or_replaced_on_demand(tmp_path):
    keep(tmp_path, ("first", SAMPLES))
    other = {"plan": {**CONDITIONS["plan"], "seed": 1}, "data": "4567"}
    with pytest.raises(OutputError, match=r"under the same conditions;.*differs.*in: data, plan.seed\. .*--overwrite"):
        Journal(tmp_path, other)
    with Journal(tmp_path, CONDITIONS, replace=True) as journal:
        assert journal.find("first") == SAMPLES
    with Journal(tmp_path, other, replace=True) as journal:
        assert journal.find("first") is None
    with pytest.raises(OutputError, match="same conditions"):
        Journal(tmp_path, CONDITIONS)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes").write_text("mine")
    for replace in (False, True):
        with pytest.raises(OutputError, match=r"until it is whole, but that folder holds something else. Move it"):
            Journal(tmp_path, CONDITIONS, replace=replace)
    assert [file.name for file in tmp_path.iterdir()] == ["notes"]


def test_a_place_that_cannot_be_written_is_said_plainly(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"keeps its samples in .*that folder cannot be written.*with -o"):
        Journal(tmp_path / "file" / "below", CONDITIONS)


def test_a_full_disk_says_that_what_was_kept_stays(tmp_path):
    class Full(io.BytesIO):
        name = "journal.jsonl"

        def write(self, line):
            raise OSError(28, "No space left on device")

    with Journal(tmp_path, CONDITIONS) as journal:
        journal.add("first", SAMPLES)
        file, journal._file = journal._file, Full()
        with pytest.raises(OutputError, match=r"No space left on device\. Free some space, then run the same command"):
            journal.add("second", SAMPLES)
        file.close()
    with Journal(tmp_path, CONDITIONS) as journal:
        assert journal.find("first") == SAMPLES


def test_a_finished_evaluation_leaves_no_journal(tmp_path):
    with Journal(tmp_path / "a.partial", CONDITIONS) as journal:
        journal.add("first", SAMPLES)
        journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_before_anything_is_measured_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "new.partial"
    with pytest.raises(DataError, match="too short"), Journal(folder, CONDITIONS):
        raise DataError("a text that is too short")
    assert not folder.exists()
    with pytest.raises(DataError, match="later"), Journal(folder, CONDITIONS) as journal:  # noqa: PT012
        journal.add("a batch", SAMPLES)
        raise DataError("later")
    assert (folder / FILE).is_file()


def test_without_a_folder_nothing_is_kept():
    with Journal() as journal:
        journal.add("first", SAMPLES)
        assert journal.find("first") is None
        journal.remove()


class StoppedError(Exception):
    """What ends an evaluation in these tests."""


class Failing(Journal):
    """Ends the evaluation after some batches."""

    left = 0

    def add(self, batch, samples):
        super().add(batch, samples)
        self.left -= 1
        if self.left == 0:
            raise StoppedError


def evaluate(journal, plan=PLAN):
    model = tiny_llama(max_position_embeddings=300)
    return evaluate_model(
        model, character_tokenizer(), plan, DOCUMENTS, name="tiny", method="untouched", journal=journal
    )


@pytest.mark.parametrize("batches", [1, 4, 9])
def test_an_evaluation_that_was_stopped_ends_with_the_numbers_of_one_that_was_not(tmp_path, batches):
    expected, samples = evaluate(Journal())
    with Failing(tmp_path, CONDITIONS) as journal:
        journal.left = batches
        with pytest.raises(StoppedError):
            evaluate(journal)
    with Journal(tmp_path, CONDITIONS) as journal:
        kept = journal.samples
        assert 0 < kept < len(samples)
        result, again = evaluate(journal)
    assert again == samples
    assert result.estimates == expected.estimates


def test_what_is_kept_is_not_measured_again(tmp_path):
    with Journal(tmp_path, CONDITIONS) as journal:
        expected = evaluate(journal)[1]
    with Journal(tmp_path, CONDITIONS) as journal:
        model = tiny_llama(max_position_embeddings=300)
        with torch.no_grad():
            model.lm_head.weight.fill_(float("nan"))  # whatever it measured now would be a failed sample
        documents = dict(DOCUMENTS)
        _, samples = evaluate_model(
            model, character_tokenizer(), PLAN, documents, name="tiny", method="untouched", journal=journal
        )
    assert samples == expected


def test_the_numbers_of_a_batch_do_not_outlive_another_cut_into_batches(tmp_path):
    # Why the plan belongs to the conditions: batches of another size carry the same names and other samples.
    with Journal(tmp_path, CONDITIONS) as journal:
        evaluate(journal)
        one = set(journal._known)
    with Journal(tmp_path / "other", CONDITIONS) as journal:
        evaluate(journal, dataclasses.replace(PLAN, batch_tokens=600))
        assert one & set(journal._known)
    assert json.loads((tmp_path / FILE).read_text().splitlines()[0])["conditions"]["plan"]["limit"] is None
