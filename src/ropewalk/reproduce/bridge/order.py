"""What the user of the bridge asks for, and the model and lengths that follow; refused before anything is fetched."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ropewalk import adapters
from ropewalk.adapters.shape import shape_of
from ropewalk.errors import OptionError
from ropewalk.evals.certification import CertificatePlan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ropewalk.analysis.memory import Shape

FACTOR = 8
SMALLEST_MODEL = 100_000_000  # parameters
HOURS = 2.0
CERTIFIED = ("untouched", "linear", "none", "yarn", "linear-cream", "linear-pose", "abf", "entropy-abf")
SUITED = "pythia-160m or pythia-410m (2,048 tokens), SmolLM-135M or SmolLM-360M (2,048), TinyLlama-1.1B (2,048)"


@dataclass(frozen=True)
class BridgeOrder:
    """What the user asks for.

    Attributes:
        model: A checkpoint folder, a hub id, or `builtin`.
        target_length: Tokens of the new window; None for 8 times the trained one.
        data: Text files and folders; the built-in modules if there are none.
        chats: A file of conversations, for Entropy-ABF's 100 samples; None takes stretches of the text.
        hours: What the whole may take by the estimate.
        any_size: Models below 100 million parameters are taken, too.
        quick: One seed in place of three.
    """

    model: str
    target_length: int | None = None
    data: tuple[str, ...] = ()
    chats: str | None = None
    hours: float = HOURS
    any_size: bool = False
    quick: bool = False


@dataclass(frozen=True)
class Sizes:
    """How large the study is. The run files say how a model is trained; tests make everything small.

    Attributes:
        seeds: Trainings of each cell that a headline claim rests on.
        fewest_steps: Of optimizer steps; with fewer nothing is compared.
        samples: Training examples of Entropy-ABF.
        documents: Held-out documents, at most.
        fewest_documents: At least so many must be long enough.
        windows_per_document: Text windows of each document.
        contexts: Contexts of key-value records at each length.
        trials: Pass keys at each depth and length.
        keys: Records in each context.
        certificate: Of the first seed of each certified cell.
        certified: Names of those cells.
        train: Entries laid over the `[train]` section of `bridge.toml`.
        samples_train: Entries laid over that of `entropy-abf-100.toml`.
    """

    seeds: int = 3
    fewest_steps: int = 20
    samples: int = 100
    documents: int = 16
    fewest_documents: int = 4
    windows_per_document: int = 4
    contexts: int = 32
    trials: int = 2
    keys: int = 16
    certificate: CertificatePlan = field(
        default_factory=lambda: CertificatePlan(tasks=("key-value", "passkey"), looks=(50,), alphas=(0.05,))
    )
    certified: tuple[str, ...] = CERTIFIED
    train: Mapping[str, Any] = field(default_factory=dict)
    samples_train: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Frame:
    """The model of a bridge and its lengths.

    Attributes:
        model: As the user calls it.
        shape: Its sizes.
        trained_length, target_length: Tokens; the second is a multiple of the first.
        measured_in: Number format in which models are measured.
        sizes: Of the study.
    """

    model: str
    shape: Shape
    trained_length: int
    target_length: int
    measured_in: Literal["float32", "bfloat16"] = "float32"
    sizes: Sizes = field(default_factory=Sizes)

    @property
    def factor(self) -> int:
        """The new window as a multiple of the trained one."""
        return self.target_length // self.trained_length

    @property
    def lengths(self) -> tuple[int, ...]:
        """Context lengths at which models are measured: doublings of the trained one, and the target."""
        found = [self.trained_length]
        while found[-1] * 2 < self.target_length:
            found.append(found[-1] * 2)
        return (*found, self.target_length)


def frame_of(order: BridgeOrder, sizes: Sizes, *, measured_in: Literal["float32", "bfloat16"] = "float32") -> Frame:
    """Reads the model's config, and settles the lengths.

    Raises:
        ModelError: There is no such model, or it cannot be extended.
        OptionError: It is too small, or the target is no multiple of its window.
    """
    config = adapters.read_model_config(order.model)
    config.require_unscaled()
    shape, trained = shape_of(config), config.rope.trained_length
    if shape.parameters < SMALLEST_MODEL and not order.any_size:
        raise OptionError(
            f"the bridge is for pretrained models of at least {SMALLEST_MODEL:,} parameters, because what is found on "
            f"smaller ones the studies of the papers show already; '{order.model}' has {shape.parameters:,}. Name a "
            f"larger one, such as {SUITED}, or say --any-size."
        )
    target = order.target_length or FACTOR * trained
    if target <= trained or target % trained:
        nearest = max(2, round(target / trained)) * trained
        raise OptionError(
            f"the target must be a multiple of the model's window of {trained:,} tokens and above it, so that all "
            f"methods are trained on as many tokens; got {target:,}. Say --target {nearest}."
        )
    return Frame(order.model, shape, trained, target, measured_in, sizes)
