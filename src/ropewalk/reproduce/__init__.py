"""The papers in miniature: their headline claims on a small model, with intervals and a verdict by a rule."""
