"""What is judged of CREAM's other routes: 32 and 64 times the window, and a model tuned on conversations."""

from __future__ import annotations

from ropewalk.reproduce.claims import Claim, minus
from ropewalk.reproduce.cream.cells import FREQUENCY_NAMES
from ropewalk.reproduce.cream.claims import SMALLEST_RECALL
from ropewalk.reproduce.cream.exams import MIDDLE, TRAINED, recall
from ropewalk.reproduce.cream.far import CELLS, FAR

REACHES = 0.5  # of the records: what is found half of the time is reached
CHAT = "chat retention needs a model that converses; the built-in one fills in made-up conversations"


def far_claims() -> tuple[Claim, ...]:
    """Whether far targets are reached, and whether CREAM is ahead there."""
    return (
        *(reaches(f, factor) for factor in CELLS for f, sampler in CELLS[factor] if sampler == "cream"),
        *(ahead(f, factor) for factor in CELLS for f, sampler in CELLS[factor] if sampler == "pose"),
    )


def reaches(frequencies: str, factor: int) -> Claim:
    """A far target is reached by windows of the old length alone."""
    target = factor * TRAINED
    cell = f"{frequencies}-cream-{factor}x"
    return Claim(
        name=f"reaches-{factor}x-{frequencies}",
        source="256K models",
        words=f"CREAM reaches {factor} times the window, over {FREQUENCY_NAMES[frequencies]}: it finds at least half "
        f"of the records in {target:,} tokens.",
        figure="a model for 256K tokens (64 times) is released; its recall is not readable to us",
        terms=minus(recall(cell, length=target, of=FAR), recall("untouched", length=target, of=FAR)),
        contrast=f"share of records found in {target:,} tokens minus the untouched model's",
        smallest_effect=REACHES,
        allowance=SMALLEST_RECALL,
    )


def ahead(frequencies: str, factor: int) -> Claim:
    """CREAM against PoSE at a far target."""
    target = factor * TRAINED
    cells = (f"{frequencies}-{sampler}-{factor}x" for sampler in ("cream", "pose"))
    first, second = (recall(cell, length=target, of=FAR) for cell in cells)
    return Claim(
        name=f"recall-{factor}x-{frequencies}",
        source="256K models",
        words=f"CREAM finds more than PoSE at {factor} times the window, over {FREQUENCY_NAMES[frequencies]}.",
        figure="not readable to us",
        terms=minus(first, second),
        contrast=f"share of records found in {target:,} tokens with CREAM minus with PoSE",
        smallest_effect=SMALLEST_RECALL,
    )


def chat_claims() -> tuple[Claim, ...]:
    """The middle claim on a tuned model, and what it keeps."""
    return (*(chat_middle(f) for f in ("linear", "yarn")), chat_keeps())


def chat_middle(frequencies: str) -> Claim:
    """The middle claim where base and training text are conversations."""
    cells = (f"chat-{frequencies}-{sampler}" for sampler in ("cream", "pose"))
    first, second = (recall(cell, MIDDLE) for cell in cells)
    return Claim(
        name=f"middle-chat-{frequencies}",
        source="chat models",
        words="CREAM finds more in the middle than PoSE on a model tuned on conversations, over "
        f"{FREQUENCY_NAMES[frequencies]} at 8 times the window.",
        figure="LongBench of the chat model: 39.6 against Entropy-ABF 39.1; none for PoSE",
        terms=minus(first, second),
        contrast="share of middle records found with CREAM minus with PoSE",
        smallest_effect=SMALLEST_RECALL,
    )


def chat_keeps() -> Claim:
    """The tuned model's answers inside the old window."""
    return Claim(
        name="chat-is-kept",
        source="chat models",
        words="A model tuned on conversations keeps its answers inside the old window.",
        figure="LongBench of the chat model: 39.6 against Llama-2-Chat 31.0 (six tasks)",
        terms=minus(recall("chat-yarn-cream", length=TRAINED), recall("untouched-chat", length=TRAINED)),
        contrast=f"share of records found in {TRAINED} tokens after CREAM minus before",
        smallest_effect=-SMALLEST_RECALL,
        mechanism_only=CHAT,
    )
