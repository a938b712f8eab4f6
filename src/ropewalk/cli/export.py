"""`ropewalk export`: an extended checkpoint, written so that an engine computes its method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropewalk.cli.settings import ALLOW_PICKLE, refuse_unread

if TYPE_CHECKING:
    from rich.table import Table

    from ropewalk.result import ExportResult, ParityCell

UNMET = 1


def export(
    model: Annotated[str, typer.Argument(metavar="DIR", help="A checkpoint that ropewalk extended, or an export.")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="ENGINE", help="For which program: transformers, vllm, sglang, llama.cpp or ollama."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="What to make. [default: DIR-ENGINE, or DIR.gguf]"),
    ] = None,
    carrier: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only this form: a rope type such as longrope, folded, staircase, frozen."),
    ] = None,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Where no form is exact, write the nearest one and say what it loses.")
    ] = False,
    dtype: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a GGUF's matrices: f32, f16 or bf16. [default: the checkpoint's own]"),
    ] = None,
    pre: Annotated[
        str | None,
        typer.Option(
            "--tokenizer-pre", metavar="NAME", help="Pre-tokenizer, as llama.cpp calls it. [default: recognised]"
        ),
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the weight files instead of linking them.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: compare DIR as the engine reads it with the method.")
    ] = False,
    engine: Annotated[
        str | None, typer.Option(metavar="ENGINE", help="With --check: whose reading. [default: the export's]")
    ] = None,
    source: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --check: what DIR was exported from. [default: recorded]")
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="With --check: prompts as long as the windows, which takes long.")
    ] = False,
    allow_pickle: Annotated[bool, typer.Option("--allow-pickle", help=ALLOW_PICKLE)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Write an extended checkpoint for an engine, and check it.

    For llama.cpp and ollama it becomes a GGUF file. For the others the config changes; weights are linked, unless a
    scale has to be folded into them. What was written is read again and compared with the method. --check compares
    tables and logits of a folder, or of a GGUF file in llama.cpp itself, with the method: exit code 1 on FAIL.
    """
    from ropewalk.errors import OptionError

    if check == (to is not None):
        raise OptionError(
            "an export needs an engine, and a check writes nothing; got "
            f"{'both --check and --to' if check else 'neither --to nor --check'}. Say --to ENGINE, or --check."
        )
    if check:
        written = {
            "-o": output,
            "--carrier": carrier,
            "--approximate": approximate,
            "--dtype": dtype,
            "--tokenizer-pre": pre,
            "--copy": copy,
            "--overwrite": overwrite,
        }
        refuse_unread("--check writes nothing", written, "say --to ENGINE in its place")
    else:
        compared_by = {"--engine": engine, "--source": source, "--whole": whole}
        refuse_unread("--to writes, and checks what it wrote by itself", compared_by, "say --check in its place")
    from ropewalk.adapters import hide_progress_bars
    from ropewalk.adapters.trust import allowing
    from ropewalk.cli.output import show, show_json

    hide_progress_bars()
    if check:
        from ropewalk.run.parity import check as run_check

        with allowing(pickle=allow_pickle):
            compared = run_check(model, engine, source=source, whole=whole)
        if as_json:
            show_json(compared.model_dump(mode="json"))
        else:
            show(parity_table(compared.cells), "", f"{compared.verdict}: {compared.reason}.")
        raise typer.Exit(UNMET if compared.verdict == "FAIL" else 0)
    with allowing(pickle=allow_pickle):
        folder, result = _written(
            model, str(to), output, carrier=carrier, approximate=approximate, overwrite=overwrite, copy=copy,
            dtype=dtype, pre=pre,
        )  # fmt: skip
    if as_json:
        show_json(result.model_dump(mode="json"))
    else:
        show_export(folder, result)


def _written(
    model: str, to: str, output: Path | None, *, copy: bool, dtype: str | None, pre: str | None, **options: Any
) -> tuple[Path, ExportResult]:
    """A folder or a GGUF file; options of the one mean nothing to the other."""
    from ropewalk.run.export import export as run_export
    from ropewalk.run.gguf import export_gguf, makes_gguf

    if makes_gguf(to):
        refuse_unread("a GGUF file is always a copy", {"--copy": copy})
        return export_gguf(model, to, output, dtype=dtype, pre=pre, **options)
    why = f"weights and tokenizer of a folder stay as they are, and {to} reads a folder"
    refuse_unread(why, {"--dtype": dtype, "--tokenizer-pre": pre}, "say --to llama.cpp")
    return run_export(model, to, output, copy=copy, **options)


def show_export(folder: Path, result: ExportResult) -> None:
    """Prints what was written, what was checked, and the commands, each on one line that can be copied."""
    from ropewalk.cli.output import console, facts, note, show

    fidelity = "exact" if result.loses is None else f"approximate: {result.loses}"
    rows = [
        ("For", f"{result.engine}, {result.target_length:,} tokens"),
        ("Method", result.method),
        ("Carrier", f"{result.carrier} ({fidelity})"),
        ("Weights", result.weights),
        *(("Checked", words) for words in result.checked),
    ]
    show(f"{folder}", "", facts(rows))
    note("Note", result.notes)
    for title, command in (("Serve it:", result.serve), ("Or the source as it is:", result.serve_source)):
        if command:
            console().print(f"\n{title}\n{command}", soft_wrap=True)


def parity_table(cells: tuple[ParityCell, ...]) -> Table:
    """Largest differences of logits, by window and phase."""
    from ropewalk.cli.output import plain_table

    table = plain_table(">window, tokens", "phase", ">largest difference", ">largest logit", ">first other token at")
    for cell in cells:
        apart = "none" if cell.first_divergent_token is None else f"{cell.first_divergent_token:,}"
        table.add_row(
            f"{cell.length:,}", cell.phase, f"{cell.largest_difference:.2g}", f"{cell.largest_logit:.3g}", apart
        )
    return table
