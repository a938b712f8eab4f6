"""The bridge as a study: everything that can be refused is refused here, before any model is trained."""

from __future__ import annotations

import dataclasses
from pathlib import PurePath
from typing import TYPE_CHECKING

from ropewalk import adapters
from ropewalk.cells.measuring import settled_precision
from ropewalk.reproduce.bridge.budget import budget_of, require_memory, settle_steps, settled_steps
from ropewalk.reproduce.bridge.cells import RECALL, TEXT, bridge_cells
from ropewalk.reproduce.bridge.claims import CREAM, ENTROPY_ABF, PI, bridge_claims
from ropewalk.reproduce.bridge.order import Sizes, frame_of
from ropewalk.reproduce.bridge.texts import HELD_OUT_SHARE, bridge_texts
from ropewalk.reproduce.study import Study
from ropewalk.result import AGAINST_CUT, Panel
from ropewalk.run.device import default_device
from ropewalk.run.precision import PRECISIONS, product_rate

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.reproduce.bridge.order import BridgeOrder, Frame
    from ropewalk.reproduce.bridge.texts import BridgeTexts
    from ropewalk.run.extension import Reporter

NAME = "bridge"
NLL = "paired_nll"


def bridge(order: BridgeOrder, folder: Path, tell: Reporter, *, sizes: Sizes | None = None) -> Study:
    """The study of a model, or the reason why there is none.

    Args:
        order: What the user asks for.
        folder: Of the study; one that was begun keeps its number format and its steps.
        tell: Hears of the budget and of the text.
        sizes: How large it is.

    Raises:
        RopewalkError: The model, the target, the text, the memory or the time do not serve; see the parts.
    """
    device = default_device()
    on_processor = device.type == "cpu"
    chosen = sizes or Sizes()
    if order.quick:
        chosen = dataclasses.replace(chosen, seeds=1)
    frame = frame_of(order, chosen, measured_in="float32" if on_processor else "bfloat16")
    precision = settled_precision(folder, keep=False)
    require_memory(frame, precision, device)
    rate = product_rate(PRECISIONS[precision], device)
    budget = budget_of(frame, rate, order.hours, on_processor=on_processor, settled=settled_steps(folder))
    tell.stage(f"{order.model}, {frame.trained_length:,} -> {frame.target_length:,} tokens: {budget}")
    if on_processor:
        tell.stage("no accelerator was found: everything runs on the processor")
    texts = bridge_texts(order.data, order.chats, frame, adapters.load_tokenizer(order.model))
    tell.stage(_about(texts))
    steps = settle_steps(folder, budget.steps)
    return Study(
        name=NAME,
        title=f"The bridge: {PurePath(order.model).name}",
        paper=", ".join((PI, ENTROPY_ABF, CREAM)),
        quick=order.quick,
        cells=bridge_cells(frame, texts, steps),
        claims=bridge_claims(frame),
        shown=((TEXT, NLL), (RECALL, "key_value"), (RECALL, "passkey")),
        depths=tuple((RECALL, measure, frame.target_length) for measure in ("key_value", "passkey")),
        panels=panels(frame),
        notes=notes(frame, texts, steps),
    )


def panels(frame: Frame) -> tuple[Panel, ...]:
    """Loss at equal tokens and on few samples, and recall by depth."""
    title = "NLL against the context cut to the old window"
    far = frame.target_length
    pair = ("linear-cream", "linear-pose", "linear")
    few = ("abf", "entropy-abf", "yarn-samples")
    return (
        Panel(title=f"{title}, equal tokens", of=TEXT, measure=NLL + AGAINST_CUT, cells=("linear", "none", "yarn")),
        Panel(title=f"{title}, few samples", of=TEXT, measure=NLL + AGAINST_CUT, cells=few),
        Panel(title="Records found by depth", of=RECALL, measure="key_value", cells=pair, at=far),
        Panel(title="Pass keys found by length", of=RECALL, measure="passkey", cells=("untouched", *pair)),
    )


def notes(frame: Frame, texts: BridgeTexts, steps: int) -> tuple[str, ...]:
    """What the reader of the page should know."""
    samples = (
        f"conversations of '{PurePath(texts.chats).name}'"
        if texts.chats
        else f"stretches of {frame.target_length:,} tokens of the text that is trained on, every token of which is "
        "learned; a stretch may hold several documents one after another"
    )
    return (
        f"PI, direct fine-tuning, YaRN, CREAM, PoSE and the control: {steps} steps of the same number of tokens, as "
        "many as fitted into the time by the estimate. CREAM, PoSE and the control were fed windows of "
        f"{frame.trained_length:,} tokens alone.",
        f"ABF, Entropy-ABF, PI and YaRN on {frame.sizes.samples} samples: {samples}.",
        "The learning rate is the papers' 2e-5 for all; nothing was searched. A model with other weights may need "
        "another one, and a method that needs it most loses most.",
        _about(texts) + " The model may have been trained on either before; the contrasts are between models that all "
        "had it.",
    )


def _about(texts: BridgeTexts) -> str:
    return (
        f"Text: {len(texts.training.documents)} documents are trained on, {len(texts.held_out.documents)} held out and "
        f"measured on (of one's own documents that hold the target length {HELD_OUT_SHARE:.0%} are held out, by a "
        "fixed seed)."
    )
