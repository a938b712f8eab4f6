"""Questions about names ask for what the module says, among names of its context, inside the window."""

from __future__ import annotations

import keyword
import re

import numpy as np
import pytest

from ropewalk import adapters
from ropewalk.data.cloze import CANDIDATES, LONGEST_NAME, cloze_questions, names_of, questions_fingerprint
from ropewalk.data.corpus import standard_library
from ropewalk.errors import OptionError

MODULES = ("fractions.py", "socketserver.py")
WINDOW = 128


@pytest.fixture(scope="module")
def tokenizer():
    return adapters.load_tokenizer("builtin")


@pytest.fixture(scope="module")
def documents():
    every = standard_library(held_out=True).documents
    return {name: every[name] for name in MODULES}


@pytest.fixture(scope="module")
def questions(tokenizer, documents):
    return cloze_questions(tokenizer, documents, window=WINDOW, per_document=16)


def words(tokenizer, question):
    return [tokenizer.decode(candidate).strip() for candidate in question.candidates]


def test_only_names_of_the_code_are_names():
    text = (
        'import os  # the os\n\ndef read(path):\n    """Reads path."""\n    _own = os.open(path)\n    return "path"\n'
    )
    assert [place.name for place in names_of(text)] == ["os", "read", "path", "os", "open", "path"]
    assert all(text.startswith(place.name, place.start) for place in names_of(text))


def test_context_and_right_name_are_the_modules_own_tokens(tokenizer, documents, questions):
    for question in questions:
        module, _, character = question.name.rpartition("@")
        text = documents[module]
        whole = np.concatenate([question.context, question.candidates[0]])
        shown = tokenizer.decode(whole, clean_up_tokenization_spaces=False)
        right = re.match(r"\w+", text[int(character) :])[0]
        end = int(character) + len(right)
        assert text[:end].endswith(shown.lstrip("\N{REPLACEMENT CHARACTER}"))
        assert words(tokenizer, question)[0] == right
        assert len(question.context) == WINDOW - LONGEST_NAME


def test_all_candidates_are_different_names_that_stand_in_the_context(tokenizer, questions):
    for question in questions:
        names = words(tokenizer, question)
        context = tokenizer.decode(question.context)
        assert len(set(names)) == CANDIDATES
        for name in names:
            assert name.isidentifier()
            assert not keyword.iskeyword(name)
            assert re.search(rf"\b{name}\b", context), (question.name, name)
        assert not any(names[0].startswith(other) or other.startswith(names[0]) for other in names[1:])


def test_no_question_is_longer_than_the_window(questions):
    assert max(len(q.context) + max(map(len, q.candidates)) for q in questions) <= WINDOW


def test_questions_are_drawn_from_the_seed_and_every_module_gives_as_many(tokenizer, documents, questions):
    again = cloze_questions(tokenizer, documents, window=WINDOW, per_document=16)
    other = cloze_questions(tokenizer, documents, window=WINDOW, per_document=16, seed=1)
    fewer = cloze_questions(tokenizer, documents, window=WINDOW, per_document=4)
    assert questions_fingerprint(again) == questions_fingerprint(questions) != questions_fingerprint(other)
    assert [[q.module for q in questions].count(module) for module in MODULES] == [16, 16]
    assert {q.name for q in fewer} < {q.name for q in questions}


def test_a_module_without_repeated_names_has_no_questions(tokenizer):
    assert cloze_questions(tokenizer, {"short.py": "import os\n"}, window=WINDOW, per_document=4) == []


def test_a_window_without_room_for_a_context_is_refused(tokenizer):
    with pytest.raises(OptionError, match="a question needs a context before a name of up to 16 tokens; got a window"):
        cloze_questions(tokenizer, {}, window=16, per_document=4)
