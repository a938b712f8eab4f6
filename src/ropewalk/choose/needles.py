"""Needle perplexity: the loss on answers about facts in a long context, after LongRoPE2's choice of what to search by.

Shang et al. (2025), arXiv:2502.20082: perplexity over a whole text hardly feels far context, because most tokens are
predicted from near ones; the loss on the tokens that answer a question about a fact feels it at once. Here: contexts of
key-value records, all of which are asked for, one question after another; the mean loss over the tokens of the answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.data.recall import NOWHERE, training_window
from ropewalk.evals.batches import memory
from ropewalk.evals.nll import token_nll
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.evals.tasks import encoder, key_value_samples

if TYPE_CHECKING:
    from ropewalk.data.recall import Tokens
    from ropewalk.rope import Floats, Integers

KEYS = 16


@dataclass(frozen=True)
class Needles:
    """Contexts with all their questions answered.

    Attributes:
        windows: Tokens of each.
        answers: Indices of the tokens that answer, of each.
        length: Tokens of a context without its questions, about.
    """

    windows: tuple[Tokens, ...]
    answers: tuple[Integers, ...]
    length: int

    @classmethod
    def draw(cls, tokenizer: Any, length: int, *, contexts: int, seed: int = 0, keys: int = KEYS) -> Needles:
        """Contexts from a seed.

        Args:
            tokenizer: The model's.
            length: Tokens of a window, questions and answers included.
            contexts: How many.
            seed: What is drawn.
            keys: Records, and so questions, in each.

        Raises:
            OptionError: The length is too short for the records.
        """
        encode = encoder(tokenizer)
        newline = encode("\n")
        asked = keys * (len(encode("\nwhatever=1234")) + len(newline) + 4)  # about; the window must not pass the length
        plan = EvaluationPlan(
            lengths=(length - asked,), scored=1, contexts=contexts, keys=keys, tasks=("key-value",), seed=seed
        )
        windows, answers = [], []
        for sample in key_value_samples(encode, plan):
            tokens, evidence = training_window(sample.context, sample.context.questions, newline)
            windows.append(tokens)
            answers.append(np.flatnonzero(evidence != NOWHERE))
        return cls(tuple(windows), tuple(answers), length)

    @property
    def tokens(self) -> int:
        """Tokens that one measurement reads."""
        return sum(map(len, self.windows))

    def losses(self, model: Any) -> Floats:
        """Mean loss on the answers of each context, nats per token, `[contexts]`; infinite where it is no number."""
        found = []
        for tokens, answers in zip(self.windows, self.answers, strict=True):
            with memory("needles", self.length):
                loss = float(token_nll(model, tokens[None], positions=answers).mean())
            found.append(loss if np.isfinite(loss) else float("inf"))
        return np.array(found, dtype=np.float64)
