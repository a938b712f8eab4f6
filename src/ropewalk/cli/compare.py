"""`ropewalk compare`: methods and training positions under one budget, on the user's own model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropewalk.cli.lengths import parse_length, parse_names
from ropewalk.cli.search import EVALUATIONS, SEARCH
from ropewalk.cli.settings import parse_settings, refuse_unread

if TYPE_CHECKING:
    from ropewalk.result import Ranking


def compare(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint folder, a hub id, or 'builtin'.")],
    target_length: Annotated[
        int, typer.Option("--to", parser=parse_length, metavar="TOKENS", help="The new window: 2048, 2k, 32k, 1m.")
    ],
    methods: Annotated[
        str, typer.Option(metavar="NAME,...", help="Methods; 'searched' stands for what a search finds.")
    ],
    budget: Annotated[
        str, typer.Option(metavar="AMOUNT", help="Training of each candidate: '60 steps', '1e7 tokens'.")
    ],
    positions: Annotated[
        str, typer.Option(metavar="NAME,...", help="Training positions; every method is trained with each.")
    ] = "contiguous",
    seeds: Annotated[int, typer.Option(metavar="N", help="Trainings of those that stand to the end.")] = 3,
    rates: Annotated[
        str | None,
        typer.Option(
            metavar="RATE,...",
            help="Learning rates to choose from. [default: 3e-4,1e-3,3e-3; 1e-5,2e-5,5e-5 from 100M parameters on]",
        ),
    ] = None,
    batch: Annotated[
        int,
        typer.Option(metavar="N", help="Windows of the target length in a step; shorter windows get as many tokens."),
    ] = 4,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Training text, like that of 'extend'; repeatable."),
    ] = None,
    held_out: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Text to measure, which is not trained on; repeatable."),
    ] = None,
    entries: Annotated[
        list[str] | None,
        typer.Option(
            "--entry", metavar="KEY=VALUE", help="An entry of the run files of all: data.recall_share=0.5; repeatable."
        ),
    ] = None,
    search: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"For 'searched': taper or evolution. [default: {SEARCH}]")
    ] = None,
    evaluations: Annotated[
        int | None,
        typer.Option(metavar="N", help=f"For 'searched': candidates of the search. [default: {EVALUATIONS}]"),
    ] = None,
    contexts: Annotated[int, typer.Option(metavar="N", help="Needle contexts that decide, and that report.")] = 16,
    windows: Annotated[int, typer.Option(metavar="N", help="Text windows of each document.")] = 4,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where cells and results go. [default: comparison]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train methods under one budget and rank them, with intervals.

    Every candidate reads the same tokens of the same text. Learning rates are searched for at a quarter of the budget;
    who is in the worse half and shown to be behind the best stops there, or at half. Every training is kept as it gets
    done: a stopped command that is run again goes on where it stopped.
    """
    from ropewalk.choose.comparison.budget import Budget
    from ropewalk.cli.output import show_json
    from ropewalk.cli.progress import LiveReporter
    from ropewalk.run.flags import SEARCHED, flags_as_run

    named = parse_names("methods", methods)
    if SEARCHED not in named:
        of_search = {"--search": search, "--evaluations": evaluations}
        refuse_unread(f"'{SEARCHED}' is none of the methods", of_search, "add it to --methods")
    amount = Budget.parse(budget)
    chosen = parse_rates(rates) if rates is not None else ()
    folder = output or Path("comparison")
    shared: dict[str, Any] = flags_as_run(
        entries=parse_settings(entries or (), example="--entry data.recall_share=0.5")
    )
    from ropewalk.choose.comparison.comparing import compare as compare_candidates
    from ropewalk.choose.comparison.order import CompareOrder

    order = CompareOrder(
        model=model,
        target_length=target_length,
        methods=named,
        positions=parse_names("positions", positions),
        budget=amount,
        seeds=seeds,
        rates=chosen,
        batch=batch,
        data=tuple(data or ()),
        held_out=tuple(held_out or ()),
        entries=shared,
        search=search or SEARCH,
        evaluations=EVALUATIONS if evaluations is None else evaluations,
        contexts=contexts,
        windows_per_document=windows,
    )
    with LiveReporter() as reporter:
        result = compare_candidates(order, folder, reporter)
    if as_json:
        show_json(result.model_dump(mode="json"))
    else:
        show_ranking(result, folder)


def show_ranking(result: Ranking, folder: Path) -> None:
    """Prints the ranking, what it rests on, and where it is kept."""
    from ropewalk.cli.output import note, show
    from ropewalk.report.ranking import ranking_table, ranking_words

    show(ranking_table(result), "", ranking_words(result))
    note("Note", result.notes)
    show("", f"page {folder / 'report.html'}, figure {folder / 'figure.png'}, numbers {folder / 'result.json'}")


def parse_rates(text: str) -> tuple[float, ...]:
    """Learning rates divided by commas.

    Raises:
        OptionError: One is no positive number.
    """
    from ropewalk.errors import OptionError

    try:
        rates = tuple(float(part) for part in text.split(","))
    except ValueError:
        rates = (0.0,)
    if not all(0 < rate < 1 for rate in rates):
        raise OptionError(
            f"learning rates are numbers between 0 and 1, divided by commas; got '{text}'. Say --rates 3e-4,1e-3,3e-3."
        )
    return tuple(dict.fromkeys(rates))
