"""`ropewalk inspect`: what a model's config alone says about its window. Reads no weights, imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from ropewalk.adapters.config import ModelConfig

KIBIBYTE = 1024


def inspect(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint folder, a hub id, or 'builtin'.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Show window, rotary pairs and cache size from a model's config.

    Warns where the config contradicts itself. Exit code 2 where the model has no rotary embedding.
    """
    from ropewalk.adapters.config import read_model_config
    from ropewalk.cli.output import facts, note, show, show_json

    config = read_model_config(model)
    if as_json:
        show_json(summary(config))
        return
    show(f"{config.model_type} in {config.path}", "", facts(described(config)))
    note("Why not", [reason] if (reason := refusal(config)) else [])
    note("Warning", config.warnings())


def summary(config: ModelConfig) -> dict[str, Any]:
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
        "warnings": list(config.warnings()),
    }


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
