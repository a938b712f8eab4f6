"""`ropewalk reproduce`: a paper's claims on the built-in model, or on the user's own, with intervals and verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropewalk.cli.lengths import parse_length
from ropewalk.cli.settings import refuse_unread

if TYPE_CHECKING:
    from ropewalk.reproduce.bridge.order import BridgeOrder

BRIDGE = "bridge"


def reproduce(
    paper: Annotated[
        str,
        typer.Argument(
            metavar="PAPER",
            help="One of pi, pi-scaling, entropy-abf, cream, compositions; or bridge, all three papers on --model.",
        ),
    ],
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Only the contrast that was registered beforehand: a quarter of an hour. Of the bridge: one seed.",
        ),
    ] = False,
    model: Annotated[
        str | None, typer.Option(metavar="FOLDER-OR-ID", help="Bridge: a pretrained model, 100 million parameters up.")
    ] = None,
    target_length: Annotated[
        int | None,
        typer.Option(
            "--target",
            parser=parse_length,
            metavar="TOKENS",
            help="Bridge: the new window. [default: 8 times the model's]",
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="Bridge: text, a part of which is held out. [default: the built-in modules]"),
    ] = None,
    chats: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Bridge: conversations for Entropy-ABF. [default: stretches of the text]"),
    ] = None,
    hours: Annotated[
        float | None, typer.Option(min=0.0, metavar="H", help="Bridge: what the whole may take. [default: 2]")
    ] = None,
    any_size: Annotated[bool, typer.Option("--any-size", help="Bridge: take small models, too.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where cells, numbers, figure and page go. "
            "[default: reproduction/PAPER, with -quick for the quick set]",
        ),
    ] = None,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Keep the weights of finished cells, in DIR/cells/CELL/model.")
    ] = False,
    so_far: Annotated[
        bool, typer.Option("--so-far", help="Measure nothing: judge by the cells that are done, and write the page.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Reproduce or refute a paper's claims on a small model.

    `bridge` asks the same of a pretrained model of your own. Every cell is kept as it gets done: a stopped command
    that is run again goes on where it stopped.
    """
    if so_far:
        refuse_unread("--so-far measures nothing", {"--keep-models": keep_models}, "drop --so-far")
    order = _order(paper, model, target_length, data, chats, hours, any_size=any_size, quick=quick)
    from ropewalk.cli.output import show, show_json
    from ropewalk.cli.progress import LiveReporter
    from ropewalk.report.reproduction import FIGURE, verdict_table
    from ropewalk.reproduce.bridge.study import bridge
    from ropewalk.reproduce.papers import study
    from ropewalk.reproduce.study import PAGE, run_study

    folder = output or Path("reproduction") / (paper + ("-quick" if quick else ""))
    with LiveReporter() as reporter:
        chosen = bridge(order, folder, reporter) if order else study(paper, quick=quick)
        result = run_study(chosen, folder, reporter, keep_models=keep_models, so_far=so_far)
    if as_json:
        show_json(result.model_dump(mode="json"))
        return
    show(verdict_table(result))
    show(f"page {folder / PAGE}, figure {folder / FIGURE}, numbers {folder / 'result.json'}")


def _order(
    paper: str,
    model: str | None,
    target_length: int | None,
    data: list[str] | None,
    chats: str | None,
    hours: float | None,
    *,
    any_size: bool,
    quick: bool,
) -> BridgeOrder | None:
    """What is asked of the bridge; None for a paper.

    Raises:
        OptionError: The bridge without a model, or its options for a paper.
    """
    from ropewalk.errors import OptionError

    own = {
        "--model": model,
        "--target": target_length,
        "--data": data,
        "--chats": chats,
        "--hours": hours,
        "--any-size": any_size,
    }
    if paper != BRIDGE:
        refuse_unread(
            "the study of a paper runs on the built-in model as it was registered",
            own,
            f"say ropewalk reproduce {BRIDGE} --model MODEL for a model of your own",
        )
        return None
    if model is None:
        raise OptionError(
            "the bridge needs the model that it is about; got none. Say --model FOLDER-OR-ID, of at least 100 million "
            "parameters and with rotary positions."
        )
    from ropewalk.reproduce.bridge.order import HOURS, BridgeOrder

    limit = HOURS if hours is None else hours
    return BridgeOrder(model, target_length, tuple(data or ()), chats, limit, any_size=any_size, quick=quick)
