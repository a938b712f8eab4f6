"""Models of the usual shapes with random weights, made on the device, and a training step of each way."""

from __future__ import annotations

import gc
import resource
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from ropewalk.adapters.head import head_is_known
from ropewalk.analysis.memory import Shape
from ropewalk.data.collate import collate
from ropewalk.train.objective import training_forward
from ropewalk.train.settings import LoraSettings, TrainSettings
from ropewalk.train.tiled import tile_mlps, tile_of
from ropewalk.train.trainable import make_trainable

if TYPE_CHECKING:
    from collections.abc import Iterator

RANK = 8
LONGEST = 2**20


@dataclass(frozen=True)
class Sizes:
    """A Llama's sizes."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int

    @property
    def shape(self) -> Shape:
        """For the memory model."""
        return Shape.llama(
            layers=self.layers,
            hidden=self.hidden,
            intermediate=self.inner,
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_dim=self.hidden // self.heads,
            vocabulary=self.vocabulary,
        )

    def operations(self, tokens: int, *, linear: float, head: float, attention: float) -> float:
        """Floating-point operations of a window, each kind as a multiple of its forward pass."""
        body = self.shape.parameters - 2 * self.vocabulary * self.hidden
        pairs = 2 * tokens**2 * self.hidden * self.layers
        return linear * 2 * body * tokens + head * 2 * self.vocabulary * self.hidden * tokens + attention * pairs


def random_model(sizes: Sizes, device: torch.device) -> Any:
    """bfloat16 weights that never were in the host's memory."""
    config = LlamaConfig(
        hidden_size=sizes.hidden,
        intermediate_size=sizes.inner,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads,
        vocab_size=sizes.vocabulary,
        max_position_embeddings=LONGEST,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
    )
    with device:
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


def lora_model(sizes: Sizes, device: torch.device) -> Any:
    """The same with adapters of rank 8 on the attention projections."""
    model = random_model(sizes, device).train()
    make_trainable(model, TrainSettings(trainable="lora", lora=LoraSettings(rank=RANK)))
    return model


@dataclass(frozen=True)
class Way:
    """How a training step is computed."""

    name: str
    ours: bool
    tile: int | None = None
    offload: bool = False


def step(model: Any, way: Way, tokens: int, device: torch.device) -> None:
    """One forward and backward pass over a window, with activation checkpointing; gradients are dropped."""
    model.activation_checkpointing_enable(offload=way.offload)
    ids = torch.randint(1, model.config.vocab_size, (tokens,), generator=torch.Generator().manual_seed(0))
    window = {"input_ids": ids, "labels": ids, "position_ids": torch.arange(tokens), "segment_ids": ids * 0}
    batch = {name: value.to(device) for name, value in collate([window]).items()}
    if way.ours:
        with (
            training_forward(model, fused=head_is_known(model), restoration=None),
            tile_mlps(model, tile_of(TrainSettings(tile=way.tile), tokens)),
        ):
            summed, _ = model(**batch)
            (summed / tokens).backward()
    else:
        model(input_ids=batch["input_ids"], labels=batch["input_ids"], use_cache=False).loss.backward()
    model.zero_grad(set_to_none=True)


def synchronize(device: torch.device) -> None:
    """Waits for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()


@contextmanager
def peak(device: torch.device) -> Iterator[list[int]]:
    """Gives a list that holds the peak memory in bytes afterwards: of the device, or of the whole process."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    found: list[int] = []
    yield found
    synchronize(device)
    if device.type == "cuda":
        found.append(torch.cuda.max_memory_reserved())
    else:
        found.append(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def attention_backend(model: Any, device: torch.device) -> str:
    """The kernel that `scaled_dot_product_attention` takes for a window without padding, as the profiler names it."""
    activity = torch.profiler.ProfilerActivity.CPU
    ids = torch.ones(1, 256, dtype=torch.long, device=device)
    with torch.profiler.profile(activities=[activity]) as profile, torch.no_grad():
        model(input_ids=ids, use_cache=False)
    names = {event.key for event in profile.key_averages() if "_scaled_dot_product_" in event.key}
    return ", ".join(sorted(name.split("_scaled_dot_product_")[-1] for name in names)) or "not named"


@contextmanager
def without_scores(model: Any, *, wanted: bool) -> Iterator[None]:
    """Within, attention keeps the tensors that a flash kernel keeps and computes nothing: memory without the time."""
    if not wanted:
        with nullcontext():
            yield
        return
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    def keeping(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> tuple[torch.Tensor, None]:
        return _Keeping.apply(query, key, value).transpose(1, 2).contiguous(), None

    before = model.config._attn_implementation
    real = ALL_ATTENTION_FUNCTIONS[before]
    ALL_ATTENTION_FUNCTIONS[before] = keeping
    try:
        yield
    finally:
        ALL_ATTENTION_FUNCTIONS[before] = real


class _Keeping(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        output = query.clone()
        ctx.save_for_backward(query, key, value, output, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return output

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        _, key, value, *_ = ctx.saved_tensors
        return gradient.clone(), torch.zeros_like(key), torch.zeros_like(value)
