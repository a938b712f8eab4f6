"""Reading what a report is made from: every kind of result, and nothing that is half."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from report.page_results import AFTER, BEFORE, comparison, demo, entropy, extension

from ropewalk.errors import MeasurementError
from ropewalk.result import EntropyComparison
from ropewalk.run.report import read_record, read_records, write_report

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.result import Record


def save(path: Path, record: Record) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record.model_dump_json(indent=1), "utf-8")
    return path


@pytest.mark.parametrize(
    "record",
    [BEFORE, extension(), demo(), comparison(), entropy(), EntropyComparison(results=(entropy(),))],
    ids=lambda record: type(record).__name__,
)
def test_every_kind_of_result_comes_back_as_what_it_was(tmp_path, record):
    assert read_record(save(tmp_path / "result.json", record)) == record


def test_a_folder_may_hold_an_extension_and_its_evaluation(tmp_path):
    save(tmp_path / "result.json", AFTER)
    save(tmp_path / "ropewalk" / "result.json", extension())
    assert read_records(tmp_path) == [extension(), AFTER]
    write_report([tmp_path], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Short-context gate" in page
    assert "Depth by length" in page


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_half_a_result_is_refused_with_its_place(tmp_path, share):
    path = save(tmp_path / "result.json", demo())
    text = path.read_text("utf-8")
    path.write_text(text[: int(share * len(text))], "utf-8")
    with pytest.raises(MeasurementError, match=r"must be whole.*result\.json.* breaks off in line \d+.*again\.$"):
        read_records(tmp_path)


def test_a_folder_without_a_result_says_what_it_must_hold(tmp_path):
    with pytest.raises(MeasurementError, match=r"must hold result\.json .* or ropewalk/result\.json"):
        read_records(tmp_path)
    with pytest.raises(MeasurementError, match=r"results that can be read; .*nothing.*No such file"):
        read_records(tmp_path / "nothing")


@pytest.mark.parametrize("content", ["[1, 2]", '{"model_type": "llama"}', "3"])
def test_json_that_is_no_result_is_refused(tmp_path, content):
    path = tmp_path / "result.json"
    path.write_text(content, "utf-8")
    with pytest.raises(MeasurementError, match=r"is none of them\. Name a result folder"):
        read_record(path)


def test_what_is_not_text_is_refused(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MeasurementError, match="must be whole"):
        read_record(path)


def test_a_result_of_another_version_is_refused(tmp_path):
    path = save(tmp_path / "result.json", BEFORE.model_copy(update={"format_version": 99}))
    with pytest.raises(MeasurementError, match=r"format version 1, .* has 99"):
        read_record(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"novel": 1}, "novel: Extra inputs are not permitted"), ({"seed": "x"}, "seed: Input should be a valid integer")],
)
def test_a_result_with_a_wrong_field_is_refused_by_its_name(tmp_path, change, words):
    path = tmp_path / "result.json"
    path.write_text(json.dumps({**BEFORE.model_dump(mode="json"), **change}), "utf-8")
    with pytest.raises(MeasurementError, match=words):
        read_record(path)
