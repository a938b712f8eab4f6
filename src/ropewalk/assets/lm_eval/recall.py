"""What the task files of this folder call; the code is ropewalk's own."""

from ropewalk.evals.harness.documents import build as documents
from ropewalk.evals.harness.documents import decoded, greedy_match

__all__ = ["decoded", "documents", "greedy_match"]
