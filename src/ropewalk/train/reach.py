"""The test that begins every run: the last token of a window must see the first.

A window whose positions skip looks like packed documents to transformers when it comes without a mask; the model then
trains on isolated fragments and no number shows it. The gradient does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ropewalk.data.collate import SHIFT_WEIGHTS
from ropewalk.errors import SelfTestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from transformers import PreTrainedModel

_SIDE = 32  # tokens from either end of the window: enough to span every gap, cheap at any window


def first_token_gradient(model: PreTrainedModel, batch: Mapping[str, torch.Tensor]) -> float:
    """Norm of the gradient that the last token's logits send to the first token's embedding."""
    embeddings = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
    others = {name: value for name, value in batch.items() if name not in ("input_ids", "labels", SHIFT_WEIGHTS)}
    was_training = model.training
    model.train()  # the mode in which the model will run
    try:
        logits = model(inputs_embeds=embeddings, use_cache=False, **others).logits[:, -1]
        (gradient,) = torch.autograd.grad(logits.logsumexp(-1).sum(), embeddings)
    finally:
        model.train(was_training)
    return float(gradient[:, 0].norm())


def check_reach(
    model: PreTrainedModel,
    window: Mapping[str, torch.Tensor],
    collate: Callable[[Sequence[dict[str, torch.Tensor]]], dict[str, torch.Tensor]],
) -> None:
    """Runs the test on the two ends of a window's first document.

    Raises:
        SelfTestError: The last token does not depend on the first.
    """
    document = (window["segment_ids"] == 0).nonzero().flatten()
    ends = torch.cat([document[:_SIDE], document[_SIDE:][-_SIDE:]])
    device = next(model.parameters()).device
    batch = {name: value.to(device) for name, value in collate([{k: v[ends] for k, v in window.items()}]).items()}
    if first_token_gradient(model, batch) == 0:
        positions = batch["position_ids"][0]
        raise SelfTestError(
            f"the last token of a training window must depend on the first, else the model trains on fragments; here "
            f"the gradient is zero between positions {int(positions[0])} and {int(positions[-1])}. The attention "
            f"implementation '{model.config._attn_implementation}' splits the window: try another one."
        )
