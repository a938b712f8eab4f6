"""What kind of number a measure is, by its name: its unit, and how people read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Ending of a measure: its value minus the untouched model's on the same tokens with the context cut to the old window.
AGAINST_CUT = "_against_cut"
# Position Interpolation's effective window: how far pass keys are found.
K_MAX = "k_max"
# The same: minus the same model's without Entropy-ABF's scale in the layers in question.
AGAINST_NO_SLOPE = "_against_no_slope"

# Loss on answers about facts in a context, all of which are asked for.
NEEDLE_NLL = "needle_nll"


@dataclass(frozen=True)
class Quantity:
    """A kind of number.

    Attributes:
        kind: `loss`: shown as perplexity; `difference` of losses; `share` of answers, right or wrong; `score`: from 0
            to 1, but no share; `tokens`: a length; `number`: anything else.
        unit: Of values and of their differences.
        axis: Title of an axis of a figure.
        documents: What its independent samples are, in the plural.
    """

    kind: Literal["loss", "difference", "share", "score", "tokens", "number"]
    unit: str
    axis: str
    documents: str = "documents"

    @property
    def is_bounded(self) -> bool:
        """Whether its values lie between 0 and 1."""
        return self.kind in ("share", "score")


LOSS = Quantity("loss", "nats/token", "perplexity (lower is better)")
NEEDLES = Quantity("loss", "nats/token", "perplexity of answers (lower is better)", "contexts")
DIFFERENCE = Quantity("difference", "nats/token", "nats per token (lower is better)")
SHARE = Quantity("share", "share of answers", "share found (higher is better)", "contexts")
ROUGE = Quantity("score", "ROUGE F-measure", "ROUGE, F-measure (higher is better)")
CHOICE = Quantity("share", "share of answers", "share right (higher is better)", "documents")
TOKENS = Quantity("tokens", "tokens", "tokens (higher is better)")
ANSWERS = Quantity("number", "nats/token", "NLL of answers (lower is better)")
ENTROPY = Quantity("number", "nats", "entropy of attention, nats")


def quantity_of(measure: str) -> Quantity:
    """The kind of number that a measure is.

    Args:
        measure: Such as `paired_nll`, `key_value`, `rouge1`, `entropy_layer_2`; what is none of the others is a share.
    """
    if measure.endswith((AGAINST_CUT, AGAINST_NO_SLOPE)):
        return DIFFERENCE
    if measure == NEEDLE_NLL:
        return NEEDLES
    if measure.endswith("_nll"):
        return LOSS
    if measure == K_MAX:
        return TOKENS
    if measure == "cloze":
        return CHOICE
    if measure.startswith("rouge"):
        return ROUGE
    if measure.startswith("answers"):
        return ANSWERS
    if measure.startswith("entropy"):
        return ENTROPY
    return SHARE
