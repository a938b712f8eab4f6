"""Searches for frequency vectors: LongRoPE's evolution over all pairs, and a taper of two numbers."""
