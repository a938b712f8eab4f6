"""CREAM in miniature: arXiv:2406.07138 on the built-in model, 256 to 2,048 tokens, trained in windows of 256 alone.

exams.py     lengths, and what is measured of the models
formats.py   the papers' own prompts, tried inside the old window
cells.py     the models at 8 times the window, with the ablations
far.py       32 and 64 times the window
chat.py      the conversation-tuned route
claims.py    what is judged
study.py     all of it as a study
"""
