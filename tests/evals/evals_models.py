"""Makes tiny models and tokenizers for the measurements. Nothing is downloaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

CHARACTERS = [chr(code) for code in (10, *range(32, 127))]
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


def build_model(config: Any, *, seed: int = 0, spread: float = 0.3) -> Any:
    """A random model whose logits are far from flat, from a generator of its own."""
    model = AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, spread, generator=generator)
    return model


def tiny_llama(*, seed: int = 0, spread: float = 0.3, **changes: Any) -> Any:
    """A random two-layer Llama; keywords change its config."""
    config = LlamaConfig(**{**SIZES, "vocab_size": 97, "tie_word_embeddings": False, **changes})
    return build_model(config, seed=seed, spread=spread)


def character_tokenizer(*merges: tuple[str, str]) -> PreTrainedTokenizerFast:
    """One token for each printable character, with id 0 as the end of text, and tokens for the merges."""
    vocabulary = {character: number for number, character in enumerate(["<end>", *CHARACTERS])}
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", clean_up_tokenization_spaces=False)


def prose(seed: int, words: int) -> str:
    """Random words, the same for the same seed."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return " ".join("".join(rng.choice(letters, size=int(n))) for n in rng.integers(2, 9, size=words))
