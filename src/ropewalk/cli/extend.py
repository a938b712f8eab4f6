"""`ropewalk extend`: one model in, one model with a longer window out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropewalk.cli.lengths import parse_length
from ropewalk.cli.search import EVALUATIONS, SEARCH
from ropewalk.cli.settings import ALLOW_PICKLE, parse_settings, refuse_unread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropewalk.result import EvaluationResult, ExtensionResult
    from ropewalk.run.extension import Reporter


def extend(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="A checkpoint folder, a hub id, or 'builtin'.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where the extended checkpoint goes.")
    ] = None,
    target_length: Annotated[
        int | None,
        typer.Option("--to", parser=parse_length, metavar="TOKENS", help="The new window: 2048, 2k, 32k, 1m."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How pairs are slowed down; see 'explain'. 'auto' measures which, 'searched' searches. "
            "[default: auto where that takes minutes, else what suits the config]",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the method; repeatable.")
    ] = None,
    positions: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which positions a training window carries; see 'explain'.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=0, help="Training steps; 0 trains nothing. [default: 0]")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Text, JSON Lines, Parquet, a folder, hub:NAME or 'builtin'; repeatable."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.toml",
            help="A run file, or a packaged one by name: entropy-abf-100, cream, ...; flags override it.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of every draw of the run. [default: 0]")] = None,
    entries: Annotated[
        list[str] | None,
        typer.Option(
            "--entry", metavar="KEY=VALUE", help="Any other entry of a run file: train.learning_rate=1e-4; repeatable."
        ),
    ] = None,
    evaluate_every: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Measure at the target length every N steps.")
    ] = None,
    stop_when: Annotated[
        str | None,
        typer.Option(metavar="certified", help="End training at the first such measurement that is certified."),
    ] = None,
    gate_data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Text for the short-context gate that is not trained on, like --data; repeatable."
        ),
    ] = None,
    gate_control: Annotated[
        bool,
        typer.Option("--gate-control", help="Train the gate's control, too: the same tokens at the old window."),
    ] = False,
    gate_tasks: Annotated[
        bool, typer.Option("--gate-tasks", help="Ask the gate's eight public tasks, too (needs lm-eval).")
    ] = False,
    gate_limit: Annotated[
        int | None, typer.Option(metavar="N", help="The first N documents of each of these tasks. [default: all]")
    ] = None,
    gate_include: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER", help="Files of these tasks with data of one's own; repeatable."),
    ] = None,
    require_gate: Annotated[
        bool, typer.Option("--require-gate", help="End with exit code 1 unless the gate says PASS.")
    ] = False,
    no_gate: Annotated[bool, typer.Option("--no-gate", help="Leave the short-context gate out.")] = False,
    certify: Annotated[
        bool | None,
        typer.Option(
            "--certify/--no-certify",
            help="At the end measure how far the window is certified to reach. [default: with --method auto]",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an earlier run into DIR stopped, or start.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace DIR.")] = False,
    link: Annotated[
        bool, typer.Option("--link", help="Without training: hard links in the place of copies of the weight files.")
    ] = False,
    search: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"For --method searched: taper or evolution. [default: {SEARCH}]"),
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(metavar="N", help=f"For --method searched: candidates. [default: {EVALUATIONS}]")
    ] = None,
    allow_pickle: Annotated[bool, typer.Option("--allow-pickle", help=ALLOW_PICKLE)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Extend a model's context window, train it if asked, and save it.

    Without training steps no weight is read to extend it: the config changes and the weight files are copied. At the
    end the short-context gate compares it with the original on text up to the trained window, where there is text: the
    held-out modules for the built-in model, --gate-data for any other; and on public tasks, with --gate-tasks.
    """
    from ropewalk.adapters.trust import allowing
    from ropewalk.errors import OptionError
    from ropewalk.run.flags import AUTO, SEARCHED, check_flags, extend_from_flags, flags_as_run, run_from_flags

    if output is None:
        raise OptionError("a place for the extended checkpoint must be given; got none. Add -o DIR.")
    if resume:
        refuse_unread("--resume replaces nothing", {"--overwrite": overwrite}, "drop --resume")
    flags = flags_as_run(
        model=model,
        target_length=target_length,
        method=method,
        options=parse_settings(settings or ()),
        positions=positions,
        steps=steps,
        data=data or (),
        seed=seed,
        entries=parse_settings(entries or (), example="--entry train.learning_rate=1e-4")
        | {
            name: value
            for name, value in {"train.evaluate_every": evaluate_every, "train.stop_when": stop_when}.items()
            if value is not None
        },
    )
    with allowing(pickle=allow_pickle):
        check_flags(flags, recipe)  # before what is imported below, which takes seconds
    of_training = {
        "--data": data,
        "--positions": positions,
        "--evaluate-every": evaluate_every,
        "--stop-when": stop_when,
    }
    if not run_from_flags(flags, recipe).train.steps:
        refuse_unread("this run trains nothing", of_training, "add --steps N")
    of_search = {"--search": search, "--evaluations": evaluations}
    if flags.get("method", {}).get("name") != SEARCHED:
        refuse_unread("nothing is searched", of_search, "say --method searched")

    from ropewalk.cli.gate import gate_settings, require_pass, show_gate

    gate = gate_settings(
        gate_data or (),
        control=gate_control,
        tasks=gate_tasks,
        limit=gate_limit,
        include=gate_include or (),
        required=require_gate,
        left_out=no_gate,
    )
    from ropewalk.choose.chosen import keep_choice, with_method
    from ropewalk.cli.output import show_json
    from ropewalk.cli.progress import LiveReporter
    from ropewalk.run.extension import check_extension

    # None chooses by the method: who asks for a choice by measurement asks for its proof.
    certified = method == AUTO if certify is None else certify
    told: dict[str, Any] = {"gate": gate, "resume": resume, "overwrite": overwrite, "link": link}
    with allowing(pickle=allow_pickle), LiveReporter() as reporter:
        flags = with_method(
            flags,
            recipe,
            output,
            gate_data or (),
            reporter,
            search=search or SEARCH,
            evaluations=EVALUATIONS if evaluations is None else evaluations,
            check=lambda run: check_extension(run, output, **told),
        )
        result = extend_from_flags(flags, output, recipe=recipe, reporter=reporter, **told)
        keep_choice(output)
        evaluation = _certified(output, gate_data or (), reporter) if certified else None
    if as_json:
        show_json(result.model_dump(mode="json"))
    else:
        show_extension(result, output)
        show_gate(result.gate)
        if evaluation is not None:
            show_certificate(evaluation)
    if require_gate:
        require_pass(result.gate, output)


def show_extension(result: ExtensionResult, output: Path) -> None:
    """Prints what was done, in one line."""
    from ropewalk.cli.output import show

    window = f"{result.model.trained_length:,} -> {result.model.target_length:,} tokens"
    training = f"{result.steps} steps, {result.tokens:,} tokens" if result.steps else "no training"
    show(f"{output}: {result.model.method}, {window}, {training}, self-test passed.")


def show_certificate(evaluation: EvaluationResult) -> None:
    """Prints how far the window is certified to reach."""
    from ropewalk.cli.output import show
    from ropewalk.report.certificate import certified_lengths_table

    if evaluation.certificate is not None:
        show("", certified_lengths_table(evaluation.certificate))


def _certified(output: Path, held_out: Sequence[str], reporter: Reporter) -> EvaluationResult:
    from ropewalk.run.certify import certify

    return certify(output, held_out, reporter)
