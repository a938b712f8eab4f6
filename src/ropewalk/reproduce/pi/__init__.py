"""Position Interpolation in miniature: tables 1 to 6 of arXiv:2306.15595 on the built-in model and a smaller one."""
