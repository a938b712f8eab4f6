"""A repaired copy of a checkpoint: its settings change where that is certain, weights are linked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ropewalk.adapters import files
from ropewalk.adapters.config import parse_config, rope_dictionary
from ropewalk.adapters.doctor import examine, refuse
from ropewalk.adapters.foreign import adopted
from ropewalk.adapters.source import require_outside
from ropewalk.adapters.spelling import both_spellings, rope_parameters
from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.adapters.doctor import Finding
    from ropewalk.adapters.doctor.rule import Repair


def write_repaired(
    config: ModelConfig, output: Path, *, told: Mapping[str, Any] | None = None, overwrite: bool = False
) -> tuple[Finding, ...]:
    """Writes a copy of a checkpoint in which everything is repaired that is certain.

    Args:
        config: Of a folder with weights.
        output: The folder to write; it appears complete or not at all.
        told: What a user said that the files do not; see `rule.Case`.
        overwrite: Replace an output folder that exists.

    Returns:
        What was repaired.

    Raises:
        ModelError: Nothing can be repaired with certainty, or an error remains.
        OutputError: The output exists, lies inside the source, or cannot be written.
    """
    findings = examine(config, told=told)
    repaired = tuple(finding for finding in findings if finding.repair is not None)
    refuse(config, (finding for finding in findings if finding.repair is None))
    if not repaired:
        raise ModelError(
            f"only what is certain is repaired, and nothing in {config.path} is: {len(findings)} findings. Read what "
            "`ropewalk inspect` says of each; --set trained_length=TOKENS or exempt_layers=N may settle one."
        )
    require_outside(config.path, output)
    repairs = [finding.repair for finding in repaired if finding.repair is not None]
    raw = repaired_config(config, repairs, exempt_layers=int((told or {}).get("exempt_layers", 2)))
    with files.whole_folder(output, overwrite=overwrite) as partial:
        files.bring_weights(config.path, partial, link=False, bring=_bring)
        files.write_json(partial / "config.json", raw)
        _repair_file(partial / "tokenizer_config.json", [repair.tokenizer for repair in repairs])
        _repair_file(partial / "generation_config.json", [repair.generation for repair in repairs])
        written = parse_config(raw, partial)
        refuse(written, examine(written))
    return repaired


def repaired_config(config: ModelConfig, repairs: Sequence[Repair], *, exempt_layers: int) -> dict[str, Any]:
    """config.json after the repairs, in both spellings."""
    if any(repair.adopts for repair in repairs):
        return both_spellings(adopted(config, exempt_layers=exempt_layers).raw)
    text = dict(config.text)
    rope = rope_dictionary(text, config.model_type)
    for repair in repairs:
        text |= repair.entries
        rope |= repair.rope
    rope["rope_type"] = rope.pop("type", None) or rope.get("rope_type", "default")
    text |= {"rope_parameters": rope_parameters(text, rope), "rope_scaling": None}
    return both_spellings(text if config.text is config.raw else {**config.raw, "text_config": text})


def _bring(file: Path, target: Path) -> None:
    if file.suffix in files.WEIGHTS:
        files.link_or_copy(file, target)
    else:
        target.write_bytes(file.read_bytes())


def _repair_file(file: Path, repairs: Iterable[Mapping[str, Any]]) -> None:
    if changes := {key: value for repair in repairs for key, value in repair.items()}:
        files.write_json(file, {**json.loads(file.read_text("utf-8")), **changes})
