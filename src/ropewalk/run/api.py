"""The public functions: `ropewalk.extend`, `ropewalk.load`, `ropewalk.evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropewalk import adapters
from ropewalk.adapters.config import loaded_config
from ropewalk.errors import OptionError
from ropewalk.run.evaluation import evaluate
from ropewalk.run.extension import run_extension
from ropewalk.run.plan import build_method
from ropewalk.run.runfile import Choice, parse_run

__all__ = ["evaluate", "extend"]

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ropewalk.method import Method


def extend(
    model: Any,
    method: str | Method,
    target_length: int,
    *,
    output: str | Path | None = None,
    **options: Any,
) -> Any:
    """Applies an extension method to a loaded model, in place, or to a checkpoint, without reading its weights.

    Args:
        model: A loaded transformers model; or a checkpoint folder, a hub id, or `"builtin"`.
        method: A method's name (see `ropewalk explain`) or a method object.
        target_length: Tokens of the new window.
        output: Where the extended checkpoint goes; needed for a checkpoint, not allowed for a loaded model.
        **options: The method's options, for a method given by name.

    Returns:
        The same model object, or the folder of the extended checkpoint.

    Raises:
        RopewalkError: See `ropewalk.errors`. A self-test runs before anything is returned.
    """
    is_checkpoint = isinstance(model, str | Path)
    if is_checkpoint != (output is not None):
        raise OptionError(
            "output must be given for a checkpoint, and only for a checkpoint, because a loaded model changes in "
            f"place; got {'no output' if is_checkpoint else f'output {output}'}."
        )
    if is_checkpoint:
        choice = _choice(method, options)
        values = {"model": str(model), "target_length": target_length, "method": choice.model_dump()}
        run_extension(parse_run(values, where="this run"), Path(str(output)))
        return Path(str(output))
    chosen = build_method(_choice(method, options), loaded_config(model).rope, target_length)
    adapters.extend_model(model, chosen, target_length)
    return model


def _choice(method: str | Method, options: Mapping[str, Any]) -> Choice:
    if isinstance(method, str):
        return Choice(name=method, **options)
    if options:
        raise OptionError("options belong to a method given by name; a method object has its own.")
    return Choice(name=method.name, **method.options)
