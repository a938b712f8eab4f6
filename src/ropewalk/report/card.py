"""The model card of an extended checkpoint: README.md with the front matter that the hub reads. From records alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ropewalk.report.card_evidence import evidence
from ropewalk.report.markdown import markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ropewalk.register import Paper
    from ropewalk.result import EvaluationResult, ExportResult, ExtensionResult

_TAKE_GGUF = ("llama.cpp", "ollama")
LICENCE_KEYS = ("license", "license_name", "license_link")


@dataclass(frozen=True)
class Base:
    """The model that was extended.

    Attributes:
        name: What people call it; no path.
        hub_id: Its id on the hub, or None where it is not known.
        licence: Entries of its front matter about the licence, as they stand; empty where there are none.
        readme: Name of its own README beside the card, or None without one.
    """

    name: str
    hub_id: str | None = None
    licence: Mapping[str, str] = field(default_factory=dict)
    readme: str | None = None


def card(
    result: ExtensionResult,
    base: Base,
    papers: Iterable[Paper],
    recipe: Mapping[str, str],
    *,
    evaluations: Sequence[EvaluationResult] = (),
    figure: str | None = None,
    export: ExportResult | None = None,
) -> str:
    """The whole card.

    Args:
        result: What the extension did.
        base: What it was made from.
        papers: What it rests on, each once.
        recipe: Settings of the training by their names, none of them a place; empty without training.
        evaluations: What was measured of it, first, and of others on the same samples.
        figure: Name of their figure beside the card, or None without one.
        export: What was exported, where the folder is an export; its commands must name no place.
    """
    found = result.model
    parts = [
        front_matter(result, base, gguf=export is not None and export.engine in _TAKE_GGUF),
        f"# {base.name}, extended to {found.target_length:,} tokens\n",
        f"`{base.name}` was trained with a window of {found.trained_length:,} tokens. ropewalk extended it to "
        f"{found.target_length:,} by {found.method}.\n",
        "## What was done\n",
        _done(result, recipe, export),
        "## Evidence\n",
        *evidence(result, evaluations, figure),
        "## How to use it\n",
        *serving(result, export),
        "## Licence\n",
        _licence(base),
        "## Papers\n",
        "```bibtex\n" + "\n\n".join(dict.fromkeys(paper.bibtex for paper in papers)) + "\n```",
    ]
    return "\n".join(parts) + "\n"


def front_matter(result: ExtensionResult, base: Base, *, gguf: bool = False) -> str:
    """The YAML that the hub reads. Values are written as JSON, which is YAML.

    Args:
        result: What the extension did.
        base: What it was made from.
        gguf: The weights are a GGUF file, which transformers is not the library of.
    """
    method = result.model.method.split(",", 1)[0]
    entries: dict[str, Any] = {
        **base.licence,
        **({"base_model": base.hub_id} if base.hub_id else {}),
        "library_name": "gguf" if gguf else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["ropewalk", "long-context", "rope", method],
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in entries.items()]
    return "\n".join(["---", *lines, "---", ""])


def _done(result: ExtensionResult, recipe: Mapping[str, str], export: ExportResult | None) -> str:
    trained = f"{result.steps:,} steps, {result.tokens:,} tokens" if result.steps else "none; no weight was changed"
    rows = [
        ("method", result.model.method),
        ("window", f"{result.model.trained_length:,} -> {result.model.target_length:,} tokens"),
        ("training", trained),
        ("carrier in config.json", export.carrier if export else result.carrier),
    ]
    rows += recipe.items()
    if result.losses:
        change = f"{result.losses[0]:.3f} at first, {result.losses[-1]:.3f} at last"
        rows.append(("loss, nats per supervised token", change))
    if export:
        rows.append(("written for", f"{export.engine}, {'exact' if export.loses is None else export.loses}"))
    notes = [f"- {note[0].upper()}{note[1:]}." for note in (*result.notes, *(export.notes if export else ()))]
    return markdown_table(("", ""), rows) + ("\n" + "\n".join(notes) + "\n" if notes else "")


def serving(result: ExtensionResult, export: ExportResult | None) -> Iterator[str]:
    """Commands, `DIR` standing for this folder."""
    if export:
        yield f"```\n{export.serve}\n```\n"
        return
    if result.exact:
        yield (
            "transformers computes the whole method from config.json:\n\n```python\nfrom transformers import "
            'AutoModelForCausalLM\n\nmodel = AutoModelForCausalLM.from_pretrained("DIR")\n```\n'
        )
    else:
        yield (
            "The attention scale varies with the position, which config.json cannot say: plain transformers computes "
            "the frequencies alone, this the whole method:\n\n```python\nimport ropewalk\n\n"
            'model = ropewalk.load("DIR")\n```\n'
        )
    commands = "\n".join(f"ropewalk export DIR --to {engine}" for engine in ("vllm", "sglang"))
    yield f"For a serving engine, which reads config.json in its own way:\n\n```\n{commands}\n```\n"


def _licence(base: Base) -> str:
    name = base.licence.get("license_name") or base.licence.get("license")
    if not name:
        return f"The licence of `{base.name}` is not stated in its files; it applies here, too. Find out before use.\n"
    beside = f" Its own page is kept as [{base.readme}]({base.readme})." if base.readme else ""
    return f"That of `{base.name}`: {name}.{beside}\n"
