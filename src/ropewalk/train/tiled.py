"""Multi-layer perceptrons that take a window a tile of tokens at a time, forwards and backwards.

An MLP works on each token alone, so tiles of a window give the same numbers, and of its inner activations, several
times as wide as the model, only those of one tile exist. The backward pass computes them again, tile by tile (the tiled
compute of ALST, Bekman et al., arXiv:2506.13996).

Inside a checkpointed layer, whose backward pass computes it again anyway, that must not become a third forward. So
the MLP's input is kept by a function of its own, before the MLP, and the MLP keeps nothing: the last tensor that the
layer keeps is then the input of its MLP, where torch's checkpoint stops computing the layer again. (Not so where the
layer keeps something of the MLP's output as well, as Gemma 2 does for the norm after it.)
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from transformers.modeling_layers import GradientCheckpointingLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ropewalk.train.settings import TrainSettings

    Forward = Callable[[torch.Tensor], torch.Tensor]

TILE = 1024
SHORTEST_TILED_WINDOW = 4096
NAMES = ("mlp", "feed_forward", "ffn")
_ROUTING = ("expert", "router")
_DROPOUT = (nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout)


def tile_of(settings: TrainSettings, window: int) -> int:
    """Tokens per tile of a run; 0 where its MLPs take a window at once."""
    if settings.tile is not None:
        return settings.tile
    return TILE if window >= SHORTEST_TILED_WINDOW else 0


@contextmanager
def tile_mlps(model: nn.Module, tile: int) -> Iterator[int]:
    """Within, the dense MLPs of a model's layers take `tile` tokens at a time; gives how many they are.

    Left alone are those that a tile would change or not serve: experts, dropout, and outputs that are no single tensor.

    Args:
        model: A model of transformers.
        tile: Tokens; 0 changes nothing.
    """
    found = [mlp for mlp in _mlps(model) if _works_by_token(mlp)] if tile else []
    for mlp in found:
        mlp.forward = _tiled_forward(mlp, mlp.forward, tile)
    try:
        yield len(found)
    finally:
        for mlp in found:
            del mlp.forward


def _mlps(model: nn.Module) -> Iterator[nn.Module]:
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            yield from (mlp for name in NAMES if isinstance(mlp := getattr(layer, name, None), nn.Module))


def _works_by_token(mlp: nn.Module) -> bool:
    """Whether tiles of an MLP's input give tiles of its output, tried in the mode in which it will run."""
    if "forward" in mlp.__dict__ or any(part in name for name, _ in mlp.named_modules() for part in _ROUTING):
        return False
    # Asked and not tried: dropout before an adapter whose B is still zero changes no number of the first step.
    if any(isinstance(child, _DROPOUT) and child.p > 0 for child in mlp.modules()):
        return False
    parameters = list(mlp.parameters())
    # ZeRO-3 gathers a layer's weights for as long as that layer's own forward takes.
    if not parameters or any(parameter.ndim > 2 or hasattr(parameter, "ds_id") for parameter in parameters):
        return False
    first = parameters[0]
    width = next((child.in_features for child in mlp.modules() if isinstance(child, nn.Linear)), first.shape[-1])
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(1, 6, width, generator=generator).to(first.device, first.dtype)
    was_training = mlp.training
    with torch.no_grad(), torch.random.fork_rng(devices=[first.device] if first.is_cuda else []):
        mlp.train()
        try:
            whole, parts = mlp(probe), [mlp(part) for part in (probe[:, :2], probe[:, 2:])]
        except (RuntimeError, TypeError):
            return False
        finally:
            mlp.train(was_training)
    single = isinstance(whole, torch.Tensor) and whole.shape == probe.shape
    return single and torch.allclose(torch.cat(parts, dim=1), whole, rtol=1e-2, atol=1e-2 * float(whole.abs().max()))


def _tiled_forward(mlp: nn.Module, forward: Forward, tile: int) -> Forward:
    def tiled(states: torch.Tensor) -> torch.Tensor:
        if states.shape[:-1].numel() <= tile:
            return forward(states)
        trained = [parameter for parameter in mlp.parameters() if parameter.requires_grad]
        if not torch.is_grad_enabled() or not (trained or states.requires_grad):
            return _by_tiles(forward, states, tile)
        kept = _Keep.apply(states, torch.empty(0, device=states.device, requires_grad=True))  # type: ignore[no-untyped-call]
        output: torch.Tensor = _Tiled.apply(kept, states, forward, tile, *trained)  # type: ignore[no-untyped-call]
        return output

    # torch.compile cannot trace a graph that is taken apart, so it compiles what lies between the MLPs.
    outside: Forward = torch.compiler.disable(tiled)  # type: ignore[no-untyped-call]
    return outside


def _tokens(states: torch.Tensor) -> torch.Tensor:
    """All tokens of a batch as one row, `[1, tokens, width]`."""
    return states.reshape(1, -1, states.shape[-1])


def _by_tiles(forward: Forward, states: torch.Tensor, tile: int) -> torch.Tensor:
    output: torch.Tensor | None = None
    for start in range(0, states.shape[:-1].numel(), tile):
        part = forward(_tokens(states)[:, start : start + tile])
        if output is None:
            output = part.new_empty((*states.shape[:-1], part.shape[-1]))
        _tokens(output)[:, start : start + tile] = part
    assert output is not None
    return output


class _Keep(torch.autograd.Function):
    """Keeps a tensor for another function; `anchor` makes it part of the graph where the tensor is not."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(states)
        return torch.empty_like(anchor)

    @staticmethod
    def backward(_: Any, *__: torch.Tensor) -> tuple[None, None]:
        return None, None


class _Tiled(torch.autograd.Function):
    """An MLP by tiles, forwards without a graph, and backwards with that of one tile.

    Gradients of the parameters are returned as such, so that whoever waits for them (DDP, FSDP) hears of each once.
    """

    @staticmethod
    def forward(
        ctx: Any, kept: torch.Tensor, states: torch.Tensor, forward: Forward, tile: int, *trained: nn.Parameter
    ) -> torch.Tensor:
        ctx.keeper, ctx.forward, ctx.tile, ctx.trained = kept.grad_fn, forward, tile, trained
        kind = states.device.type
        ctx.autocast = {"device_type": kind, "enabled": torch.is_autocast_enabled(kind), "cache_enabled": False}
        ctx.autocast["dtype"] = torch.get_autocast_dtype(kind)
        # Weights cast without a graph must not be found by a forward that needs one.
        with torch.autocast(**ctx.autocast):
            return _by_tiles(forward, states, tile)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (states,) = ctx.keeper.saved_tensors
        wanted = ctx.needs_input_grad[1]
        inward = states.new_empty(states.shape) if wanted else None
        sums: list[torch.Tensor | None] = [None] * len(ctx.trained)
        for start in range(0, states.shape[:-1].numel(), ctx.tile):
            tile = slice(start, start + ctx.tile)
            part = _tokens(states)[:, tile].detach().requires_grad_(wanted)
            with torch.enable_grad(), torch.autocast(**ctx.autocast):
                output = ctx.forward(part)
            sources = [part] * wanted + list(ctx.trained)
            found = list(torch.autograd.grad(output, sources, _tokens(gradient)[:, tile], allow_unused=True))
            if inward is not None:
                _tokens(inward)[:, tile] = found.pop(0)
            sums = [_added(total, new) for total, new in zip(sums, found, strict=True)]
        return None, inward, None, None, *sums


def _added(total: torch.Tensor | None, new: torch.Tensor | None) -> torch.Tensor | None:
    return new if total is None else total if new is None else total.add_(new)
