"""`ropewalk inspect`: what a model's files say about its window, and what is wrong with them. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropewalk.cli.settings import ALLOW_PICKLE, TRUST_REMOTE_CODE, parse_settings, refuse_unread
from ropewalk.errors import ModelError, OptionError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.adapters.doctor import Finding

KIBIBYTE = 1024
SEVERITIES = ("error", "warning", "note")
# What a user can say that no file does, with the least value.
TOLD = {"trained_length": 2, "exempt_layers": 0}


def inspect(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint folder, a hub id, or 'builtin'.")],
    fix: Annotated[
        bool, typer.Option("--fix", help="Write a copy to OUT in which everything is repaired that is certain.")
    ] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="OUT", help="The repaired copy.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="What the files do not say: trained_length, exempt_layers; repeatable."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    allow_pickle: Annotated[bool, typer.Option("--allow-pickle", help=ALLOW_PICKLE)] = False,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help=TRUST_REMOTE_CODE)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Show a model's window, and what is wrong with its files.

    Reads the config, the other JSON files, and the headers of weight files. Every finding comes with its fix;
    docs/doctor.md lists all rules. Exit code 2 where an error was found or the model has no rotary embedding.
    """
    if fix != (output is not None):
        raise OptionError("a repaired copy needs --fix and a place for it; got one of them. Say --fix -o OUT.")
    if fix:
        refuse_unread("--fix tells what it repaired, and no numbers", {"--json": as_json}, "drop --fix")
    else:
        refuse_unread("nothing is written", {"--overwrite": overwrite}, "add --fix -o OUT")
    from ropewalk.adapters.config import read_model_config
    from ropewalk.adapters.doctor import examine, refuse
    from ropewalk.adapters.source import is_here
    from ropewalk.adapters.trust import allowing
    from ropewalk.cli.output import facts, note, show, show_json

    told = _told(settings or ())
    with allowing(pickle=allow_pickle, remote_code=trust_remote_code):
        config = read_model_config(model)
        findings = examine(config, told=told, settings_only=not is_here(model))
        if output is not None:
            _write_repaired(config, output, told, overwrite=overwrite)
            return
    if as_json:
        show_json(summary(config, findings))
    else:
        show(f"{config.model_type} in {config.path}", "", facts(described(config)))
        note("Why not", [reason] if (reason := refusal(config)) else [])
        for severity in SEVERITIES:
            note(severity.capitalize(), (found.sentence for found in findings if found.severity == severity))
    refuse(config, findings)


def _told(settings: Iterable[str]) -> dict[str, int]:
    told = parse_settings(settings, example="--set trained_length=4096")
    for key, value in told.items():
        if key not in TOLD:
            raise unknown_name("thing that a checkpoint can be told", key, TOLD)
        if not isinstance(value, int) or isinstance(value, bool) or value < TOLD[key]:
            raise OptionError(f"{key} must be a whole number of at least {TOLD[key]}; got {value}.")
    return told


def _write_repaired(config: ModelConfig, output: Path, told: dict[str, int], *, overwrite: bool) -> None:
    from ropewalk.adapters.doctor.repair import write_repaired
    from ropewalk.cli.output import note, show

    repaired = write_repaired(config, output, told=told, overwrite=overwrite)
    show(f"{output}: {len(repaired)} repaired, weights linked where that is possible.")
    note("Repaired", (f"{found.message} ({found.rule})" for found in repaired))


def summary(config: ModelConfig, findings: Sequence[Finding]) -> dict[str, Any]:
    """Everything that `inspect` knows, ready for JSON; lengths in tokens, pairs counted from the fastest."""
    from ropewalk.analysis.pairs import incomplete_pairs

    rope = config.rope
    return {
        "path": str(config.path),
        "model_type": config.model_type,
        "trained_length": rope.trained_length,
        "declared_length": config.declared_length,
        "base": rope.base,
        "head_dim": rope.head_dim,
        "head_size": config.head_size,
        "pairs": rope.pairs,
        "declared_scaling": dict(config.declared_scaling) if config.declared_scaling else None,
        "extension": dict(config.extension) if config.extension else None,
        "trained_pair_fraction": rope.trained_pair_fraction,
        "incomplete_pairs": incomplete_pairs(rope.frequencies, rope.trained_length).tolist(),
        "wavelengths": rope.wavelengths.tolist(),
        "layers": config.layers,
        "query_heads": config.query_heads,
        "key_value_heads": config.key_value_heads,
        "dtype": config.dtype,
        "key_value_bytes_per_token": config.key_value_bytes_per_token,
        "key_value_bytes_at_window": config.key_value_bytes(config.declared_length),
        "refused_because": refusal(config),
        "scaled_by": scaled_by(config),
        "warnings": [found.message for found in findings if found.severity != "note"],
        "findings": [
            {
                "rule": found.rule,
                "severity": found.severity,
                "message": found.message,
                "fix": found.fix,
                "can_be_repaired": found.repair is not None,
            }
            for found in findings
        ],
    }


