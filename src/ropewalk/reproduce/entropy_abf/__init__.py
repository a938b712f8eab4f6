"""Entropy-ABF in miniature: 100 samples and 6 steps of arXiv:2401.07004 on the built-in model, 256 to 1,024 tokens."""

from ropewalk.reproduce.entropy_abf.cells import all_cells, five, quick_cells, steps_of
from ropewalk.reproduce.entropy_abf.study import entropy_abf

__all__ = ["all_cells", "entropy_abf", "five", "quick_cells", "steps_of"]
