"""transformers' own progress bars; apart from loading, because a refused command need not import that."""

from __future__ import annotations


def hide_progress_bars() -> None:
    """Silences transformers' own bars for loading and saving, where a command draws one of its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()
