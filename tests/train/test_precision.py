"""A training step computes in the precision that was asked for, and its weights stay in float32."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import Dataset

from ropewalk.train import trainer
from ropewalk.train.settings import TrainSettings


class Windows(Dataset):
    """Four windows of random tokens."""

    gaps = None

    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        ids = torch.randint(0, 64, (24,), generator=torch.Generator().manual_seed(number))
        places = torch.arange(24)
        return {"input_ids": ids, "labels": ids, "position_ids": places, "segment_ids": torch.zeros_like(ids)}


@pytest.mark.parametrize(("precision", "seen"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_products_are_computed_in_it_and_weights_stay_in_float32(precision, seen, tiny_llama, tmp_path):
    model = tiny_llama()
    dtypes: list[torch.dtype] = []
    model.model.layers[0].mlp.gate_proj.register_forward_hook(lambda _, __, output: dtypes.append(output.dtype))
    settings = TrainSettings(steps=2, batch=2, learning_rate=1e-3, precision=precision)
    trainer.train(model, Windows(), settings, tmp_path)
    assert dtypes[-1] == seen  # the checks before the first step run in float32
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
