"""Device memory of one training step, from a model's shape: which part is how large, and how long a window may be.

A step holds its weights, their gradients and the optimizer's states, and what grows with the tokens of a forward pass:

    kept activations      of every layer; with activation checkpointing the input of each layer alone
    one layer's set       what the backward pass of one layer needs once its forward has been computed again
    loss                  the logits with their softmax and gradients, all of them or a chunk at a time

The last two are not needed at the same time, so the larger one counts.

Bytes of a layer per token, for products of b bytes a number, width d, q = heads x head_dim, k = kv_heads x head_dim and
an MLP of width i:

    N d + b / 2 (4 q + 4 k + 8 i) kept;   12 i in place of 8 i at the peak of the backward pass

The two norms and the residual stream take N = 18 where the stream is bfloat16 and N = 25 where it is float32, because
norms compute in float32 in any case. Counted over a Llama layer of transformers 5.23, and
`tests/analysis/test_memory.py` counts again. Layers of fused kernels (Liger) take 52 d in bfloat16, and 30 d with a
tiled MLP: these two and 16 bytes for each logit reproduce the longest windows that ALST recorded on one H200 (Bekman et
al., arXiv:2506.13996) within 3 %. Fragmentation, communication buffers and a device's own reserve are not in it. Of a
mixture of experts, the width of an MLP is that of the experts that a token meets, in the mean over layers; what sorts
tokens by experts is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

FLOAT32, BFLOAT16 = 4, 2  # bytes of a number
NORMS = {BFLOAT16: 18, FLOAT32: 25}  # N above, by the bytes of the residual stream
ATTENTION = 4  # for each of queries, and keys and values
MLP_KEPT, MLP_PEAK = 8, 12
FUSED_LAYER, TILED_LAYER = 52, 30  # times the width, in bfloat16
LOGIT = 16  # logits, their float32 copy, its softmax and both gradients; transformers 5.23 makes do with 12
CHUNK_COPIES = 3  # of a chunk's logits: themselves, softmax, gradient


@dataclass(frozen=True)
class Experts:
    """MLPs of which a token meets a few.

    Attributes:
        count: Of each layer that has any.
        chosen: Of these, those that a token meets.
        width: Of one.
        shared_width: Of those besides that every token meets.
        layers: How many layers have experts; the others have an MLP.
    """

    count: int
    chosen: int
    width: int
    shared_width: int
    layers: int


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder.

    Attributes:
        layers: Number of layers.
        hidden: Width of the residual stream.
        intermediate: Width of the MLP; of a mixture of experts, of those that a token meets, in the mean over layers.
        heads: Query heads per layer.
        kv_heads: Key/value heads per layer.
        head_dim: Dimensions of a head.
        vocabulary: Tokens.
        tied: The output head is the input embedding.
        parameters: Numbers in all weights.
        idle: Of these, those that a token does not meet, because they belong to experts that it is not sent to.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    parameters: int
    idle: int = 0

    @classmethod
    def llama(
        cls,
        *,
        layers: int,
        hidden: int,
        intermediate: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        vocabulary: int,
        tied: bool = False,
        experts: Experts | None = None,
    ) -> Self:
        """A shape whose weights are counted as a Llama has them: gated MLP, two norms per layer, no biases.

        Layers with experts have these in the place of an MLP of width `intermediate`.
        """
        mixed = experts or Experts(0, 0, 0, 0, layers=0)
        met = mixed.chosen * mixed.width + mixed.shared_width
        unmet = (mixed.count - mixed.chosen) * mixed.width
        widths = (layers - mixed.layers) * intermediate + mixed.layers * met
        idle = 3 * hidden * mixed.layers * unmet
        attention = 2 * hidden * (heads + kv_heads) * head_dim
        routers = mixed.layers * hidden * mixed.count
        embeddings = vocabulary * hidden * (1 if tied else 2)
        parameters = layers * (attention + 2 * hidden) + 3 * hidden * widths + idle + routers + embeddings + hidden
        width = round(widths / layers)
        return cls(layers, hidden, width, heads, kv_heads, head_dim, vocabulary, tied, parameters, idle)

    @property
    def active(self) -> int:
        """Numbers in the weights that a token meets."""
        return self.parameters - self.idle

    def lora_parameters(self, rank: int) -> int:
        """Numbers in low-rank adapters of the four attention projections, `rank * (inputs + outputs)` each."""
        return self.layers * rank * (4 * self.hidden + 2 * (self.heads + self.kv_heads) * self.head_dim)


@dataclass(frozen=True)
class Step:
    """What a training step does, as far as its memory depends on it.

    The bytes of a number of the trained weights, of their gradients and of AdamW's two moments are those of float32;
    16 together. bfloat16 weights with a float32 copy are 2, 2 and 12.

    Attributes:
        window: Tokens of a training window.
        micro_batch: Windows of one forward pass of a device.
        activation_bytes: Of a number that comes out of a matrix product.
        residual_bytes: Of a number of the residual stream: float32 where autocast computes with float32 weights.
        trained: Numbers that are trained; None for all.
        weight_bytes, gradient_bytes, optimizer_bytes: For each trained number.
        frozen_bytes: For each number that is not trained; 0.5 in four bits.
        activation_checkpointing: `on` computes a layer again in the backward pass; `offload` also moves what is kept to
            the host.
        tile: Tokens that an MLP takes at a time; 0 for all.
        chunked_loss: Logits exist a chunk at a time.
        chunk_bytes: Float32 logits of a chunk.
        logit_bytes: For each logit where all of them exist.
        fused_layers: Norms and MLPs are fused kernels.
        eager_attention: One layer's attention scores exist as a whole.
        teacher: The original model is held besides, in the numbers of the activations.
        packed: Windows of several documents carry a float32 mask between them, `[window, window]` each.
        shards: Devices over which weights, gradients and optimizer states are spread.
    """

    window: int
    micro_batch: int = 1
    activation_bytes: int = BFLOAT16
    residual_bytes: int = BFLOAT16
    trained: int | None = None
    weight_bytes: int = FLOAT32
    gradient_bytes: int = FLOAT32
    optimizer_bytes: int = 2 * FLOAT32
    frozen_bytes: float = BFLOAT16
    activation_checkpointing: Literal["off", "on", "offload"] = "off"
    tile: int = 0
    chunked_loss: bool = True
    chunk_bytes: int = 2**29
    logit_bytes: int = LOGIT
    fused_layers: bool = False
    eager_attention: bool = False
    teacher: bool = False
    packed: bool = False
    shards: int = 1

    @property
    def tokens(self) -> int:
        """Tokens of one forward pass."""
        return self.window * self.micro_batch


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes at the moment when a step needs most.

    Attributes:
        shape, step: What was estimated.
        parts: Bytes on the device by what holds them, the largest first.
        host_bytes: Bytes of the host's memory, for offloaded activations.
    """

    shape: Shape
    step: Step
    parts: Mapping[str, int]
    host_bytes: int = 0

    @property
    def total(self) -> int:
        """Bytes on the device."""
        return sum(self.parts.values())


