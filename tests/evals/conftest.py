"""Fixtures of the measurements' tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from evals_models import SIZES, build_model, character_tokenizer
from transformers import LlamaConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedTokenizerFast


@pytest.fixture
def tiny_llama() -> Callable[..., Any]:
    """Makes a random two-layer Llama; keywords change its config."""

    def make(*, seed: int = 0, spread: float = 0.3, **changes: Any) -> Any:
        config = LlamaConfig(**{**SIZES, "vocab_size": 97, "tie_word_embeddings": False, **changes})
        return build_model(config, seed=seed, spread=spread)

    return make


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return character_tokenizer()
