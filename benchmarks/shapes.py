"""The two model shapes of every benchmark, their random weights, and what a forward costs in arithmetic."""

from __future__ import annotations

import string
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Iterable

    Tokens = np.ndarray[tuple[int], np.dtype[np.int64]]

DIGITS = {digit: 1 + number for number, digit in enumerate(string.digits)}
FIRST_WORD = 1 + len(DIGITS)


@dataclass(frozen=True)
class Shape:
    """A Llama's sizes.

    Attributes:
        name: `A` (most arithmetic in the head, as in a toy) or `B` (little, as in Llama-3.1-8B).
        scale: What the lengths of a benchmark are multiplied with, so that both shapes take about as long.
        key_prompts: Lengths of the prompts with many keys.
    """

    name: str
    width: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    scale: float
    key_prompts: tuple[int, ...]

    @property
    def body(self) -> int:
        """Multiply-adds of the linear layers below the head, per token."""
        return self.layers * (4 * self.width**2 + 3 * self.width * self.inner)

    @property
    def head_share(self) -> float:
        """Share of the head in the multiply-adds of the linear layers."""
        head = self.width * self.vocabulary
        return head / (self.body + head)

    def arithmetic(self, rows: Iterable[tuple[int, int]], head_positions: int) -> float:
        """Multiply-adds of rows of (tokens before, tokens read), and of the head at so many positions."""
        pairs = linear = 0.0
        for before, read in rows:
            linear += read
            pairs += read * before + read * (read + 1) / 2
        return linear * self.body + 2 * pairs * self.width * self.layers + head_positions * self.width * self.vocabulary


SHAPES = (
    Shape("A", width=256, layers=4, heads=4, inner=688, vocabulary=32_000, scale=1, key_prompts=(160, 256, 352, 448)),
    Shape(
        "B", width=512, layers=8, heads=8, inner=1376, vocabulary=4_096, scale=0.375, key_prompts=(112, 128, 144, 160)
    ),
)
# For a run in seconds that shows whether everything works; its ratios mean nothing.
TINY = Shape(
    "tiny", width=64, layers=2, heads=2, inner=96, vocabulary=4_096, scale=0.125, key_prompts=(112, 128, 144, 160)
)


def random_model(shape: Shape, *, seed: int = 0) -> Any:
    """Random weights from a generator of their own."""
    config = LlamaConfig(
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        vocab_size=shape.vocabulary,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.05, generator=generator)
    return model


def answering_model(shape: Shape) -> Any:
    """Random weights whose greedy text is known: each token is followed by the next id, `4` by 56789 and a word.

    The output matrix is the embedding moved by one row, and the embedding outweighs what the layers add. The cost of a
    forward is that of any weights.
    """
    model = random_model(shape)
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight
        embedding.mul_(50)
        model.get_output_embeddings().weight.copy_(torch.roll(embedding, 1, dims=0))
    return model


def word_tokenizer(shape: Shape) -> PreTrainedTokenizerFast:
    """One token for each digit; every other token is a word of letters with a blank before it."""
    words = (" " + "".join(letters) for letters in product(string.ascii_lowercase, repeat=4))
    vocabulary = {"<end>": 0, **DIGITS}
    vocabulary |= {word: FIRST_WORD + n for n, word in enumerate(islice(words, shape.vocabulary - FIRST_WORD))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", clean_up_tokenization_spaces=False)


def document(shape: Shape, tokens: int, seed: int = 0) -> Tokens:
    """Random words."""
    return np.random.default_rng(seed).integers(FIRST_WORD, shape.vocabulary, size=tokens)


def scaled(shape: Shape, *tokens: int) -> list[int]:
    """Numbers of tokens, as the shape has them."""
    return [int(number * shape.scale) for number in tokens]
