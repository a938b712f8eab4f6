"""What a bridge judges: the papers' claims in the words of the three studies, with the same smallest effects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ropewalk.cells.readings import Reading
from ropewalk.reproduce.bridge.cells import RECALL, TEXT
from ropewalk.reproduce.claims import Claim, minus

if TYPE_CHECKING:
    from ropewalk.reproduce.bridge.order import Frame

PI, ENTROPY_ABF, CREAM = "2306.15595", "2401.07004", "2406.07138"
MIDDLE = (1 / 3, 2 / 3)  # depths
SMALLEST, SMALLEST_FEW = 0.02, 0.01  # nats per token; the second between methods tuned on few samples
SMALLEST_RECORDS, SMALLEST_KEYS = 0.05, 0.1  # of answers
RECALLS = {"key_value": ("records", SMALLEST_RECORDS), "passkey": ("pass keys", SMALLEST_KEYS)}


def bridge_claims(frame: Frame) -> tuple[Claim, ...]:
    """Everything that is judged on one model."""
    return (
        adapts_faster(frame),
        scale_helps(frame),
        *(middle(frame, frequencies, measure) for frequencies in ("linear", "yarn") for measure in RECALLS),
        explodes(frame),
        gains_from_context(frame),
        *(beats(frame, name) for name in ("linear", "yarn")),
        *costs(frame),
    )


def adapts_faster(frame: Frame) -> Claim:
    """PI against direct fine-tuning after the same steps."""
    return Claim(
        name="adapts-faster",
        source=f"{PI}, table 1",
        words=f"PI adapts faster than direct fine-tuning: after the same steps its NLL at {frame.target_length:,} "
        "tokens is lower.",
        figure="PG-19, 4x, 7B: 6.95 after 1,000 steps against 7.69 after 10,000",
        terms=minus(_nll(frame, "none"), _nll(frame, "linear")),
        contrast=f"NLL of direct fine-tuning minus NLL of PI at {frame.target_length:,} tokens",
        smallest_effect=SMALLEST,
        headline=True,
    )


def scale_helps(frame: Frame) -> Claim:
    """Entropy-ABF against ABF of equal base."""
    return Claim(
        name="scale-helps",
        source=f"{ENTROPY_ABF}, table 2",
        words=f"The entropy-aware scale helps: at {frame.target_length:,} tokens Entropy-ABF's NLL is lower than ABF's "
        "with the same base, tuned on the same samples.",
        figure="LongBench-12 at 16K after 100 samples: 37.4 against 35.1",
        terms=minus(_nll(frame, "abf"), _nll(frame, "entropy-abf")),
        contrast=f"NLL of ABF minus NLL of Entropy-ABF at {frame.target_length:,} tokens",
        smallest_effect=SMALLEST_FEW,
        headline=True,
    )


def middle(frame: Frame, frequencies: str, measure: str) -> Claim:
    """CREAM against PoSE in the middle of the target window."""
    thing, smallest = RECALLS[measure]
    over = "linear frequencies" if frequencies == "linear" else "revised YaRN"
    first, second = (
        Reading(f"{frequencies}-{sampler}", RECALL, measure, frame.target_length, MIDDLE)
        for sampler in ("cream", "pose")
    )
    return Claim(
        name=f"middle-{frequencies}-{measure}",
        source=f"{CREAM}, Lost in the Middle table",
        words=f"CREAM finds more {thing} in the middle than PoSE, over {over}, both trained at the old window.",
        figure="140 keys, index 69 of 140, linear: 23.4 against 7.6",
        terms=minus(first, second),
        contrast=f"share of middle {thing} found with CREAM minus with PoSE at {frame.target_length:,} tokens",
        smallest_effect=smallest,
        headline=(frequencies, measure) == ("linear", "key_value"),
    )


def explodes(frame: Frame) -> Claim:
    """The untouched model beyond its window."""
    return Claim(
        name="extrapolation-explodes",
        source=f"{PI}, section 2.2, table 1",
        words=f"Without an extension perplexity explodes beyond the window: at {frame.target_length:,} tokens it is at "
        f"least three times that at {frame.trained_length:,}.",
        figure="7B: 7.20 at 2,048, above 1,000 from 4,096 on",
        terms=minus(_nll(frame, "untouched"), _nll(frame, "untouched", frame.trained_length)),
        contrast=f"NLL of the untouched model at {frame.target_length:,} tokens minus at {frame.trained_length:,}",
        smallest_effect=math.log(3),
    )


def gains_from_context(frame: Frame) -> Claim:
    """Whether the longer window is used."""
    return Claim(
        name="pi-gains-from-context",
        source=f"{PI}, table 1",
        words="A model extended by PI uses its longer window: NLL falls from the old window to the new one.",
        figure="7B to 32K: 7.23 at 2,048 tokens, 6.77 at 32,768",
        terms=minus(_nll(frame, "linear", frame.trained_length), _nll(frame, "linear")),
        contrast=f"NLL of PI at {frame.trained_length:,} tokens minus at {frame.target_length:,}",
        smallest_effect=SMALLEST,
    )


def beats(frame: Frame, name: str) -> Claim:
    """Entropy-ABF against PI and YaRN on the same samples, all stretched for the whole target."""
    about, figure = {"linear": ("PI", "33.8"), "yarn": ("YaRN", "30.9")}[name]
    return Claim(
        name=f"beats-{name}",
        source=f"{ENTROPY_ABF}, table 5",
        words=f"Tuned on the same samples Entropy-ABF is better than {about} at {frame.target_length:,} tokens "
        "(matched stretch).",
        figure=f"LongBench-12 after 100 samples: 37.4 against {figure}",
        terms=minus(_nll(frame, f"{name}-samples"), _nll(frame, "entropy-abf")),
        contrast=f"NLL of {about} minus NLL of Entropy-ABF at {frame.target_length:,} tokens",
        smallest_effect=SMALLEST_FEW,
    )


def costs(frame: Frame) -> tuple[Claim, ...]:
    """What is lost inside the old window, against the same training without an extension where there is one."""
    cells = {
        "linear": ("PI", f"{PI}, tables 1 and 5", "control", SMALLEST),
        "linear-cream": ("CREAM", f"{CREAM}, language-model benchmarks", "control", SMALLEST),
        "entropy-abf": ("Entropy-ABF", f"{ENTROPY_ABF}, table 4", "untouched", SMALLEST_FEW),
    }
    others = {"control": "the same tokens at the old window", "untouched": "the untouched model"}
    return tuple(
        Claim(
            name=f"costs-little-inside-{name}",
            source=source,
            words=f"{about} costs little inside the old window: at most the smallest effect above {others[other]}.",
            figure={"linear": "PG-19 at 2,048, 7B: 7.20 untouched, 7.13 to 7.23 extended"}.get(name, "-"),
            terms=minus(_nll(frame, other, frame.trained_length), _nll(frame, name, frame.trained_length)),
            contrast=f"NLL of {others[other]} minus NLL of {about} at {frame.trained_length:,} tokens",
            smallest_effect=-smallest,
        )
        for name, (about, source, other, smallest) in cells.items()
    )


def _nll(frame: Frame, cell: str, length: int | None = None) -> Reading:
    return Reading(cell, TEXT, "paired_nll", length or frame.target_length)
