"""How far a model's predictions lie from a reference's, token by token, on the same text.

Both bodies run once; then both heads walk through the same chunks of positions, so that the logits of all positions
never exist together, and the divergence is still exact over the whole vocabulary:

    KL(p || q) = sum over words of p (ln p - ln q),    p of the reference, q of the model, in nats.

It sees what the NLL of the text alone does not: predictions that moved without being right less often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ropewalk.adapters.head import model_body, own_head
from ropewalk.errors import MeasurementError
from ropewalk.evals.static_rope import depends_on_length, settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from ropewalk.rope import Floats

HEAD_BYTES = 16 * 2**20


@dataclass(frozen=True)
class TokenDivergence:
    """Numbers for every token but the first of each row, in nats, `[rows, length - 1]`.

    Attributes:
        reference_nll: Under the reference.
        model_nll: Under the model.
        divergence: KL(reference || model) of the prediction of that token.
    """

    reference_nll: Floats
    model_nll: Floats
    divergence: Floats


def token_divergence(reference: Any, model: Any, tokens: ArrayLike, *, head_bytes: int = HEAD_BYTES) -> TokenDivergence:
    """Scores the same rows of tokens with two models of one vocabulary, on one device.

    Args:
        reference: A causal language model of transformers.
        model: Another one; it may be the same object.
        tokens: Token ids, `[rows, length]`, of at least 2 tokens.
        head_bytes: Bound on the float32 logits of one model that exist at one time.

    Raises:
        MeasurementError: Rows of one token, two vocabularies, or a model without a body apart from its head.
    """
    rows = torch.as_tensor(np.asarray(tokens, dtype=np.int64), device=model.device)
    words = [int(each.config.get_text_config().vocab_size) for each in (reference, model)]
    if rows.shape[1] < 2 or words[0] != words[1]:
        raise MeasurementError(
            f"a divergence needs a token before each scored one, and one vocabulary; got rows of {rows.shape[1]} "
            f"tokens, and {words[0]:,} and {words[1]:,} words. Compare a model with what it was made from."
        )
    targets = rows[:, 1:].flatten()
    step = max(1, head_bytes // (4 * words[0]))
    parts = []
    with torch.inference_mode():
        first, second = _predictions(reference, rows), _predictions(model, rows)
        for start in range(0, len(targets), step):
            chunk = slice(start, start + step)
            p, q, wanted = first(chunk), second(chunk), targets[chunk, None]
            # A word that the reference rules out adds nothing, whatever the model says of it.
            terms = torch.where(p == -torch.inf, 0.0, p.exp() * (p - q))
            parts.append(torch.stack([-p.gather(1, wanted)[:, 0], -q.gather(1, wanted)[:, 0], terms.sum(-1)]))
    scored = torch.cat(parts, dim=1).double().cpu().numpy().reshape(3, len(rows), -1)
    return TokenDivergence(*scored)


def _predictions(model: Any, rows: torch.Tensor) -> Callable[[slice], torch.Tensor]:
    """Runs the model's body, and returns what gives log-probabilities of a stretch of positions, float32."""
    if depends_on_length(model, rows.shape[1]):
        settle(model, rows)
    body = model_body(model)
    output = body(input_ids=rows, use_cache=False)
    hidden = output.last_hidden_state[:, :-1].flatten(0, 1)

    def log_probabilities(chunk: slice) -> torch.Tensor:
        # Entered anew for each chunk, so that both models may be one object.
        with own_head(model, body, output) as head:
            return torch.log_softmax(head(hidden[chunk]).float(), dim=-1)

    return log_probabilities
