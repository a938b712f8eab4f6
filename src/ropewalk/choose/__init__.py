"""The choice of method, positions and recipe for a model: from its config, from probes, from comparisons."""
