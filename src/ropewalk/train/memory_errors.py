"""A training step that does not fit: what takes how much, and which setting frees how much.

The numbers are those of `ropewalk.analysis.memory`, worked out only once memory has run out. What the operating system
does without asking, ending a process that takes more than the machine has, cannot be caught.
"""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ropewalk.analysis.memory import BFLOAT16, FLOAT32, Step, estimate, longest_window
from ropewalk.errors import MemoryShortageError
from ropewalk.train.arguments import divided_batch
from ropewalk.train.tiled import TILE, tile_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ropewalk.analysis.memory import MemoryEstimate, Shape
    from ropewalk.train.settings import TrainSettings

# How torch and CUDA's libraries say it where they have no exception of their own for it.
WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
NAMED_SHARE = 0.01  # of a step's memory; smaller parts are not named
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class Saving(NamedTuple):
    """A setting that frees memory.

    Attributes:
        setting: As a run file has it, such as `micro_batch = 1`.
        changes: What it changes in a step.
        harmless: It changes where and when numbers are worked out, and not what is trained.
    """

    setting: str
    changes: dict[str, Any]
    harmless: bool = True


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a device or on the machine."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in WORDS)


@contextmanager
def step_must_fit(
    settings: TrainSettings,
    window: int,
    *,
    trained_length: int,
    shape: Callable[[], Shape],
    device: torch.device,
    devices: int = 1,
    packed: bool = False,
) -> Iterator[None]:
    """Explains it if the training inside runs out of memory.

    Args:
        settings: Of the training.
        window: Tokens of a training window.
        trained_length: Tokens of the original window.
        shape: Gives the model's shape; called only if it is needed.
        device: Where the model is.
        devices: Those that read different windows.
        packed: Some windows hold several documents.

    Raises:
        MemoryShortageError: A step did not fit.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        model = shape()
        step = step_of(settings, model, window, device=device, devices=devices)
        needed = estimate(model, replace(step, packed=packed))
        advice = memory_advice(
            needed, available_bytes(device), settings, trained_length=trained_length, has_host=device.type != "cpu"
        )
        raise MemoryShortageError(advice) from error


def step_of(
    settings: TrainSettings, shape: Shape, window: int, *, device: torch.device | None = None, devices: int = 1
) -> Step:
    """What a step of these settings does.

    Args:
        settings: Of the training; a precision of `auto` is taken for float32.
        shape: The model's.
        window: Tokens of a training window.
        device: Where the model is; a processor by default.
        devices: Those that read different windows.
    """
    from ropewalk.train.loss import CHUNK_BYTES, GPU_CHUNK_BYTES, MOST_ROWS

    micro, _ = divided_batch(settings, devices)
    activation = BFLOAT16 if settings.precision == "bfloat16" else FLOAT32
    on_processor = device is None or device.type == "cpu"
    checkpointing = settings.activation_checkpointing
    step = Step(
        window,
        micro_batch=micro,
        activation_bytes=activation,
        frozen_bytes=activation,
        activation_checkpointing="on" if on_processor and checkpointing == "offload" else checkpointing,
        tile=tile_of(settings, window),
        chunk_bytes=min(CHUNK_BYTES if on_processor else GPU_CHUNK_BYTES, 4 * MOST_ROWS * shape.vocabulary),
        eager_attention=settings.attention == "eager",
        teacher=settings.restoration > 0,
    )
    return replace(step, **_trained(settings, shape, activation))


def memory_advice(
    needed: MemoryEstimate,
    available: int,
    settings: TrainSettings,
    *,
    trained_length: int | None = None,
    has_host: bool = True,
) -> str:
    """One paragraph: what did not fit, and which settings would free how much.

    Args:
        needed: The step that did not fit.
        available: Bytes that the device has.
        settings: Of the training.
        trained_length: Tokens of the original window, below which no window needs to be.
        has_host: There is other memory than the device's, to which activations can be moved.
    """
    step = needed.step
    named = {name: size for name, size in needed.parts.items() if size >= NAMED_SHARE * needed.total}
    parts = ", ".join(f"{name} {_size(size)}" for name, size in named.items())
    said = [
        f"a training step must fit the memory of its device; a step of {step.micro_batch} x {step.window:,} tokens "
        f"needs about {_size(needed.total)} ({parts}), and the device has {_size(available)}."
    ]
    if needed.total <= available:
        said.append(
            "By this estimate it fits, so other processes hold a part of the memory, or it is in pieces: on a GPU "
            "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True helps against those."
        )
    savings = _savings(needed, settings, trained_length, has_host=has_host)
    if savings:
        frees = "; ".join(f"{saving.setting}: -{_size(freed)}" for saving, freed in _ranked(needed, savings))
        said.append(f"What would free memory, each taken alone: {frees}.")
    said.append(_way_out(needed, available, savings))
    return " ".join(said)


def available_bytes(device: torch.device) -> int:
    """What a device has for this process, used or not; for the processor the least of all limits that are set."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    found = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    with suppress(OSError, ValueError):  # not every system knows
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # "max" is no number, and means none
            found.append(int(Path(limit).read_text("ascii")))
    return min(found)


