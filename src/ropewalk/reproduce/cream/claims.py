"""What is judged of CREAM's paper, and from which difference on it counts."""

from __future__ import annotations

from ropewalk.cells.readings import Reading
from ropewalk.reproduce.claims import Claim, minus
from ropewalk.reproduce.cream.cells import FREQUENCY_NAMES, SAMPLERS
from ropewalk.reproduce.cream.exams import MIDDLE, NEEDLE, PASSKEY, TARGET, TRAINED, nll, recall

SMALLEST = 0.02  # nats per token
SMALLEST_RECALL = 0.05
SMALLEST_PASSKEY = 0.1


def all_claims() -> tuple[Claim, ...]:
    """Everything that is judged."""
    return (
        *(middle(f) for f in ("linear", "yarn", "ntk")),
        *(overall(f, other) for f in ("linear", "yarn") for other in ("pose", "contiguous")),
        *(more_in_the_middle(f) for f in ("linear", "yarn")),
        gaussian("linear"),
        randpos_fails(),
        costs_inside(),
        *(overall(f, "randpos") for f in ("linear", "yarn")),
        *(needle(f) for f in ("linear", "yarn")),
        gaussian("yarn"),
        *both_modes(),
        *(sigma_three(cell, words) for cell, words in (("cream-narrow", "2"), ("cream-wide", "4"))),
    )


def middle(frequencies: str) -> Claim:
    """The middle claim: facts there are found more often than with PoSE."""
    figures = {
        "linear": "140 keys, index 69 of 140: 23.4 against 7.6; 75 keys, index 37: 56.0 against 37.4",
        "yarn": "140 keys, index 69: 5.8 against 2.8; 75 keys, index 37: 47.6 against 12.2",
        "ntk": "140 keys, index 69: 6.0 against 0; 75 keys, index 37: 52.6 against 44.6",
    }
    return Claim(
        name=f"middle-{frequencies}",
        source="Lost in the Middle table",
        words=f"CREAM finds more in the middle than PoSE, over {FREQUENCY_NAMES[frequencies]} at 8 times the window.",
        figure=figures[frequencies],
        terms=minus(recall(f"{frequencies}-cream", MIDDLE), recall(f"{frequencies}-pose", MIDDLE)),
        contrast="share of middle records found with CREAM minus with PoSE",
        smallest_effect=SMALLEST_RECALL,
        headline=True,
    )


def overall(frequencies: str, other: str) -> Claim:
    """The same at all depths, against PoSE and contiguous."""
    figures = {"linear": "75 keys, mean: 65.2 against PoSE 50.9", "yarn": "75 keys, mean: 73.4 against PoSE 50.0"}
    return Claim(
        name=f"recall-{frequencies}-against-{other}",
        source="Lost in the Middle table",
        words=f"CREAM finds more than {SAMPLERS[other]} positions at all depths together, over "
        f"{FREQUENCY_NAMES[frequencies]} frequencies.",
        figure=figures[frequencies] if other == "pose" else "none; 0 from 4,200 tokens on for the untouched model",
        terms=minus(recall(f"{frequencies}-cream"), recall(f"{frequencies}-{other}")),
        contrast=f"share of records found with CREAM minus with {SAMPLERS[other]} positions",
        smallest_effect=SMALLEST_RECALL,
        headline=other == "pose",
    )


def more_in_the_middle(frequencies: str) -> Claim:
    """Whether the gain is the middle's own, or one of all depths."""
    cream_cell, pose_cell = f"{frequencies}-cream", f"{frequencies}-pose"
    return Claim(
        name=f"gain-is-in-the-middle-{frequencies}",
        source="the name of the method",
        words=f"CREAM's gain over PoSE is larger in the middle than elsewhere, over {FREQUENCY_NAMES[frequencies]}.",
        figure="75 keys, linear, gain by index 0, 18, 37, 54, 74: 0.2, 21.2, 18.6, 19.8, 11.8",
        terms=(
            *minus(recall(cream_cell, MIDDLE), recall(pose_cell, MIDDLE)),
            *minus(recall(pose_cell), recall(cream_cell)),
        ),
        contrast="gain in the middle minus gain at all depths",
        smallest_effect=SMALLEST_RECALL,
    )


