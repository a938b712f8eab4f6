"""The page of the doctor's rules, from the rules themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ropewalk.report.markdown import markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class DoctorRule(Protocol):
    """What the page shows of a rule."""

    @property
    def name(self) -> str:
        """Such as `window-left`."""

    @property
    def severity(self) -> str:
        """`error`, `warning` or `note`."""

    @property
    def source(self) -> str:
        """What the rule rests on."""

    @property
    def law(self) -> str:
        """What must hold, and why."""


HEAD = """\
# The doctor

`ropewalk inspect MODEL` looks at a checkpoint folder for every known way in which it can mislead its readers. It
reads the JSON files and the headers of the weight files, no tensor, and imports no torch. This page is made by `make
docs` from the rules in `src/ropewalk/adapters/doctor/`; a test compares them.

An *error* stops `inspect`, `extend`, `evaluate` and `export` with exit code 2. A *warning* is read in two ways or
commonly misread. A *note* is worth knowing. Every finding comes with its fix. `inspect --json` prints findings as
data.

`ropewalk inspect MODEL --fix -o OUT` writes a copy in which everything is repaired that is certain; weights are hard
links where the file system allows it, and the source stays as it is. What no file says can be told: `--set
trained_length=4096`, `--set exempt_layers=2`. A copy in which an error would remain is not written.

Pickle files and Python code that lies in a checkpoint can run anything. Neither is used unless asked:
`--allow-pickle`, `--trust-remote-code`.

A scaling that others declared is read as a method (`Scaled by`): linear, dynamic, yarn with DeepSeek's mscale,
longrope, llama3, and the released configs of Entropy-ABF, which `ropewalk.load` computes with the paper's two exempt
layers, or with `exempt_layers=0` as its released code does.
"""


def doctor_page(rules: Iterable[DoctorRule], not_visible: Mapping[str, str]) -> str:
    """The whole page as Markdown.

    Args:
        rules: Every rule, in the order of its list.
        not_visible: Traps that no folder shows, with what happens and what ropewalk does.
    """
    rows = [(f"`{rule.name}`", rule.severity, rule.law, rule.source) for rule in rules]
    hidden = "\n".join(f"- **{trap}** {words}" for trap, words in not_visible.items())
    parts = [HEAD, "## Rules\n", markdown_table(("rule", "severity", "what must hold, and why", "source"), rows)]
    parts += ["## Not visible in a folder\n", "Traps of live models, and what ropewalk does.\n", hidden + "\n"]
    return "\n".join(parts)
