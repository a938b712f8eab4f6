"""Whether lm-eval is there, where our task folder lies, and lm-eval's tasks by name."""

from __future__ import annotations

import difflib
import logging
from contextlib import contextmanager, redirect_stderr
from importlib import metadata, resources
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropewalk.errors import DataError, OptionError, RopewalkError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


def require_harness() -> str:
    """The version of lm-eval.

    Raises:
        OptionError: It is not installed.
    """
    if find_spec("lm_eval") is None:
        raise OptionError(
            "tasks of lm-eval need EleutherAI's lm-evaluation-harness, which is an extra; it is not installed. "
            "Install it with: pip install 'ropewalk[harness]'"
        )
    return metadata.version("lm_eval")


def task_folder() -> Path:
    """The folder of our recall tasks, for `lm_eval --include_path`."""
    return Path(str(resources.files("ropewalk") / "assets" / "lm_eval"))


def task_manager(names: Sequence[str], include: Sequence[str | Path], settings: Mapping[str, Any]) -> Any:
    """lm-eval's index of tasks: our folder and the user's, and its own 14,000 only if a name asks for them.

    Reading its own takes several seconds.

    Args:
        names: What will be loaded.
        include: Folders with task files.
        settings: Metadata for tasks that make their documents.

    Raises:
        DataError: A folder that does not exist.
        OptionError: lm-eval is not installed.
    """
    require_harness()
    from lm_eval.tasks import TaskManager

    folders = [task_folder(), *(Path(folder) for folder in include)]
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"a folder of task files must exist; '{folder}' does not. Check the path.")
    arguments = {"include_path": [str(folder) for folder in folders], "metadata": dict(settings)}
    with quiet():
        manager = TaskManager(include_defaults=False, **arguments)
        if not set(names) <= set(manager.all_tasks):
            manager = TaskManager(**arguments)
    return manager


def load_task(manager: Any, name: str) -> Any:
    """A task, or the tasks of a group, with their documents.

    Raises:
        UnknownNameError: lm-eval knows no task, group or tag of that name.
        DataError: Its documents cannot be read.
    """
    if name not in manager.all_tasks:
        near = difflib.get_close_matches(name, manager.all_tasks, n=3)
        suggestion = f"; did you mean {' or '.join(repr(known) for known in near)}?" if near else "."
        raise UnknownNameError(
            f"no task of lm-eval {require_harness()} is called '{name}'{suggestion} 'lm_eval ls tasks' lists all."
        )
    try:
        with quiet():
            loaded = manager.load([name])
    except RopewalkError:
        raise
    except Exception as error:  # a task runs code of its own, over three libraries with unrelated exceptions
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"the task '{name}' of lm-eval must be able to read its documents; it failed ({reason}). Most tasks "
            "download theirs once: run it with a network first, or give a folder of task files with local data."
        ) from error
    for task in loaded["tasks"].values():
        task.build_all_requests = _without_bar(task.build_all_requests)
    return loaded


@contextmanager
def quiet() -> Iterator[None]:
    """lm-eval's warnings are hidden; what they say about a measurement stands in its protocol."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _without_bar(build: Callable[..., None]) -> Callable[..., None]:
    """lm-eval draws a bar while it writes prompts, and has no switch for it."""

    def run(*arguments: Any, **options: Any) -> None:
        with redirect_stderr(StringIO()):
            build(*arguments, **options)

    return run
