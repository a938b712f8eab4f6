"""The weighted loss is the sum of weight x loss over the sum of weights, however a step is cut; without weights it is
the loss that it was.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from runs import tiny_settings, tiny_windows

from ropewalk.adapters.head import Head
from ropewalk.cells.measuring import what_matters
from ropewalk.cells.runs import recipe
from ropewalk.data.collate import IGNORED, SHIFT_WEIGHTS, WEIGHTS, collate
from ropewalk.data.gaps import GapWeights
from ropewalk.errors import OptionError
from ropewalk.run.plan import resolve
from ropewalk.train import loss
from ropewalk.train.objective import training_forward
from ropewalk.train.reach import check_reach
from ropewalk.train.restoration import Restoration
from ropewalk.train.tiled import tile_mlps
from ropewalk.train.trainer import counted_targets, train

SMALL = {"steps": 1, "batch": 1, "micro_batch": 1, "precision": "float32"}


class Weighed:
    """Training windows whose every third target counts three times."""

    gaps = GapWeights(3.0, 32)

    def __init__(self, windows, weight: float = 3.0) -> None:
        self.windows, self.weight = windows, weight

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        weights = torch.ones(32)
        weights[number % 3 :: 3] = self.weight
        return self.windows[number] | {WEIGHTS: weights}


def batch_of(windows, numbers=range(4)) -> dict[str, torch.Tensor]:
    return collate([windows[number] for number in numbers])


def plain_loss(logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> tuple[float, float]:
    """Sum of weight x loss, and the sum of weights: one target after the other in plain float64."""
    total = counted = 0.0
    for row, targets, weights in zip(logits.double(), batch["shift_labels"], batch[SHIFT_WEIGHTS], strict=True):
        for scores, target, weight in zip(row.tolist(), targets.tolist(), weights.tolist(), strict=True):
            if target != IGNORED:
                total += weight * (math.log(math.fsum(map(math.exp, scores))) - scores[target])
                counted += weight
    return total, counted


def losses(folder, model, windows, **changes) -> tuple[float, ...]:
    torch.manual_seed(0)
    return train(model, windows, tiny_settings(steps=3, **changes), folder).losses


@pytest.mark.parametrize("fused", [True, False])
def test_the_weighted_loss_is_the_plain_sum_of_each_targets_own(tiny_llama, fused):
    model, batch = tiny_llama(), batch_of(Weighed(tiny_windows(size=4)))
    logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"]).logits
    total, counted = plain_loss(logits, batch)
    with training_forward(model, fused=fused, restoration=None):
        summed, _ = model(**batch)
    assert float(summed.detach()) == pytest.approx(total, rel=1e-5)
    assert float(counted_targets(batch)) == counted
    unweighted = batch | {SHIFT_WEIGHTS: torch.ones(4, 32)}
    assert plain_loss(logits, unweighted)[0] != pytest.approx(total, rel=1e-2), "the comparison can tell them apart"


@pytest.mark.parametrize(("scale", "softcap", "biased"), [(1.0, None, False), (0.5, None, True), (2.0, 1.5, True)])
def test_its_gradient_is_that_of_whole_logits_for_every_head(scale, softcap, biased):
    generator = torch.Generator().manual_seed(2)
    rows = loss.MOST_ROWS + 7
    states, weight, bias = (torch.randn(*size, generator=generator) for size in ((rows, 8), (30, 8), (30,)))
    leaves = [leaf.requires_grad_() for leaf in ((states, weight, bias) if biased else (states, weight))]
    targets = torch.randint(0, 30, (rows,), generator=generator)
    counts = torch.rand(rows, generator=generator) * 3
    logits = scale * (states @ weight.T + (bias if biased else 0))
    logits = softcap * torch.tanh(logits / softcap) if softcap else logits
    whole = -(counts * torch.log_softmax(logits, -1)[torch.arange(rows), targets]).sum()
    got = loss.head_cross_entropy(states, Head(weight, bias if biased else None, scale, softcap), targets, counts)
    assert float(got.detach()) == pytest.approx(float(whole.detach()), rel=1e-5)
    for ours, plain in zip(*(torch.autograd.grad(total, leaves) for total in (got, whole)), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)


def test_weights_of_one_are_no_weights_and_train_to_the_same_bits(tiny_llama, tmp_path):
    windows = tiny_windows(size=12)
    plain = losses(tmp_path / "plain", tiny_llama(), windows)
    assert SHIFT_WEIGHTS not in batch_of(Weighed(windows, 1.0))
    assert losses(tmp_path / "ones", tiny_llama(), Weighed(windows, 1.0)) == plain
    assert losses(tmp_path / "threes", tiny_llama(), Weighed(windows)) != plain


def test_the_loss_of_a_step_is_divided_by_the_sum_of_all_its_weights(tiny_llama, tmp_path):
    windows = Weighed(tiny_windows(size=12))
    model, batch = tiny_llama(), batch_of(windows)
    total, counted = plain_loss(model(input_ids=batch["input_ids"], position_ids=batch["position_ids"]).logits, batch)
    first = losses(tmp_path, model, windows)[0]
    assert first == pytest.approx(total / counted, rel=1e-4)
    assert first != pytest.approx(total / int((batch["shift_labels"] != IGNORED).sum()), rel=1e-1)


def test_micro_batches_change_nothing_even_where_only_some_have_weights(tiny_llama, tmp_path):
    class FirstAlone(Weighed):
        def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
            item = super().__getitem__(number)
            return item if number % 4 == 0 else item | {WEIGHTS: torch.ones(32)}

    windows = FirstAlone(tiny_windows(size=12))
    assert [SHIFT_WEIGHTS in batch_of(windows, [number]) for number in range(4)] == [True, False, False, False]
    whole, cut = (
        losses(tmp_path / str(micro), tiny_llama(), windows, micro_batch=micro, learning_rate=1e-2) for micro in (4, 1)
    )
    assert cut == pytest.approx(whole, rel=1e-4)


def test_tiled_mlps_and_restoration_take_weights_as_they_are(tiny_llama):
    model, teacher, batch = tiny_llama(), tiny_llama().eval(), batch_of(Weighed(tiny_windows(size=4)))
    with training_forward(model, fused=True, restoration=None):
        plain, _ = model(**batch)
    restoration = Restoration(teacher, 16, 0.5)
    with tile_mlps(model, 8), training_forward(model, fused=True, restoration=restoration):
        summed, restored = model(**batch)
    torch.testing.assert_close(summed, plain)
    bare = {name: value for name, value in batch.items() if name != SHIFT_WEIGHTS}
    with training_forward(model, fused=True, restoration=restoration):
        assert float(model(**bare)[1].detach()) == pytest.approx(float(restored.detach()), abs=1e-6)


def test_the_test_before_a_run_knows_weights(tiny_llama):
    check_reach(tiny_llama(), Weighed(tiny_windows(size=1))[0], collate)


def test_a_run_without_gaps_is_written_down_as_ever_and_one_with_them_says_so():
    plain, weighed = recipe("reproduce-cream"), recipe("reproduce-cream", train={"gap": {"weight": 3.0}})
    assert "gap" not in what_matters(plain)["train"], "cells that are there already stay what they are"
    assert what_matters(weighed)["train"]["gap"] == {"weight": 3.0, "repeats": False}


@pytest.mark.parametrize(
    ("gap", "wanted"), [(None, None), ({"weight": 1.0}, None), ({"weight": 3.0}, GapWeights(3.0, 256, repeats=False))]
)
def test_a_weight_of_one_asks_for_nothing(gap, wanted):
    from ropewalk.run.training_data import _gaps

    train_section = SMALL | ({"gap": gap} if gap else {})
    assert _gaps(resolve(recipe("reproduce-cream", train=train_section))) == wanted


def test_a_weight_without_anything_to_weigh_is_refused():
    gap = {**SMALL, "gap": {"weight": 3.0}}
    with pytest.raises(
        OptionError, match=r"this run has neither, so that \[train.gap\] weight = 3 would weigh nothing"
    ):
        resolve(recipe("reproduce-pi", train=gap))
    resolve(recipe("reproduce-pi", train={**SMALL, "gap": {"weight": 3.0, "repeats": True}}))


def test_windows_that_devices_share_are_refused(monkeypatch):
    monkeypatch.setenv("PARALLELISM_CONFIG_CP_SIZE", "2")
    run = recipe("reproduce-cream", train={**SMALL, "gap": {"weight": 3.0}}, data={"packing": "none"})
    with pytest.raises(OptionError, match=r"the weights of its targets are not cut with it; got .* weight = 3"):
        resolve(run)


def test_the_windows_of_a_run_carry_the_weights(tmp_path):
    from ropewalk import adapters
    from ropewalk.run.training_data import training_windows

    (tmp_path / "text.txt").write_text("".join(f"line {number} of a text\n" for number in range(2000)))
    data = {"files": [str(tmp_path / "text.txt")], "window": 256}
    plan = resolve(recipe("reproduce-cream", train={**SMALL, "batch": 32, "gap": {"weight": 3.0}}, data=data))
    windows, _ = training_windows(plan, adapters.load_tokenizer("builtin"))
    batch = collate([windows[number] for number in range(32)])
    weighed = batch[SHIFT_WEIGHTS][batch["shift_labels"] != IGNORED].numpy()
    assert set(np.unique(weighed)) == {1.0, 3.0}
    assert (weighed == 3).mean() < 0.2, "few targets are told from across a gap"