def gaussian(frequencies: str) -> Claim:
    """The ablation of the truncated Gaussian."""
    return Claim(
        name="gaussian-helps" if frequencies == "linear" else f"gaussian-helps-{frequencies}",
        source="ablation",
        words="A truncated Gaussian for the middle's place is better in the middle than a uniform draw"
        + ("." if frequencies == "linear" else f", over {FREQUENCY_NAMES[frequencies]}."),
        figure="not readable to us",
        terms=minus(recall(f"{frequencies}-cream", MIDDLE), recall(f"{frequencies}-cream-uniform", MIDDLE)),
        contrast="share of middle records found with the Gaussian minus with a uniform draw",
        smallest_effect=SMALLEST_RECALL,
    )


def randpos_fails() -> Claim:
    """RandPos loses the language."""
    return Claim(
        name="randpos-fails",
        source="LongChat lines",
        words="RandPos fails: its NLL at the target is at least a tenth of a nat above CREAM's.",
        figure="LongChat lines: RandPos 0 at every length; in PoSE's table 1 perplexity 15.2 against 4.6",
        terms=minus(nll("linear-randpos", TARGET), nll("linear-cream", TARGET)),
        contrast=f"NLL with RandPos minus NLL with CREAM at {TARGET:,} tokens",
        smallest_effect=0.1,
    )


def costs_inside() -> Claim:
    """Short tasks are kept."""
    return Claim(
        name="costs-little-inside",
        source="language-model benchmarks",
        words="CREAM costs little inside the old window: at most the smallest effect above the untouched model.",
        figure="not readable to us",
        terms=minus(nll("untouched", TRAINED), nll("yarn-cream", TRAINED)),
        contrast=f"NLL of the untouched model minus NLL of CREAM over revised YaRN at {TRAINED} tokens",
        smallest_effect=-SMALLEST,
    )


def needle(frequencies: str) -> Claim:
    """The needle grid, at its longest length."""
    cells = f"{frequencies}-cream", f"{frequencies}-pose"
    first, second = (Reading(cell, NEEDLE, PASSKEY, TARGET) for cell in cells)
    return Claim(
        name=f"needle-{frequencies}",
        source="needle figure",
        words=f"CREAM finds more pass keys than PoSE at 8 times the window, over {FREQUENCY_NAMES[frequencies]}.",
        figure="full marks but at depths 0 and 10 % of 29,000 and 32,000 tokens; none for PoSE",
        terms=minus(first, second),
        contrast="share of pass keys found with CREAM minus with PoSE",
        smallest_effect=SMALLEST_PASSKEY,
    )


def both_modes() -> tuple[Claim, Claim]:
    """The mix of modes: continuity is there for the language, relativity for the distances."""
    words = "over revised YaRN"
    return (
        Claim(
            name="continuity-keeps-the-language",
            source="figure 2",
            words=f"Continuity mode keeps the language: without it NLL inside the old window is higher, {words}.",
            figure="none; the paper's reason for the mode",
            terms=minus(nll("yarn-cream-continuity-0", TRAINED), nll("yarn-cream", TRAINED)),
            contrast=f"NLL of relativity alone minus NLL of both modes at {TRAINED} tokens",
            smallest_effect=SMALLEST,
        ),
        Claim(
            name="relativity-reaches-far",
            source="figure 2",
            words=f"Relativity mode teaches distances: without it fewer records are found, {words}.",
            figure="none; the paper's reason for the mode",
            terms=minus(recall("yarn-cream"), recall("yarn-cream-continuity-100")),
            contrast="share of records found with both modes minus with continuity alone",
            smallest_effect=SMALLEST_RECALL,
        ),
    )


def sigma_three(other: str, sigma: str) -> Claim:
    """The paper's default against the ends of its grid."""
    return Claim(
        name=f"sigma-3-beats-{sigma}",
        source="ablation of sigma: 2, 2.5, 3, 3.5, 4",
        words=f"Sigma 3, the paper's default, finds more in the middle than {sigma}, over revised YaRN.",
        figure="not readable to us",
        terms=minus(recall("yarn-cream", MIDDLE), recall(f"yarn-{other}", MIDDLE)),
        contrast=f"share of middle records found with sigma 3 minus with {sigma}",
        smallest_effect=SMALLEST_RECALL,
    )
