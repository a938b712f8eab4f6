"""The doctor: every known way in which a checkpoint folder can mislead its readers, as a rule with a fix.

rule      what a rule is, and what it finds
settings  rules about config.json
folder    rules about the other files, from names, sizes and headers
repair    a repaired copy, where the repair is certain
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ropewalk.adapters.doctor.folder import FOLDER
from ropewalk.adapters.doctor.rule import Case, Finding, Rule
from ropewalk.adapters.doctor.settings import SETTINGS
from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ropewalk.adapters.config import ModelConfig

__all__ = ["NOT_VISIBLE", "Finding", "config_warnings", "examine", "refuse", "require_sound", "rules"]

# Traps of live models: nothing in a folder shows them. tests/adapters/test_live_traps.py falls into each of them.
NOT_VISIBLE = {
    "Changing model.config after loading": "does nothing: frequencies are computed when the model is built. "
    "`ropewalk.extend` builds new rotary modules.",
    "config.rope_scaling = ... on a loaded config": "loses the base in transformers 5 and fails when the model is "
    "built. ropewalk sets rope_parameters.",
    "config.rope_theta = ... after loading": "is ignored. ropewalk sets the base inside rope_parameters.",
    "dynamic: a short text after a long one": "keeps the long one's frequencies, so that a perplexity depends on the "
    "order of evaluation. ropewalk resets the table before each measured text.",
    "dynamic and longrope with a cache across the window": "decode otherwise than a full forward call. ropewalk "
    "refuses such nested measurements.",
    "A rope type registered by code": "loads in the process that registered it, and in no other. ropewalk registers "
    "none.",
    "Skip positions without an attention mask": "are taken for packed documents where no cache is filled, as in "
    "training, and attention becomes block-diagonal. "
    "ropewalk's collator always passes a mask, and a self-test looks for the dependence before training.",
}


def rules() -> tuple[Rule, ...]:
    """Every rule: settings first, then files."""
    return (*SETTINGS, *FOLDER)


def examine(
    config: ModelConfig, *, told: Mapping[str, Any] | None = None, settings_only: bool = False
) -> tuple[Finding, ...]:
    """Everything that is wrong with a checkpoint, errors first.

    Args:
        config: Its config, as read.
        told: What a user said that the files do not; see `rule.Case`.
        settings_only: Leave the other files alone: they are not here.
    """
    case = Case(config, told or {})
    found = _apply(SETTINGS if settings_only else rules(), case)
    order = ("error", "warning", "note")
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def config_warnings(config: ModelConfig) -> tuple[str, ...]:
    """One sentence for each contradiction of a config, in a fixed order."""
    return tuple(finding.message for finding in _apply(SETTINGS, Case(config)) if finding.severity != "note")


def require_sound(config: ModelConfig) -> None:
    """Raises ModelError for a checkpoint with an error: settings and files."""
    refuse(config, examine(config))


def refuse(config: ModelConfig, findings: Iterable[Finding]) -> None:
    """Raises ModelError where a finding is an error, with the first one and the number of others."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        others = f" {len(errors) - 1} more: see `ropewalk inspect`." if len(errors) > 1 else ""
        raise ModelError(
            f"a checkpoint must be whole and say one thing; in {config.path} {errors[0].sentence} "
            f"(rule {errors[0].rule}){others}"
        )


def _apply(chosen: Iterable[Rule], case: Case) -> list[Finding]:
    return [
        Finding(rule.name, rule.severity, found.message, found.fix, found.repair)
        for rule in chosen
        for found in rule.check(case)
    ]
