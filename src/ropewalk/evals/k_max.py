"""Position Interpolation's effective window by pass keys, k_max.

Chen et al. (2023), arXiv:2306.15595, section 3.3: 32 distances spread evenly up to the target length, ten trials each
with a random five-digit key; k_max is the largest distance such that at it and at every shorter one at least 20 % of
the trials succeed. A distance is counted from the key to the end of the input.

It is printed so that tables compare, and is weak evidence: two right answers of ten meet the threshold, and the 95 %
interval of 2/10 reaches from 3 % to 56 % (Clopper-Pearson). A model that finds one key in six passes a distance more
often than not. The certificate says what is known with confidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.data import recall
from ropewalk.errors import OptionError
from ropewalk.evals.retrieval import BATCH_TOKENS, answer_all
from ropewalk.result import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ropewalk.data.recall import Encode, RecallContext

KEY = 31  # of the generator, so that other measurements with the same seed draw other keys


class DistanceRow(Record):
    """Trials at one distance.

    Attributes:
        distance: Tokens from the beginning of the fact to the end of the prompt.
        trials: Prompts.
        successes: Right answers.
        failed: Prompts at which the model gave no finite logits; they are no successes.
    """

    distance: int
    trials: int
    successes: int
    failed: int = 0


class KMax(Record):
    """k_max and the table behind it.

    Attributes:
        k_max: Tokens; 0 if the first distance fails.
        target_length: Tokens of every prompt, and the longest distance.
        threshold: Share of successes that a distance needs.
        rows: By increasing distance; they end with the first one that fails, unless all were asked for.
    """

    k_max: int
    target_length: int
    threshold: float
    rows: tuple[DistanceRow, ...]


def k_max(
    model: Any,
    tokenizer: Any,
    encode: Encode,
    target_length: int,
    *,
    distances: int = 32,
    trials: int = 10,
    threshold: float = 0.2,
    seed: int = 0,
    survey: bool = False,
    batch_tokens: int = BATCH_TOKENS,
) -> KMax:
    """Measures k_max.

    Every prompt has exactly `target_length` tokens. The paper leaves open whether it has these or about k; with a fixed
    length only the distance changes. A distance too short for fact and question puts the key as late as it fits, one
    too long puts it directly after the instruction; the rows state the true distances.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        encode: The tokenizer as `tasks.encoder` gives it.
        target_length: L', tokens.
        distances: Number of distances.
        trials: Prompts at each.
        threshold: Share of successes that a distance needs.
        seed: Of the keys.
        survey: Go on after the first distance that fails; k_max is the same.
        batch_tokens: Bound on the tokens of one forward.

    Raises:
        OptionError: The length is too short for the prompt, or there is nothing to try.
    """
    if distances < 1 or trials < 1 or not 0 < threshold <= 1:
        raise OptionError(
            f"k_max needs at least one distance, one trial and a threshold in (0, 1]; got {distances}, {trials}, "
            f"{threshold}. The paper takes 32, 10 and 0.2."
        )
    rows: list[DistanceRow] = []
    for index in range(1, distances + 1):
        contexts = [
            passkey_at_distance(
                encode, (seed, KEY, target_length, index, trial), target_length, index * target_length // distances
            )
            for trial in range(trials)
        ]
        answers = [row[0] for row in answer_all(model, tokenizer, contexts, batch_tokens=batch_tokens)]
        rows.append(
            DistanceRow(
                distance=_distance(encode, contexts[0]),
                trials=trials,
                successes=sum(answer.correct is True for answer in answers),
                failed=sum(answer.failed for answer in answers),
            )
        )
        if not survey and _fails(rows[-1], threshold):
            break
    return KMax(
        k_max=last_distance(rows, threshold), target_length=target_length, threshold=threshold, rows=tuple(rows)
    )


def last_distance(rows: Iterable[DistanceRow], threshold: float) -> int:
    """The last distance before the first one that fails; 0 if the first fails."""
    last = 0
    for row in rows:
        if _fails(row, threshold):
            break
        last = row.distance
    return last


def passkey_at_distance(encode: Encode, seed: Sequence[int], length: int, distance: int) -> RecallContext:
    """A pass-key prompt of `length` tokens, its fact beginning `distance` tokens before the end of the question.

    Raises:
        OptionError: The length is too short.
    """
    filler = recall.GrassFiller(encode(recall.GRASS))

    def prompt(depth: float) -> RecallContext:
        return recall.passkey(encode, filler, np.random.default_rng(seed), length=length, depth=depth)

    try:
        farthest, nearest = _distance(encode, prompt(0.0)), _distance(encode, prompt(1.0))
    except ValueError as error:
        raise OptionError(f"{error}. Measure k_max of a longer window.") from error
    room = farthest - nearest
    before = min(room, max(0, farthest - distance))
    return prompt(before / room if room else 0.0)


def _distance(encode: Encode, context: RecallContext) -> int:
    question = context.questions[0]
    fact = len(encode(recall.PASSKEY_FACT.format(key=question.answer_text)))
    return len(context.context) - (question.position - fact) + len(question.prompt)


def _fails(row: DistanceRow, threshold: float) -> bool:
    return row.successes < threshold * row.trials - 1e-9
