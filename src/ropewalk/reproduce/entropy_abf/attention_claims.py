"""What the paper says of attention entropy, and of the layers that need the scale; written down before the runs."""

from __future__ import annotations

import math

from ropewalk.cells.readings import Reading
from ropewalk.reproduce.attention_exams import ALL_LAYERS, LATER_LAYERS, entropy_measure, slope_measure
from ropewalk.reproduce.claims import Claim, minus
from ropewalk.reproduce.entropy_abf.exams import BEYOND, ENTROPY, POSITIONS, SLOPES_OF, TRAINED

SMALLEST_ENTROPY = 0.1  # nats
SMALLEST_SLOPE = 0.005  # nats per token: one layer of four has a part of the whole scale's effect
FIRST = POSITIONS[0]
RISE_INSIDE, RISE_BEYOND = TRAINED / FIRST, BEYOND / TRAINED  # times as many keys


def attention_claims() -> tuple[Claim, ...]:
    """The diagnosis, the cure, and the test by intervention."""
    return (
        *diagnosis(),
        *(scale_lowers(suffix) for suffix in ("", "-untrained")),
        *(layer_rises(layer) for layer in (0, 1)),
        *(layer_needs(layer) for layer in (2, 3)),
        *(layer_needs_none(layer) for layer in (0, 1)),
        all_need(),
    )


def diagnosis() -> tuple[Claim, ...]:
    """Section 3.1: later layers concentrate inside the window, and lose that beyond it."""
    inside = minus(_later("untouched", FIRST), _later("untouched", TRAINED))
    steepness = math.log(RISE_BEYOND) / math.log(RISE_INSIDE)
    return (
        Claim(
            name="later-layers-steady-inside",
            source="section 3.1, figure 1",
            words="Inside the trained window the layers after the first two keep their attention concentrated: from "
            f"{FIRST} to {TRAINED} tokens their entropy rises by at most half of what attention spread evenly would.",
            figure="none as a number; curves of Llama 2 that stay nearly level",
            terms=inside,
            contrast=f"entropy of the untouched model's later layers at {FIRST} tokens minus at {TRAINED}",
            smallest_effect=-round(0.5 * math.log(RISE_INSIDE), 3),
        ),
        Claim(
            name="entropy-rises-beyond",
            source="section 3.1, figure 1",
            words="Without the scale they cannot keep that up beyond the trained window: in ABF, trained on "
            f"100 samples, their entropy rises faster from {TRAINED} to {BEYOND:,} tokens than before, at equal "
            "ratios of lengths.",
            figure="none as a number",
            terms=(
                *minus(_later("abf", BEYOND), _later("abf", TRAINED)),
                (-steepness, _later("abf", TRAINED)),
                (steepness, _later("abf", FIRST)),
            ),
            contrast=f"rise of ABF's later layers beyond {TRAINED} tokens minus {steepness:g} times the rise from "
            f"{FIRST}",
            smallest_effect=SMALLEST_ENTROPY,
        ),
    )


def scale_lowers(suffix: str) -> Claim:
    """Section 4: what the scale is for."""
    trained = not suffix
    return Claim(
        name=f"scale-lowers-entropy{suffix}",
        source="section 4, eq. 3",
        words=f"The scale concentrates attention where there are more keys than in training: at {BEYOND:,} tokens the "
        "later layers' entropy is lower than ABF's of equal base, "
        + ("after 6 steps of training." if trained else "without any training."),
        figure="none as a number",
        terms=minus(_later(f"abf{suffix}", BEYOND), _later(f"entropy-abf{suffix}", BEYOND)),
        contrast=f"entropy of ABF's later layers minus Entropy-ABF's at {BEYOND:,} tokens",
        smallest_effect=SMALLEST_ENTROPY,
        headline=trained,
    )


def layer_rises(layer: int) -> Claim:
    """Section 3.1: why the first two layers are exempt."""

    def rise(measure: str) -> tuple[tuple[float, Reading], ...]:
        return minus(_entropy("untouched", measure, TRAINED), _entropy("untouched", measure, FIRST))

    later = tuple((-weight, reading) for weight, reading in rise(LATER_LAYERS))
    return Claim(
        name=f"layer-{layer}-spreads",
        source="section 3.1",
        words=f"Layer {layer} (of the first two, which the scale leaves alone) differs from the later ones: inside the "
        "window its entropy rises more with the number of keys.",
        figure="entropy of layers 0 and 1 of Llama 2 rises with the length, that of the others hardly",
        terms=(*rise(entropy_measure(layer)), *later),
        contrast=f"rise of the untouched model's entropy from {FIRST} to {TRAINED} tokens in layer {layer} minus in "
        "the later layers",
        smallest_effect=SMALLEST_ENTROPY,
    )


def layer_needs(layer: int) -> Claim:
    """Section 4: the "inherent need" of the later layers, by intervention."""
    return Claim(
        name=f"layer-{layer}-needs-the-scale",
        source="section 4",
        words=f"Layer {layer} needs the scale: put into ABF's layer {layer} alone, after training and without more of "
        f"it, the scale of slope 1 lowers NLL at {BEYOND:,} tokens.",
        figure="none: an inherent need is inferred from entropy",
        terms=((-1.0, _slope("abf", layer)),),
        contrast=f"NLL of ABF at {BEYOND:,} tokens minus NLL with slope 1 in layer {layer}",
        smallest_effect=SMALLEST_SLOPE,
    )


def layer_needs_none(layer: int) -> Claim:
    """Section 4: the first two layers have no such need."""
    return Claim(
        name=f"layer-{layer}-needs-no-scale",
        source="section 4",
        words=f"Layer {layer} needs no scale: put into ABF's layer {layer} alone, slope 1 lowers NLL at {BEYOND:,} "
        "tokens by no more than the smallest effect.",
        figure="none: inferred from entropy",
        terms=((1.0, _slope("abf", layer)),),
        contrast=f"NLL with slope 1 in layer {layer} minus NLL of ABF at {BEYOND:,} tokens",
        smallest_effect=-SMALLEST_SLOPE,
    )


def all_need() -> Claim:
    """The scale without any training for it."""
    return Claim(
        name="scale-helps-put-in-afterwards",
        source="section 4",
        words=f"The scale helps a model that was trained without it: in all layers of ABF, slope 1 lowers NLL at "
        f"{BEYOND:,} tokens.",
        figure="none",
        terms=((-1.0, _slope("abf", ALL_LAYERS)),),
        contrast=f"NLL of ABF at {BEYOND:,} tokens minus NLL with slope 1 in all layers",
        smallest_effect=SMALLEST_SLOPE,
    )


def _later(cell: str, length: int) -> Reading:
    return _entropy(cell, LATER_LAYERS, length)


def _entropy(cell: str, measure: str, length: int) -> Reading:
    return Reading(cell, ENTROPY, measure, length)


def _slope(cell: str, layer: int | str) -> Reading:
    return Reading(cell, SLOPES_OF, slope_measure(layer, 1.0), BEYOND)
