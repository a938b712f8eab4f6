"""`ropewalk explain`: the paper's idea and the numbers per pair of every method and sampler. No model, no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropewalk.cli.lengths import parse_length, parse_positions
from ropewalk.cli.settings import parse_settings, refuse_unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ropewalk.register import Paper
    from ropewalk.rope import Rope

# What numbers are shown for where nobody names a model: those of Llama 2 7B.
LLAMA_2 = {"head_dim": 128, "base": 10_000.0, "trained_length": 4096}
LLAMA_2_LAYERS = 32
TARGET_FACTOR = 8
DRAWS, SEED = 1000, 0


def explain(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A method, a sampler or an inference map; without it, a table of all."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Take the four numbers below from a checkpoint's config.json.")
    ] = None,
    head_dim: Annotated[
        int | None, typer.Option(metavar="N", help="Rotated dimensions of a head. [default: 128]", show_default=False)
    ] = None,
    base: Annotated[
        float | None, typer.Option(metavar="B", help="rope_theta of the model. [default: 10000]", show_default=False)
    ] = None,
    trained_length: Annotated[
        int | None,
        typer.Option(
            parser=parse_length,
            metavar="TOKENS",
            help="The window that the model was trained with. [default: 4096]",
            show_default=False,
        ),
    ] = None,
    layers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Layers of the model. [default: 32]", show_default=False)
    ] = None,
    target_length: Annotated[
        int | None,
        typer.Option(
            parser=parse_length,
            metavar="TOKENS",
            help="The window that it is to have. [default: 8 times the trained one]",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="POS,...", help="Positions at which the attention scale is shown, from 0.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the method; repeatable.")
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help=f"Windows that a sampler draws for its coverage. [default: {DRAWS}]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help=f"Seed of those draws. [default: {SEED}]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    cite: Annotated[bool, typer.Option("--cite", help="Print the BibTeX entries only.")] = False,
) -> None:
    """Show what a method does to each rotary pair, and why.

    Without NAME, lists all methods and training-position samplers.
    """
    of_draws = {"--draws": draws, "--seed": seed}
    of_layers = {"--at": at, "--layers": layers}
    of_numbers = {
        "--model": model,
        "--head-dim": head_dim,
        "--base": base,
        "--trained-length": trained_length,
        "--target-length": target_length,
        "--set": settings,
        **of_layers,
        **of_draws,
    }
    if cite:
        refuse_unread("--cite prints BibTeX alone", {**of_numbers, "--json": as_json}, "drop --cite")
    elif name is None:
        refuse_unread("the table of all shows no numbers", of_numbers, "give a NAME")
    from ropewalk.analysis.relative_maps import MAPS
    from ropewalk.cli.output import show, show_json
    from ropewalk.cli.register_tables import entries, listing, overview
    from ropewalk.sampler import Sampler

    maps = [entry for key, entry in MAPS.items() if name in (None, key)]
    if cite:
        typer.echo("\n\n".join(bibliography([*([] if name in MAPS else entries(name)), *maps])))
        return
    if name is None:
        show_json(listing()) if as_json else show(*overview())
        return
    if name in MAPS:
        refuse_unread("an inference map is the same in all layers and draws no windows", {**of_layers, **of_draws})
    elif not any(issubclass(entry, Sampler) for entry in entries(name)):
        refuse_unread(f"'{name}' brings no sampler, which would draw windows", of_draws, "name one")
    from ropewalk.analysis.explain import explain as numbers
    from ropewalk.analysis.explain import explain_map
    from ropewalk.cli.explain_tables import explanation, map_explanation

    rope, depth = _geometry(model, {"head_dim": head_dim, "base": base, "trained_length": trained_length}, layers)
    target_length = target_length or TARGET_FACTOR * rope.trained_length
    facts: dict[str, Any]
    if name in MAPS:
        facts = explain_map(name, rope, target_length, options=parse_settings(settings or ()))
        show_json(facts) if as_json else show(*map_explanation(facts))
        return
    facts = numbers(
        name,
        rope,
        target_length,
        options=parse_settings(settings or ()),
        at=None if at is None else parse_positions(at),
        layers=depth,
        draws=DRAWS if draws is None else draws,
        seed=SEED if seed is None else seed,
    )
    show_json(facts) if as_json else show(*explanation(entries(name), rope, facts))


def _geometry(model: str | None, numbers: Mapping[str, Any], layers: int | None) -> tuple[Rope, int]:
    """What is explained: the rotary geometry and the layers of a model, or Llama 2's; a number that is given wins."""
    from ropewalk.rope import Rope

    given = {name: number for name, number in numbers.items() if number is not None}
    if model is None:
        return Rope(**{**LLAMA_2, **given}), layers or LLAMA_2_LAYERS
    from ropewalk.adapters import read_model_config

    config = read_model_config(model)
    return replace(config.rope, **given), layers or config.layers


def bibliography(chosen: Iterable[Any]) -> list[str]:
    """The BibTeX entries of what was chosen, each once, in the order of their keys."""
    papers: dict[str, Paper] = {entry.paper.key: entry.paper for entry in chosen}
    return [papers[key].bibtex for key in sorted(papers)]
