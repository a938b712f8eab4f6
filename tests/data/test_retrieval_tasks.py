"""Every registered retrieval task: true lengths, right answers, right depths, nothing random but the generator."""

from __future__ import annotations

import dataclasses
import math
import pkgutil
import re
from collections import Counter

import numpy as np
import pytest
from retrieval_readers import READERS, numbered_words
from tokenizers import Tokenizer, models

from ropewalk.data import retrieval
from ropewalk.data.facts import part_of
from ropewalk.data.retrieval.frequent_words import _zeta, word_counts
from ropewalk.data.retrieval.json_kv import gold_positions
from ropewalk.data.retrieval_task import TASKS, RetrievalTask, SingleFact, depth_battery, register
from ropewalk.errors import OptionError, UnknownNameError

NAMES = retrieval.names()
WITH_DEPTH = [name for name in NAMES if retrieval.get(name).placement != "whole"]
MANY = [name for name in NAMES if retrieval.get(name).placement == "many"]


def characters(text: str) -> np.ndarray:
    """One token a character: lengths can be checked by eye."""
    return np.array([ord(c) for c in text], dtype=np.int64)


def text(tokens: np.ndarray) -> str:
    return "".join(chr(t) for t in tokens)


def merging_tokenizer() -> Tokenizer:
    """Pairs of digits and some pairs of letters are one token."""
    alphabet = [chr(code) for code in (10, *range(32, 127))]
    merges = [(a, b) for a in "0123456789" for b in "0123456789"] + [("t", "h"), ("th", "e"), ("i", "s"), (" ", "i")]
    vocabulary = {token: number for number, token in enumerate([*alphabet, *(a + b for a, b in merges)])}
    return Tokenizer(models.BPE(vocab=vocabulary, merges=merges))


def sample(name: str, *, length: int = 4200, seed: int = 7, **places):
    return retrieval.get(name)().sample(characters, np.random.default_rng(seed), length=length, **places)


def test_the_register_holds_the_battery_and_a_file_for_each_task():
    assert set(NAMES) == set(READERS)
    files = {module.name for module in pkgutil.iter_modules(retrieval.__path__)}
    assert files == {name.replace("-", "_") for name in NAMES}
    for name in NAMES:
        task = retrieval.get(name)
        assert task.__module__.endswith(name.replace("-", "_"))
        assert task.source.title
        assert task.blind


def test_an_unknown_task_is_refused_with_the_nearest_name():
    with pytest.raises(
        UnknownNameError, match=r"no retrieval task is called 'line'; did you mean 'lines'\? Known: com"
    ):
        retrieval.get("line")


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(
        OptionError,
        match=r"two retrieval tasks are called 'lines': ropewalk\.data\.retrieval\.lines and .*Rename one\.",
    ):

        @register("lines")
        @dataclasses.dataclass(frozen=True)
        class Other(SingleFact):
            pass

    assert TASKS["lines"].__name__ == "Lines"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [2500, 4300])
def test_a_reader_of_the_plain_text_finds_the_expected_answer(name, length):
    for seed in range(2):
        context = sample(name, length=length, seed=seed)
        for question in context.questions:
            found = READERS[name](text(context.context), text(question.prompt))
            assert sorted(found) == sorted(question.expected)
            assert all(reference in text(question.answer) for reference in question.expected)


@pytest.mark.parametrize("name", MANY)
def test_the_readers_catch_a_generator_that_mixes_up_its_answers(name):
    """Bite: the answer of another question of the same context."""
    context = sample(name, facts=5)
    first, second = context.questions[:2]
    assert READERS[name](text(context.context), text(first.prompt)) != list(second.expected)


@pytest.mark.parametrize("name", NAMES)
def test_prompts_are_never_longer_than_asked_and_nearly_as_long(name):
    tokenizer = merging_tokenizer()

    def encode(piece: str) -> np.ndarray:
        return np.array(tokenizer.encode(piece).ids, dtype=np.int64)

    task = retrieval.get(name)()
    for encoder in (characters, encode):
        for length in (2500, 4101):
            context = task.sample(encoder, np.random.default_rng(length), length=length)
            room = max(
                len(q.prompt) + max(len(q.answer), task.new_tokens if task.reserves else 0) for q in context.questions
            )
            assert length - 520 <= len(context.context) + room <= length


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_gives_one_sample_and_two_seeds_give_two(name):
    first, again, other = sample(name), sample(name), sample(name, seed=8)
    np.testing.assert_array_equal(first.context, again.context)
    assert [q.expected for q in first.questions] == [q.expected for q in again.questions]
    assert [q.expected for q in first.questions] != [q.expected for q in other.questions]


