"""What is asked of the compositions. Nobody claims it: the words are ours, and so are the smallest effects."""

from __future__ import annotations

from ropewalk.cells.readings import Reading
from ropewalk.cells.texts import MODULES
from ropewalk.reproduce.claims import Claim, minus
from ropewalk.reproduce.compositions.cells import (
    ANCHORED,
    ANCHORS,
    FAR,
    GAP_WEIGHT,
    KEYS,
    NLL,
    RECALL,
    SAMPLERS,
    TARGET,
    TRAINED,
    anchored_name,
)

SIX_STEPS_SMALLEST = 0.01  # nats per token, as for Entropy-ABF
SMALLEST = 0.02  # nats per token, as for PI and CREAM
SMALLEST_RECALL = 0.05
STRONGEST = ANCHORS[-1]
FAR_AWAY = (0.0, 1 / 3)  # depths; elsewhere nearly all records are found already, which leaves nothing to gain

SKIPPING, WEIGHING, ANCHORING = "2406.07138 with 2401.07004", "after 2605.10544", "after 2502.07365"
UNPUBLISHED = "none"


def skipping_helps() -> tuple[Claim, ...]:
    """The registered contrast: the same 100 samples and tokens, with and without skipped positions."""
    places = {"at-target": (TARGET, "at the target"), "beyond": (FAR, "twice beyond the target")}
    return tuple(
        Claim(
            name=f"skipping-helps-{name}",
            source=SKIPPING,
            words="In Entropy-ABF's six steps at the old window CREAM's positions are better than contiguous ones, "
            f"{where}: {length:,} tokens.",
            figure=UNPUBLISHED,
            terms=minus(_nll("entropy-abf-short", length), _nll("entropy-abf-cream", length)),
            contrast=f"NLL with contiguous positions minus NLL with CREAM's at {length:,} tokens",
            smallest_effect=SIX_STEPS_SMALLEST,
            headline=True,
        )
        for name, (length, where) in places.items()
    )


def all_claims() -> tuple[Claim, ...]:
    """Everything else that is judged."""
    return (
        quarter_suffices(),
        *composed_against_others(),
        six_steps_recall(),
        *(claim for sampler in SAMPLERS for claim in gap_claims(sampler)),
        repeats_help(),
        *(claim for name in ANCHORED for claim in anchor_claims(name)),
        anchor_pays_back(),
    )


def quarter_suffices() -> Claim:
    """Whether the cheap composition comes close to the paper's own recipe."""
    return Claim(
        name="a-quarter-of-the-tokens-suffices",
        source=SKIPPING,
        words=f"CREAM's positions at the old window, a quarter of the tokens, lose at most the smallest effect against "
        f"Entropy-ABF's own windows of {TARGET:,} tokens.",
        figure=UNPUBLISHED,
        terms=minus(_nll("entropy-abf", TARGET), _nll("entropy-abf-cream", TARGET)),
        contrast=f"NLL of Entropy-ABF trained at {TARGET:,} minus NLL with CREAM at {TRAINED}, at {TARGET:,} tokens",
        smallest_effect=-SMALLEST,
        headline=True,
    )


def composed_against_others() -> tuple[Claim, ...]:
    """Whether each part of the composition does something."""
    others = {
        "pose-at-target": ("entropy-abf-pose", TARGET, "CREAM's positions are better than PoSE's"),
        "untrained-at-target": ("entropy-abf-untrained", TARGET, "the six steps are better than none"),
        "abf-at-target": ("abf-cream", TARGET, "over CREAM's positions Entropy-ABF's scale is better than none"),
        "abf-beyond": ("abf-cream", FAR, "over CREAM's positions Entropy-ABF's scale is better than none"),
    }
    return tuple(
        Claim(
            name=f"composed-against-{name}",
            source=SKIPPING,
            words=f"In six steps at the old window: {words}, at {length:,} tokens.",
            figure=UNPUBLISHED,
            terms=minus(_nll(other, length), _nll("entropy-abf-cream", length)),
            contrast=f"NLL of {other} minus NLL of entropy-abf-cream at {length:,} tokens",
            smallest_effect=SIX_STEPS_SMALLEST,
        )
        for name, (other, length, words) in others.items()
    )


def six_steps_recall() -> Claim:
    """Whether positions help retrieval too."""
    return Claim(
        name="skipping-finds-more",
        source=SKIPPING,
        words=f"In six steps at the old window CREAM's positions find more records at {TARGET:,} tokens than "
        "contiguous ones.",
        figure=UNPUBLISHED,
        terms=minus(_recall("entropy-abf-cream", TARGET), _recall("entropy-abf-short", TARGET)),
        contrast=f"share of records found with CREAM's minus with contiguous positions at {TARGET:,} tokens",
        smallest_effect=SMALLEST_RECALL,
    )


