"""Exams of recall in other forms than `ropewalk evaluate` has: several tasks as one score, and conversations."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.cells.sampled_exams import SampledExam
from ropewalk.cells.texts import texts
from ropewalk.data import recall
from ropewalk.data.chat import ChatEncoder
from ropewalk.data.conversations import Turn
from ropewalk.evals.batches import AnswerRule, Subject, recall_stage, sample
from ropewalk.evals.nll import token_nll
from ropewalk.evals.tasks import RecallSample, encoder
from ropewalk.reproduce.long_conversations import QUESTION, conversation, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ropewalk.data.recall import Encode, Filler, RecallContext, Tokens
    from ropewalk.reproduce.long_conversations import Conversation
    from ropewalk.result import SampleResult
    from ropewalk.run.checkpoint import Checkpoint

    Progress = Callable[[str, int, int], None]

BATTERY, CHAT_RECALL, ANSWERS_LOSS = "battery", "chat_recall", "answers_loss"
_BATTERY_KEY, _CHAT_KEY = 0xBA77, 0xC4A9  # keep these draws apart from all others
QUESTION_ROOM = 32  # tokens of a question about a record and of its answer
ANSWER = "(answer)"
BATCH_TOKENS = 4096
NUMBER = AnswerRule("first-number", 10)


@dataclass(frozen=True)
class RecallExam(SampledExam):
    """Base of exams that ask for what stands in a context.

    Attributes:
        contexts: At each length.
        sizes: Context lengths, tokens, increasing.
        asked: Questions about a context with several facts.
    """

    contexts: int = 16
    sizes: tuple[int, ...] = ()
    asked: int = 8

    @property
    def lengths(self) -> tuple[int, ...]:
        """Context lengths, tokens."""
        return self.sizes

    @property
    def tokens(self) -> int:
        """About so many tokens are read."""
        return self.contexts * sum(self.sizes)

    def _text(self, checkpoint: Checkpoint) -> Tokens:
        return np.concatenate(list(self._streams(checkpoint).streams.values()))

    def _answered(
        self, checkpoint: Checkpoint, measure: str, recalls: Iterable[RecallSample], rule: AnswerRule
    ) -> list[SampleResult]:
        subject = Subject(checkpoint.model, checkpoint.tokenizer, encoder(checkpoint.tokenizer))
        stage = recall_stage(subject, measure, list(recalls), rule, BATCH_TOKENS)
        return [found for batch in stage.batches for found in batch.measure()]


@dataclass(frozen=True)
class BatteryExam(RecallExam):
    """Tasks that the untouched model can do inside its window, and their mean as one score.

    A pass key and key-value records, each in repeated sentences and in source text. The score `battery` of context
    number n is the mean over tasks of the share of right answers in their contexts of that number, so every task
    counts the same; like LongBench's macro average, over fewer and simpler tasks.
    """

    @property
    def tokens(self) -> int:
        """About so many tokens are read."""
        return 4 * super().tokens

    def samples(self, checkpoint: Checkpoint, report: Progress) -> list[SampleResult]:
        """Answers to every task, then the score of each context."""
        tasks = self._tasks(encoder(checkpoint.tokenizer), self._text(checkpoint))
        found: list[SampleResult] = []
        for number, (name, (build, rule)) in enumerate(tasks.items(), 1):
            found += self._answered(checkpoint, name, self._recalls(name, build), rule)
            report(self.name, number, len(tasks))
        return found + battery_scores(found)

    def _tasks(self, encode: Encode, text: Tokens) -> Mapping[str, tuple[Callable[..., RecallContext], AnswerRule]]:
        fillers: dict[str, Filler] = {
            "sentences": recall.GrassFiller(encode(recall.GRASS)),
            "text": recall.TextFiller(text),
        }
        tasks: dict[str, tuple[Callable[..., RecallContext], AnswerRule]] = {}
        for among, filler in fillers.items():
            tasks[f"passkey_in_{among}"] = partial(recall.passkey, encode, filler), NUMBER
            records = partial(recall.key_value, encode, filler, keys=self.asked)
            tasks[f"records_in_{among}"] = records, AnswerRule("number-at-once", 10)
        return tasks

    def _recalls(self, name: str, build: Callable[..., RecallContext]) -> list[RecallSample]:
        recalls = []
        for length in self.sizes:
            for number in range(self.contexts):
                # The same numbers for every task, so that a context differs from its like in the task alone.
                rng = np.random.default_rng((_BATTERY_KEY, length, number))
                depth = number / max(1, self.contexts - 1)
                options = {"depth": depth} if name.startswith("passkey") else {}
                context = build(rng, length=length, **options)
                depths = tuple(question.depth for question in context.questions)
                recalls.append(RecallSample(f"{length}/{number}", length, context, depths))
        return recalls


@dataclass(frozen=True)
class ChatExam(RecallExam):
    """Recall in conversations such as those of `ropewalk.reproduce.long_conversations`, over text never trained on.

    A context is a conversation as the chat template writes it; each question is one more turn, about one record. The
    records that are asked for are spread evenly over all that were stated; where fewer were stated than are asked for,
    each is asked for once. The loss of the answers that the conversation itself has, in its second half, is measured
    besides: it tells models apart that find nothing.
    """

    @property
    def tokens(self) -> int:
        """About so many tokens are read."""
        return 2 * super().tokens

    def samples(self, checkpoint: Checkpoint, report: Progress) -> list[SampleResult]:
        """Answers about each conversation."""
        chat, documents = ChatEncoder(checkpoint.tokenizer), texts(str(self.texts)).documents
        encode = encoder(checkpoint.tokenizer)
        found: list[SampleResult] = []
        for done, length in enumerate(self.sizes, 1):
            recalls = []
            for number in range(self.contexts):
                rng = np.random.default_rng((_CHAT_KEY, length, number))
                made = conversation(chat, tuple(documents.values()), rng, length=length - QUESTION_ROOM)
                found.append(self._loss(checkpoint, chat, made, f"{length}/{number}", length))
                recalls.append(asked_about(chat, encode, made, f"{length}/{number}", length, self.asked))
            found += self._answered(checkpoint, CHAT_RECALL, recalls, NUMBER)
            report(self.name, done, len(self.sizes))
        return found

    def _loss(
        self, checkpoint: Checkpoint, chat: ChatEncoder, made: Conversation, name: str, length: int
    ) -> SampleResult:
        encoded = chat.encode(made.turns)
        answers = np.flatnonzero(encoded.supervised)
        losses = token_nll(
            checkpoint.model, encoded.tokens[None], positions=answers[answers >= len(encoded.tokens) // 2]
        )
        return sample(ANSWERS_LOSS, name, name, length, float(losses.mean()))


def asked_about(
    chat: ChatEncoder, encode: Encode, made: Conversation, name: str, length: int, asked: int
) -> RecallSample:
    """A conversation with questions about some of its records, at most `asked`."""
    written = chat.written(made.turns).text.rstrip("\n")
    context = encode(written)
    chosen = np.linspace(0, len(made.records) - 1, min(asked, len(made.records))).round().astype(int)
    questions = []
    for word, value in (made.records[index] for index in chosen):
        stated = written.index(record(word, value)) + len(record(word, value))
        place = len(encode(written[:stated]))
        prompt, answer = recall.split_answer(encode, asking(chat, word), f" {record(word, value)}")
        depth, chance = place / len(context), 1 / len(made.records)
        questions.append(recall.Question(prompt, answer, depth, place, value, chance=chance))
    depths = tuple(question.depth for question in questions)
    return RecallSample(name, length, recall.RecallContext(context, tuple(questions)), depths)


def asking(chat: ChatEncoder, word: str) -> str:
    """What the template writes after an answer: the next question, up to where its answer begins."""
    question = Turn("user", QUESTION.format(word=word))
    talk = (Turn("user", "a"), Turn("assistant", "b"), question, Turn("assistant", ANSWER))
    before, after = chat.written(talk[:2]).text.rstrip("\n"), chat.written(talk).text
    return after[len(before) : after.index(ANSWER)].rstrip(" ")


def battery_scores(samples: Iterable[SampleResult]) -> list[SampleResult]:
    """The mean over tasks of each context's share of right answers; failed where any answer failed."""
    values: dict[tuple[int, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in samples:
        value = math.nan if each.value is None else each.value
        values[each.length, each.cluster][each.measure].append(value)
    return [
        sample(BATTERY, cluster, cluster, length, float(np.mean([np.mean(task) for task in tasks.values()])))
        for (length, cluster), tasks in values.items()
    ]
