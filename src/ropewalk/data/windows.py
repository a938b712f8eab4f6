"""The training set: one map of steps x batch windows, read in order.

Window n depends on (seed, n) and on nothing else. A resumed run, a run with several workers and a run on several
processes therefore see exactly the same windows. (A key by epoch would not do: transformers' Trainer does not call
`set_epoch` for the epoch in which it resumes.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from ropewalk.errors import DataError
from ropewalk.sampler import sample_generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropewalk.data.recall_windows import RecallWindows
    from ropewalk.rope import Integers
    from ropewalk.sampler import Sampler

IGNORED = -100
_SWEEP_KEY = 0x5EED  # keeps the generators of sweeps apart from the generators of samples


@dataclass(frozen=True)
class Stretch:
    """A piece of text that one window is taken from.

    Attributes:
        tokens: At least one window of tokens.
        segments: Number of the document that each token belongs to, 0 for the first, same shape.
    """

    tokens: Integers
    segments: Integers


class TextStretches:
    """Every stretch of text once per sweep over the data, in an order drawn anew for each sweep.

    A document of at least `window` tokens gives as many stretches as it has whole windows, and where they start moves
    from sweep to sweep. Shorter documents are joined until they fill a window; their segments tell them apart.
    """

    def __init__(self, documents: Sequence[Integers], *, window: int, reach: int, seed: int) -> None:
        """Lays out the stretches.

        Args:
            documents: Token arrays.
            window: Tokens in a window.
            reach: Tokens that a stretch may hold, for samplers that skip text; at least `window`.
            seed: Keys the order of each sweep.

        Raises:
            DataError: All documents together are shorter than one window.
        """
        total = sum(len(document) for document in documents)
        if total < window:
            raise DataError(
                f"training text must fill at least one window of {window:,} tokens; the {len(documents)} given "
                f"document(s) have {total:,} tokens. Give more text, or train with a shorter window."
            )
        self.window, self.reach, self.seed = window, reach, seed
        self.documents = [document for document in documents if len(document) >= window]
        self.packs = pack([document for document in documents if len(document) < window], window)
        self.slots = [(d, s) for d, tokens in enumerate(self.documents) for s in range(len(tokens) // window)]
        self._order: tuple[int, Integers] | None = None

    def __len__(self) -> int:
        """Stretches in one sweep."""
        return len(self.slots) + len(self.packs)

    def stretch(self, number: int) -> Stretch:
        """The stretch of text sample `number`, counted over the whole run."""
        sweep, place = divmod(number, len(self))
        index = int(self._sweep_order(sweep)[place])
        if index >= len(self.slots):
            return self.packs[index - len(self.slots)]
        which, slot = self.slots[index]
        document = self.documents[which]
        spare = len(document) % self.window
        shift = int(np.random.default_rng((self.seed, _SWEEP_KEY, sweep, which)).integers(0, spare + 1))
        tokens = document[slot * self.window + shift :][: self.reach]
        return Stretch(tokens, np.zeros(len(tokens), dtype=np.int64))

    def _sweep_order(self, sweep: int) -> Integers:
        if self._order is None or self._order[0] != sweep:
            order = np.random.default_rng((self.seed, _SWEEP_KEY, sweep)).permutation(len(self))
            self._order = (sweep, order)
        return self._order[1]


def pack(documents: Sequence[Integers], window: int) -> list[Stretch]:
    """Joins short documents, longest first, into full windows; a document cut at a border goes on in the next window.

    What does not fill a last window is left out.
    """
    packs: list[Stretch] = []
    tokens: list[Integers] = []
    size = 0
    for document in sorted(documents, key=len, reverse=True):
        rest = document
        while len(rest):
            piece, rest = rest[: window - size], rest[window - size :]
            tokens.append(piece)
            size += len(piece)
            if size == window:
                segments = np.repeat(np.arange(len(tokens)), [len(t) for t in tokens])
                packs.append(Stretch(np.concatenate(tokens), segments))
                tokens, size = [], 0
    return packs


class TrainingWindows(Dataset[dict[str, torch.Tensor]]):
    """All windows of a run: text, with a fixed share of recall tasks spread evenly between.

    Each item holds `input_ids`, `labels` (-100 where nothing is learned), `position_ids` and `segment_ids`, all
    int64 `[window]`. Positions come from the sampler, and restart in each packed document.
    """

    def __init__(
        self,
        text: TextStretches,
        sampler: Sampler,
        *,
        target_length: int,
        size: int,
        seed: int,
        recall: RecallWindows | None = None,
        recall_share: float = 0.0,
    ) -> None:
        """Prepares the map.

        Args:
            text: Where text windows come from.
            sampler: Numbers the tokens of each window.
            target_length: Positions lie below it.
            size: Windows in the run, steps x batch.
            seed: Keys every draw.
            recall: Where recall windows come from; needed for a share above 0.
            recall_share: Share of windows that hold recall tasks, 0 to 1.
        """
        self.text, self.sampler, self.target_length = text, sampler, target_length
        self.size, self.seed = size, seed
        self.recall, self.recall_share = recall, recall_share if recall else 0.0

    def __len__(self) -> int:
        """Windows in the run."""
        return self.size

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        """Window `number` of the run."""
        rng = sample_generator(self.seed, number)
        recall_before = int(number * self.recall_share)
        if self.recall is not None and int((number + 1) * self.recall_share) > recall_before:
            tokens, supervised = self.recall.draw(rng)
            positions = self.sampler.positions(rng, window=len(tokens), target_length=self.target_length)
            return _item(tokens, np.where(supervised, tokens, IGNORED), positions, np.zeros_like(tokens))
        stretch = self.text.stretch(number - recall_before)
        draw = self.sampler.draw(
            rng, window=self.text.window, target_length=self.target_length, available=len(stretch.tokens)
        )
        tokens, segments = stretch.tokens[draw.text], stretch.segments[draw.text]
        starts = np.flatnonzero(np.diff(segments, prepend=-1))
        positions = draw.positions.copy()
        if len(starts) > 1:
            positions -= np.repeat(positions[starts], np.diff(starts, append=len(positions)))
        labels = tokens.copy()
        labels[starts] = IGNORED  # nothing before it predicts the first token of a document
        return _item(tokens, labels, positions, segments)


def _item(tokens: Integers, labels: Integers, positions: Integers, segments: Integers) -> dict[str, torch.Tensor]:
    arrays = {"input_ids": tokens, "labels": labels, "position_ids": positions, "segment_ids": segments}
    return {name: torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64)) for name, array in arrays.items()}