def estimate(shape: Shape, step: Step) -> MemoryEstimate:
    """The memory of one step."""
    tokens, checkpoints = step.tokens, shape.layers * step.residual_bytes * shape.hidden * step.tokens
    parts = _states(shape, step)
    if step.activation_checkpointing == "off":
        parts["activations of all layers"] = shape.layers * layer_bytes(shape, step, at_peak=False) * tokens
    elif step.activation_checkpointing == "on":
        parts["kept inputs of the layers"] = checkpoints
    if step.packed:
        parts["mask between documents"] = FLOAT32 * step.window * step.tokens
    loss, layer = _loss(shape, step), _layer(shape, step)
    parts |= loss if sum(loss.values()) > sum(layer.values()) else layer  # never both at a time
    largest_first = sorted(parts.items(), key=lambda part: -part[1])
    host = checkpoints if step.activation_checkpointing == "offload" else 0
    return MemoryEstimate(shape, step, {name: size for name, size in largest_first if size}, host)


def longest_window(shape: Shape, step: Step, device_bytes: float, *, host_bytes: float = float("inf")) -> int:
    """The longest window in tokens whose step fits; 0 if none does.

    Args:
        shape: The model.
        step: The step; its own window is not used.
        device_bytes: What a device has to give.
        host_bytes: What the host has to give to offloaded activations.
    """

    def fits(window: int) -> bool:
        found = estimate(shape, replace(step, window=window))
        return found.total <= device_bytes and found.host_bytes <= host_bytes

    if not fits(1):
        return 0
    too_long = 2
    while fits(too_long):
        too_long *= 2
    longest = too_long // 2
    while too_long - longest > 1:
        middle = (longest + too_long) // 2
        longest, too_long = (middle, too_long) if fits(middle) else (longest, middle)
    return longest


