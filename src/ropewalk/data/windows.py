"""The training set: one map of steps x batch windows, read in order.

Window n depends on (seed, n) and on nothing else. A resumed run, a run with several workers and a run on several
processes therefore see exactly the same windows. (A key by epoch would not do: transformers' Trainer does not call
`set_epoch` for the epoch in which it resumes.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from ropewalk.data.collate import IGNORED, PADDING, WEIGHTS
from ropewalk.data.mixing import Mix
from ropewalk.data.packing import Packs, Pieces, alone, best_fit, fill
from ropewalk.data.recall import NOWHERE
from ropewalk.errors import DataError
from ropewalk.sampler import sample_generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ropewalk.data.gaps import GapWeights
    from ropewalk.data.recall_windows import RecallWindows
    from ropewalk.data.store import TokenStore
    from ropewalk.rope import Integers
    from ropewalk.sampler import Sampler

_SWEEP_KEY = 0x5EED  # keeps the generators of sweeps apart from the generators of samples
SHORTEST = 3  # tokens of a document that is not joined to others: what every sampler can number
NAMED = 3  # documents of a window that messages name


@dataclass(frozen=True)
class Stretch:
    """A piece of text that one window is taken from.

    Attributes:
        tokens: A window of tokens, or fewer where the rest of the window will be padding, or more for samplers that
            skip text.
        segments: Number of the document that each token belongs to, 0 for the first, same shape.
        supervised: Which tokens are learnt, same shape.
    """

    tokens: Integers
    segments: Integers
    supervised: NDArray[np.bool_]


class TextStretches:
    """Every stretch of a source once per sweep over it, in an order drawn anew for each sweep.

    A document of at least `window` tokens gives as many stretches as it has whole windows, and where they start moves
    from sweep to sweep; `best-fit` starts them at the document's beginning and packs what is left over. Shorter
    documents are packed; their segments tell them apart.

    Attributes:
        left_out: Tokens that no stretch holds: of a last window that is not filled, or of documents too short.
    """

    def __init__(
        self,
        store: TokenStore,
        *,
        window: int,
        reach: int,
        seed: int,
        packing: Literal["fill", "best-fit", "none"] = "fill",
        chosen: Integers | None = None,
        source: int = 0,
        multiple: int = 1,
    ) -> None:
        """Lays out the stretches.

        Args:
            store: The documents.
            window: Tokens in a window.
            reach: Tokens that a stretch may hold, for samplers that skip text; at least `window`.
            seed: Keys the order of each sweep.
            packing: How short documents become windows; see `ropewalk.data.packing`.
            chosen: The documents to use; all by default.
            source: Number of this source among several: each has its own order.
            multiple: A sweep ends with the last whole multiple of so many stretches, and those that wait differ from
                sweep to sweep; one that has no such multiple is read to its end.

        Raises:
            DataError: The documents do not fill one window.
        """
        self.store, self.window, self.reach, self.seed, self.source = store, window, reach, seed, source
        self.packing, self.moves = packing, packing != "best-fit"
        documents = np.arange(len(store)) if chosen is None else chosen
        lengths = store.lengths[documents]
        is_long = lengths >= window
        self.long = documents[is_long]
        self.slot_start = np.concatenate([[0], np.cumsum(lengths[is_long] // window)])
        pieces = Pieces(documents, lengths // window * window, lengths)
        if self.moves:
            pieces = pieces.take(~is_long)
        self.packs = _packed(pieces, packing, window)
        self.left_out = int(pieces.lengths.sum()) - self.packs.tokens
        self.stretches = int(self.slot_start[-1]) + len(self.packs)
        if not self.stretches:
            raise _too_short(int(lengths.sum()), len(documents), window, packing)
        self._sweep = self.stretches // multiple * multiple or self.stretches
        self._order: tuple[int, Integers] | None = None

    def __len__(self) -> int:
        """Stretches in one sweep."""
        return self._sweep

    @property
    def padding_share(self) -> float:
        """Share of the places in all stretches that no token fills, 0 to 1."""
        filled = int(self.slot_start[-1]) * self.window + self.packs.tokens
        return 1 - filled / (self.stretches * self.window)

    def stretch(self, number: int) -> Stretch:
        """The stretch of text sample `number`, counted over the whole run."""
        pieces = self.pieces(number)
        tokens, masks = [], []
        for document, start, stop in zip(pieces.document, pieces.start, pieces.stop, strict=True):
            tokens.append(self.store.read(int(document), int(start), int(stop)))
            mask = self.store.supervised(int(document), int(start), int(stop))
            masks.append(np.ones(len(tokens[-1]), dtype=bool) if mask is None else mask)
        segments = np.repeat(np.arange(len(pieces)), pieces.lengths)
        return Stretch(np.concatenate(tokens), segments, np.concatenate(masks))

    def pieces(self, number: int) -> Pieces:
        """Which pieces of which documents the stretch of text sample `number` holds."""
        sweep, place = divmod(number, len(self))
        index = int(self._sweep_order(sweep)[place])
        slots = int(self.slot_start[-1])
        if index >= slots:
            return self.packs.window(index - slots)
        which = int(np.searchsorted(self.slot_start, index, side="right")) - 1
        length = int(self.store.lengths[self.long[which]])
        start = (index - int(self.slot_start[which])) * self.window
        if self.moves:
            start += int(self._generator(sweep, which).integers(0, length % self.window + 1))
        return Pieces(self.long[[which]], np.array([start]), np.array([min(start + self.reach, length)]))

    def _sweep_order(self, sweep: int) -> Integers:
        if self._order is None or self._order[0] != sweep:
            self._order = (sweep, self._generator(sweep).permutation(self.stretches))
        return self._order[1]

    def _generator(self, *key: int) -> np.random.Generator:
        spawn_key = (self.source,) if self.source else ()  # keeps the sources apart
        return np.random.default_rng(np.random.SeedSequence((self.seed, _SWEEP_KEY, *key), spawn_key=spawn_key))


class TrainingWindows(Dataset[dict[str, torch.Tensor]]):
    """All windows of a run: those of its sources by weight, with a fixed share of recall tasks, spread evenly.

    Each item holds `input_ids`, `labels` (-100 where nothing is learned), `position_ids` and `segment_ids`, all
    int64 `[window]`. Positions come from the sampler, and restart in each packed document. What no token fills is
    padding at the end: token 0 of segment `PADDING`, never learned. Where gaps count, `weights` says for how much each
    token counts as a target, float32 `[window]`.
    """

    def __init__(
        self,
        sources: Sequence[TextStretches],
        sampler: Sampler,
        *,
        target_length: int,
        size: int,
        seed: int,
        weights: Sequence[float] = (1.0,),
        recall: RecallWindows | None = None,
        recall_share: float = 0.0,
        gaps: GapWeights | None = None,
    ) -> None:
        """Prepares the map.

        Args:
            sources: Where text windows come from.
            sampler: Numbers the tokens of each window.
            target_length: Positions lie below it.
            size: Windows in the run, steps x batch.
            seed: Keys every draw.
            weights: Of the sources against each other.
            recall: Where recall windows come from; needed for a share above 0.
            recall_share: Share of windows that hold recall tasks, 0 to 1.
            gaps: Which targets count for more; None where all count alike.
        """
        self.gaps = gaps
        self.sources, self.sampler, self.target_length = sources, sampler, target_length
        self.size, self.seed, self.window = size, seed, sources[0].window
        self.recall = recall if recall_share else None
        self.mix = Mix(weights, last_share=recall_share if recall else 0.0)

    def __len__(self) -> int:
        """Windows in the run."""
        return self.size

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        """Window `number` of the run."""
        rng = sample_generator(self.seed, number)
        source, index = self.mix.place(number)
        if self.recall is not None and source == len(self.sources):
            tokens, evidence = self.recall.draw(rng)
            positions = self.sampler.positions(rng, window=len(tokens), target_length=self.target_length)
            labels = np.where(evidence != NOWHERE, tokens, IGNORED)
            weights = self.gaps.of_recall(positions, evidence) if self.gaps else None
            return _item(tokens, labels, positions, np.zeros_like(tokens), weights)
        return self._text_window(self.sources[source].stretch(index), rng)

    @property
    def packed(self) -> bool:
        """Whether some windows hold several documents, and a mask between them."""
        return any(source.packing != "none" and len(source.packs) for source in self.sources)

    def describe(self, number: int) -> str:
        """Which documents window `number` holds, for messages: `modules/a.py and modules/b.py`."""
        source, index = self.mix.place(number)
        if source == len(self.sources):
            return "a synthetic recall task"
        text = self.sources[source]
        names = list(dict.fromkeys(text.store.name(int(document)) for document in text.pieces(index).document))
        if len(names) > NAMED:
            names = [*names[:NAMED], f"{len(names) - NAMED} more"]
        return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]

    def _text_window(self, stretch: Stretch, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        available = len(stretch.tokens)
        size = min(self.window, available)
        draw = self.sampler.draw(rng, window=size, target_length=self.target_length, available=available)
        tokens, segments = stretch.tokens[draw.text], stretch.segments[draw.text]
        starts = np.flatnonzero(np.diff(segments, prepend=-1))
        positions = draw.positions.copy()
        if len(starts) > 1:
            positions -= np.repeat(positions[starts], np.diff(starts, append=len(positions)))
        labels = np.where(stretch.supervised[draw.text], tokens, IGNORED)
        labels[starts] = IGNORED  # nothing before it predicts the first token of a document
        filled = _padded(self.window, tokens, labels, positions, segments)
        weights = self.gaps.of_text(filled[2], filled[0], filled[3]) if self.gaps else None
        return _item(*filled, weights)


def _packed(pieces: Pieces, packing: str, window: int) -> Packs:
    """What is left of documents beside their slots, as windows."""
    if packing == "fill":
        return fill(pieces, window)
    pieces = pieces.take(pieces.lengths >= SHORTEST)
    return best_fit(pieces, window) if packing == "best-fit" else alone(pieces)


def _padded(
    window: int, tokens: Integers, labels: Integers, positions: Integers, segments: Integers
) -> tuple[Integers, Integers, Integers, Integers]:
    padding = window - len(tokens)
    if not padding:
        return tokens, labels, positions, segments
    return (
        np.pad(tokens, (0, padding)),
        np.pad(labels, (0, padding), constant_values=IGNORED),
        np.concatenate([positions, np.arange(padding)]),
        np.pad(segments, (0, padding), constant_values=PADDING),
    )


def _item(
    tokens: Integers,
    labels: Integers,
    positions: Integers,
    segments: Integers,
    weights: NDArray[np.float32] | None,
) -> dict[str, torch.Tensor]:
    arrays = {"input_ids": tokens, "labels": labels, "position_ids": positions, "segment_ids": segments}
    item = {name: torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64)) for name, array in arrays.items()}
    return item if weights is None else item | {WEIGHTS: torch.from_numpy(weights)}


def _too_short(tokens: int, documents: int, window: int, packing: str) -> DataError:
    if packing == "fill":
        return DataError(
            f"training text must fill at least one window of {window:,} tokens; the {documents:,} given document(s) "
            f"have {tokens:,} tokens. Give more text, or train with a shorter window."
        )
    return DataError(
        f"training data must hold at least one document of {SHORTEST} tokens, because a shorter one teaches next to "
        f"nothing; the {documents:,} given have {tokens:,} tokens in all. Give longer ones."
    )