def gap_claims(sampler: str) -> tuple[Claim, ...]:
    """Answers from across a gap count for more: what it brings to recall, and what it costs text."""
    plain, weighed, name = f"yarn-{sampler}", f"yarn-{sampler}-gap-{GAP_WEIGHT:g}", SAMPLERS[sampler]
    return (
        Claim(
            name=f"gap-weight-finds-more-{sampler}",
            source=WEIGHING,
            words=f"Over revised YaRN and {name}: with answers from across a gap weighed {GAP_WEIGHT:g} times more "
            f"records are found in the first third of {FAR:,} tokens.",
            figure="weights over evidence in real text, RULER: +17.9 and +16.1 points for a model of 3B parameters",
            terms=minus(_recall(weighed, FAR, FAR_AWAY), _recall(plain, FAR, FAR_AWAY)),
            contrast=f"share of records of the first third found with weight {GAP_WEIGHT:g} minus with weight 1",
            smallest_effect=SMALLEST_RECALL,
            headline=True,
        ),
        Claim(
            name=f"gap-weight-costs-little-{sampler}",
            source=WEIGHING,
            words=f"Over revised YaRN and {name}: the weight costs text at most the smallest effect at {FAR:,} tokens.",
            figure=UNPUBLISHED,
            terms=minus(_nll(plain, FAR), _nll(weighed, FAR)),
            contrast=f"NLL with weight 1 minus NLL with weight {GAP_WEIGHT:g} at {FAR:,} tokens",
            smallest_effect=-SMALLEST,
        ),
    )


def repeats_help() -> Claim:
    """The nearest thing to evidence that plain text has."""
    return Claim(
        name="repeats-across-a-gap-help-text",
        source=WEIGHING,
        words="Over revised YaRN and CREAM: when tokens of text that repeat a pair from across a gap are weighed as "
        f"well, text gains at {FAR:,} tokens.",
        figure=UNPUBLISHED,
        terms=minus(_nll("yarn-cream", FAR), _nll(f"yarn-cream-repeats-{GAP_WEIGHT:g}", FAR)),
        contrast=f"NLL with weight 1 minus NLL with answers and repeats weighed {GAP_WEIGHT:g} times at {FAR:,} tokens",
        smallest_effect=SMALLEST,
    )


def anchor_claims(name: str) -> tuple[Claim, ...]:
    """What the strongest anchor gives inside the old window, and what it takes at the target."""
    anchor, about = anchored_name(name, STRONGEST), ANCHORED[name][2]
    return (
        Claim(
            name=f"anchor-helps-inside-{name}",
            source=ANCHORING,
            words=f"An anchor of weight {STRONGEST:g} to the original makes {about} better inside the old window.",
            figure="up to 99.4 % of short tasks kept, with hidden states as teachers",
            terms=minus(_nll(name, TRAINED), _nll(anchor, TRAINED)),
            contrast=f"NLL without minus NLL with the anchor at {TRAINED} tokens",
            smallest_effect=SMALLEST,
        ),
        Claim(
            name=f"anchor-costs-little-at-target-{name}",
            source=ANCHORING,
            words=f"The anchor costs {about} at most the smallest effect at the target.",
            figure=UNPUBLISHED,
            terms=minus(_nll(name, FAR), _nll(anchor, FAR)),
            contrast=f"NLL without minus NLL with the anchor at {FAR:,} tokens",
            smallest_effect=-SMALLEST,
        ),
    )


def anchor_pays_back() -> Claim:
    """Whether the price inside is paid back whole."""
    return Claim(
        name="anchor-pays-the-price-of-pi-back",
        source=ANCHORING,
        words=f"With an anchor of weight {STRONGEST:g} PI costs at most the smallest effect inside the old window, "
        "against the untouched model.",
        figure=UNPUBLISHED,
        terms=minus(_nll("untouched", TRAINED), _nll(anchored_name("linear-8x", STRONGEST), TRAINED)),
        contrast=f"NLL of the untouched model minus NLL of PI with the anchor at {TRAINED} tokens",
        smallest_effect=-SMALLEST,
    )


def _nll(cell: str, length: int) -> Reading:
    return Reading(cell, MODULES, NLL, length)


def _recall(cell: str, length: int, depths: tuple[float, float] | None = None) -> Reading:
    return Reading(cell, RECALL, KEYS, length, depths)
