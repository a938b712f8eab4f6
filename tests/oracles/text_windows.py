"""Windows of one source of text, filled, as plain lists: a second implementation with everything in memory."""

from __future__ import annotations

import numpy as np

IGNORED = -100
SWEEP_KEY = 0x5EED


class PlainText:
    """Documents as lists of tokens, laid out for one window."""

    def __init__(self, documents: list[list[int]], window: int) -> None:
        self.window = window
        self.long = [document for document in documents if len(document) >= window]
        self.slots = [(d, s) for d, document in enumerate(self.long) for s in range(len(document) // window)]
        self.packs = filled([document for document in documents if len(document) < window], window)

    def stretch(self, seed: int, target_length: int, text_number: int) -> tuple[list[int], list[int]]:
        """Tokens and document numbers that text window `text_number` is drawn from."""
        sweep, place = divmod(text_number, len(self.slots) + len(self.packs))
        order = np.random.default_rng((seed, SWEEP_KEY, sweep)).permutation(len(self.slots) + len(self.packs))
        index = int(order[place])
        if index >= len(self.slots):
            return self.packs[index - len(self.slots)]
        which, slot = self.slots[index]
        spare = len(self.long[which]) % self.window
        shift = int(np.random.default_rng((seed, SWEEP_KEY, sweep, which)).integers(0, spare + 1))
        tokens = self.long[which][slot * self.window + shift :][:target_length]
        return tokens, [0] * len(tokens)


def filled(documents: list[list[int]], window: int) -> list[tuple[list[int], list[int]]]:
    """Tokens and document numbers of full windows of short documents, longest first."""
    packs, tokens, segments = [], [], []
    for document in sorted(documents, key=len, reverse=True):
        number = segments[-1] + 1 if segments else 0
        for token in document:
            tokens.append(token)
            segments.append(number)
            if len(tokens) == window:
                packs.append((tokens, segments))
                tokens, segments, number = [], [], 0
    return packs


def text_window(text: PlainText, sampler, *, target_length: int, seed: int, number: int, text_number: int):
    """Input ids, labels, position ids and segment ids of window `number`, the `text_number`th that is text."""
    tokens, segments = text.stretch(seed, target_length, text_number)
    draw = sampler.draw(
        np.random.default_rng((seed, number)),
        window=text.window,
        target_length=target_length,
        available=len(tokens),
    )
    places = draw.text.tolist()
    is_packed = len({segments[place] for place in places}) > 1
    ids, labels, positions, start = [], [], [], 0
    for nth, (position, place) in enumerate(zip(draw.positions.tolist(), places, strict=True)):
        begins = nth == 0 or segments[place] != segments[places[nth - 1]]
        start = position if begins else start
        ids.append(tokens[place])
        labels.append(IGNORED if begins else tokens[place])
        positions.append(position - start if is_packed else position)
    return ids, labels, positions, [segments[place] for place in places]
