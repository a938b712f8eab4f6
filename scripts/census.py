"""Extends a tiny random model of every causal language model class of transformers, and compares it with a second way.

python scripts/census.py                measures all types (half an hour of one core at most), then writes
                                        results/census.json and src/ropewalk/assets/families.json
python scripts/census.py TYPE ...       measures some and prints what was found; writes nothing

--journal FILE keeps one line of JSON for each type; an interrupted census goes on there. What is compared, for
`linear`, `yarn` and `entropy-abf`: logits far beyond the window with a rotation by hand (`census_reference.py`); the
model extended in memory with the folder extended on disk; cached decoding with prefill (the self-test that ends every
extension); and that a scale by position changes nothing inside the window and something beyond it.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from census_measure import METHODS, TARGET, TOLERANCE, measure
from census_models import TRAINED, causal_types, default_numbers

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "results" / "census.json"
FAMILIES = ROOT / "src" / "ropewalk" / "assets" / "families.json"
LIMIT_SECONDS = 120
PROTOCOL = (
    f"random model of few narrow layers, window {TRAINED}, extended to {TARGET}; largest difference of logits of 40 "
    f"tokens at positions 200 to 239 over the largest logit, float32, CPU; at most {TOLERANCE:g}"
)

OWN_TABLES = "its code computes the rotary table itself and never reads rope_parameters, so a new setting is ignored"
NO_INTERFACE = "its attention does not go through transformers' attention interface, so a position scale is ignored"
SCALES_ALREADY = "it scales its queries by position already, and two such scales multiply"
NO_TEXT_CLASS = (
    "its language model alone is no causal model of transformers, so a small one cannot be built to check it"
)
PROPORTIONAL = "its full-attention layers have a proportional rotary embedding, where methods start from the plain one"
CHOSEN_TOKENS_AND_OWN = "its config gives single layers a setting of their own, which ropewalk would not carry over"
CHOSEN_TOKENS = (
    "its layers attend to a fixed number of chosen tokens, so a scale growing with all tokens answers nothing"
)
# What a person found out, where a measurement can only say that something differs or cannot be built.
REFUSED = {
    "blt": "it has four transformers with a config each, over bytes and over patches of bytes",
    "beam": "its full-attention layers have no rotary embedding, and the layers that have one slide",
    "codegen": OWN_TABLES,
    "dbrx": "its config keeps the base inside attn_config, where ropewalk does not look",
    "emu3": NO_TEXT_CLASS,
    "longcat_flash": "each of its layers holds two attentions, so that there are two ways to count layers",
    "minimax_m3_vl_text": "its config says rotary_dim, which its own rotary table does not follow",
    "mllama": NO_TEXT_CLASS,
    "dots3_note": CHOSEN_TOKENS_AND_OWN,
    "dots3_note_text": CHOSEN_TOKENS_AND_OWN,
    **dict.fromkeys(("gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_text", "lfm3"), PROPORTIONAL),
    **dict.fromkeys(("gemma4_assistant", "gemma4_unified_assistant"), PROPORTIONAL),
    "hrm_text": "it runs through its layers several times, so that a layer has several numbers",
    "deepseek_v4": "it turns compressed keys by a setting of their own, whose positions are those of blocks of tokens",
    "gptj": OWN_TABLES,
    "recurrent_gemma": OWN_TABLES,
    "roformer": OWN_TABLES,
    "zamba2": "its layers share attention modules, and it turns heads only where its config says use_mem_rope",
    "zaya": "it has a rope setting for each of two kinds of layers of its own, hybrid and hybrid_sliding",
    "bailing_hybrid": "its config calls the window model_max_length, which ropewalk does not read",
}
SCALE_REFUSED = {
    "falcon": NO_INTERFACE,
    "gpt_neox_japanese": NO_INTERFACE,
    "llama4": SCALES_ALREADY,
    "llama4_text": SCALES_ALREADY,
    "ministral3": SCALES_ALREADY,
}
NOTES: dict[str, str] = {}


def is_rotary_type(model_type: str) -> bool:
    """Whether a class of that name turns its heads."""
    if model_type in REFUSED:
        return True
    try:
        return bool(default_numbers(model_type).get("rope_parameters"))
    except Exception:  # a class that cannot be built without arguments
        return False


def verdict(row: dict[str, Any]) -> dict[str, Any]:
    """What the census says of one type: `works`, `note` or `refused`, why, and the largest differences."""
    model_type = row["model_type"]
    if model_type in REFUSED or "refused" in row:
        return {"model_type": model_type, "refused": REFUSED.get(model_type) or row["refused"]}
    failed = [f"{name}: {row[name]['failed']}" for name in METHODS[:2] if "failed" in row[name]]
    if failed:
        return {"model_type": model_type, "refused": failed[0]}
    found: dict[str, Any] = {"model_type": model_type, "text_type": row["text_type"], "facts": dict(row["facts"])}
    scale = row[METHODS[2]]
    reason = SCALE_REFUSED.get(model_type) or scale.get("failed")
    if "failed" in scale and not {"full_attention", "hybrid"} & set(row["kinds"]):
        reason = CHOSEN_TOKENS
    if reason:
        found["facts"]["scale_refused"] = reason
    elif scale["told_positions"] is False:
        found["facts"]["hides_positions"] = True
    if model_type in NOTES:
        found["facts"]["note"] = NOTES[model_type]
    for name in METHODS if not reason else METHODS[:2]:
        measured = ("carrier", "error", "change", "reloaded", "inside", "scale_change")
        found[name] = {key: rounded(row[name][key]) for key in measured if key in row[name]}
    return found


def rounded(value: Any) -> Any:
    """Two digits of a number: the third differs between machines."""
    return float(f"{value:.1e}") if isinstance(value, float) else value


def write(rows: list[dict[str, Any]]) -> None:
    """Writes what the census found, and the table that the package reads."""
    found = [verdict(row) for row in rows]
    head = {"protocol": PROTOCOL, "transformers": transformers.__version__, "torch": torch.__version__}
    head["causal_types"] = len(causal_types())
    lines = ",\n".join(json.dumps(entry, sort_keys=True) for entry in found)
    RESULT.write_text(json.dumps(head)[:-1] + f', "types": [\n{lines}\n]}}\n', "utf-8")
    table = {f["model_type"]: {"refused": f["refused"]} if "refused" in f else f["facts"] for f in found}
    rows_of_table = ",\n".join(f"{json.dumps(name)}: {json.dumps(row, sort_keys=True)}" for name, row in table.items())
    FAMILIES.write_text(f"{{\n{rows_of_table}\n}}\n", "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("types", nargs="*")
    parser.add_argument("--journal", type=Path, help="one line of JSON for each type that is done")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    done: dict[str, dict[str, Any]] = {}
    if given.journal and given.journal.exists():
        done = {row["model_type"]: row for row in map(json.loads, given.journal.read_text("utf-8").splitlines())}
    for model_type in given.types or [name for name in causal_types() if is_rotary_type(name)]:
        if model_type in done:
            continue
        signal.alarm(LIMIT_SECONDS)  # ends a census that one type would hold up; its journal says where
        done[model_type] = {"model_type": model_type} if model_type in REFUSED else measure(model_type)
        signal.alarm(0)
        line = json.dumps(done[model_type])
        print(line, flush=True)
        if given.journal:
            with given.journal.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
    if not given.types:
        write(list(done.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
