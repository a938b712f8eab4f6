"""The certificate at the end of an extension: measured on the finished checkpoint, and shown in its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.evals.store import RESULT, read_evaluation
from ropewalk.run.evaluation import evaluate
from ropewalk.run.evidence import put_evidence
from ropewalk.run.output import RECORDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ropewalk.result import EvaluationResult
    from ropewalk.run.extension import Reporter

SUITE, TASKS = "standard", ("paired",)
EVALUATION = "evaluation"


def certify(folder: Path, held_out: Sequence[str], reporter: Reporter, *, suite: str = SUITE) -> EvaluationResult:
    """Measures how far an extended checkpoint reaches; a killed measurement goes on when it is asked for again.

    Args:
        folder: The checkpoint; gets `ropewalk/evaluation` with every sample, and a card with the evidence.
        held_out: Text that the model was not trained on; the built-in held-out modules if none is given.
        reporter: Hears how far the measurement is.
        suite: Whose certificate and lengths are taken.

    Raises:
        RopewalkError: See `evaluate` and `put_evidence`.
    """
    output = folder / RECORDS / EVALUATION
    if (output / RESULT).is_file():  # of this very checkpoint: another one would stand in another folder
        reporter.stage(f"certificate of '{folder}': measured before")
        return read_evaluation(output)[0]
    reporter.stage(f"certificate of '{folder}', by the suite '{suite}'")
    result = evaluate(folder, suite=suite, tasks=TASKS, data=held_out, output=output, progress=reporter.advance)
    put_evidence(folder, [output])
    return result
