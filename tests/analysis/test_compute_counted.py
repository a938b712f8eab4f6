"""Operations by formula are those that torch counts in a model that runs."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from ropewalk.analysis.compute import forward_work
from ropewalk.analysis.memory import Shape

SIZES = {"layers": 3, "hidden": 32, "intermediate": 80, "heads": 4, "kv_heads": 2, "head_dim": 8, "vocabulary": 97}


def counted(window: int, *, tied: bool) -> tuple[float, float]:
    """Operations of a forward pass: of products with weights, and of attention over the whole square."""
    config = LlamaConfig(
        num_hidden_layers=SIZES["layers"],
        hidden_size=SIZES["hidden"],
        intermediate_size=SIZES["intermediate"],
        num_attention_heads=SIZES["heads"],
        num_key_value_heads=SIZES["kv_heads"],
        vocab_size=SIZES["vocabulary"],
        tie_word_embeddings=tied,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, window, dtype=torch.long), use_cache=False)
    by_kind = {str(kind): flops for kind, flops in counter.get_flop_counts()["Global"].items()}
    square = by_kind.pop("aten.bmm")
    return sum(by_kind.values()), square


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("window", [16, 48])
def test_operations_are_those_that_torch_counts_with_half_of_the_square(window, tied):
    products, square = counted(window, tied=tied)
    norms = 2 * (2 * SIZES["layers"] + 1) * SIZES["hidden"]  # weights that no product has
    found = forward_work(Shape.llama(**SIZES, tied=tied), window).times(window)
    assert found.products == pytest.approx(products + norms * window)
    assert found.attention == pytest.approx(square / 2)


def test_the_check_catches_a_formula_that_counts_looked_up_embeddings_as_a_product():
    products, _ = counted(16, tied=False)
    looked_up = 2 * SIZES["vocabulary"] * SIZES["hidden"] * 16
    assert forward_work(Shape.llama(**SIZES), 16).times(16).products + looked_up > 1.05 * products
