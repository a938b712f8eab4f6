"""One reading of a context serves many lengths: the cache is cut, not computed again.

With a static rope the keys and values of the first n tokens do not depend on what follows them, so a cache cut after n
tokens is the cache of the shorter context. Two uses:

    answer_at_lengths    a context with facts along it, cut at every length and asked for the facts before each cut
    answer_grid          one fact at every position x every length: the text before a position is read once, and the
                         text after it once for all lengths

Both give what separate prompts give, and fall back to separate prompts where sharing would not be exact: a rope that
depends on the length of the call, and layers that have dropped keys which slid out of their window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ropewalk.adapters.cache import cropped
from ropewalk.data.recall import Question, RecallContext
from ropewalk.errors import OptionError
from ropewalk.evals.retrieval import NEW_TOKENS, Answer, Reader, answer_all, ask, read, tensor
from ropewalk.evals.static_rope import depends_on_length

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ropewalk.data.facts import Fact
    from ropewalk.data.recall import Tokens
    from ropewalk.data.retrieval_task import Scoring


def answer_at_lengths(
    model: Any,
    tokenizer: Any,
    context: RecallContext,
    lengths: Sequence[int],
    *,
    scoring: Scoring = "first-number",
    new_tokens: int = NEW_TOKENS,
    room: int | None = None,
) -> dict[int, list[Answer]]:
    """Answers to a context's questions when only its beginning is there.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        context: A context with facts along it.
        lengths: Tokens of the prompts, question and room for the answer included.
        scoring: How answers are scored.
        new_tokens: Length of the answer that is read, in tokens.
        room: Tokens of question and answer; those of the longest question if not given.

    Returns:
        Length to the answers about facts that stand before its cut; `number` is the question's in the whole context.

    Raises:
        OptionError: A length above the context's, or one that leaves no fact.
    """
    cuts = {length: cut(context, length, room=room) for length in sorted(set(lengths))}
    numbers = {id(question): number for number, question in enumerate(context.questions)}
    answers = {
        length: [Answer(0, numbers[id(question)], question) for question in part.questions]
        for length, part in cuts.items()
    }
    shared = _Shared(model, Reader.of(model, tokenizer, new_tokens, scoring))
    with torch.inference_mode():
        whole = shared.read(cuts[max(cuts)].context, longest=max(cuts) + new_tokens)
        if whole is not None:
            for length, part in cuts.items():
                whole.ask(len(part.context), answers[length])
            return answers
    rows = answer_all(model, tokenizer, list(cuts.values()), new_tokens=new_tokens, scoring=scoring)
    for found, known in zip(rows, answers.values(), strict=True):
        for answer, empty in zip(found, known, strict=True):
            answer.context, answer.number = 0, empty.number
    return dict(zip(cuts, rows, strict=True))


def answer_grid(
    model: Any,
    tokenizer: Any,
    haystack: Tokens,
    fact: Fact,
    *,
    positions: Sequence[int],
    lengths: Sequence[int],
    scoring: Scoring = "first-number",
    new_tokens: int = NEW_TOKENS,
) -> dict[tuple[int, int], Answer]:
    """Answers about a fact at every position of a haystack and every length, where the two fit together.

    With positions and lengths on one grid this is the lattice in which a chain of text after a position branches into
    a question at every length.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        haystack: Tokens without information, an instruction before them included.
        fact: Stands in the haystack, and is asked for at the end.
        positions: Tokens of haystack before the fact.
        lengths: Tokens of the prompts, question and expected answer included.
        scoring: How answers are scored.
        new_tokens: Length of the answer that is read, in tokens.

    Returns:
        (position, length) to the answer.

    Raises:
        OptionError: No position fits into any length, or the haystack is too short.
    """
    cells = {
        (position, length): grid_cell(haystack, fact, position, length)
        for position in sorted(set(positions))
        for length in sorted(set(lengths))
        if position + len(fact.statement) + _tail(fact) <= length
    }
    if not cells:
        raise OptionError(
            f"a fact and the question about it take {len(fact.statement) + _tail(fact)} tokens, which no position of "
            f"{sorted(positions)} leaves below the lengths {sorted(lengths)}. Give longer lengths or earlier positions."
        )
    answers = {cell: Answer(0, 0, context.questions[0]) for cell, context in cells.items()}
    shared = _Shared(model, Reader.of(model, tokenizer, new_tokens, scoring))
    with torch.inference_mode():
        if _answer_chains(shared, haystack, cells, answers, longest=max(lengths) + new_tokens):
            return answers
    rows = answer_all(model, tokenizer, list(cells.values()), new_tokens=new_tokens, scoring=scoring)
    return {cell: row[0] for cell, row in zip(cells, rows, strict=True)}


def cut(context: RecallContext, length: int, *, room: int | None = None) -> RecallContext:
    """The beginning of a context that leaves `room` in `length` tokens, with the questions that it still answers.

    Raises:
        OptionError: A length above the context's, or one that leaves no fact.
    """
    tail = context.length - len(context.context) if room is None else room
    kept = length - tail
    questions = tuple(question for question in context.questions if question.position <= kept)
    if kept > len(context.context) or not questions:
        raise OptionError(
            f"a context of {len(context.context):,} tokens and {tail} for a question is cut at lengths up to "
            f"{len(context.context) + tail:,} that leave a fact before the cut; got {length:,}. "
            "Choose another length, or make a longer context."
        )
    return RecallContext(context.context[:kept], questions)


def grid_cell(haystack: Tokens, fact: Fact, position: int, length: int) -> RecallContext:
    """The context of one cell: haystack, the fact after `position` tokens, haystack, `length` tokens with the question.

    Raises:
        OptionError: The haystack is too short.
    """
    end = length - _tail(fact) - len(fact.statement)
    if end > len(haystack):
        raise OptionError(
            f"a prompt of {length:,} tokens needs {end:,} tokens of haystack; got {len(haystack):,}. Give a longer one."
        )
    context = np.concatenate([haystack[:position], fact.statement, haystack[position:end]])
    after = position + len(fact.statement)
    question = Question(fact.prompt, fact.answer, position / len(context), after, fact.answer_text)
    return RecallContext(context, (question,))


@dataclass(frozen=True)
class _Shared:
    """Reads contexts of which beginnings can be asked."""

    model: Any
    reader: Reader

    def read(self, context: Tokens, *, longest: int) -> _Read | None:
        """None if sharing would not be exact."""
        if depends_on_length(self.model, longest):
            return None
        return self._checked(read(self.model, [context]), len(context))

    def extend(self, before: _Read | None, size: int, tokens: Tokens) -> _Read | None:
        """Reads on after the first `size` tokens of `before`."""
        if before is None or size == 0:
            return self._checked(read(self.model, [tokens]), len(tokens))
        # Layers of this kind replace their tensors when they grow, so views of the old ones are enough.
        cache = cropped(before.cache, size, before.size)
        inputs = tensor(self.model, [tokens])
        output = self.model(input_ids=inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return self._checked(output.past_key_values, size + len(tokens))

    def _checked(self, cache: Any, size: int) -> _Read | None:
        return None if cropped(cache, 1, size) is None else _Read(self, cache, size)


@dataclass(frozen=True)
class _Read:
    """A context that is read, of `size` tokens."""

    shared: _Shared
    cache: Any
    size: int

    def ask(self, size: int, answers: Sequence[Answer]) -> None:
        """Answers questions about the first `size` tokens."""
        ask(self.shared.model, self.shared.reader, cropped(self.cache, size, self.size), {0: 0}, answers)


def _answer_chains(
    shared: _Shared,
    haystack: Tokens,
    cells: Mapping[tuple[int, int], RecallContext],
    answers: Mapping[tuple[int, int], Answer],
    *,
    longest: int,
) -> bool:
    """Answers every cell from one chain for each position; False, and no answers, if sharing would not be exact."""
    positions = sorted({position for position, _ in cells})
    stem = shared.read(haystack[: max(1, positions[-1])], longest=longest)
    if stem is None:
        return False
    for position in positions:
        lengths = sorted(length for other, length in cells if other == position)
        chain = shared.extend(stem, position, cells[position, lengths[-1]].context[position:])
        if chain is None:
            return False
        for length in lengths:
            chain.ask(len(cells[position, length].context), [answers[position, length]])
    return True


def _tail(fact: Fact) -> int:
    return len(fact.prompt) + len(fact.answer)
