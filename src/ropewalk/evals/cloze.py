"""A choice among four names: the likeliest continuation of a context, in place of multiple-choice suites.

Position Interpolation measures the cost inside the old window by BoolQ, PIQA, RACE and WinoGrande (Chen et al. 2023,
arXiv:2306.15595, table 5), which a small model answers by chance. Here a context inside the old window ends before a
name, and the model chooses as it would there: the candidate with the greatest summed log-likelihood of its tokens,
without division by its length, which is what the model's probability of the name is. Equal scores are no answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ropewalk.adapters.cache import selected
from ropewalk.data.cloze import CANDIDATES
from ropewalk.evals.batches import chunks, memory, sample
from ropewalk.evals.nll import token_nll
from ropewalk.evals.retrieval import BATCH_TOKENS, read, tensor
from ropewalk.evals.static_rope import depends_on_length

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ropewalk.data.cloze import ClozeQuestion
    from ropewalk.result import SampleResult
    from ropewalk.rope import Floats

    Progress = Callable[[str, int, int], None]

MEASURE = "cloze"


def answer_cloze(
    model: Any,
    questions: Sequence[ClozeQuestion],
    *,
    window: int,
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress | None = None,
) -> list[SampleResult]:
    """A sample for each question: 1 if the right name is the likeliest, else 0; failed without finite logits.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        questions: With contexts of one length.
        window: Tokens of context and name at most: the length that samples state.
        batch_tokens: Bound on the tokens of one forward; changes no answer.
        progress: Called with (`cloze`, questions done, questions in total).

    Raises:
        MeasurementError: The device's memory does not hold one batch.
    """
    found: list[SampleResult] = []
    for _, chosen in chunks(questions, max(1, batch_tokens // window)):
        with memory(MEASURE, window):
            scores = candidate_scores(model, chosen, window=window)
        found += [_answered(question, row, window) for question, row in zip(chosen, scores, strict=True)]
        if progress:
            progress(MEASURE, len(found), len(questions))
    return found


def candidate_scores(model: Any, questions: Sequence[ClozeQuestion], *, window: int) -> Floats:
    """Summed log-likelihood of each candidate after its context, nats, `[questions, 4]`; NaN where the model failed.

    A context is read once for its candidates, unless the rope depends on the length of the call.

    Args:
        model: A causal language model.
        questions: With contexts of one length.
        window: The longest call, tokens.
    """
    if depends_on_length(model, window):
        rows = [[_read_whole(model, q, candidate) for candidate in q.candidates] for q in questions]
        return np.array(rows, dtype=np.float64)
    with torch.inference_mode():
        cache = read(model, [question.context[:-1] for question in questions])
        # The last token of the context predicts the first of a candidate. Padding stands where nothing looks at it.
        suffixes = [np.append(q.context[-1:], candidate) for q in questions for candidate in q.candidates]
        width = max(len(suffix) for suffix in suffixes)
        inputs = tensor(model, [np.pad(suffix, (0, width - len(suffix)), mode="edge") for suffix in suffixes])
        rows_of_cache = [index for index in range(len(questions)) for _ in range(CANDIDATES)]
        copied = selected(cache, rows_of_cache, width)
        logits = model(input_ids=inputs, past_key_values=copied, use_cache=True).logits.float()
        taken = torch.log_softmax(logits[:, :-1], dim=-1).gather(-1, inputs[:, 1:, None])[..., 0].double().cpu()
    scores = [float(row[: len(suffix) - 1].sum()) for row, suffix in zip(taken, suffixes, strict=True)]
    return np.array(scores).reshape(len(questions), CANDIDATES)


def _read_whole(model: Any, question: ClozeQuestion, candidate: Any) -> float:
    whole = np.concatenate([question.context, candidate])
    return -float(token_nll(model, whole[None], scored=len(candidate)).sum())


def _answered(question: ClozeQuestion, scores: Floats, window: int) -> SampleResult:
    right = float(scores[0] > scores[1:].max()) if np.isfinite(scores).all() else math.nan
    return sample(MEASURE, question.name, question.module, window, right, chance=1 / CANDIDATES)
