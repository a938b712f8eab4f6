"""The conversation-tuned route: a model is tuned on conversations first, then extended on others at the old window.

Theirs is Llama-2-Chat on ShareGPT; ours are conversations that are made from a seed. The base learns the answers, as
chat models do; the extension learns every token, questions too, as CREAM's released code does.
"""

from __future__ import annotations

from ropewalk.cells.cell import Cell
from ropewalk.cells.runs import recipe
from ropewalk.reproduce.bases import TunedBase
from ropewalk.reproduce.conversations import ConversationSet
from ropewalk.reproduce.cream.cells import FREQUENCIES, FREQUENCY_NAMES, SAMPLERS, searched
from ropewalk.reproduce.cream.exams import EXAMS, TRAINED

COUNT = 960  # half of the 60 x 32 windows: each conversation is read once, recall tasks fill the other half
PACKING = "none"  # a conversation keeps a window to itself, because positions that skip start anew in each packed one
TUNED = "tuned on conversations"


def chat_cells() -> tuple[Cell, ...]:
    """The tuned model as it is, then CREAM and PoSE over linear and revised YaRN."""
    base = chat_base()
    untouched = Cell(f"untouched-{base.name}", TUNED, None, EXAMS, base=base)
    pairs = [(f, s) for f in ("linear", "yarn") for s in ("cream", "pose")]
    return (untouched, *(chat_cell(base, frequencies, sampler) for frequencies, sampler in pairs))


def chat_base() -> TunedBase:
    """The built-in model tuned on conversations, not extended."""
    run = recipe(
        "reproduce-cream",
        target_length=TRAINED,
        method={"name": "none"},
        positions={"name": "contiguous"},
        data={"packing": PACKING},
    )
    return TunedBase("chat", TUNED, run, ConversationSet(COUNT, TRAINED, seed=0))


def chat_cell(base: TunedBase, frequencies: str, sampler: str) -> Cell:
    """The tuned model, extended on other conversations than it was tuned on."""
    run = recipe(
        "reproduce-cream",
        method=FREQUENCIES[frequencies],
        positions={"name": sampler},
        data={"window": TRAINED, "packing": PACKING},
    )
    about = f"{TUNED}, then {FREQUENCY_NAMES[frequencies]}, {SAMPLERS[sampler]}"
    samples = ConversationSet(COUNT, TRAINED, seed=1, learns="everything")
    name = f"chat-{frequencies}-{sampler}"
    return Cell(name, about, run, EXAMS, samples=samples, search=searched(frequencies, sampler), base=base)
