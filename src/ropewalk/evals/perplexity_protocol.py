"""How a perplexity is measured, by name, and which forward passes measure it. Pure: no model, no torch.

    truncate    the first L tokens of each document; all lengths from one forward (nested)
    sliding     Press, Smith and Lewis (2021), arXiv:2108.12409: windows of L tokens moved by a stride. The first window
                scores all its tokens, later ones only their last `stride`, so that each token is scored once

Every number is a mean over tokens. The released code of YaRN (`eval/perplexity.py`) and its copies in LongRoPE and
EasyContext take the mean of the means of windows instead, so that the 32,767 tokens of a first window count together
as much as the 256 new tokens of a later one; `released_code` reproduces that, and says so in its name.

Terms used below. The *targets* of a document are the tokens that something predicts: all but the first, or all when a
start token is put before them. A window of L tokens makes L - 1 predictions. Windows that begin at the same place are
prefixes of the longest of them, so one forward answers several window lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ropewalk.errors import DataError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ropewalk.rope import Integers

BATCH_TOKENS = 8192


@dataclass(frozen=True)
class PerplexityProtocol:
    """Settings of one perplexity protocol.

    Attributes:
        lengths: Truncation or window lengths in tokens, the start token included; increasing.
        stride: Tokens by which windows move; None truncates. A stride of a whole window moves by one token less,
            the number of predictions that a window makes.
        start_token: Id that is put before each window, or None to begin with the text itself.
        released_code: Means of windows weigh the same whatever they hold, as in the released code named above.
        max_tokens: Text read of each document, from its start; None reads all.
        batch_tokens: Tokens of one forward, a limit on memory that does not change results. A single window may
            exceed it.

    Raises:
        OptionError: Settings with which nothing can be measured.
    """

    lengths: tuple[int, ...]
    stride: int | None = None
    start_token: int | None = None
    released_code: bool = False
    max_tokens: int | None = None
    batch_tokens: int = BATCH_TOKENS

    def __post_init__(self) -> None:
        increasing = all(a < b for a, b in pairwise(self.lengths))
        if not self.lengths or not increasing or self.lengths[0] < 2:
            raise OptionError(
                f"perplexity needs increasing lengths of at least 2 tokens, because nothing predicts a lone token; got "
                f"{list(self.lengths)}. An example: 256, 512."
            )
        if self.stride is not None and not 1 <= self.stride <= self.lengths[0]:
            raise OptionError(
                f"the stride of sliding windows lies between 1 and the shortest window, because a longer one leaves "
                f"tokens out; got stride {self.stride} and windows of {self.lengths[0]} tokens. The papers use 256."
            )
        if self.max_tokens is not None and self.max_tokens < self.shortest_document:
            raise OptionError(
                f"max_tokens must leave the longest window of {self.lengths[-1]:,} tokens; got {self.max_tokens:,}. "
                "Leave it out to read whole documents."
            )

    @property
    def name(self) -> str:
        """`truncate` or `sliding`."""
        return "truncate" if self.stride is None else "sliding"

    @property
    def measure(self) -> str:
        """Name of the samples' measure: `truncate_nll`, `sliding_nll`, or these with `released_code_` in front."""
        return f"released_code_{self.name}_nll" if self.released_code else f"{self.name}_nll"

    @property
    def shortest_document(self) -> int:
        """Tokens that a document must have; shorter ones would mix other lengths into the longest column."""
        return self.lengths[-1] - (self.start_token is not None)

    def read(self, document: Integers) -> Integers:
        """The part of a document that is read."""
        return document[: self.max_tokens]

    def targets(self, tokens: int, length: int) -> int:
        """Tokens that are scored in a document of `tokens` tokens with windows of `length`, known in advance."""
        if self.stride is None:
            return length - 1
        return tokens if self.start_token is not None else tokens - 1

    def step(self, length: int) -> int:
        """Tokens between the beginnings of two windows of `length`; a truncated document has but one window."""
        return length - 1 if self.stride is None else min(self.stride, length - 1)

    def describe(self, length: int, *, left_out: int = 0) -> str:
        """The protocol in one phrase, as an estimate states it."""
        if self.stride is None:
            words = f"first {length:,} tokens of each document"
        else:
            words = f"windows of {length:,} tokens moved by {self.step(length):,}, each token scored once"
        if self.start_token is not None:
            words += f", start token {self.start_token} before each window"
        if self.max_tokens is not None:
            words += f", documents cut to {self.max_tokens:,} tokens"
        if left_out:
            words += f", {left_out} shorter documents left out"
        if self.released_code:
            return f"{words}; as released code averages: mean over windows, not over tokens"
        return f"{words}; mean over tokens"


def usable_documents(
    documents: Mapping[str, Integers], protocol: PerplexityProtocol
) -> tuple[dict[str, Integers], tuple[str, ...]]:
    """Documents that hold the longest window, and the names of those that do not.

    Raises:
        DataError: No document is long enough.
    """
    needed = protocol.shortest_document
    usable = {name: tokens for name, tokens in documents.items() if len(tokens) >= needed}
    if not usable:
        longest = max((len(tokens) for tokens in documents.values()), default=0)
        raise DataError(
            f"perplexity by '{protocol.name}' needs documents of at least {needed:,} tokens, its longest window; the "
            f"longest of the {len(documents)} given has {longest:,}. Give longer documents or shorter lengths."
        )
    return usable, tuple(name for name in documents if name not in usable)


@dataclass(frozen=True)
class Span:
    """Consecutive predictions of one forward that one column counts.

    Attributes:
        column: Index of the window length.
        first: Place of the first among the predictions of the forward, from 0.
        count: How many.
    """

    column: int
    first: int
    count: int


@dataclass(frozen=True)
class Forward:
    """One row of a model's input.

    Attributes:
        begin: The first target that it predicts.
        size: Predictions that it makes; it reads one token more.
        spans: Which of them are scored, for which columns.
    """

    begin: int
    size: int
    spans: tuple[Span, ...]

    @property
    def shape(self) -> tuple[int, tuple[Span, ...]]:
        """Forwards of one shape differ only in their tokens, and run as a batch."""
        return self.size, self.spans


def plan_forwards(protocol: PerplexityProtocol, tokens: int, columns: Sequence[int]) -> Iterator[Forward]:
    """The forwards that score `columns` of a document together, in order.

    Args:
        protocol: The protocol.
        tokens: Tokens of the document that are read.
        columns: Indices of window lengths, all with one step between windows; see `shared_columns`.
    """
    lengths = [protocol.lengths[column] for column in columns]
    totals = [protocol.targets(tokens, length) for length in lengths]
    # Truncated columns have one window each, so the step between windows plays no part.
    step = protocol.step(lengths[-1])
    begin = 0
    while True:
        spans = []
        for column, length, total in zip(columns, lengths, totals, strict=True):
            scored = min(total, begin - step + length - 1) if begin else 0
            end = min(total, begin + length - 1)
            if end > scored:
                spans.append(Span(column, scored - begin, end - scored))
        if not spans:
            return
        yield Forward(begin, max(span.first + span.count for span in spans), tuple(spans))
        begin += step


def shared_columns(protocol: PerplexityProtocol, *, static: bool) -> list[list[int]]:
    """Columns that share their forwards: all whose windows begin at the same places.

    Args:
        protocol: The protocol.
        static: The rope does not depend on the length of the call; otherwise nothing is shared.
    """
    groups: dict[int, list[int]] = {}
    for column, length in enumerate(protocol.lengths):
        key = column if not static else 0 if protocol.stride is None else protocol.step(length)
        groups.setdefault(key, []).append(column)
    return list(groups.values())
