"""A scale that grows with the logarithm of the position, in a form that engines know: `ministral3`.

Ministral 3 is Mistral's layout with queries multiplied by 1 + beta ln(1 + floor(p / L)) (transformers,
models/ministral3; the rule of Llama 4). With beta = 1 / ln L it is a staircase below Entropy-ABF's curve
max(1, ln(p + 1) / ln L) = 1 + ln((p + 1) / L) / ln L (arXiv:2401.07004): the stairs begin at multiples of L, where they
lie ln((k + 1) / k) / ln L too high, and meet the curve at their ends. Every layer is scaled: exempt layers cannot be
carried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.errors import CarrierError

if TYPE_CHECKING:
    from ropewalk.adapters.config import ModelConfig
    from ropewalk.method import Method
    from ropewalk.rope import Floats, Integers

MODEL_TYPE, ARCHITECTURE = "ministral3", "Ministral3ForCausalLM"
LAYOUTS = ("llama", "mistral")
# A scale that is further off on average is another law, not a rougher form of this one.
_WORST_MEAN = 0.05
_POSITIONS = 4096  # that the error is measured at, at most


@dataclass(frozen=True)
class Staircase:
    """A scale of 1 + beta ln(1 + floor(position / length)) in every layer.

    Attributes:
        beta: Height of the stairs, per unit of the natural logarithm.
        length: Tokens of a stair.
        largest: Largest difference from the method's scale in the layers that it scales; `mean` is the mean one.
        exempt: Layers that the method does not scale, and the largest scale that they get all the same.
    """

    beta: float
    length: int
    largest: float
    mean: float
    exempt: tuple[int, ...]
    exempt_scale: float

    @property
    def loses(self) -> str | None:
        """What this carrier gets wrong, or None where it is exact."""
        lost = []
        if self.largest > 0:
            lost.append(f"the scale on logits differs by at most {self.largest:.3g}, {self.mean:.2g} on average")
        if self.exempt:
            layers = ", ".join(map(str, self.exempt))
            lost.append(f"layers {layers} are scaled, too, by up to {self.exempt_scale:.4g}")
        return "; ".join(lost) or None

    @property
    def entries(self) -> dict[str, Any]:
        """Config entries beside `rope_parameters`: vLLM up to 0.25 reads the top-level mapping alone."""
        return {
            "model_type": MODEL_TYPE,
            "architectures": [ARCHITECTURE],
            "llama_4_scaling": {"beta": self.beta, "original_max_position_embeddings": self.length},
        }

    @property
    def rope_keys(self) -> dict[str, Any]:
        """Keys inside `rope_parameters`, as transformers reads them."""
        return {"llama_4_scaling_beta": self.beta, "original_max_position_embeddings": self.length}


def staircase_scale(positions: Integers, beta: float, length: int) -> Floats:
    """1 + beta ln(1 + floor(position / length)), same shape."""
    return np.asarray(1.0 + beta * np.log1p(np.floor(np.asarray(positions) / length)), dtype=np.float64)


def staircase(method: Method, config: ModelConfig, target_length: int) -> Staircase:
    """The staircase nearest to a method's scale, with its error measured over the new window.

    Raises:
        CarrierError: The model has not the layout of Ministral 3, or the scale is no such curve.
    """
    _require_layout(config)
    length = config.rope.trained_length
    stairs = np.arange(0, target_length, length)
    grid = np.linspace(0, target_length - 1, _POSITIONS).astype(np.int64)
    positions = np.unique(np.concatenate([stairs, np.append(stairs, target_length)[1:] - 1, grid]))
    scales = [method.attention_scale(config.rope, positions, layer) for layer in range(config.layers)]
    scaled = [scale for scale in scales if (scale != 1).any()]
    exempt = tuple(layer for layer, scale in enumerate(scales) if not (scale != 1).any())
    given = method.options.get("beta")
    betas = {1 / math.log(length), *([float(given)] if isinstance(given, int | float) else [])}

    def errors(beta: float) -> Floats:
        curve = staircase_scale(positions, beta, length)
        return np.abs(np.stack([curve - scale for scale in scaled])) if scaled else np.abs(curve - 1)

    beta = min(betas, key=lambda beta: float(errors(beta).mean()))
    if errors(beta).mean() > _WORST_MEAN or not scaled:
        raise CarrierError(
            f"a staircase can stand for a scale that grows with the logarithm of the position; that of '{method.name}' "
            f"differs from it by {errors(beta).mean():.3g} on average. Use ropewalk.load, which computes it exactly."
        )
    largest = float(errors(beta).max())
    reached = float(staircase_scale(positions[-1:], beta, length)[0])
    return Staircase(beta, length, largest if largest > 1e-12 else 0.0, float(errors(beta).mean()), exempt, reached)


def _require_layout(config: ModelConfig) -> None:
    text = config.text
    biased = [key for key in ("attention_bias", "mlp_bias") if text.get(key)]
    window = config.sliding_window if any("sliding" in kind for kind in config.layer_types) else None
    if config.model_type in LAYOUTS and not biased and window is None:
        return
    arrived = f"'{config.model_type}'" + "".join(f" with {key}" for key in biased)
    arrived += f" with a sliding window of {window:,} tokens" if window else ""
    raise CarrierError(
        "a scale that varies with the position is carried by ministral3 alone, which is the layout of "
        f"{' and '.join(LAYOUTS)} without biases and sliding windows; this model is {arrived}. Use ropewalk.load."
    )