def layer_bytes(shape: Shape, step: Step, *, at_peak: bool) -> int:
    """Bytes that one layer's backward pass needs for each token.

    Args:
        shape: The model.
        step: Number formats, kernels and tiles.
        at_peak: Count what comes and goes within the backward pass, too.
    """
    scale = step.activation_bytes / BFLOAT16
    heads = ATTENTION * (shape.heads + shape.kv_heads) * shape.head_dim
    without_mlp = NORMS[step.residual_bytes] * shape.hidden + scale * heads
    if step.fused_layers:
        return round(scale * (TILED_LAYER if step.tile else FUSED_LAYER) * shape.hidden)
    if step.tile:
        return round(max(scale * TILED_LAYER * shape.hidden if at_peak else 0, without_mlp))
    return round(without_mlp + scale * (MLP_PEAK if at_peak else MLP_KEPT) * shape.intermediate)


def _states(shape: Shape, step: Step) -> dict[str, int]:
    """What does not depend on the tokens."""
    trained = shape.parameters if step.trained is None else step.trained
    weights = trained * step.weight_bytes + max(0, shape.parameters - trained) * step.frozen_bytes
    parts = {
        "weights": round(weights / step.shards),
        "gradients": round(trained * step.gradient_bytes / step.shards),
        "optimizer states": round(trained * step.optimizer_bytes / step.shards),
    }
    if step.teacher:
        parts["original model"] = round(shape.parameters * step.activation_bytes / step.shards)
    return parts


def _loss(shape: Shape, step: Step) -> dict[str, int]:
    logits = step.tokens * shape.vocabulary
    if step.chunked_loss:
        # Its gradients are made with it: those of the states, and those of the head, beside the ones that add up.
        states = step.tokens * shape.hidden * step.residual_bytes
        head = shape.vocabulary * shape.hidden * step.gradient_bytes if step.trained is None else 0
        held = CHUNK_COPIES * min(FLOAT32 * logits, step.chunk_bytes) + states + head
    else:
        held = step.logit_bytes * logits
    return {"loss over the vocabulary": held, "weights cast for products": _casts(shape, step)}


def _layer(shape: Shape, step: Step) -> dict[str, int]:
    casts, found = _casts(shape, step), layer_bytes(shape, step, at_peak=True)
    if step.activation_checkpointing == "off":
        found -= layer_bytes(shape, step, at_peak=False)  # these are kept for all layers
    else:
        casts //= shape.layers
    scale = step.activation_bytes / BFLOAT16
    tile = round(scale * MLP_PEAK * shape.intermediate * min(step.tile, step.tokens))
    phase = {"one layer's backward pass": found * step.tokens + tile, "weights cast for products": casts}
    if step.eager_attention:
        scores = shape.heads * step.micro_batch * step.window**2 * step.activation_bytes
        kept = shape.layers if step.activation_checkpointing == "off" else 1
        phase["attention scores"] = kept * scores
    return phase


def _casts(shape: Shape, step: Step) -> int:
    """Copies that autocast makes of float32 weights, in the numbers of the products."""
    if step.weight_bytes <= step.activation_bytes:
        return 0
    return (shape.parameters if step.trained is None else step.trained) * step.activation_bytes
