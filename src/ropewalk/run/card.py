"""Writes the model card into a finished folder; the README of the model that it was made from is kept beside it."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ropewalk import methods, positions
from ropewalk.adapters.source import hub_id
from ropewalk.report.card import LICENCE_KEYS, Base, card
from ropewalk.result import Evidence, ExtensionResult
from ropewalk.run.output import RECORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ropewalk.register import Paper
    from ropewalk.result import EvaluationResult, ExportResult

CARD, KEPT = "README.md", "README.base.md"
FIGURE, EVIDENCE, RESULT, RUN = "evidence.png", "evidence.json", "result.json", "run.toml"
# Of a training; everything else stands in the folder's run.toml, places on this machine among it.
_SHOWN = ("learning_rate", "schedule", "warmup_steps", "batch", "precision", "trainable")


def write_card(source: Path, folder: Path, result: ExtensionResult, recipe: str) -> None:
    """Writes README.md of an extended checkpoint, and README.base.md where its source has a README of its own.

    Args:
        source: The folder of the model that was extended.
        folder: Gets the card.
        result: What the extension did.
        recipe: The resolved run, TOML.
    """
    kept = _keep_readme(source, folder)
    base = Base(
        name=PurePath(result.model.name).name,
        hub_id=hub_id(result.model.name),
        licence=_licence(front_matter_of(source / CARD)),
        readme=KEPT if kept else None,
    )
    run = tomllib.loads(recipe)
    text = card(result, base, _papers(run, result), _settings(run, result))
    (folder / CARD).write_text(text, "utf-8")


def write_export_card(source: Path, folder: Path, export: ExportResult) -> None:
    """Writes README.md of an export, from the records of the extended checkpoint that it was made from.

    Args:
        source: The extended checkpoint; without a record of its extension there is no card.
        folder: Gets the card; what the export copied there stays.
        export: What was exported.
    """
    if (source / RECORDS / RESULT).is_file() and (source / RECORDS / RUN).is_file():
        evaluations = _kept_evidence(source)
        for name in (FIGURE, KEPT):
            if (source / name).is_file() and not (folder / name).is_file():
                shutil.copyfile(source / name, folder / name)
        text = card_again(source, evaluations, drawn=(folder / FIGURE).is_file(), export=export)
        (folder / CARD).write_text(text, "utf-8")


def card_again(
    source: Path, evaluations: Sequence[EvaluationResult], *, drawn: bool, export: ExportResult | None = None
) -> str:
    """The card from the records of an extended checkpoint, and from the front matter of the card it has.

    Args:
        source: The extended checkpoint.
        evaluations: What was measured of it, first, and of others on the same samples.
        drawn: Whether their figure stands beside the card.
        export: What was exported, where the card is an export's.
    """
    result = ExtensionResult.model_validate_json((source / RECORDS / RESULT).read_text("utf-8"))
    run = tomllib.loads((source / RECORDS / RUN).read_text("utf-8"))
    earlier = front_matter_of(source / CARD)
    base = Base(
        name=PurePath(result.model.name).name,
        hub_id=earlier.get("base_model"),
        licence=_licence(earlier),
        readme=KEPT if (source / KEPT).is_file() else None,
    )
    return card(
        result,
        base,
        _papers(run, result),
        _settings(run, result),
        evaluations=evaluations,
        figure=FIGURE if drawn else None,
        export=export,
    )


def _kept_evidence(folder: Path) -> tuple[EvaluationResult, ...]:
    kept = folder / RECORDS / EVIDENCE
    return Evidence.model_validate_json(kept.read_text("utf-8")).evaluations if kept.is_file() else ()


def front_matter_of(readme: Path) -> dict[str, Any]:
    """The front matter of a README; empty where there is none that can be read."""
    from huggingface_hub import metadata_load

    try:
        return dict(metadata_load(readme) or {}) if readme.is_file() else {}
    except Exception:  # a README is prose by somebody: whatever is wrong with its YAML, it says nothing then
        return {}


def _licence(entries: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(entries[key]) for key in LICENCE_KEYS if entries.get(key)}


def _keep_readme(source: Path, folder: Path) -> bool:
    if not (source / CARD).is_file():
        return False
    shutil.copyfile(source / CARD, folder / KEPT)
    return True


def _papers(run: Mapping[str, Any], result: ExtensionResult) -> list[Paper]:
    found = [methods.get(result.model.method.split(",", 1)[0]).paper]
    sampler = run.get("positions", {}).get("name", "contiguous")
    if result.steps and sampler != "contiguous":
        found.append(positions.get(sampler).paper)
    return found


def _settings(run: Mapping[str, Any], result: ExtensionResult) -> dict[str, str]:
    if not result.steps:
        return {}
    train = run.get("train", {})
    shown = {key.replace("_", " "): str(train[key]) for key in _SHOWN if key in train}
    window = run.get("data", {}).get("window")
    return {
        "positions": str(run.get("positions", {}).get("name", "contiguous")),
        **({"window in training": f"{window:,} tokens"} if window else {}),
        **shown,
        "seed": str(train.get("seed", 0)),
    }
