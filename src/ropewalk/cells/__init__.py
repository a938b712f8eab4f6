"""Cells: one model each, made once and measured once; studies and comparisons are lists of them."""
