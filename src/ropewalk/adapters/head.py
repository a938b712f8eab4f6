"""What stands between a model's last hidden states and its logits, and the proof that this is all.

    logits = cap(scale (W h + b)),    cap(x) = softcap tanh(x / softcap), or x.

Gemma caps its logits, Cohere multiplies and Granite divides them, most families do neither, and some do more (a norm, a
projection). Evaluation lets the model's own forward do it, a few positions at a time (`own_head`). Training needs the
weights and the formula (`head_of`), which are compared with the model's own forward once (`head_is_known`).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from ropewalk.errors import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
MULTIPLIERS = ("logit_scale", "lm_head_multiplier", "output_multiplier")
DIVISORS = ("logits_scaling",)
MULTIPLYING = frozenset({"hyperclovax"})  # families that multiply by what all others divide by
_PROBES = 16
_LARGE = 200.0  # beyond every cap: there a bend that the formula does not know of shows
_TOLERANCES = MappingProxyType({torch.float32: 1e-4, torch.float64: 1e-4})  # others are half-precision
_HALF_TOLERANCE = 2e-2


@dataclass(frozen=True)
class Head:
    """A head whose formula is known.

    Attributes:
        weight: `[vocabulary, width]`.
        bias: `[vocabulary]`, or None.
        scale: What logits are multiplied by, before they are capped.
        softcap: Bound of the logits, or None.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states, float32 `[..., vocabulary]`."""
        logits = functional.linear(states, self.weight, self.bias).float()
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits if self.softcap is None else torch.tanh(logits / self.softcap) * self.softcap


def head_of(model: Any) -> Head:
    """The head that a model's config and output layer speak of, with the weights that it has at this moment."""
    layer, config = model.get_output_embeddings(), model.config.get_text_config()
    divisors = () if config.model_type in MULTIPLYING else DIVISORS
    scale = 1.0
    for name in (*MULTIPLIERS, *DIVISORS):
        number = getattr(config, name, None)
        if isinstance(number, int | float):
            scale = scale / number if name in divisors else scale * number
    caps = [cap for name in CAPS if isinstance(cap := getattr(config, name, None), int | float)]
    return Head(layer.weight, layer.bias, scale, float(caps[0]) if caps else None)


@torch.no_grad()
def head_is_known(model: Any) -> bool:
    """Whether a model's logits are what `head_of` says, compared on a few tokens and on states far from the usual."""
    layer, body = model.get_output_embeddings(), model.base_model
    if not isinstance(layer, nn.Linear) or body is model:
        return False
    config = model.config.get_text_config()
    words = torch.arange(_PROBES, device=layer.weight.device) % config.vocab_size
    was_training = model.training
    model.eval()
    try:
        output = body(input_ids=words[None], use_cache=False)
        states, head = output.last_hidden_state[0], head_of(model)
        if states.shape[-1] != head.weight.shape[-1]:
            return False
        size = float(functional.linear(states, head.weight).abs().max()) * abs(head.scale)
        with own_head(model, body, output) as own:
            return all(_close(head.logits(probe), own(probe)) for probe in (states, states * (_LARGE / size)))
    except (MeasurementError, ZeroDivisionError):
        return False
    finally:
        model.train(was_training)


def _close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    tolerance = _TOLERANCES.get(wanted.dtype, _HALF_TOLERANCE)
    return bool((found - wanted.float()).abs().max() <= tolerance * wanted.float().abs().max())


def model_body(model: Any) -> Any:
    """The part of the model below its head.

    Raises:
        MeasurementError: The model has no such part.
    """
    body = model.base_model
    if body is model:
        raise MeasurementError(
            f"scoring needs a model with a body below its language-model head; {type(model).__name__} has none. "
            "Load it as a causal language model."
        )
    return body


@contextmanager
def own_head(model: Any, body: Any, output: Any) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """The model's own head as a function of hidden states `[positions, width]`.

    The model's own `forward` runs, while its body is stood in for by the hidden states that are already computed.

    Raises:
        MeasurementError: The model does not call its body.
    """
    replaced = body.__dict__.get("forward")
    waiting: list[torch.Tensor] = []

    def known_states(*_: Any, **__: Any) -> Any:
        return type(output)(**{**output, "last_hidden_state": waiting.pop()})

    def head(hidden: torch.Tensor) -> torch.Tensor:
        waiting.append(hidden[None])
        ids = torch.zeros((1, len(hidden)), dtype=torch.int64, device=hidden.device)
        logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
        if waiting:
            raise MeasurementError(
                f"scoring must know what {type(model).__name__} does after its body, which it does not call as "
                f"'{model.base_model_prefix}'. This family cannot be scored."
            )
        return logits[0]

    body.forward = known_states
    try:
        yield head
    finally:
        if replaced is None:
            del body.forward
        else:
            body.forward = replaced
