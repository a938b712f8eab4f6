"""`ropewalk evaluate`: how well a model uses context of each length."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropewalk.cli.lengths import parse_lengths, parse_names
from ropewalk.cli.settings import ALLOW_PICKLE, TRUST_REMOTE_CODE, refuse_unread
from ropewalk.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ropewalk.result import EntropyResult, EvaluationResult

HARNESS = "lm-eval:"


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint folder, a hub id, or 'builtin'.")],
    lengths: Annotated[
        str | None, typer.Option(metavar="TOKENS,...", help="Context lengths to measure at, such as 256,512,2k.")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What to measure: smoke, standard, full, a suite file (.toml), or lm-eval:TASK,... of that harness.",
        ),
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="What to measure, in place of the suite's choice.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write result.json and samples.jsonl here.")
    ] = None,
    data: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A UTF-8 text file or a folder of them; repeatable.")
    ] = None,
    ruler: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK=FILE", help="Prompts of a RULER task in RULER's format (.jsonl); repeatable."),
    ] = None,
    summaries: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Summarise these documents (.jsonl with 'report' and 'summary') instead."),
    ] = None,
    entropy: Annotated[
        bool, typer.Option("--entropy", help="Measure how far attention spreads, layer by layer, instead.")
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="The untouched model, for the certificate. [default: what MODEL was made from]"
        ),
    ] = None,
    certificate: Annotated[
        bool, typer.Option(" /--no-certificate", help="Leave the suite's certificate out.", show_default=False)
    ] = True,
    released_code: Annotated[
        bool, typer.Option("--released-code", help="Average perplexities by windows, as released code of papers does.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result in DIR.")] = False,
    allow_pickle: Annotated[bool, typer.Option("--allow-pickle", help=ALLOW_PICKLE)] = False,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help=TRUST_REMOTE_CODE)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure perplexity, the gain from more context, and retrieval.

    Every number comes with its unit, its n and a 95 % interval. With -o a stopped evaluation that is run again goes on
    where it stopped.
    """
    # Before the heavy imports, so that a slip is answered at once.
    about = {
        "--lengths": lengths,
        "--suite": suite,
        "--tasks": tasks,
        "--data": data,
        "--ruler": ruler,
        "--summaries": summaries,
        "--reference": reference,
        "--released-code": released_code,
    }
    if output is None:
        refuse_unread("nothing is kept", {"--overwrite": overwrite}, "add -o DIR")
    wanted = parse_lengths(lengths) if lengths is not None else ()
    chosen = parse_names("tasks", tasks) if tasks is not None else ()
    prompts = _parse_ruler(ruler or ())
    texts = tuple(data or ())
    _refuse_what_is_not_read(about, chosen, entropy=entropy, certificate=certificate)
    from ropewalk.adapters.trust import allowing
    from ropewalk.cli.output import show, show_json
    from ropewalk.cli.progress import LiveReporter

    trusted = allowing(pickle=allow_pickle, remote_code=trust_remote_code)
    with trusted, LiveReporter() as reporter:
        told: dict[str, Any] = {
            "seed": seed,
            "output": output,
            "overwrite": overwrite,
            "progress": reporter.advance,
        }
        result: EvaluationResult | EntropyResult
        if entropy:
            result = _entropy(model, wanted, texts, **told)
        elif summaries is not None:
            result = _summaries(model, summaries, **told)
        elif suite is not None and suite.startswith(HARNESS):
            result = _harness(model, suite.removeprefix(HARNESS), wanted, **told)
        else:
            from ropewalk.run.evaluation import evaluate as run_evaluation

            result = run_evaluation(
                model,
                wanted,
                suite=suite,
                tasks=chosen,
                data=texts,
                ruler=prompts,
                reference=reference,
                certificate=certificate,
                released_code=released_code,
                **told,
            )
    if as_json:
        show_json(result.model_dump(mode="json"))
    else:
        show(*_tables(result))


def _refuse_what_is_not_read(
    about: Mapping[str, Any], tasks: tuple[str, ...], *, entropy: bool, certificate: bool
) -> None:
    """Refuses options that the chosen measurement does not read."""
    read: tuple[str, ...]
    if entropy:
        why, read, otherwise = "--entropy measures attention alone", ("--lengths", "--data"), "drop --entropy"
    elif about["--summaries"] is not None:
        why, read, otherwise = "--summaries measures summaries alone", ("--summaries",), "drop --summaries"
    elif (about["--suite"] or "").startswith(HARNESS):
        why, read = f"--suite {HARNESS}... runs lm-eval alone", ("--lengths", "--suite")
        otherwise = "name another suite"
    else:
        _refuse_what_no_task_reads(about, tasks, certificate=certificate)
        return
    refuse_unread(why, {flag: value for flag, value in about.items() if flag not in read}, otherwise)


def _refuse_what_no_task_reads(about: Mapping[str, Any], tasks: tuple[str, ...], *, certificate: bool) -> None:
    """Refuses a reference where no certificate is made, and texts and averages where no task is about them."""
    from ropewalk.evals.plan import PERPLEXITY_TASKS, TASKS, TEXT_TASKS, known_tasks

    suite, reference = about["--suite"], {"--reference": about["--reference"]}
    certified, asked = False, tasks or TASKS
    if suite is not None:
        from ropewalk.evals.suites import read_suite

        chosen = read_suite(suite)
        certified, asked = chosen.certificate is not None, tasks or chosen.tasks
    if not certificate:
        refuse_unread("--no-certificate leaves the certificate out", reference, "drop --no-certificate")
    elif not certified:
        by = "without a suite" if suite is None else f"by the suite '{suite}'"
        refuse_unread(f"no certificate is made {by}", reference, "say --suite standard")
    measured = set(asked)
    if not measured <= set(known_tasks()):
        return  # that a task does not exist is the better answer, and the plan has it
    among = f"among the tasks {', '.join(asked)}"
    if not measured & set(TEXT_TASKS):
        refuse_unread(f"none reads text {among}", {"--data": about["--data"]}, "add paired to --tasks")
    if not measured & set(PERPLEXITY_TASKS):
        averaged = {"--released-code": about["--released-code"]}
        refuse_unread(f"none averages windows {among}", averaged, "add truncate or sliding to --tasks")


def _harness(model: str, names: str, lengths: tuple[int, ...], **told: Any) -> EvaluationResult:
    from ropewalk.run.harness import evaluate_tasks

    return evaluate_tasks(model, parse_names("tasks", names), lengths=lengths, **told)


def _summaries(model: str, file: Path, **told: Any) -> EvaluationResult:
    from ropewalk.run.harness import evaluate_summaries

    return evaluate_summaries(model, file, **told)


def _entropy(model: str, lengths: tuple[int, ...], data: tuple[Path, ...], **told: Any) -> EntropyResult:
    from ropewalk.run.entropy import evaluate_entropy

    return evaluate_entropy(model, lengths, data, **told)


def _tables(result: EvaluationResult | EntropyResult) -> list[Any]:
    from ropewalk.report.entropy import entropy_table
    from ropewalk.report.tables import evaluation_tables
    from ropewalk.result import EntropyResult

    if isinstance(result, EntropyResult):
        return [entropy_table([result])]
    return [*evaluation_tables(result)]


def _parse_ruler(items: Iterable[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for item in items:
        task, sign, file = item.partition("=")
        if not (sign and task and file) or task in files:
            raise OptionError(
                f"prompts of RULER are given as TASK=FILE, each task once; got '{item}'. Write them as "
                "--ruler vt=validation.jsonl."
            )
        files[task] = Path(file)
    return files
