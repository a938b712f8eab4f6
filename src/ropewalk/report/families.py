"""The page about model families, from the census alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FREQUENCY_RULES = ("linear", "yarn")
SCALE = "entropy-abf"
HEAD = """\
# Model families

This page is made by `make docs` from `results/census.json`, which `scripts/census.py` measures: it builds a small
random model of every causal language model class of transformers that has a rotary embedding, extends it, and compares
its logits with those of the untouched model, rotated by hand. A family is extended only if they agree, and refused with
the reason if not. Where less than the whole head turns, yarn's attention factor reaches only the part that turns, as
transformers computes it; `ropewalk extend` says so.
`ropewalk inspect MODEL` says the same of a checkpoint.
"""


def families_page(census: Mapping[str, Any]) -> str:
    """The page as Markdown.

    Args:
        census: What `results/census.json` holds.
    """
    types = sorted(census["types"], key=lambda found: str(found["model_type"]))
    works = [found for found in types if "refused" not in found]
    scaled = [found for found in works if SCALE in found]
    refused = [found for found in types if "refused" in found]
    lines = [
        HEAD,
        f"Measured with transformers {census['transformers']} and torch {census['torch']}: {census['protocol']}. Of "
        f"{census['causal_types']} causal model types {len(types)} have a rotary embedding; frequency rules (measured: "
        f"`linear`, `yarn`) work for {len(works)}, a scale by position (`entropy-abf`) for {len(scaled)}, and "
        f"{len(refused)} are refused.\n",
        "## Works\n",
        "The number is the largest difference of a logit from the rotation by hand, over the largest logit.\n",
        "| type | frequency rules | scale by position | note |",
        "| --- | --- | --- | --- |",
        *(_line(found) for found in works),
        "\n## Refused\n",
        "| type | because |",
        "| --- | --- |",
        *(f"| `{found['model_type']}` | {_cell(found['refused'])} |" for found in refused),
    ]
    return "\n".join(lines) + "\n"


def _line(found: Mapping[str, Any]) -> str:
    worst = max(found[name]["error"] for name in FREQUENCY_RULES)
    scale = f"{found[SCALE]['error']:.0e}" if SCALE in found else "refused"
    return f"| `{found['model_type']}` | {worst:.0e} | {scale} | {_cell('; '.join(_notes(found)))} |"


def _notes(found: Mapping[str, Any]) -> list[str]:
    facts = found["facts"]
    notes = [f"a scale is refused: {facts['scale_refused']}"] if "scale_refused" in facts else []
    if "note" in facts:
        notes.append(facts["note"])
    if "layer_bases" in facts:
        notes.append("sliding layers keep their own rope setting")
    elif "sliding_attention" in facts.get("layer_pattern", ()):
        notes.append("sliding layers keep their window")
    if facts.get("rotated_fraction", 1.0) < 1:
        notes.append("turns a part of each head")
    if found["text_type"] != found["model_type"]:
        notes.append(f"the language model inside is a `{found['text_type']}`")
    return notes


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