def scaled_by(config: ModelConfig) -> str | None:
    """The method that a config declares and ropewalk did not write, with what it leaves open; None without one."""
    from ropewalk.adapters.foreign import read_foreign

    foreign = read_foreign(config)
    if foreign is None:
        return None
    notes = "; ".join(foreign.notes)
    if foreign.method is None:
        return notes
    reached = f"{foreign.method.describe(foreign.rope)}, to {foreign.target_length:,} tokens"
    return f"{reached} ({notes})" if notes else reached


def refusal(config: ModelConfig) -> str | None:
    """Why `ropewalk extend` would refuse this model, or None where it would not."""
    try:
        _ = config.family
        config.require_unscaled()
    except ModelError as error:
        return str(error)
    return None


def described(config: ModelConfig) -> list[tuple[str, str]]:
    """The same for people: name and sentence."""
    rope = config.rope
    rows = [("Window", _window(config)), ("Base", f"{rope.base:,.10g}"), ("Scaling", _scaling(config))]
    if declared := scaled_by(config):
        rows.append(("Scaled by", declared))
    if config.extension:
        rows.append(("Extended by", f"ropewalk, method {config.extension.get('method')}"))
    rotated = f"{rope.pairs}" + ("" if rope.head_dim == config.head_size else f" ({_partial(config)})")
    return [
        *rows,
        ("Rotary pairs", rotated),
        ("Trained pairs", f"{rope.trained_pair_fraction:.2f} of all = ln(trained window / 2 pi) / ln(base)"),
        ("No full turn", _incomplete(config)),
        (
            "Attention",
            f"{config.layers} layers, {config.query_heads} query heads, {config.key_value_heads} key/value heads",
        ),
        ("Cache", _cache(config)),
        ("Can be extended", "no, see below" if refusal(config) else "yes"),
    ]


def _window(config: ModelConfig) -> str:
    trained, declared = config.rope.trained_length, config.declared_length
    if trained == declared:
        return f"{trained:,} tokens"
    return f"{trained:,} tokens trained, {declared:,} declared ({declared / trained:.3g} x)"


def _scaling(config: ModelConfig) -> str:
    if config.declared_scaling is None:
        return "none"
    from ropewalk.adapters.config import scaling_type

    kind = scaling_type(config.declared_scaling)
    shown = [kind]
    for key, value in config.declared_scaling.items():
        if key in ("rope_type", "type", "rope_theta", "partial_rotary_factor"):
            continue
        shown.append(f"{key} {_brief(value)}")
    return ", ".join(shown)


def _brief(value: Any) -> str:
    if isinstance(value, list):
        return f"[{len(value)} numbers]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _partial(config: ModelConfig) -> str:
    return f"{config.rope.head_dim} of {config.head_size} dimensions of a head"


def _incomplete(config: ModelConfig) -> str:
    from ropewalk.analysis.pairs import incomplete_pairs

    pairs = incomplete_pairs(config.rope.frequencies, config.rope.trained_length)
    if not len(pairs):
        return "none: every pair has met all its angles"
    waves = config.rope.wavelengths
    return (
        f"pairs {pairs[0]} to {pairs[-1]} (slowest {len(pairs)} of {config.rope.pairs}): wavelengths "
        f"{waves[pairs[0]]:,.0f} to {waves[pairs[-1]]:,.0f} tokens; past the window their angles are new to the model"
    )


def _cache(config: ModelConfig) -> str:
    window = config.declared_length
    per_token, whole = config.key_value_bytes_per_token, config.key_value_bytes(window)
    return f"{byte_text(per_token)} per token, {byte_text(whole)} at {window:,} tokens ({config.dtype}, one sequence)"


def byte_text(count: int) -> str:
    """A number of bytes in the largest binary unit that keeps it at or above 1."""
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= KIBIBYTE and len(units) > 1:
        size /= KIBIBYTE
        units.pop(0)
    return f"{size:,.4g} {units[0]}"
