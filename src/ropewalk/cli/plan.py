"""`ropewalk plan`: which method, at what price, on what hardware, from the config alone."""

from __future__ import annotations

from typing import Annotated

import typer

from ropewalk.cli.lengths import parse_length


def plan(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint folder, a hub id, or 'builtin'.")],
    target_length: Annotated[
        int, typer.Option("--to", parser=parse_length, metavar="TOKENS", help="The new window: 2048, 2k, 32k, 1m.")
    ],
    gpu: Annotated[
        str | None, typer.Option(metavar="NAME", help="Hardware to fit and to time: h100, h200, a100-80, rtx4090, ...")
    ] = None,
    gpus: Annotated[int, typer.Option(metavar="N", help="How many of them.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Say which methods suit a model, what it costs, and what fits.

    From the model's config alone: no weight is read and nothing is measured.
    """
    from ropewalk.analysis.hardware import device_named
    from ropewalk.choose.planning import plan_extension
    from ropewalk.cli.output import facts, note, show, show_json
    from ropewalk.report.plan import assumptions, geometry_facts, memory_table, method_table, recipe_table

    device = device_named(gpu) if gpu is not None else None
    found = plan_extension(model, target_length, device=device, devices=gpus)
    if as_json:
        show_json(found.model_dump(mode="json"))
        return
    recommended = next(recipe for recipe in found.recipes if recipe.recipe == found.recommended)
    show(f"{found.model_type}, {model}", "", facts(geometry_facts(found)), "")
    show(method_table(found), "", recipe_table(found), "", memory_table(recommended.memory), "", assumptions(found))
    show("", f"Recommended: {found.recommended}, {found.because}.", "", f"  {found.command}")
    note("Warning", found.warnings)
