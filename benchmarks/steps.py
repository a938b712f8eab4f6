"""A training step in a process of its own: ropewalk's, and transformers' with and without activation checkpointing.

Each way has its own process, because a step leaves its marks on the allocator: what one way freed in pieces would be
counted for the other, or against it.
"""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from shapes import document, random_model
from side_by_side import Cost, run_once

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from pathlib import Path

    from shapes import Shape

# What `ropewalk` sets before torch is loaded: blocks in whole pages, large ones in huge pages, if the system has them.
ALLOCATOR = {"THP_MEM_ALLOC_ENABLE": "1"}


@dataclass(frozen=True)
class Way:
    """One way to compute a training step.

    Attributes:
        name: For the table.
        ours: ropewalk's loss and tiles; else transformers' `model(ids, labels=ids).loss.backward()`.
        checkpointing: Computes activations again in the backward pass.
        environment: Of its process.
    """

    name: str
    ours: bool
    checkpointing: bool
    environment: tuple[tuple[str, str], ...] = ()


OURS = Way("ropewalk", ours=True, checkpointing=True, environment=tuple(ALLOCATOR.items()))
PEER = Way("transformers, activation checkpointing", ours=False, checkpointing=True)
PEER_SAME_ALLOCATOR = Way(
    "transformers, activation checkpointing, ropewalk's allocator setting",
    ours=False,
    checkpointing=True,
    environment=tuple(ALLOCATOR.items()),
)
PEER_DEFAULT = Way("transformers, as it comes", ours=False, checkpointing=False)


class Runner:
    """A process that makes steps of one way when it is asked to.

    Attributes:
        way: What it computes.
        cost: The least of its steps.
        loss: Of its last step, nats per token.
    """

    def __init__(self, way: Way, shape: Shape, tokens: int, tile: int | None) -> None:
        self.way, self.cost, self.loss = way, Cost(), float("nan")
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        before = dict(os.environ)
        os.environ.update(way.environment)
        try:
            self.process = context.Process(target=_serve, args=(theirs, way, shape, tokens, tile), daemon=True)
            self.process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        theirs.close()
        self._answer()

    def step(self) -> None:
        """One step more."""
        self.connection.send(None)
        self.loss, self.cost.cpu_seconds, self.cost.peak_memory_bytes = self._answer()

    def gradients(self, file: Path) -> dict[str, torch.Tensor]:
        """Those of its last step."""
        self.connection.send(file)
        self._answer()
        found: dict[str, torch.Tensor] = torch.load(file)
        file.unlink()
        return found

    def end(self) -> None:
        """Ends the process."""
        self.connection.close()
        self.process.join()

    def _answer(self) -> Any:
        try:
            return self.connection.recv()
        except EOFError:
            raise SystemExit(f"the process of '{self.way.name}' ended: see its message above") from None


def _serve(connection: Connection, way: Way, shape: Shape, tokens: int, tile: int | None) -> None:
    torch.set_num_threads(1)
    model = random_model(shape).train()
    if way.checkpointing:
        model.activation_checkpointing_enable()
    step, cost = (_our_step if way.ours else _plain_step)(model, shape, tokens, tile), Cost()
    connection.send("ready")
    while True:
        try:
            file = connection.recv()
        except EOFError:
            return
        if file is None:
            model.zero_grad(set_to_none=True)
            loss = run_once(step, cost)
            connection.send((loss, cost.cpu_seconds, cost.peak_memory_bytes))
        else:
            torch.save({name: parameter.grad for name, parameter in model.named_parameters()}, file)
            connection.send("saved")


def _our_step(model: Any, shape: Shape, tokens: int, tile: int | None) -> Callable[[], float]:
    """What a run does with a window: its collator, its objective in the model's forward, its tiles."""
    from ropewalk.adapters.head import head_is_known
    from ropewalk.data.collate import IGNORED, collate
    from ropewalk.train.objective import training_forward
    from ropewalk.train.settings import TrainSettings
    from ropewalk.train.tiled import tile_mlps, tile_of

    ids = torch.from_numpy(document(shape, tokens))
    places = torch.arange(tokens)
    window = {"input_ids": ids, "labels": ids, "position_ids": places, "segment_ids": torch.zeros_like(ids)}
    known = head_is_known(model)

    def step() -> float:
        batch = collate([window])
        with (
            training_forward(model, fused=known, restoration=None),
            tile_mlps(model, tile_of(TrainSettings(tile=tile), tokens)),
        ):
            summed, restored = model(**batch)
            loss = summed / (batch["shift_labels"] != IGNORED).sum() + restored
            loss.backward()
        return float(loss.detach())

    return step


def _plain_step(model: Any, shape: Shape, tokens: int, _: int | None) -> Callable[[], float]:
    ids = torch.from_numpy(document(shape, tokens))[None]

    def step() -> float:
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        return float(loss.detach())

    return step