@pytest.mark.parametrize("name", WITH_DEPTH)
def test_the_position_of_a_fact_is_directly_after_its_statement(name):
    context = sample(name, **({"facts": 3} if name in MANY else {"depth": 0.4}))
    whole = text(context.context)
    for question in context.questions:
        behind = whole[whole.rindex(question.answer_text, 0, question.position) : question.position]
        assert len(behind) < 60
        assert behind.rstrip("\n").endswith((".", ">", '"', question.answer_text))


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("seed", range(4))
def test_ten_facts_lie_in_the_ten_tenths_in_order(name, seed):
    context = sample(name, seed=seed, facts=10)
    assert [part_of(question.depth) for question in context.questions] == list(range(10))
    positions = [question.position for question in context.questions]
    assert positions == sorted(positions)
    battery = depth_battery(retrieval.get(name)(), characters, np.random.default_rng(seed), 4200)
    np.testing.assert_array_equal(battery.context, context.context)


@pytest.mark.parametrize("name", ["multi-passkey", "key-value"])
def test_the_places_within_a_tenth_are_spread_over_it(name):
    offsets = np.array([(q.depth * 10) % 1 for seed in range(40) for q in sample(name, seed=seed).questions])
    widest = {"multi-passkey": 0.85, "key-value": 0.98}[name]
    counts, _ = np.histogram(offsets, bins=4, range=(0, widest))
    expected = len(offsets) / 4
    assert ((counts - expected) ** 2 / expected).sum() < 16.3, "chi-square with 3 degrees of freedom at 0.001"


@pytest.mark.parametrize("name", sorted(set(WITH_DEPTH) - set(MANY)))
def test_a_single_fact_stands_in_the_tenth_that_is_asked_for(name):
    task = retrieval.get(name)()
    for tenth in range(10):
        (question,) = depth_battery(task, characters, np.random.default_rng(tenth), 3000, tenth=tenth).questions
        assert part_of(question.depth) == tenth


@pytest.mark.parametrize("name", NAMES)
def test_chance_is_what_blind_picking_gives(name):
    context = sample(name)
    prompt = text(context.context)
    count = {
        "passkey": lambda: 90_000,
        "niah-single-1": lambda: 9_000_000,
        "multi-passkey": lambda: prompt.count("Remember it."),
        "key-value": lambda: prompt.count("="),
        "json-kv": lambda: prompt.count('": "'),
        "lines": lambda: prompt.count("\nline "),
        "niah-multikey-2": lambda: prompt.count("One of the special"),
        "niah-multikey-3": lambda: prompt.count("One of the special"),
        "variable-tracking": lambda: (prompt.count("VAR ") - 8) / 5,
        "frequent-words": lambda: (len(set(prompt.partition("coded words. ")[2].split())) - 1) / 3,
        "common-words": lambda: len(numbered_words(prompt)[-1]) / 10,
    }
    candidates = count[name]()
    assert context.chance == pytest.approx(1 / candidates)


def test_common_words_follow_upstream_at_and_below_4096_tokens():
    example, listed = numbered_words(text(sample("common-words", length=9000).context))
    assert Counter(listed.values()) == {30: 10, 3: len(listed) - 10}
    assert Counter(example.values()) == {10: 10, 3: 30}
    example, listed = numbered_words(text(sample("common-words", length=4000).context))
    assert Counter(listed.values()) == {6: 10, 1: len(listed) - 10}
    assert Counter(example.values()) == {3: 10, 1: 10}


def test_common_words_shrink_where_upstream_would_have_nothing_to_ask():
    asked = [len(sample("common-words", length=length).questions[0].expected) for length in (4000, 1700, 1000)]
    assert asked == [10, 5, 3]
    with pytest.raises(OptionError, match=r"'common-words' needs at least [\d,]+ tokens; got 600. Measure longer"):
        sample("common-words", length=600)


def test_frequent_words_follow_a_zeta_law():
    assert _zeta(2.0) == pytest.approx(math.pi**2 / 6, abs=1e-8)
    counts = word_counts(10_000, 200, 2.0)
    np.testing.assert_array_equal(counts[:4], [6079, 1519, 675, 379])
    words = text(sample("frequent-words", length=9000).context).partition("coded words. ")[2].split()
    ranked = [count for _, count in Counter(words).most_common()]
    np.testing.assert_allclose(ranked[:6], ranked[0] / np.arange(1, 7) ** 2, atol=1)


def test_frequent_words_never_tie_with_a_rival():
    for number in range(81, 400):
        counts = word_counts(number, 50, 2.0)
        assert counts[3] > counts[4:].max()


