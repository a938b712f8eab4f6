"""Conversations become tokens through a chat template; the answers and the marks that end them are what is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ropewalk.data.answers import RefusedError, Skeletons, answers_in, marks_hold
from ropewalk.data.conversations import UnusableError
from ropewalk.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ropewalk.data.conversations import Turn
    from ropewalk.data.examples import Example
    from ropewalk.data.tally import Tally

NEAR = 64  # tokens by which the length of a piece may be predicted wrong
TOGETHER = 64  # conversations: a fast tokenizer uses all threads in one call


@dataclass(frozen=True)
class Encoded:
    """A conversation, or a piece of one, in tokens.

    Attributes:
        tokens: int32 `[n]`.
        supervised: Whether each token is learnt, bool `[n]`: the answers and the marks that end them.
    """

    tokens: npt.NDArray[np.int32]
    supervised: npt.NDArray[np.bool_]

    def start(self, length: int) -> Encoded:
        """The first tokens, at most `length`."""
        return Encoded(self.tokens[:length], self.supervised[:length])

    @property
    def teaches(self) -> bool:
        """Whether any token is learnt; nothing predicts the first one."""
        return bool(self.supervised[1:].any())


@dataclass(frozen=True)
class Written:
    """A conversation as a template writes it.

    Attributes:
        text: All of it, with its special tokens.
        answers: First character and the one behind the last of each answer.
        way: How the answers were found: `marks` of the template, or `construction`.
    """

    text: str
    answers: tuple[tuple[int, int], ...]
    way: str


class ChatEncoder:
    """Writes conversations with the tokenizer's own chat template, or with ropewalk's plain one if it has none.

    The plain template writes `USER: ...`, `ASSISTANT: ...` and the end-of-text token, or a blank line for a tokenizer
    that has no such token. A run that trained with it saves it with the checkpoint, so that the model is asked in the
    way in which it was trained.

    Attributes:
        template: The Jinja text in use.
        template_source: `tokenizer` or `plain`.
        template_to_save: The plain template if it is in use, else None.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Prepares a template.

        Raises:
            DataError: The tokenizer cannot say which characters a token holds, or has several templates and none of
                them is the default.
        """
        if not getattr(tokenizer, "is_fast", False):
            raise DataError(
                "to learn answers only, the tokenizer must say which characters each token holds, as those of the "
                f"tokenizers library do; {type(tokenizer).__name__} cannot. Save it once as tokenizer.json, or train "
                "on plain text."
            )
        own = tokenizer.chat_template
        if isinstance(own, dict) and "default" not in own:
            raise DataError(
                "a tokenizer with several chat templates must have one that is named 'default'; this one has "
                f"{', '.join(sorted(own)) or 'none'}. Set tokenizer.chat_template to the one to train with."
            )
        self.tokenizer = tokenizer
        self.template_source = "tokenizer" if own else "plain"
        self.template = tokenizer.get_chat_template() if own else plain_template()
        self.template_to_save = None if own else self.template
        self._has_marks = "endgeneration" in self.template
        self._skeletons = Skeletons(lambda turns, prompt: self._write(turns, prompt=prompt)[0])

    def encode(self, turns: Sequence[Turn]) -> Encoded:
        """One conversation in tokens.

        Raises:
            UnusableError: The template refuses it, or leaves out an answer; the message says so.
        """
        return self._encoded([self.written(turns)])[0]

    def written(self, turns: Sequence[Turn]) -> Written:
        """One conversation as the template writes it; raises as `encode` does."""
        try:
            text, marks = self._write(turns)
            skeleton = self._skeletons.of(tuple(turn.role for turn in turns))
        except RefusedError as refusal:
            raise UnusableError(f"refused by the chat template: {refusal}") from refusal
        own = answers_in(text, turns, skeleton) if skeleton else None
        if self._has_marks and marks_hold(marks, text, turns, own):
            return Written(text, tuple(marks), "marks")
        if own is None:
            raise UnusableError("an answer that the chat template leaves out or rewrites")
        return Written(text, tuple((answer.start, answer.end) for answer in own), "construction")

    def split(self, turns: Sequence[Turn], window: int) -> list[tuple[Turn, ...]]:
        """Cuts a conversation before user turns into long pieces, in order, each of at most `window` tokens.

        Each piece begins with the system turns of the whole. A single exchange that is longer than the window is a
        piece by itself, and too long. Raises as `encode` does.
        """
        return [piece for piece, _ in self._split(turns, window)]

    def _split(self, turns: Sequence[Turn], window: int) -> Iterator[tuple[tuple[Turn, ...], Encoded]]:
        """The pieces of `split` with their tokens."""
        system, exchanges = _exchanges(turns)

        def piece(start: int, end: int) -> tuple[Turn, ...]:
            return (*system, *(turn for exchange in exchanges[start:end] for turn in exchange))

        alone = self._encoded([self.written(piece(i, i + 1)) for i in range(len(exchanges))])
        sizes = np.array([len(encoded.tokens) for encoded in alone])
        # What stands once in a piece: the beginning of text, the system turn. It is told from the first two exchanges.
        once = int(sizes[:2].sum()) - len(self.encode(piece(0, 2)).tokens) if len(sizes) > 1 else 0
        start = 0
        while start < len(exchanges):
            predicted = np.cumsum(sizes[start:] - once) + once
            end = start + max(1, int(np.searchsorted(predicted, window, side="right")))
            encoded = self.encode(piece(start, end)) if end > start + 1 else alone[start]
            while len(encoded.tokens) > window and end > start + 1:
                end -= 1
                encoded = self.encode(piece(start, end))
            while end < len(exchanges) and predicted[end - start] <= window + NEAR:
                longer = self.encode(piece(start, end + 1))
                if len(longer.tokens) > window:
                    break
                end, encoded = end + 1, longer
            yield piece(start, end), encoded
            start = end

    def pieces(self, examples: Iterable[Example], tally: Tally, *, window: int) -> Iterator[tuple[Example, Encoded]]:
        """Conversations in tokens, none longer than a window; a longer one comes in several pieces.

        Args:
            examples: Conversations; a batch of them is tokenized at a time.
            tally: Counts what is dropped and what is cut.
            window: Tokens.
        """
        stream = iter(examples)
        while batch := list(islice(stream, TOGETHER)):
            good = [(example, written) for example in batch if (written := self._tallied(example, tally))]
            for (example, _), encoded in zip(good, self._encoded([written for _, written in good]), strict=True):
                if len(encoded.tokens) > window:
                    parts = self._cut(example, tally, window)
                else:
                    parts = [encoded] if encoded.teaches else []
                if not parts:
                    tally.dropped("no answer within a window", example.name)
                yield from ((example, part) for part in parts)

    def _tallied(self, example: Example, tally: Tally) -> Written | None:
        """A conversation as the template writes it; the tally counts the way, or why it is dropped."""
        try:
            written = self.written(example.turns or ())
        except UnusableError as reason:
            tally.dropped(str(reason), example.name)
            return None
        tally.masked(written.way)
        return written

    def _cut(self, example: Example, tally: Tally, window: int) -> list[Encoded]:
        """The pieces of a conversation that is longer than a window, so far as they teach something."""
        whole = [encoded for _, encoded in self._split(example.turns or (), window)]
        parts = [part.start(window) for part in whole]
        used = [part for part in parts if part.teaches]
        if used and len(whole) > 1:
            tally.noted("split at turn borders", example.name)
        if any(len(part.tokens) > window and start.teaches for part, start in zip(whole, parts, strict=True)):
            tally.noted("an exchange truncated to a window", example.name)
        if used and len(used) < len(parts):
            tally.noted("an exchange without an answer within a window left out", example.name)
        return used

    def _encoded(self, conversations: Sequence[Written]) -> list[Encoded]:
        """Tokenizes conversations together.

        A token that holds a character of an answer is learnt, unless the prompt has a part of it that is not blank.
        """
        if not conversations:
            return []
        backend = self.tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        batch = backend.encode_batch([written.text for written in conversations], add_special_tokens=False)
        result = []
        for written, encoding in zip(conversations, batch, strict=True):
            first, behind = np.asarray(encoding.offsets, dtype=np.int64).reshape(-1, 2).T
            behind = np.maximum(behind, first + 1)  # tokens of white space alone may hold no character
            supervised = np.zeros(len(first), dtype=bool)
            for start, end in written.answers:
                learnt = (first < end) & (behind > start)
                for token in np.flatnonzero(learnt & (first < start)):
                    learnt[token] = not written.text[first[token] : start].strip()
                supervised |= learnt
            result.append(Encoded(np.asarray(encoding.ids, dtype=np.int32), supervised))
        return result

    def _write(self, turns: Sequence[Turn], *, prompt: bool = False) -> tuple[str, list[tuple[int, int]]]:
        """The template's text, as `apply_chat_template` makes it, and the characters of each marked stretch.

        Raises:
            RefusedError: The template raises, or cannot be used at all.
        """
        import jinja2
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            texts, marks = render_jinja_template(
                conversations=[[{"role": turn.role, "content": turn.content} for turn in turns]],
                chat_template=self.template,
                return_assistant_tokens_mask=self._has_marks,
                add_generation_prompt=prompt,
                **self.tokenizer.special_tokens_map,
            )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise RefusedError((str(error).splitlines() or [type(error).__name__])[0][:80]) from error
        return texts[0], [tuple(mark) for mark in marks[0]] if self._has_marks else []


def plain_template() -> str:
    """The template that ropewalk uses for tokenizers without one."""
    return resources.files("ropewalk.assets").joinpath("chat_template.jinja").read_text("utf-8")


def _exchanges(turns: Sequence[Turn]) -> tuple[tuple[Turn, ...], list[tuple[Turn, ...]]]:
    """The system turns at the start, and the stretches that begin with a question and end before the next one."""
    begin = next((index for index, turn in enumerate(turns) if turn.role != "system"), len(turns))
    starts = [
        index
        for index in range(begin, len(turns))
        if index == begin or (turns[index].role == "user" and turns[index - 1].role != "user")
    ]
    ends = [*starts[1:], len(turns)]
    return tuple(turns[:begin]), [tuple(turns[start:end]) for start, end in zip(starts, ends, strict=True)]
