"""Operations of a forward pass and of a training step, from a model's shape, and the time they take on a device.

A token of a window of T tokens takes 2 operations for each weight that it is multiplied with, and in each layer 4 q for
each token that it attends to, q = heads x head_dim: the scores and the weighted sum of values. It attends to T / 2
tokens in the mean, because kernels of causal attention leave out the other half. So, a token,

    forward    products 2 w,  attention 2 layers q T        (Kaplan et al. 2020, arXiv:2001.08361, section 2.1)
    backward   products twice that, once where weights are frozen;  attention 2.5 times that (FlashAttention makes the
               scores again; Dao et al. 2022, arXiv:2205.14135)
    activation checkpointing: the forward pass of the layers once more; the head is not made again

Norms, activations and softmax are not counted: they are limited by memory and not by operations. Of a mixture of
experts only the weights count that a token meets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ropewalk.analysis.hardware import Device
    from ropewalk.analysis.memory import Shape

BACKWARD_ATTENTION = 2.5


@dataclass(frozen=True)
class Work:
    """Floating-point operations.

    Attributes:
        products: Of matrix products with weights.
        attention: Of scores and weighted sums.
    """

    products: float
    attention: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.products + self.attention

    def times(self, count: float) -> Work:
        """So many times the work."""
        return Work(self.products * count, self.attention * count)

    def seconds(self, device: Device, devices: int = 1) -> float:
        """The time on devices that reach their assumed shares of their peak."""
        products = self.products / (device.peak_flops * device.products_share)
        return (products + self.attention / (device.peak_flops * device.attention_share)) / devices


def forward_work(shape: Shape, window: int) -> Work:
    """Operations of a forward pass with all logits, for each token of a window.

    Args:
        shape: The model.
        window: Tokens of the window.
    """
    return Work(2.0 * (_layers(shape) + _head(shape)), _attention(shape, window))


def training_work(shape: Shape, window: int, *, activation_checkpointing: bool, frozen: bool = False) -> Work:
    """Operations of a training step, for each token of a window.

    Args:
        shape: The model.
        window: Tokens of the window.
        activation_checkpointing: The layers' forward pass is made twice.
        frozen: The weights get no gradients, as under LoRA; what the adapters take is left out.
    """
    backward = 1 if frozen else 2
    layers = (1 + backward + activation_checkpointing) * _layers(shape)
    attention = (1 + BACKWARD_ATTENTION + activation_checkpointing) * _attention(shape, window)
    return Work(2.0 * (layers + (1 + backward) * _head(shape)), attention)


def _layers(shape: Shape) -> int:
    """Weights that a token is multiplied with, without the head."""
    embeddings = shape.vocabulary * shape.hidden
    return shape.active - embeddings * (1 if shape.tied else 2)


def _head(shape: Shape) -> int:
    return shape.vocabulary * shape.hidden


def _attention(shape: Shape, window: int) -> float:
    return 2.0 * shape.layers * shape.heads * shape.head_dim * window
