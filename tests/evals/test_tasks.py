"""What is measured: the laws that windows, streams and recall samples must obey."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from evals_models import character_tokenizer, prose

from ropewalk.data import retrieval
from ropewalk.errors import DataError, OptionError, UnknownNameError
from ropewalk.evals import tasks
from ropewalk.evals.plan import EvaluationPlan

PLAN = EvaluationPlan(lengths=(300, 600, 1200), scored=64, windows_per_document=5, trials=2, contexts=3, keys=6)


@pytest.fixture
def tokenizer():
    return character_tokenizer()


@pytest.fixture(scope="module")
def documents():
    return {f"document {i}": prose(i, words) for i, words in enumerate((400, 260, 700, 20))}


@pytest.fixture
def encode(tokenizer):
    return tasks.encoder(tokenizer)


@pytest.fixture
def data(documents, encode):
    return tasks.text_data(documents, encode, longest=PLAN.longest)


def test_targets_of_one_document_are_disjoint_and_cover_its_ends(data):
    windows = tasks.text_windows(data, PLAN)
    for name, stream in data.streams.items():
        ends = [int(w.sample.rpartition("@")[2]) for w in windows if w.cluster == name]
        assert ends[0] == PLAN.longest
        assert ends[-1] in (len(stream), PLAN.longest)
        assert (np.diff(ends) >= PLAN.scored).all()
        for window, end in zip([w for w in windows if w.cluster == name], ends, strict=True):
            np.testing.assert_array_equal(window.tokens, stream[end - PLAN.longest : end])
            assert window.counted.all()


def test_a_document_gives_as_many_windows_as_fit(encode):
    length = PLAN.longest + 2 * PLAN.scored
    data = tasks.text_data({"short": prose(0, 400)[:length], "long": prose(1, 900)}, encode, longest=PLAN.longest)
    windows = tasks.text_windows(data, PLAN)
    assert [w.cluster for w in windows] == ["short"] * 3 + ["long"] * 5


def test_too_short_documents_are_named_and_never_padded(data):
    assert data.too_short == ("document 3",)
    assert set(data.streams) == {"document 0", "document 1", "document 2"}


def test_texts_without_one_window_are_refused(encode):
    with pytest.raises(DataError, match=r"window of 1,200 tokens.*the longest of 1 texts has 5 tokens. Give longer"):
        tasks.text_data({"a": "short"}, encode, longest=1200)
    with pytest.raises(DataError, match=r"the longest of 0 texts has 0 tokens"):
        tasks.text_data({}, encode, longest=1200)


def test_the_fingerprint_knows_texts_and_tokenizer(documents, encode):
    first = tasks.text_data(documents, encode, longest=300).fingerprint
    other = tasks.text_data(documents, tasks.encoder(character_tokenizer(("e", "r"))), longest=300).fingerprint
    changed = tasks.text_data({**documents, "document 3": "x" * 400}, encode, longest=300).fingerprint
    assert len({first, other, changed}) == 3
    assert first.partition("-")[0] == other.partition("-")[0]


def first_place(tokens, chunk) -> int:
    width = len(chunk)
    views = np.lib.stride_tricks.sliding_window_view(tokens[:-width], width)
    return int(np.flatnonzero((views == chunk).all(1))[0])


@pytest.mark.parametrize("number", [1, 3], ids=["one document", "three documents"])
def test_a_repeated_chunk_is_seen_by_the_longest_context_alone(documents, encode, number):
    chosen = dict(list(documents.items())[:number])
    data = tasks.text_data(chosen, encode, longest=PLAN.longest)
    windows = tasks.repeated_windows(data, PLAN)
    assert len(windows) == number * PLAN.repeats_per_document
    for window in windows:
        chunk = window.tokens[-PLAN.scored :]
        assert len(window.tokens) == PLAN.longest
        assert first_place(window.tokens, chunk) + PLAN.scored <= PLAN.longest - PLAN.near
        near = window.tokens[-PLAN.near : -PLAN.scored]
        assert not (np.lib.stride_tricks.sliding_window_view(near, PLAN.scored) == chunk).all(1).any()


def records_of(text: str) -> list[tuple[str, str]]:
    return [tuple(line.split("=")) for line in text.split("\n") if line.count("=") == 1]


def test_a_far_streams_last_values_are_told_only_far_back(tokenizer, encode):
    for window in tasks.far_streams(encode, PLAN):
        assert len(window.tokens) == PLAN.longest
        tail = tokenizer.decode(window.tokens[-PLAN.scored :])
        near = tokenizer.decode(window.tokens[-PLAN.near : -PLAN.scored])
        far = dict(records_of(tokenizer.decode(window.tokens[: PLAN.longest - PLAN.near])))
        asked = records_of(tail)[-int(window.counted.sum()) // 4 :]
        assert len(asked) >= 3
        assert int(window.counted.sum()) == 4 * len(asked)
        assert {"".join(v) for v in zip(*[iter(np.array(list(tail))[window.counted])] * 4, strict=True)} == {
            value for _, value in asked
        }
        for word, value in asked:
            assert far[word] == value
            assert f"\n{word}=" not in near


def test_the_stream_check_catches_a_stream_drawn_freely(tokenizer, encode):
    """Bite: keys that come back at any distance are seen by the shorter context too."""
    from ropewalk.data.recall import key_value_stream

    tokens, _ = key_value_stream(encode, np.random.default_rng(0), length=PLAN.longest, keys=10)
    near = tokenizer.decode(tokens[-PLAN.near : -PLAN.scored])
    asked = records_of(tokenizer.decode(tokens[-PLAN.scored :]))[1:]
    assert any(f"\n{word}=" in near for word, _ in asked)


def test_pass_keys_stand_at_every_depth_and_length(tokenizer, encode):
    samples = tasks.passkey_samples(encode, PLAN)
    assert len(samples) == 3 * 10 * 2
    for sample in samples:
        question = sample.context.questions[0]
        assert sample.context.length == sample.length
        assert f"{question.answer_text} is the pass key" in tokenizer.decode(sample.context.context)
    starts = [s.context.questions[0].position for s in samples if s.length == 1200 and s.sample.endswith("/0")]
    assert (np.diff(starts) > 0).all()


def test_every_key_of_a_context_is_asked(tokenizer, encode):
    samples = tasks.key_value_samples(encode, PLAN)
    assert [s.length for s in samples] == [300] * 3 + [600] * 3 + [1200] * 3
    for sample in samples:
        assert sample.depths == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
        assert sample.context.length <= sample.length
        facts = dict(records_of(tokenizer.decode(sample.context.context)))
        asked = [tokenizer.decode(q.prompt).strip("\n=") for q in sample.context.questions]
        assert [facts[word] for word in asked] == [q.answer_text for q in sample.context.questions]


def test_samples_repeat_from_the_seed_and_do_not_depend_on_each_other(encode, data):
    def everything(plan):
        windows = tasks.repeated_windows(data, plan) + tasks.far_streams(encode, plan)
        recalls = tasks.passkey_samples(encode, plan) + tasks.key_value_samples(encode, plan)
        return {w.sample: w.tokens.tolist() for w in windows} | {
            (i, s.sample): s.context.context.tolist() for i, s in enumerate(recalls)
        }

    first = everything(PLAN)
    assert first == everything(PLAN)
    assert first != everything(dataclasses.replace(PLAN, seed=1))
    fewer = tasks.passkey_samples(encode, dataclasses.replace(PLAN, trials=1))
    known = {s.sample: s.context.context.tolist() for s in tasks.passkey_samples(encode, PLAN)}
    assert all(known[s.sample] == s.context.context.tolist() for s in fewer)


@pytest.mark.parametrize(
    ("lengths", "near"),
    [((256, 512, 1024, 2048), 1024), ((1024, 1536), 1024), ((256, 1536, 2048), 256), ((512, 2048), 512)],
)
def test_the_nearer_length_is_at_most_half_the_longest_where_there_is_one(lengths, near):
    assert EvaluationPlan(lengths=lengths).near == near


def test_one_length_is_measured_without_far_repeats():
    assert not EvaluationPlan(lengths=(512,)).measures_far


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"lengths": (512, 256)}, OptionError, r"lengths must increase.*got lengths \[512, 256\]"),
        ({"lengths": ()}, OptionError, r"lengths must increase.*got lengths \[\]"),
        ({"lengths": (128, 256)}, OptionError, r"above the 128 scored tokens.*got 128. Give a longer"),
        ({"lengths": (512, 600)}, OptionError, r"needs 256 tokens between.*got 512 and 600. Give a longer last"),
        ({"depths": (1.5,)}, OptionError, r"between 0 \(start of the context\) and 1 \(end\); got 1.5"),
        ({"trials": 0}, OptionError, r"trials must be at least 1.*got 0. To leave a measurement out"),
        ({"tasks": ("pasky",)}, UnknownNameError, r"no measurement is called 'pasky'; did you mean 'passkey'"),
    ],
)
def test_plans_that_measure_nothing_are_refused(changes, error, words):
    with pytest.raises(error, match=words):
        EvaluationPlan(**changes)


def test_lengths_without_room_for_a_task_are_refused(encode):
    tight = dataclasses.replace(PLAN, lengths=(100, 400))
    with pytest.raises(OptionError, match=r"passkey prompt needs at least \d+ tokens; got 100. Measure longer lengths"):
        tasks.passkey_samples(encode, tight)
    with pytest.raises(OptionError, match=r"6 key-value records need at least \d+ tokens; got 30"):
        tasks.key_value_samples(encode, dataclasses.replace(PLAN, lengths=(30, 400), scored=8))
    with pytest.raises(OptionError, match=r"the 4 scored tokens of a key-value stream must hold from 1 to"):
        tasks.far_streams(encode, dataclasses.replace(PLAN, scored=4))


@pytest.mark.parametrize("name", ["key-value", "passkey", "variable-tracking"])
def test_a_battery_sample_is_the_same_whatever_else_is_drawn(encode, name):
    task = retrieval.get(name)()
    ten = {s.sample: s for s in tasks.retrieval_samples(task, encode, 1500, range(10), seed=3)}
    later = tasks.retrieval_samples(task, encode, 1500, [7], seed=3)
    np.testing.assert_array_equal(later[0].context.context, ten["1500/7"].context.context)
    assert later[0].depths == ten["1500/7"].depths
    other = tasks.retrieval_samples(task, encode, 1500, [7], seed=4)
    assert other[0].context.context.tolist() != later[0].context.context.tolist()


def test_battery_samples_name_the_middle_of_the_tenth(encode):
    tenths = tuple(round(0.05 + i / 10, 4) for i in range(10))
    (many,) = tasks.retrieval_samples(retrieval.get("key-value")(), encode, 1500, [0], seed=0)
    assert many.depths == tenths
    single = tasks.retrieval_samples(retrieval.get("passkey")(), encode, 1500, range(20), seed=0)
    assert [s.depths for s in single] == [(depth,) for depth in (*tenths, *tenths)]
    (whole,) = tasks.retrieval_samples(retrieval.get("variable-tracking")(), encode, 1500, [0], seed=0)
    assert whole.depths == (None,)
    assert whole.length == 1500


def test_long_texts_are_tokenised_afresh_and_short_ones_are_remembered(tokenizer):
    encode = tasks.encoder(tokenizer)
    assert encode("short") is encode("short")
    long = "long " * 300
    assert encode(long) is not encode(long)
    np.testing.assert_array_equal(encode(long), encode(long))
