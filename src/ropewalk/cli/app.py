"""The application: which verbs there are, and what every verb does when something is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ropewalk.cli import compare, demo, evaluate, explain, export, extend, inspect, plan, report, reproduce, search
from ropewalk.errors import RopewalkError
from ropewalk.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

REFUSED = 2
STOPPED = 130  # 128 + SIGINT, as shells report it

SUMMARY = "Give a rotary-position language model a longer context window, cheaply, and prove that it worked."
START = "Start with: ropewalk demo. Then: ropewalk inspect PATH, ropewalk extend PATH --to 32k -o DIR."


class Verbs(TyperGroup):
    """The group of all verbs; the one place where errors become words and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the chosen verb.

        Raises:
            typer.Exit: With code 2 after a `RopewalkError`, with code 130 after Ctrl-C.
        """
        from ropewalk.cli.output import print_refusal, print_stopped
        from ropewalk.cli.quiet import hush

        hush()
        try:
            return super().invoke(ctx)
        except RopewalkError as error:
            print_refusal(error)
            raise typer.Exit(REFUSED) from None
        except KeyboardInterrupt:
            print_stopped()
            raise typer.Exit(STOPPED) from None


def show_version(wanted: bool) -> None:
    """Prints the version and ends, before any verb is looked for."""
    if wanted:
        typer.echo(f"ropewalk {__version__}")
        raise typer.Exit


def ropewalk(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Holds the options that stand before a verb."""
    del version


def build(verbs: tuple[Callable[..., None], ...]) -> typer.Typer:
    """An application of these verbs, in this order; a verb is called what its function is called.

    Help is plain text: drawing it with rich would double the time that `--help` takes.
    """
    application = typer.Typer(
        name="ropewalk",
        cls=Verbs,
        help=SUMMARY,
        epilog=START,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,  # what is not a RopewalkError is a bug, and its plain traceback is the report
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    application.callback()(ropewalk)
    for verb in verbs:
        application.command(verb.__name__)(verb)
    return application


app = build(
    (
        demo.demo,
        extend.extend,
        evaluate.evaluate,
        report.report,
        export.export,
        inspect.inspect,
        explain.explain,
        plan.plan,
        compare.compare,
        search.search,
        reproduce.reproduce,
    )
)
