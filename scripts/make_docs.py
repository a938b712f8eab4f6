"""Writes the pages of `docs/` that are made from the register of methods and samplers.

python scripts/make_docs.py            writes docs/methods.md
python scripts/make_docs.py --check    exits 1 if the committed page is not what the register says
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ropewalk import methods, positions
from ropewalk.method import DOCSTRING_LABELS, Method
from ropewalk.rope import Rope
from ropewalk.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ropewalk.method import Paper

Entry: TypeAlias = "type[Method] | type[Sampler]"

PAGE = Path(__file__).resolve().parent.parent / "docs" / "methods.md"
SHOWN = Rope(head_dim=128, base=10_000.0, trained_length=4096)
TARGET = 32_768
SHOWN_PAIRS = (0, 21, 42, 63)
# Set apart as code: their columns carry meaning.
ALIGNED = ("Equation", "Symbols")

HEAD = """\
# Methods and training positions

This page is made by `make docs` from the files in `src/ropewalk/methods/` and `src/ropewalk/positions/`; a test
compares them. Add a file there and it appears here. `ropewalk explain NAME` prints the same with your model's numbers.

An extension is a method (how fast each pair turns, and by what logits are multiplied) and a sampler (which position
numbers a training window carries). Any sampler goes with any method.
"""


def page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD, "## Methods\n", method_table(), "## Training positions\n", sampler_table()]
    for title, classes in (("Each method", _methods()), ("Each sampler", _samplers())):
        parts.append(f"## {title}\n")
        parts += [section(entry) for entry in classes]
    return "\n".join(parts)


def _methods() -> list[type[Method]]:
    return [methods.get(name) for name in methods.names()]


def _samplers() -> list[type[Sampler]]:
    return [positions.get(name) for name in positions.names()]


def method_table() -> str:
    """One line for each method: what it changes, and what that does to four pairs of a Llama-shaped head."""
    title = "stretch of pairs " + ", ".join(map(str, SHOWN_PAIRS))
    rows = [
        (
            f"[`{cls.name}`](#{cls.name})",
            ", ".join(f"`{alias}`" for alias in cls.aliases),
            changes(cls),
            stretches(cls),
            reference(cls.paper),
        )
        for cls in _methods()
    ]
    note = (
        f"Stretch: how many times slower a pair turns, for head_dim {SHOWN.head_dim}, base {SHOWN.base:,.0f}, "
        f"{SHOWN.trained_length:,} to {TARGET:,} tokens, pair 0 the fastest. `dynamic-ntk` is shown in a text of "
        f"{TARGET:,} tokens, `longrope` with the factors that its search starts from.\n"
    )
    return table(("name", "also", "changes", title, "paper"), rows) + "\n" + note


def sampler_table() -> str:
    """One line for each sampler."""
    rows = [
        (
            f"[`{cls.name}`](#{anchor(cls)})",
            "the target" if cls.trains_at_target else "the old window",
            ", ".join(f"`{option}`" for option in cls.option_names()),
            reference(cls.paper),
        )
        for cls in _samplers()
    ]
    return table(("name", "trains at", "options", "paper"), rows)


def changes(cls: type[Method]) -> str:
    """Which of the three choices the method answers, read off the class."""
    answered = []
    if cls.frequencies is not Method.frequencies:
        answered.append("frequencies")
    if cls.attention_scale is not Method.attention_scale:
        answered.append("scale by position and layer" if cls.scale_varies else "scale")
    if cls.sampler is not None:
        answered.append(f"positions (`{cls.sampler}`)")
    return ", ".join(answered) or "nothing"


def stretches(cls: type[Method]) -> str:
    """Stretch of the shown pairs."""
    stretch = cls.example(SHOWN, TARGET).at(TARGET).stretch(SHOWN)
    return ", ".join(f"{stretch[pair]:.2f}" for pair in SHOWN_PAIRS)


def section(cls: Entry) -> str:
    """Everything that the docstring says, options and the laws that are broken on purpose."""
    words = cls.sections()
    lines = [f"### {title(cls)}\n", f"{words['Summary']}\n"]
    for label in DOCSTRING_LABELS:
        if label in ALIGNED:
            lines.append(f"**{label}**\n\n```text\n{words[label]}\n```\n")
        else:
            lines.append(f"**{label}.** {' '.join(words[label].split())}\n")
    options = ", ".join(f"`{name}`" for name in cls.option_names()) or "none"
    lines.append(f"**Options.** {options}. Source: `{source(cls)}`.\n")
    for law, reason in getattr(cls, "exemptions", {}).items():
        lines.append(f"**Exempt** from `{law}`: {reason}\n")
    return "\n".join(lines)


def title(cls: Entry) -> str:
    """A preset and its sampler share a name; the heading tells them apart."""
    return f"{cls.name} positions" if issubclass(cls, Sampler) else cls.name


def anchor(cls: Entry) -> str:
    """The heading's link."""
    return title(cls).replace(" ", "-")


def source(cls: Entry) -> str:
    """The class's file in the repository."""
    return f"src/{cls.__module__.replace('.', '/')}.py"


def reference(paper: Paper) -> str:
    """A link to the paper."""
    family = paper.authors.split(",")[0].split(" and ")[0].split()[-1]
    address = f"https://arxiv.org/abs/{paper.arxiv}" if paper.arxiv else paper.url
    return f"[{family} {paper.year}]({address})"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed page and write nothing")
    if parser.parse_args().check:
        if PAGE.read_text("utf-8") == page():
            return 0
        print(f"{PAGE.name} is not what the register says; run `make docs`.", file=sys.stderr)
        return 1
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
