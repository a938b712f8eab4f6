"""Files of documents with summaries: what is read, and what is refused with the number of its line."""

from __future__ import annotations

import json

import pytest

from ropewalk.data.summaries import read_summaries, summaries_fingerprint
from ropewalk.errors import DataError

GOOD = {"report": "A long report.", "summary": "Short."}


def write(path, *lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return path


def test_each_line_is_a_document(tmp_path):
    other = {"report": "Another\nreport.", "summary": "Other.", "id": "GAO-1"}
    documents = read_summaries(write(tmp_path / "a.jsonl", GOOD, "", other))
    assert [(d.report, d.summary) for d in documents] == [(f["report"], f["summary"]) for f in (GOOD, other)]
    assert [d.name.split("@")[0] for d in documents] == ["line-1", "line-3"]


def test_separators_of_unicode_inside_a_text_are_no_line_breaks(tmp_path):
    line = json.dumps({"report": "one\u2028two\x85three", "summary": "s"}, ensure_ascii=False)
    (document,) = read_summaries(write(tmp_path / "a.jsonl", line))
    assert document.report == "one\u2028two\x85three"


def test_names_and_the_fingerprint_follow_the_texts(tmp_path):
    first = read_summaries(write(tmp_path / "a.jsonl", GOOD))
    same = read_summaries(write(tmp_path / "b.jsonl", {**GOOD, "id": 1}))
    other = read_summaries(write(tmp_path / "c.jsonl", {**GOOD, "summary": "Shorter."}))
    moved = read_summaries(write(tmp_path / "d.jsonl", {"report": "A long report.S", "summary": "hort."}))
    assert summaries_fingerprint(first) == summaries_fingerprint(same)
    assert len({summaries_fingerprint(d) for d in (first, other, moved)}) == 3
    assert first[0].name == same[0].name != other[0].name


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"report": "half', "it is no JSON: Unterminated string starting at at column 12"),
        ('["report", "summary"]', "it is a list"),
        ('{"report": "text"}', "it has no 'summary', only 'report'"),
        ("{}", "it has no 'report', only nothing"),
        ('{"report": "text", "summary": 3}', "its 'summary' holds no text"),
        ('{"report": "  ", "summary": "text"}', "its 'report' holds no text"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(tmp_path, line, reason):
    path = write(tmp_path / "bad.jsonl", GOOD, line)
    with pytest.raises(DataError, match="each line must be a JSON object") as caught:
        read_summaries(path)
    assert f"line 2 of '{path}' is not: {reason}. Mend the line" in str(caught.value)


def test_a_file_that_is_not_there_empty_or_not_utf8_is_refused(tmp_path):
    with pytest.raises(DataError, match="must be a JSONL file"):
        read_summaries(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="is empty"):
        read_summaries(tmp_path / "empty.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"report": "\xe9"}')
    with pytest.raises(DataError, match="must be UTF-8"):
        read_summaries(tmp_path / "latin.jsonl")
