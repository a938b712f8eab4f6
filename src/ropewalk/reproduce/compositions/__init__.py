"""Compositions of the three papers and of later ideas, which nobody has published."""
