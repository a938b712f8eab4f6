"""How figures look: one colour for each method name for ever, and the few settings that all figures share.

Colours are those of Okabe and Ito (2008), https://jfly.uni-koeln.de/color/, which people with any colour vision tell
apart, and darker relatives of them for the rarer methods.
"""

from __future__ import annotations

import hashlib

UNTOUCHED = "untouched"
COLOURS = {
    "untouched": "#555555",
    "none": "#555555",
    "linear": "#E69F00",
    "pi": "#E69F00",
    "ntk": "#CC79A7",
    "dynamic-ntk": "#8C4A73",
    "ntk-by-parts": "#56B4E9",
    "yarn": "#0072B2",
    "abf": "#D55E00",
    "entropy-abf": "#9C2F00",
    "llama3": "#6A51A3",
    "longrope": "#8C6D1F",
    "cream": "#009E73",
    "pose": "#004D40",
    "cope": "#A6761D",
    "hard-clip": "#5C4033",
    "p-rope": "#7FB800",
    "giraffe": "#C49A00",
    "drope": "#3D405B",
    "resonance": "#1B9AAA",
    "longrope2": "#B08900",
    "staircase": "#EF476F",
    "ssmax": "#9D0208",
    "log-n": "#9D0208",
}
# For methods that other packages bring. Which one a name gets depends on the name alone.
OTHERS = ("#7F3C8D", "#3969AC", "#B95FBB", "#4B7F52", "#A5612F", "#2F6F7E")

INK = "#222222"
FAINT = "#999999"
GRID = "#E4E4E4"
BAND_OPACITY = 0.16
DOTS_PER_INCH = 160
FONT = {"family": "DejaVu Sans", "size": 9.5}


def method_name(method: str) -> str:
    """The bare name in a phrase such as `yarn, factor 8`."""
    return method.split(",")[0].split(" ")[0].strip().lower()


def colour(method: str) -> str:
    """The colour of a method, by its name or a phrase that begins with it."""
    name = method_name(method)
    if name in COLOURS:
        return COLOURS[name]
    return OTHERS[hashlib.sha256(name.encode()).digest()[0] % len(OTHERS)]
