"""Files in RULER's format: what is read, and what is said about a bad line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ropewalk.data.ruler_files import read_ruler_file, ruler_rule
from ropewalk.errors import DataError, UnknownNameError

GOOD = {"index": 4, "input": "Some text. The answer is", "outputs": ["one", "Two"], "length": 130}


def characters(text: str) -> np.ndarray:
    return np.array([ord(c) for c in text], dtype=np.int64)


def written(tmp_path, *lines: str):
    path = tmp_path / "validation.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_file_in_upstream_s_format_is_read_whole(tmp_path):
    newer = {"input": "More text.", "outputs": ["3"], "answer_prefix": " It is"}
    path = written(
        tmp_path, json.dumps(GOOD), "", json.dumps(newer), json.dumps({**newer, "input": "More text. It is"})
    )
    first, second, third = read_ruler_file(path)
    assert (first.prompt, first.outputs, first.index, first.length) == (GOOD["input"], ("one", "Two"), 4, 130)
    assert second.prompt == third.prompt == "More text. It is"
    assert (second.index, third.index, second.length) == (1, 2, None)


def test_a_context_and_its_question_are_the_whole_prompt(tmp_path):
    (sample,) = read_ruler_file(written(tmp_path, json.dumps(GOOD)))
    context = sample.context(characters)
    (question,) = context.questions
    np.testing.assert_array_equal(np.concatenate([context.context, question.prompt]), characters(GOOD["input"]))
    assert question.expected == ("one", "Two")
    assert question.depth is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", r"line 2: it is not JSON \(Expecting property name.* at character 1\). Correct or remove the line"),
        (json.dumps(GOOD)[:40], r"line 2: it is not JSON \(Unterminated string"),
        ("[1]", r"line 2: it is a list, not an object"),
        ("{}", r"line 2: input and outputs missing; it has nothing"),
        (json.dumps({"input": "a", "answer": "b"}), r"line 2: outputs missing; it has input, answer"),
        (json.dumps({**GOOD, "input": 3}), r"line 2: its input, or its answer_prefix, is not a text"),
        (json.dumps({**GOOD, "input": "  "}), r"line 2: its input, or"),
        (json.dumps({**GOOD, "outputs": []}), r"line 2: its outputs are not a list of texts with at least one"),
        (json.dumps({**GOOD, "outputs": "one"}), r"line 2: its outputs are not a list"),
        (json.dumps({**GOOD, "outputs": [""]}), r"line 2: its outputs are not a list"),
        (json.dumps({**GOOD, "length": "long"}), r"line 2: its length is not a whole number"),
        (json.dumps({**GOOD, "index": True}), r"line 2: its index is not a whole number"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong(tmp_path, line, words):
    with pytest.raises(DataError, match=words):
        read_ruler_file(written(tmp_path, json.dumps(GOOD), line))


def test_files_without_samples_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds one sample on each line; .* has none"):
        read_ruler_file(written(tmp_path, ""))
    with pytest.raises(DataError, match=r"must be readable as UTF-8; .*absent.jsonl is not \("):
        read_ruler_file(tmp_path / "absent.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"must be readable as UTF-8"):
        read_ruler_file(tmp_path / "latin.jsonl")


def test_a_prompt_of_a_single_token_is_refused(tmp_path):
    (sample,) = read_ruler_file(written(tmp_path, json.dumps({**GOOD, "input": "a"})))
    with pytest.raises(DataError, match=r"at least 2 tokens; sample 4 has 1"):
        sample.context(characters)


@pytest.mark.parametrize(
    ("task", "scoring", "new_tokens"),
    [
        ("niah_single_1", "all-references", 128),
        ("niah_multivalue", "all-references", 128),
        ("vt", "all-references", 30),
        ("variable_tracking", "all-references", 30),
        ("cwe", "all-references", 120),
        ("fwe", "all-references", 50),
        ("qa_2", "any-reference", 32),
    ],
)
def test_every_task_of_upstream_has_its_rule(task, scoring, new_tokens):
    rule = ruler_rule(task)
    assert (rule.scoring, rule.new_tokens) == (scoring, new_tokens)


def test_an_unknown_task_is_refused():
    with pytest.raises(UnknownNameError, match=r"no RULER task is called 'nih_1'; did you mean 'niah'"):
        ruler_rule("nih_1")