def test_the_variables_of_the_example_are_short_and_the_chain_has_four_hops():
    context = sample("variable-tracking")
    prompt = text(context.context)
    assert len(context.questions[0].expected) == 5
    assert {len(name) for name in context.questions[0].expected} == {5}
    shown, _, asked = prompt.partition("\n\nMemorize and track")
    assert len(shown) <= 500 + 2
    assert shown.count("VAR ") == asked.count("VAR ") == 9


@pytest.mark.parametrize(
    ("keys", "places"),
    [(75, (0, 18, 37, 54, 74)), (140, (0, 34, 69, 104, 139)), (300, (0, 74, 149, 224, 299)), (2, (0, 1))],
)
def test_json_records_are_asked_for_at_the_paper_s_positions(keys, places):
    assert gold_positions(keys) == places


def test_a_json_object_has_as_many_records_as_asked_for():
    task = retrieval.get("json-kv")(keys=75)
    context = task.sample(characters, np.random.default_rng(0), length=6500)
    assert text(context.context).count('": "') == 75
    with pytest.raises(OptionError, match=r"a JSON object of 75 records needs at least 6,3\d\d tokens; got 6000|6,000"):
        task.sample(characters, np.random.default_rng(0), length=6000)


def test_json_records_of_short_identifiers_fit_where_whole_uuids_do_not():
    short = retrieval.get("json-kv")(digits=8).sample(characters, np.random.default_rng(0), length=300, facts=2)
    (key, value), *_ = re.findall(r'"([0-9a-f]+)": "([0-9a-f]+)"', text(short.context))
    assert (len(key), len(value)) == (8, 8)
    whole = retrieval.get("json-kv")().sample(characters, np.random.default_rng(0), length=900, facts=2)
    assert key == text(whole.context).split('{"')[1][:8], "the first digits of the same UUIDs"
    with pytest.raises(OptionError, match=r"at least 2 facts needs at least \d+ tokens; got 300"):
        retrieval.get("json-kv")().sample(characters, np.random.default_rng(0), length=300, facts=2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: retrieval.get("json-kv")(digits=33), r"a UUID has 32 hexadecimal digits; got digits = 33. Take fewer"),
        (
            lambda: sample("lines", depth=0.5),
            r"a depth .* belongs to a task with a single fact; got 0.5 .* 'lines' \(many",
        ),
        (lambda: sample("passkey", depth=1.5), r"a depth lies between 0 and 1.*got 1.5"),
        (
            lambda: sample("passkey", facts=3),
            r"belongs to a task with many facts; got 3 for the task 'passkey' \(single",
        ),
        (lambda: sample("lines", facts=0), r"a number of facts is at least 1.*got 0"),
        (
            lambda: sample("lines", length=900, facts=10),
            r"at least 10 facts needs at least [\d,]+ tokens; got 900. Meas",
        ),
        (lambda: sample("passkey", length=50), r"passkey prompt needs at least \d+ tokens; got 50. Measure longer"),
        (lambda: sample("niah-single-1", length=50), r"'niah-single-1' needs at least \d+ tokens; got 50. Measure"),
        (lambda: sample("variable-tracking", length=50), r"'variable-tracking' needs at least \d+ tokens; got 50"),
        (lambda: sample("frequent-words", length=50), r"'frequent-words' needs at least \d+ tokens; got 50"),
        (
            lambda: sample("multi-passkey", length=500),
            r"10 facts of up to \d+ tokens.*need about [\d,]+ tokens.*fewer f",
        ),
        (lambda: retrieval.get("passkey")(digits=0), r"digits of the task 'passkey' must be at least 1; got 0"),
        (lambda: retrieval.get("frequent-words")(alpha=1.0), r"alpha must be above 1.*got 1.0. RULER takes 2"),
        (lambda: sample("key-value", length=9000, facts=183), r"one of 182 words each; got 183 records"),
        (lambda: sample("multi-passkey", length=90000, facts=183), r"one of 182 words each; got 183 keys"),
        (
            lambda: sample("json-kv", length=2000, facts=22),
            r"a fact in each of its 22 parts.*the 22 facts that fit",
        ),
    ],
)
def test_what_a_task_cannot_do_is_refused(call, words):
    with pytest.raises(OptionError, match=words):
        call()


@pytest.mark.parametrize(("name", "tenth"), [("passkey", None), ("passkey", 10), ("variable-tracking", 3)])
def test_a_battery_cell_without_a_depth_is_refused(name, tenth):
    with pytest.raises(OptionError, match=r"cells of a certificate are depths: .* 0 to 9, a task about the whole"):
        depth_battery(retrieval.get(name)(), characters, np.random.default_rng(0), 3000, tenth=tenth)


def test_the_base_task_draws_nothing():
    with pytest.raises(NotImplementedError):
        RetrievalTask().sample(characters, np.random.default_rng(0), length=10)
