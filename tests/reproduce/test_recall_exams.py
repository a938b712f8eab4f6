"""Several tasks as one score, and recall in conversations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from studies import losses

from ropewalk import adapters
from ropewalk.cells.texts import VALIDATION, texts
from ropewalk.data.chat import ChatEncoder
from ropewalk.data.conversations import Turn
from ropewalk.errors import DataError
from ropewalk.evals.tasks import encoder
from ropewalk.reproduce.long_conversations import conversation
from ropewalk.reproduce.recall_exams import (
    ANSWERS_LOSS,
    BATTERY,
    CHAT_RECALL,
    QUESTION_ROOM,
    BatteryExam,
    ChatExam,
    asked_about,
    asking,
    battery_scores,
)
from ropewalk.run.checkpoint import load_checkpoint

MODULES = tuple(texts(VALIDATION).documents.values())


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint("builtin")


@pytest.fixture(scope="module")
def chat():
    return ChatEncoder(adapters.load_tokenizer("builtin"))


def test_the_score_of_a_context_is_the_mean_over_tasks_however_many_questions_each_has():
    samples = [
        *losses([1.0, 0.0], measure="one"),
        *losses([1.0, 0.0], measure="many"),
        *losses([0.0, 0.0], measure="many"),
        *losses([0.0, 1.0], measure="many"),
    ]
    plain = {"d0": (1 + (1 + 0 + 0) / 3) / 2, "d1": (0 + (0 + 0 + 1) / 3) / 2}
    pooled = {"d0": 2 / 4, "d1": 1 / 4}
    got = {s.cluster: s.value for s in battery_scores(samples)}
    assert got == pytest.approx(plain)
    assert got != pytest.approx(pooled), "a mean over answers would be seen"


def test_a_context_with_a_failed_answer_has_no_score_and_counts_as_failed():
    first, second = battery_scores([*losses([1.0, None], measure="one"), *losses([1.0, 1.0], measure="two")])
    assert (first.status, first.value) == ("ok", 1.0)
    assert (second.status, second.value) == ("failed", None)


def test_the_untouched_model_can_do_every_task_inside_its_window(checkpoint, tmp_path):
    exam = BatteryExam("battery", VALIDATION, contexts=4, sizes=(256,), asked=4)
    exam.measure(checkpoint, tmp_path, None)
    data, samples = exam.read(tmp_path)
    shares = {m: np.mean([s.value for s in samples if s.measure == m]) for m in {s.measure for s in samples}}
    assert shares.pop(BATTERY) == pytest.approx(np.mean(list(shares.values())))
    assert set(shares) == {f"{what}_in_{where}" for what in ("passkey", "records") for where in ("sentences", "text")}
    assert min(shares.values()) > 0.8
    assert len(data) > 8


def test_a_question_continues_a_conversation_exactly_as_the_template_writes_it(chat):
    talk = (Turn("user", "Remember that amber is 1234."), Turn("assistant", "I will remember amber."))
    whole = chat.written((*talk, Turn("user", "What is amber?"), Turn("assistant", "amber is 1234."))).text
    before = chat.written(talk).text.rstrip("\n")
    assert whole.startswith(before + asking(chat, "amber") + " amber is 1234.")


@pytest.mark.parametrize("length", [100, 224, 992])
def test_a_conversation_fills_its_length_and_every_answer_stands_in_it_before(chat, length):
    made = conversation(chat, MODULES, np.random.default_rng(1), length=length)
    size = len(chat.encode(made.turns).tokens)
    assert length - 4 * len(made.records) <= size <= length
    read = ""
    for question, answer in zip(made.turns[::2], made.turns[1::2], strict=True):
        read += question.content
        assert read.count(answer.content) == 1, "stated, and not answered"
        assert question.content.endswith(f"What is {answer.content.split('=')[0]}?")
    assert [f"{word}={value}" in read for word, value in made.records] == [True] * len(made.records)


def test_a_conversation_that_holds_no_exchange_is_refused(chat):
    with pytest.raises(DataError, match=r"must hold at least one exchange, \d+ tokens without any text; got 20\."):
        conversation(chat, MODULES, np.random.default_rng(1), length=20)


def test_every_question_is_about_a_record_that_the_conversation_holds_where_it_says(chat):
    encode = encoder(chat.tokenizer)
    made = conversation(chat, MODULES, np.random.default_rng(2), length=512 - QUESTION_ROOM)
    context = asked_about(chat, encode, made, "512/0", 512, asked=3).context
    assert [question.answer_text for question in context.questions] == [made.records[i][1] for i in (0, 4, 7)]
    assert context.length <= 512
    written = chat.written(made.turns).text.rstrip("\n")
    for question in context.questions:
        read = chat.tokenizer.decode(context.context[: question.position])
        assert read.endswith(f"={question.answer_text}"), "the context up to here holds the record"
        whole = written + chat.tokenizer.decode(np.concatenate([question.prompt, question.answer]))
        joined = np.concatenate([context.context, question.prompt, question.answer])
        assert encode(whole).tolist() == joined.tolist(), "a model reads it as one text"


def test_every_context_of_the_exam_is_asked_about_at_every_length(checkpoint, chat, tmp_path):
    exam = ChatExam("chat", VALIDATION, contexts=2, sizes=(256, 512), asked=2)
    exam.measure(checkpoint, tmp_path, None)
    _, samples = exam.read(tmp_path)
    assert {s.measure for s in samples} == {CHAT_RECALL, ANSWERS_LOSS}
    assert {(s.length, s.cluster) for s in samples} == {(n, f"{n}/{c}") for n in (256, 512) for c in range(2)}
    assert len(samples) == 2 * 2 * (2 + 1)
    made = conversation(chat, MODULES, np.random.default_rng((0xC4A9, 256, 0)), length=256 - QUESTION_ROOM)
    (found,) = (s.value for s in samples if (s.measure, s.cluster) == (ANSWERS_LOSS, "256/0"))
    assert found == pytest.approx(plain_answer_loss(checkpoint.model, chat.encode(made.turns)), rel=1e-4)


def plain_answer_loss(model, encoded) -> float:
    """Mean of -log p of each answer token in the second half, from whole logits, one token after the other."""
    tokens = torch.as_tensor(encoded.tokens.astype(np.int64))
    with torch.no_grad():
        logits = model(tokens[None], use_cache=False).logits[0].double()
    losses = [
        float(torch.logsumexp(logits[place - 1], 0) - logits[place - 1, tokens[place]])
        for place in range(len(tokens) // 2, len(tokens))
        if encoded.supervised[place]
    ]
    return sum(losses) / len(losses)
