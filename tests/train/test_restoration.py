"""Restoration against its definition: the original's distribution, its own reading, its own tokens, and no others."""

from __future__ import annotations

import pytest
import torch

from ropewalk.data.collate import PADDING, collate
from ropewalk.train.loss import read
from ropewalk.train.objective import training_forward
from ropewalk.train.restoration import Restoration, divergence, original_inputs

LENGTH, WINDOW, VOCABULARY = 10, 24, 64


def batch(segments: list[int] | None = None, positions: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """Two windows; `segments` are lengths of documents, `positions` what the extended model is told."""
    lengths = segments or [WINDOW]
    documents = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    if positions is None:
        positions = torch.cat([torch.arange(length) for length in lengths])
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, VOCABULARY, (2, WINDOW), generator=generator)
    return collate(
        [{"input_ids": row, "labels": row, "position_ids": positions, "segment_ids": documents} for row in ids]
    )


def models(make):
    """An original, and the same with other weights."""
    teacher, student = make(), make()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(2)
        for parameter in student.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return teacher.eval(), student


def strong(model):
    """The same model with weights so large that it matters what a token attends to."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(20)
    return model


def plain_divergence(teacher_logits: torch.Tensor, student_logits: torch.Tensor) -> float:
    """Sum of p (ln p - ln q) in float64, by its definition."""
    p, q = (torch.softmax(logits.double(), -1) for logits in (teacher_logits, student_logits))
    return float((p * (p.log() - q.log())).sum())


@pytest.mark.parametrize("fused", [True, False])
def test_the_divergence_is_that_of_the_two_distributions_and_of_their_direction(tiny_llama, fused):
    teacher, student = models(tiny_llama)
    data = batch()
    with torch.no_grad():
        known, learned = (read(model, data, fused=fused) for model in (teacher, student))
        logits = [model(data["input_ids"]).logits[:, :LENGTH] for model in (teacher, student)]
        got = float(divergence(known, learned, torch.ones(2, LENGTH, dtype=torch.bool)))
    assert got == pytest.approx(plain_divergence(*logits), rel=1e-5)
    assert got != pytest.approx(plain_divergence(*reversed(logits)), rel=1e-2)


def test_the_loss_is_weighted_per_taught_token_and_its_gradient_is_that_of_the_plain_form(tiny_llama):
    teacher, student = models(tiny_llama)
    data = batch()
    loss = Restoration(teacher, LENGTH, 0.5).loss(read(student, data, fused=True), data, fused=True)
    with torch.no_grad():
        known = teacher(data["input_ids"]).logits[:, :LENGTH].log_softmax(-1)
    got = student(data["input_ids"]).logits[:, :LENGTH].log_softmax(-1)
    plain = 0.5 * (known.exp() * (known - got)).sum() / (2 * LENGTH)
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), rel=1e-5)
    weights = list(student.parameters())
    wanted = torch.autograd.grad(plain, weights, allow_unused=True)
    for ours, expected in zip(torch.autograd.grad(loss, weights, allow_unused=True), wanted, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_padding_teaches_nothing(tiny_llama):
    teacher, student = models(tiny_llama)
    data = batch()
    padding = torch.zeros(2, WINDOW, dtype=torch.bool)
    padding[0, 4:] = True
    reading = read(student, data, fused=True)
    loss = Restoration(teacher, LENGTH, 0.5).loss(reading, data, padding=padding, fused=True)
    with torch.no_grad():
        logits = [model(data["input_ids"]).logits[:, :LENGTH][~padding[:, :LENGTH]] for model in (teacher, student)]
    assert float(loss.detach()) == pytest.approx(0.5 * plain_divergence(*logits) / (4 + LENGTH), rel=1e-5)


def test_a_model_that_has_not_changed_has_nothing_to_restore(tiny_llama):
    model = tiny_llama()
    data = batch()
    assert float(Restoration(model, LENGTH, 1.0).loss(read(model, data, fused=True), data, fused=True).detach()) < 1e-6


def test_the_original_reads_positions_without_gaps_whatever_the_sampler_says(tiny_llama):
    skipping = torch.cat([torch.arange(4), torch.arange(4, WINDOW) + 70])
    inputs = original_inputs(batch(positions=skipping), LENGTH)
    assert inputs["position_ids"].tolist() == [list(range(LENGTH))] * 2
    model = strong(tiny_llama())
    data = batch(positions=skipping)
    # The same weights read over the gap otherwise than without it: that is what is taught.
    assert float(Restoration(model, LENGTH, 1.0).loss(read(model, data, fused=True), data, fused=True).detach()) > 1e-4


def test_the_original_reads_each_document_of_a_packed_window_alone(tiny_llama):
    model = strong(tiny_llama()).eval()
    data = batch(segments=[3, 5, WINDOW - 8])
    inputs = original_inputs(data, LENGTH)
    assert inputs["position_ids"][0].tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 0, 1]
    ids = data["input_ids"][:, :LENGTH]
    with torch.no_grad():
        packed = read(model, inputs, fused=False).states
        alone = torch.cat([model(part).logits for part in torch.split(ids, [3, 5, 2], dim=1)], dim=1)
        joined = model(ids).logits
    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(packed, joined, atol=1e-3)


def test_a_window_shorter_than_the_trained_one_is_taught_whole(tiny_llama):
    teacher, student = models(tiny_llama)
    data = batch()
    reading = read(student, data, fused=True)
    whole, beyond = (Restoration(teacher, length, 1.0).loss(reading, data, fused=True) for length in (WINDOW, 999))
    assert torch.equal(whole, beyond)


def test_what_is_padding_in_a_batch_is_taught_to_no_model_that_trains_on_it(tiny_llama):
    """Through the forward of a training: a window padded in a batch is taught as much as the same one alone."""
    teacher, student = models(tiny_llama)
    ids = torch.randint(0, VOCABULARY, (2, WINDOW), generator=torch.Generator().manual_seed(1))
    rows = [
        {"input_ids": row, "labels": row, "position_ids": torch.arange(WINDOW), "segment_ids": torch.zeros_like(row)}
        for row in ids
    ]
    rows[0]["segment_ids"] = torch.where(torch.arange(WINDOW) < 4, 0, PADDING)
    restored = []
    with training_forward(student, fused=True, restoration=Restoration(teacher, LENGTH, 1.0)):
        for windows in (rows, rows[:1], rows[1:]):
            restored.append(float(student(**collate(windows))[1].detach()))
    together, short, long = restored
    assert together == pytest.approx((4 * short + LENGTH * long) / (4 + LENGTH), rel=1e-4)
