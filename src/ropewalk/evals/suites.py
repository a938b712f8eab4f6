"""Suites: what is measured, by name. A suite is a TOML file; the package carries `smoke`, `standard` and `full`.

about = "One sentence."
lengths = "doublings"       # or "ends": the trained length and the target
tasks = ["paired", "passkey"]

[sizes]                     # of an EvaluationPlan
windows_per_document = 4

[certificate]               # see CertificatePlan; leave the section out for none
tasks = ["multi-passkey"]
"""

from __future__ import annotations

import dataclasses
import tomllib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ropewalk.errors import OptionError, unknown_name
from ropewalk.evals.certification import CertificatePlan
from ropewalk.evals.plan import FAR_TASKS, EvaluationPlan
from ropewalk.result import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

SCORED = 128
# A length follows from the model, a seed from the command line, and batches from the machine.
SIZES = tuple(
    field.name
    for field in dataclasses.fields(EvaluationPlan)
    if field.name not in ("lengths", "scored", "tasks", "seed")
)


class Suite(Record):
    """A suite as its file describes it.

    Attributes:
        name: What it is called on the command line.
        about: What it is for, in a sentence.
        lengths: `ends` for the trained length and the target, `doublings` for every doubling between them too.
        tasks: What is measured.
        sizes: Sizes of the `EvaluationPlan` that are not its defaults.
        certificate: Settings of the certificate, or None for no certificate.
    """

    name: str
    about: str
    lengths: Literal["ends", "doublings"]
    tasks: tuple[str, ...]
    sizes: dict[str, Any] = Field(default_factory=dict)
    certificate: CertificatePlan | None = None

    def plan(
        self,
        trained_length: int,
        target_length: int,
        *,
        lengths: Sequence[int] = (),
        tasks: Sequence[str] = (),
        seed: int = 0,
    ) -> EvaluationPlan:
        """The plan for a model.

        Args:
            trained_length: Tokens of its original window.
            target_length: Tokens of its window now.
            lengths: Lengths in place of the suite's rule.
            tasks: Tasks in place of the suite's own.
            seed: Seed of everything that is drawn.

        Raises:
            OptionError: Lengths at which nothing can be measured.
            UnknownNameError: A task that does not exist.
        """
        chosen = tuple(sorted(lengths)) or self.ladder(trained_length, target_length)
        scored = min(SCORED, chosen[0] // 2)
        wanted = tuple(tasks) or self.tasks
        # Through pydantic, so that sizes of another kind are refused and TOML's lists become tuples.
        sizes = {"lengths": chosen, "scored": scored, "tasks": (), "seed": seed, **self.sizes}
        plan = TypeAdapter(EvaluationPlan).validate_python(sizes)
        if not tasks and plan.longest - plan.near < 2 * scored:
            # A window that has grown by less than two targets holds nothing that stands far back.
            wanted = tuple(task for task in wanted if task not in FAR_TASKS)
        return dataclasses.replace(plan, tasks=wanted)

    def ladder(self, trained_length: int, target_length: int) -> tuple[int, ...]:
        """The context lengths for a model, increasing.

        A model whose window has not grown is measured at half of it as well, to see what its second half is worth.
        """
        if target_length <= trained_length:
            return (trained_length // 2, trained_length)
        lengths = [trained_length]
        while self.lengths == "doublings" and lengths[-1] * 2 < target_length:
            lengths.append(lengths[-1] * 2)
        return (*lengths, target_length)


def read_suite(name_or_path: str) -> Suite:
    """A suite of the package by its name, or of one's own by a path that ends in `.toml`.

    Raises:
        UnknownNameError: The package carries no such suite.
        OptionError: The file cannot be read, is not TOML, or does not describe a suite.
    """
    if not name_or_path.endswith(".toml"):
        known = _packaged()
        if name_or_path not in known:
            raise unknown_name("suite", name_or_path, known)
        return _parse(name_or_path, known[name_or_path], where=f"suite '{name_or_path}'")
    path = Path(name_or_path)
    where = f"suite file '{path}'"
    try:
        return _parse(path.stem, path.read_text("utf-8"), where=where)
    except OSError as error:
        raise OptionError(f"{where} cannot be read: {error.strerror}. Check the path.") from None
    except UnicodeDecodeError as error:
        raise OptionError(f"{where} must be UTF-8: {error}. Mend that place.") from None


def suite_names() -> tuple[str, ...]:
    """The suites of the package, from quick to thorough."""
    return tuple(sorted(_packaged(), key=("smoke", "standard", "full").index))


def _packaged() -> dict[str, str]:
    folder = resources.files("ropewalk.assets") / "suites"
    return {
        entry.name.removesuffix(".toml"): entry.read_text("utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    }


def _parse(name: str, text: str, *, where: str) -> Suite:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"{where} must be TOML: {error}. Mend that place.") from None
    for size in values.get("sizes", {}):
        if size not in SIZES:
            raise unknown_name("size of an evaluation", size, SIZES)
    try:
        suite = Suite.model_validate({"name": name, **values})
        suite.plan(2**12, 2**13)  # what is wrong with its sizes or tasks is said now
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        known = ", ".join(field for field in Suite.model_fields if field != "name")
        raise OptionError(f"{where}: '{key}' cannot be used: {problem['msg']}. A suite has {known}.") from None
    return suite