def _trained(settings: TrainSettings, shape: Shape, activation_bytes: int) -> dict[str, Any]:
    """What is trained is float32; where the embeddings are, so is the residual stream that begins with them."""
    embeddings = shape.vocabulary * shape.hidden * (1 if shape.tied else 2) + (2 * shape.layers + 1) * shape.hidden
    if settings.trainable == "all":
        return {"trained": None, "residual_bytes": FLOAT32}
    if settings.trainable == "embeddings-norms":
        return {"trained": embeddings, "residual_bytes": FLOAT32}
    if settings.trainable == "frequencies":
        return {"trained": shape.layers * shape.heads + shape.head_dim // 2, "residual_bytes": activation_bytes}
    lora = settings.lora
    adapters = shape.lora_parameters(lora.rank if lora else 8)
    if lora and lora.embeddings_and_norms:
        return {"trained": adapters + embeddings, "residual_bytes": FLOAT32}
    return {
        "trained": adapters,
        "residual_bytes": activation_bytes,
        "frozen_bytes": 0.5 if lora and lora.quantize else float(activation_bytes),
    }


def _savings(
    needed: MemoryEstimate, settings: TrainSettings, trained_length: int | None, *, has_host: bool
) -> list[Saving]:
    """The settings that are not on already and that would free something."""
    shape, step = needed.shape, needed.step
    found = [
        Saving('activation_checkpointing = "on"', {"activation_checkpointing": "on"}),
        Saving("micro_batch = 1", {"micro_batch": 1}),
        Saving(f"tile = {TILE}", {"tile": TILE}),
    ]
    if has_host:
        found.append(Saving('activation_checkpointing = "offload"', {"activation_checkpointing": "offload"}))
    if settings.trainable == "all":
        found.append(Saving('trainable = "lora"', _trained_alone(settings, shape, step), harmless=False))
    if step.activation_bytes == FLOAT32:
        found.append(Saving('precision = "bfloat16"', _in_bfloat16(step), harmless=False))
    if step.teacher:
        found.append(Saving("restoration = 0", {"teacher": False}, harmless=False))
    if step.packed:
        found.append(Saving('data.packing = "none"', {"packed": False}))
    if step.eager_attention:
        found.append(Saving('attention = "sdpa"', {"eager_attention": False}))
    if trained_length is not None and step.window > trained_length:
        setting = f'positions = "cream", which trains windows of {trained_length:,} tokens'
        found.append(Saving(setting, {"window": trained_length}, harmless=False))
    return [saving for saving in found if _freed(needed, saving) > 0]


def _trained_alone(settings: TrainSettings, shape: Shape, step: Step) -> dict[str, Any]:
    return _trained(settings.model_copy(update={"trainable": "lora"}), shape, step.activation_bytes)


def _in_bfloat16(step: Step) -> dict[str, Any]:
    frozen = min(step.frozen_bytes, float(BFLOAT16))
    residual = FLOAT32 if step.trained is None else BFLOAT16
    return {"activation_bytes": BFLOAT16, "residual_bytes": residual, "frozen_bytes": frozen}


def _freed(needed: MemoryEstimate, saving: Saving) -> int:
    return needed.total - estimate(needed.shape, replace(needed.step, **saving.changes)).total


def _ranked(needed: MemoryEstimate, savings: list[Saving]) -> list[tuple[Saving, int]]:
    return sorted(((saving, _freed(needed, saving)) for saving in savings), key=lambda found: -found[1])


def _way_out(needed: MemoryEstimate, available: int, savings: list[Saving]) -> str:
    """A few settings that are enough; or the longest window with all of them."""
    left, taken, best = list(savings), [], needed
    while best.total > available and (chosen := _next(best, available, left)):
        left.remove(chosen)
        taken.append(chosen.setting)
        best = estimate(best.shape, replace(best.step, **chosen.changes))
    if best.total > available:
        window = longest_window(best.shape, best.step, available)
        shorter = f"the longest window that fits is {window:,} tokens ([data] window)" if window else "no window fits"
        return f"Even with all of it a step needs {_size(best.total)}: {shorter}, or it takes a larger device."
    if not taken:
        return "A larger device, or a shorter window ([data] window), gives more room."
    host = f", and {_size(best.host_bytes)} of the host's memory" if best.host_bytes else ""
    return f"Enough: {' and '.join(taken)}, which takes about {_size(best.total)}{host}."


def _next(best: MemoryEstimate, available: int, left: list[Saving]) -> Saving | None:
    """A harmless setting before any other; of these the least that is enough, or the one that frees most."""
    for harmless in (True, False):
        ranked = [found for found in _ranked(best, left) if found[1] > 0 and found[0].harmless == harmless]
        enough = [saving for saving, freed in ranked if best.total - freed <= available]
        if ranked:
            return enough[-1] if enough else ranked[0][0]
    return None


def _size(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
