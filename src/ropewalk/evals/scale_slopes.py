"""Loss against the slope of the logit scale, layer by layer: whether a layer needs the scale that Entropy-ABF gives it.

Entropy-ABF (Zhang, Li, Liu 2024, arXiv:2401.07004, section 4 and eq. 3) multiplies the logits of query n by
t = max(ln n / ln L, 1), except in the first two layers, because the others have an "inherent need" to concentrate on
few of more keys. Here that is tested by intervention: the multiplier of one layer becomes 1 + a (t - 1), everything
else stays as the model has it, and the same tokens are scored again. Slope a = 1 is the paper's scale, 0 is none.

Where entropy would stay flat (`flat_entropy`) shows what the scale does to attention; this shows what it does to loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.adapters.attention import attached, replaced_scale
from ropewalk.adapters.config import loaded_config
from ropewalk.errors import OptionError
from ropewalk.evals.nll import paired_nll
from ropewalk.method import Method
from ropewalk.methods.entropy_abf import EntropyAbf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ropewalk.data.recall import Tokens
    from ropewalk.rope import Floats, Integers, Rope

SCALE = EntropyAbf(exempt_layers=0)


@dataclass(frozen=True)
class LayerSlopes(Method):
    """Entropy-ABF's scale with a slope of its own for each layer; frequencies are not its business.

    Attributes:
        slopes: Of each layer; 1 is Entropy-ABF's scale, 0 is none.
    """

    slopes: tuple[float, ...] = ()

    def attention_scale(self, rope: Rope, positions: Integers, layer: int) -> Floats:
        """1 + slope (max(ln n / ln L, 1) - 1) for query n = position + 1 and trained length L."""
        scale: Floats = 1.0 + self.slopes[layer] * (SCALE.attention_scale(rope, positions, layer) - 1.0)
        return scale


def own_slopes(model: Any) -> tuple[float, ...]:
    """The slope of each layer of a model as it is: 1 where Entropy-ABF scales, 0 elsewhere.

    Raises:
        OptionError: The model scales by position in another way.
    """
    layers = loaded_config(model).layers
    scale = attached(model)
    if scale is None:
        return (0.0,) * layers
    if not isinstance(scale.method, EntropyAbf):
        raise OptionError(
            "slopes are counted in Entropy-ABF's scale, so a model must have that or none; this one has that of "
            f"'{scale.method.name}'. Measure a model that was extended by entropy-abf, or by a method without a scale."
        )
    return tuple(float(layer >= scale.method.exempt_layers) for layer in range(layers))


def losses_by_slope(
    model: Any, windows: Sequence[Tokens], slopes: Mapping[str, Sequence[float]], *, length: int, scored: int
) -> dict[str, Floats]:
    """Mean NLL of the last tokens of windows under other slopes, each window read by itself.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        windows: Token ids, each `[length or more]`; the last `length` are read.
        slopes: A slope for each layer, by the name of the setting.
        length: Tokens of context, the scored ones included.
        scored: Tokens at the end of each window that are scored.

    Returns:
        Nats per token by the name of the setting, `[windows]`; NaN where the logits are not finite.

    Raises:
        OptionError: Not one slope for each layer.
    """
    config = loaded_config(model)
    for name, chosen in slopes.items():
        if len(chosen) != config.layers:
            raise OptionError(
                f"every one of the {config.layers} layers needs a slope; '{name}' has {len(chosen)}. Name one for each."
            )
    found = {}
    for name, chosen in slopes.items():
        with replaced_scale(model, LayerSlopes(slopes=tuple(chosen)), config, length):
            losses = [paired_nll(model, window[None], length, scored=scored) for window in windows]
        found[name] = np.concatenate(losses).mean(axis=1)
    return found
