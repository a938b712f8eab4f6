"""Training with transformers' Trainer, with our loss, our windows and exact resume."""
