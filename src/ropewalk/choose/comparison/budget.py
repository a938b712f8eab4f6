"""How much each candidate of a comparison is trained, in steps or in tokens."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ropewalk.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

FORM = re.compile(r"([0-9][0-9_,.]*(?:e[0-9]+)?)\s*([kmg]?)\s*(steps?|tokens?)", re.IGNORECASE)
SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
# Of the whole budget; a candidate that stands at the last rung is trained for all of it.
SHARES = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Budget:
    """An amount of training.

    Attributes:
        amount: How much.
        unit: Of what.
    """

    amount: float
    unit: Literal["steps", "tokens"]

    @classmethod
    def parse(cls, text: str) -> Budget:
        """A budget as people write it: `6 steps`, `1e7 tokens`, `10m tokens`.

        Raises:
            OptionError: It is no such amount.
        """
        found = FORM.fullmatch(text.strip())
        try:
            amount = float(found[1].replace(",", "").replace("_", "")) * SIZES[found[2].lower()] if found else 0.0
        except ValueError:
            amount = 0.0
        if found is None or not amount >= 1 or math.isinf(amount) or amount != round(amount):
            raise OptionError(
                "a budget is a whole number of steps or of tokens, which every candidate gets alike; got "
                f"'{text}'. Say for instance --budget '60 steps' or --budget '1e7 tokens'."
            )
        return cls(amount, "steps" if found[3].lower().startswith("step") else "tokens")

    def steps(self, step_tokens: int) -> int:
        """Optimizer steps of so many tokens that it pays for.

        Raises:
            OptionError: Not even one.
        """
        steps = int(self.amount if self.unit == "steps" else self.amount // step_tokens)
        if steps < 1:
            raise OptionError(
                f"a budget must pay for at least one step of {step_tokens:,} tokens; got {self}. Give a larger budget, "
                "or fewer windows a step with --batch."
            )
        return steps

    def __str__(self) -> str:
        return f"{self.amount:,.0f} {self.unit}"


def rungs_of(steps: int, shares: Sequence[float] = SHARES) -> tuple[int, ...]:
    """Steps after which candidates are compared: shares of all of them, each rounded up and named once."""
    return tuple(dict.fromkeys(math.ceil(share * steps) for share in shares))
