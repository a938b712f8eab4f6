"""Comparisons of candidates under one budget, on the user's own model: `ropewalk compare`."""
