"""Registers: classes by name and alias, found by looking and listed nowhere.

What can be chosen by name (methods, training-position samplers, retrieval tasks) stands in a register of its own: one
file, one class under `@register("name")`. Another package adds to it through an entry point of the register's group.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ropewalk.errors import OptionError, PluginError, RopewalkError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DOCSTRING_LABELS = ("Paper", "Equation", "Symbols", "Hooks", "Disagrees", "Needs", "Checked")


@dataclass(frozen=True)
class Paper:
    """Where something was published."""

    title: str
    authors: str
    year: int
    arxiv: str | None = None
    url: str | None = None

    @property
    def key(self) -> str:
        """A citation key such as `peng2023yarn`."""
        family = self.authors.split(",")[0].split(" and ")[0].split()[-1].lower()
        word = "".join(c for c in self.title.split(":")[0].split()[0].lower() if c.isalnum())
        return f"{family}{self.year}{word}"

    @property
    def bibtex(self) -> str:
        """The BibTeX entry."""
        where = (
            f"  eprint = {{{self.arxiv}}},\n  archiveprefix = {{arXiv}},\n"
            if self.arxiv
            else f"  url = {{{self.url}}},\n"
        )
        return (
            f"@misc{{{self.key},\n  title = {{{self.title}}},\n  author = {{{self.authors}}},\n"
            f"  year = {{{self.year}}},\n{where}}}"
        )


@dataclass(frozen=True)
class Registered:
    """Base of what stands in a register; the fields of a subclass are its options.

    Class attributes:
        name: Registered name.
        aliases: Other names for it.
    """

    name: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """Names of the options."""
        return tuple(field.name for field in dataclasses.fields(cls))

    @property
    def options(self) -> dict[str, Any]:
        """The options with their values, ready for JSON or TOML (None left out)."""
        values = {name: getattr(self, name) for name in self.option_names()}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v is not None}

    @classmethod
    def sections(cls) -> dict[str, str]:
        """The docstring of the class's module, cut at its labels; the text before the first label is `Summary`."""
        return docstring_sections(inspect.getmodule(cls).__doc__ or "")


Entry = TypeVar("Entry", bound=Registered)
Class = TypeVar("Class", bound=type[Registered])


class Register(dict[str, type[Entry]], Generic[Entry]):
    """Classes of one kind by name and alias.

    Attributes:
        kind: What stands in it, for messages: `method`.
        group: Entry points through which other packages add to it.
    """

    def __init__(self, kind: str, group: str) -> None:
        super().__init__()
        self.kind, self.group = kind, group

    def enter(self, name: str, *aliases: str) -> Callable[[Class], Class]:
        """Class decorator: enters a class under its name and aliases.

        Raises:
            OptionError: One of them is taken; nothing is entered then.
        """

        def entered(cls: Class) -> Class:
            for key in (name, *aliases):
                taken = self.get(key, cls)
                if (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
                    raise OptionError(
                        f"two {self.kind}s are called '{key}': {taken.__module__} and {cls.__module__}. Rename one."
                    )
            known: type[Any] = cls
            self.update(dict.fromkeys((name, *aliases), known))
            cls.name, cls.aliases = name, aliases
            return cls

        return entered

    def discover(self, package: str, folders: Iterable[str]) -> None:
        """Imports every file of a package, and every module that another package offers.

        Raises:
            PluginError: What another package offers cannot be imported.
        """
        for module in pkgutil.iter_modules(folders):
            importlib.import_module(f"{package}.{module.name}")
        for offered in metadata.entry_points(group=self.group):
            try:
                offered.load()
            except RopewalkError:
                raise
            except Exception as error:  # code of somebody else: it fails in any way
                owner = f"the package '{offered.dist.name}'" if offered.dist else "an installed package"
                raise PluginError(
                    f"{owner} offers the {self.kind} '{offered.name}', which must be importable; '{offered.value}' "
                    f"gives {type(error).__name__}: {error}. Repair that package, or uninstall it."
                ) from error

    def names(self) -> tuple[str, ...]:
        """Registered names without aliases, sorted."""
        return tuple(sorted(name for name, cls in self.items() if name == cls.name))

    def named(self, name: str) -> type[Entry]:
        """The class of a name or alias.

        Raises:
            UnknownNameError: Nothing has that name.
        """
        if name not in self:
            raise unknown_name(self.kind, name, self)
        return self[name]


def docstring_sections(text: str) -> dict[str, str]:
    """Cuts a module docstring at its labels (a label starts a line and is one of `DOCSTRING_LABELS`)."""
    sections: dict[str, list[str]] = {"Summary": []}
    current = "Summary"
    for line in inspect.cleandoc(text).splitlines():
        label = line.split(" ", 1)[0]
        if label in DOCSTRING_LABELS:
            current = label
            sections[current] = [line[len(label) :]]
        elif line.startswith(">>>"):
            break
        else:
            sections[current].append(line)
    return {label: inspect.cleandoc("\n".join(lines)) for label, lines in sections.items()}
