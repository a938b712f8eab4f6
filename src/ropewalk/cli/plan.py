"""`ropewalk plan`: which method, at what price, on what hardware, from the config alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropewalk.cli.lengths import parse_length
from ropewalk.cli.settings import refuse_unread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropewalk.result import Extendability, Probe


def plan(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint folder, a hub id, or 'builtin'.")],
    target_length: Annotated[
        int, typer.Option("--to", parser=parse_length, metavar="TOKENS", help="The new window: 2048, 2k, 32k, 1m.")
    ],
    gpu: Annotated[
        str | None, typer.Option(metavar="NAME", help="Hardware to fit and to time: h100, h200, a100-80, rtx4090, ...")
    ] = None,
    gpus: Annotated[int, typer.Option(metavar="N", help="How many of them.")] = 1,
    probed: Annotated[
        bool, typer.Option("--probe", help="Load the model and measure by forward passes: minutes, no training.")
    ] = False,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Held-out text for the probe; the built-in modules otherwise; repeatable."),
    ] = None,
    early: Annotated[
        list[str] | None,
        typer.Option(
            "--early",
            metavar="FILE",
            help="Text to train on for 8, 16 and 32 steps, which foretell a whole training; repeatable.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Keep records, figures and a page of the plan and probe."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Say which methods suit a model, what it costs, and what fits.

    From the model's config alone: no weight is read and nothing is measured, unless --probe asks for it.
    """
    if not probed:
        refuse_unread("nothing is probed", {"--data": data}, "add --probe")
    from ropewalk.analysis.hardware import device_named
    from ropewalk.choose.planning import plan_extension
    from ropewalk.cli.output import facts, note, show, show_json
    from ropewalk.report.early import early_table, prospect_words
    from ropewalk.report.plan import assumptions, geometry_facts, memory_table, method_table, recipe_table

    device = device_named(gpu) if gpu is not None else None
    found = plan_extension(model, target_length, device=device, devices=gpus)
    measured = _probed(model, target_length, data or ()) if probed else None
    warned = _warned(model, target_length, early) if early else None
    if output is not None:
        from ropewalk.run.keep_plan import keep_plan

        keep_plan(found, measured, output)
    if as_json:
        further = {"probe": measured, "early": warned}
        show_json(
            found.model_dump(mode="json")
            | {name: record.model_dump(mode="json") for name, record in further.items() if record is not None}
        )
        return
    recommended = next(recipe for recipe in found.recipes if recipe.recipe == found.recommended)
    show(f"{found.model_type}, {model}", "", facts(geometry_facts(found)), "")
    show(method_table(found), "", recipe_table(found), "", memory_table(recommended.memory), "", assumptions(found))
    if measured is not None:
        show_probe(measured)
    if warned is not None:
        show("", early_table(warned), "", prospect_words(warned))
    show("", f"Recommended: {found.recommended}, {found.because}.", "", f"  {found.command}")
    if measured is not None:
        from ropewalk.choose.automatic import finalists
        from ropewalk.report.plan import measured_words

        show("", measured_words(found, measured, finalists(measured)))
    note("Warning", found.warnings)
    if output is not None:
        show(f"page {output / 'report.html'}, figures and records beside it")


def _probed(model: str, target_length: int, data: Sequence[str]) -> Probe:
    from ropewalk.adapters.config import read_model_config
    from ropewalk.choose.probing import probe
    from ropewalk.cli.progress import LiveReporter
    from ropewalk.data.corpus import standard_library
    from ropewalk.data.documents import read_texts
    from ropewalk.run.checkpoint import load_checkpoint

    documents = (read_texts(data) if data else standard_library(held_out=True)).documents
    with LiveReporter() as reporter:
        checkpoint = load_checkpoint(model)
        return probe(
            checkpoint, read_model_config(model), target_length, documents=documents, progress=reporter.advance
        )


def _warned(model: str, target_length: int, early: Sequence[str]) -> Extendability:
    from ropewalk.cells.runs import recipe
    from ropewalk.choose.extendability import extendability
    from ropewalk.cli.progress import LiveReporter
    from ropewalk.run.runfile import BUILT_IN

    # The papers' rate teaches the built-in model nothing.
    run = recipe(
        "reproduce-cream" if model == BUILT_IN else "cream",
        model=model,
        target_length=target_length,
        method={"name": "yarn"},
        positions={"name": "cream"},
        data={"files": list(early)},
    )
    with LiveReporter() as reporter:
        return extendability(run.model_copy(update={"factor": None}), reporter=reporter)


def show_probe(measured: Probe) -> None:
    """Prints what a probe found."""
    from ropewalk.cli.output import show
    from ropewalk.report.probe import findings, probed_methods, probed_points

    factor = measured.target_length / measured.trained_length
    cuts = f"Pairs from this one on turn {factor:g} times slower, the others as before"
    slopes = f"Attention sharpened at the best cut: cos and sin times 1 + slope ln {factor:g}"
    show("", probed_methods(measured), "", probed_points(cuts, "pair", measured.cuts))
    show("", probed_points(slopes, "slope", measured.slopes), "", findings(measured))
