"""The certificate: how far a model's context really reaches, with 95 % confidence. Pure: no model, no torch.

Two lengths; the headline is the smaller.

- Retrieval (`certify_retrieval`): the longest length such that at every tested length up to it, in every task and at
  every tenth of the depth, the score is at least 0.85 of the untouched model's at its trained length.
- Likelihood (`certify_nll`): the longest length such that at every tested length up to it the same tokens are
  predicted at most 0.02 nats per token worse than from the trained window.

Lengths are tested in order and every cell must pass: an intersection-union test, in which 5 % for each cell bounds
the error of the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ropewalk.evals.certified_nll import certify_nll
from ropewalk.evals.certified_retrieval import (
    TENTHS,
    WHOLE,
    CertificateTask,
    Prober,
    certify_retrieval,
    measure_reference,
)
from ropewalk.result import Certificate
from ropewalk.sequential import leading_passed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ropewalk.result import CertificateCell, CertificateReference, NllCheck
    from ropewalk.sequential import Schedule

__all__ = [
    "TENTHS",
    "WHOLE",
    "CertificateTask",
    "Prober",
    "certify_nll",
    "certify_retrieval",
    "make_certificate",
    "measure_reference",
    "retrieval_length",
    "ruler_length",
]

RULER_SCORE = 0.856


def retrieval_length(cells: Sequence[CertificateCell], lengths: Sequence[int]) -> int | None:
    """The longest length up to which every cell passed; 0 if not even the first did; None without any cell."""
    if not cells:
        return None
    by_length = [[cell.verdict == "passed" for cell in cells if cell.length == length] for length in lengths]
    passed = np.array([[bool(verdicts) and all(verdicts)] for verdicts in by_length])
    leading = int(leading_passed(passed))
    return lengths[leading - 1] if leading else 0


def ruler_length(scores: Mapping[int, float]) -> int:
    """RULER's effective length: the longest length whose mean score is at least 85.6 %, or 0 (arXiv:2404.06654).

    That number is Llama-2-7B-chat's score at 4,096 tokens on RULER's thirteen tasks. It is a point estimate against
    an absolute score, printed for comparison; on another battery it is only the same rule.

    Args:
        scores: Length in tokens to the mean score over the battery, 0 to 1.
    """
    return max((length for length, score in scores.items() if score >= RULER_SCORE), default=0)


def make_certificate(
    *,
    trained_length: int,
    lengths: Sequence[int],
    schedule: Schedule,
    references: Sequence[CertificateReference],
    cells: Sequence[CertificateCell],
    nll: Sequence[NllCheck],
    ruler_length: int | None = None,
    k_max: int | None = None,
) -> Certificate:
    """The record of everything, with both lengths and, by name, the two rules that it is compared with."""
    tested = [check.length for check in nll]
    leading = int(leading_passed(np.array([[check.verdict == "passed"] for check in nll]))) if nll else 0
    return Certificate(
        trained_length=trained_length,
        lengths=tuple(lengths),
        schedule=str(schedule),
        references=tuple(references),
        cells=tuple(cells),
        nll=tuple(nll),
        retrieval_length=retrieval_length(cells, lengths),
        nll_length=(tested[leading - 1] if leading else 0) if nll else None,
        ruler_length=ruler_length,
        k_max=k_max,
    )
