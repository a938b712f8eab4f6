"""Conversations in one form: what can be mended is mended and told, what cannot is refused by name."""

from __future__ import annotations

import math

import pytest

from ropewalk.data.conversations import Turn, UnusableError, is_missing, turns_of


def read(value):
    notes = []
    return turns_of(value, notes.append), notes


def refused(value):
    with pytest.raises(UnusableError) as error:
        turns_of(value, [].append)
    return str(error.value)


def sharegpt(*turns):
    return [{"from": role, "value": content} for role, content in turns]


def chat(*turns):
    return [{"role": role, "content": content} for role, content in turns]


USER, ASSISTANT = ("user", "Hi"), ("assistant", "Hello")


@pytest.mark.parametrize("speaker", ["gpt", "assistant", "chatgpt", "bing", "bard", " GPT "])
def test_sharegpt_and_messages_have_one_form(speaker):
    asked = [("system", "Be kind."), ("human", "Hi"), (speaker, "Hello"), ("function", "3"), (speaker, "Three")]
    expected = tuple(
        Turn(role, content)
        for role, content in zip(
            ("system", "user", "assistant", "tool", "assistant"), (c for _, c in asked), strict=True
        )
    )
    assert read(sharegpt(*asked)) == read(chat(*asked)) == (expected, [])


def test_contents_are_kept_as_they_are():
    assert read(chat(("user", "  Hi\r\n"), ASSISTANT))[0][0].content == "  Hi\r\n"


def test_parts_of_text_are_joined():
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    assert read(chat(USER, ("assistant", parts)))[0][1] == Turn("assistant", "Hello")


def test_a_table_of_columns_is_a_conversation_too():
    assert read({"from": ["human", "gpt"], "value": ["Hi", "Hello"]}) == read(
        sharegpt(("human", "Hi"), ("gpt", "Hello"))
    )


@pytest.mark.parametrize(
    ("turns", "kept", "note"),
    [
        ([ASSISTANT, USER, ASSISTANT], 2, "turns before the first user turn removed"),
        ([ASSISTANT, ASSISTANT, USER, ASSISTANT], 2, "turns before the first user turn removed"),
        ([USER, ASSISTANT, USER], 2, "turns after the last answer removed"),
        ([USER, ASSISTANT, ("tool", "3"), USER, USER], 2, "turns after the last answer removed"),
        ([("system", " "), USER, ASSISTANT], 2, "an empty system turn removed"),
    ],
)
def test_what_cannot_be_learnt_is_removed_and_noted(turns, kept, note):
    turns, notes = read(chat(*turns))
    assert (len(turns), notes) == (kept, [note])
    assert turns == (Turn(*USER), Turn(*ASSISTANT))


@pytest.mark.parametrize("nothing", ["", " \n", None, math.nan])
def test_an_empty_last_answer_is_removed_with_its_question(nothing):
    turns, notes = read(chat(USER, ASSISTANT, USER, ("assistant", nothing)))
    assert turns == (Turn(*USER), Turn(*ASSISTANT))
    assert notes == ["an empty last answer removed", "turns after the last answer removed"]
    assert refused(chat(USER, ("assistant", nothing))) == "no assistant turn"


def test_a_system_turn_before_an_answer_that_nobody_asked_for_stays():
    turns, _ = read(chat(("system", "Be kind."), ASSISTANT, USER, ASSISTANT))
    assert [turn.role for turn in turns] == ["system", "user", "assistant"]


def test_two_questions_in_a_row_stay_as_they_are():
    assert [turn.role for turn in read(chat(USER, USER, ASSISTANT))[0]] == ["user", "user", "assistant"]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("Hi", "a conversation that is not a list"),
        ({}, "a conversation that is not a list"),
        ([], "no assistant turn"),
        (["Hi", "Hello"], "a turn that is not an object"),
        ([{"content": "Hi"}, {"role": "assistant", "content": "Hello"}], "a turn without a role"),
        (chat((None, "Hi"), ASSISTANT), "a turn without a role"),
        (chat((" ", "Hi"), ASSISTANT), "a turn without a role"),
        (chat(("narrator of this tale of old", "Hi"), ASSISTANT), "an unknown role 'narrator of this tal'"),
        (chat((5, "Hi"), ASSISTANT), "an unknown role '5'"),
        (chat(("user", ""), ASSISTANT), "an empty turn"),
        (chat(USER, ("assistant", " "), USER, ASSISTANT), "an empty turn"),
        ([{"role": "user"}, {"role": "assistant", "content": "Hello"}], "an empty turn"),
        (chat(("user", 5), ASSISTANT), "a turn whose content is not text"),
        (chat(("user", {"text": "Hi"}), ASSISTANT), "a turn whose content is not text"),
        (chat(("user", [{"type": "image", "url": "a.png"}]), ASSISTANT), "a turn with parts that are not text"),
        (chat(("user", ["Hi"]), ASSISTANT), "a turn with parts that are not text"),
        (
            [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}],
            "a turn with tool calls",
        ),
        (chat(("user", "Hi \ud83d"), ASSISTANT), "text that is not Unicode"),
        (chat(USER, USER), "no assistant turn"),
        (chat(ASSISTANT), "no answer to a user turn"),
        (chat(ASSISTANT, USER), "no answer to a user turn"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(value, kind):
    assert refused(value) == kind


def test_null_and_nan_are_missing_and_zero_is_not():
    assert is_missing(None)
    assert is_missing(math.nan)
    assert not is_missing(0)
    assert not is_missing("")
