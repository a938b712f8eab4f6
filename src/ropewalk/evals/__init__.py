"""Measures models: likelihood and recall against context length, with intervals, sample by sample."""
