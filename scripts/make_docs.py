"""Writes what the documents take from the register and from `results/`: a whole page, and marked parts of others.

python scripts/make_docs.py            writes docs/methods.md and docs/families.md, pages and figures of studies
                                       (docs/reproduction/ and results/reproduction/), and the marked parts of README,
                                       docs/builtin-model.md and docs/choosing.md
python scripts/make_docs.py --check    exits 1 if a committed page is not what the register and the results say
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image
from rich.console import Console

from ropewalk import methods, positions
from ropewalk.adapters import doctor
from ropewalk.analysis import relative_maps
from ropewalk.method import Method, OverlayMethod
from ropewalk.register import DOCSTRING_LABELS
from ropewalk.report.doctor import doctor_page
from ropewalk.report.families import SCALE, families_page
from ropewalk.report.reproduction import FIGURE, reproduction_page
from ropewalk.report.reproduction_figure import drawn_fingerprint, write_reproduction_figure
from ropewalk.report.search import search_table, search_words
from ropewalk.report.tables import demo_tables, evaluation_tables
from ropewalk.result import Comparison, DemoResult, EvaluationResult, Reproduction, SearchComparison
from ropewalk.rope import Rope
from ropewalk.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ropewalk.register import Paper

Entry: TypeAlias = "type[Method] | type[Sampler]"

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
PAGE = ROOT / "docs" / "methods.md"
README = ROOT / "README.md"
MODEL_PAGE = ROOT / "docs" / "builtin-model.md"
CHOOSING_PAGE = ROOT / "docs" / "choosing.md"
FAMILIES_PAGE = ROOT / "docs" / "families.md"
REPRODUCTION = ROOT / "docs" / "reproduction"
WIDTH = 100
SHOWN = Rope(head_dim=128, base=10_000.0, trained_length=4096)
TARGET = 32_768
SHOWN_PAIRS = (0, 21, 42, 63)
SHOWN_DISTANCES = (100, 1024, 4096, 32_000)
# Set apart as code: their columns carry meaning.
ALIGNED = ("Equation", "Symbols")

HEAD = """\
# Methods and training positions

This page is made by `make docs` from the files in `src/ropewalk/methods/` and `src/ropewalk/positions/`; a test
compares them. Add a file there and it appears here. `ropewalk explain NAME --model MODEL` prints the
same with your model's numbers.

An extension is a method (how fast each pair turns, and by what logits are multiplied) and a sampler (which position
numbers a training window carries). Any sampler goes with any method. Some methods lie over another one: `over=yarn`
makes CoPE clip YaRN's frequencies. At the end stand the inference maps, which are computed for comparison alone.
"""


def page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD, "## Methods\n", method_table(), "## Training positions\n", sampler_table()]
    for title, classes in (("Each method", _methods()), ("Each sampler", _samplers())):
        parts.append(f"## {title}\n")
        parts += [section(entry) for entry in classes]
    parts += [map_text(), map_table(), *(map_section(name) for name in relative_maps.names())]
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


def map_text() -> str:
    """What all inference maps have in common: the docstring of their module."""
    paragraphs = [" ".join(part.split()) for part in (relative_maps.__doc__ or "").strip().split("\n\n")]
    return "## Inference maps: inference only\n\n" + "\n\n".join(paragraphs) + "\n"


def map_table() -> str:
    """One line for each inference map."""
    rows = []
    for name in relative_maps.names():
        cls = relative_maps.get(name)
        chosen = cls.for_rope(SHOWN)
        told = chosen.relative(np.array([TARGET - 1]), TARGET - 1 - np.array(SHOWN_DISTANCES))[0]
        options = ", ".join(f"`{option}`" for option in cls.option_names())
        rows.append(
            (f"[`{name}`](#{name})", cls.idea, ", ".join(f"{t:,.1f}" for t in told), options, reference(cls.paper))
        )
    shown = ", ".join(f"{distance:,}" for distance in SHOWN_DISTANCES)
    note = f"Told: what the last of {TARGET:,} queries is told at default options, {SHOWN.trained_length:,} trained.\n"
    return table(("name", "idea", f"told for distances {shown}", "options", "paper"), rows) + "\n" + note


def map_section(name: str) -> str:
    """Everything that a map says of itself."""
    cls = relative_maps.get(name)
    return (
        f"### {name}\n\n{cls.idea[0].upper()}{cls.idea[1:]}.\n\n"
        f"**Equation**\n\n```text\n{cls.equation}\n```\n\n**Disagrees.** {cls.disagrees}\n\n"
        f"**Paper.** {cls.paper.title}, {reference(cls.paper)}. Source: `src/ropewalk/analysis/relative_maps.py`.\n"
    )


def changes(cls: type[Method]) -> str:
    """Which of the three choices the method answers, read off the class."""
    answered = []
    # What an overlay does not answer itself belongs to the method below it.
    if cls.frequencies not in (Method.frequencies, OverlayMethod.frequencies):
        answered.append("frequencies")
    if cls.attention_scale not in (Method.attention_scale, OverlayMethod.attention_scale):
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


def pages() -> dict[Path, str]:
    """Every page that this script writes, as it should be."""
    return {
        PAGE: page(),
        ROOT / "docs" / "doctor.md": doctor_page(doctor.rules(), doctor.NOT_VISIBLE),
        FAMILIES_PAGE: families_page(census()),
        README: filled(
            README,
            {"methods": short_table(), "demo": demo_text(), "control": control_text(), "families": families_text()},
        ),
        MODEL_PAGE: filled(MODEL_PAGE, {"curve": curve_table(), "measured": measured_text()}),
        CHOOSING_PAGE: filled(CHOOSING_PAGE, {"choice": choice_text(), "searches": searches_text()}),
        **{REPRODUCTION / f"{folder.name}.md": study_page(folder) for folder in studies()},
    }


def census() -> dict[str, Any]:
    """What was measured of every model family."""
    found: dict[str, Any] = json.loads((RESULTS / "census.json").read_text("utf-8"))
    return found


def families_text() -> str:
    """How many model families work."""
    works = [found for found in census()["types"] if "refused" not in found]
    scaled = sum(SCALE in found for found in works)
    return (
        f"Model families: {len(works)} causal model types of transformers work, {scaled} of them with a scale by "
        "position, too; the others are refused by name with a reason. [docs/families.md](docs/families.md) lists what "
        "was measured.\n"
    )


def studies() -> list[Path]:
    """The folders of the papers in miniature whose results are committed."""
    return sorted(path.parent for path in (RESULTS / "reproduction").glob("*/result.json"))


def read_study(folder: Path) -> Reproduction:
    """The record of a study."""
    return Reproduction.model_validate_json((folder / "result.json").read_text("utf-8"))


def drawn_from(figure: Path) -> str | None:
    """The fingerprint of the record that a figure was drawn from; None where there is no figure."""
    if not figure.is_file():
        return None
    with Image.open(figure) as image:
        found: str | None = image.text.get("ropewalk:results")  # type: ignore[attr-defined]
        return found


def study_page(folder: Path) -> str:
    """The page of a study, from its result alone."""
    result = read_study(folder)
    beside = f"../../results/reproduction/{folder.name}/"
    return reproduction_page(result, beside=beside, protocol="protocol.md")


def filled(path: Path, parts: dict[str, str]) -> str:
    """A page with its marked parts made anew: what stands between `<!-- NAME: ... -->` and `<!-- end of NAME -->`."""
    text = path.read_text("utf-8")
    for name, body in parts.items():
        pattern = rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)"
        text, found = re.subn(pattern, lambda m, body=body: f"{m[1]}{body}{m[2]}", text, flags=re.DOTALL)
        if found != 1:
            raise SystemExit(f"{path.name} must have one part called '{name}'; found {found}.")
    return text


def short_table() -> str:
    """One line for each method: its idea and where it was published."""
    rows = [
        (f"[`{cls.name}`](docs/methods.md#{cls.name})", idea(cls), changes(cls), reference(cls.paper))
        for cls in _methods()
    ]
    return table(("method", "idea", "changes", "paper"), rows)


def idea(cls: type[Method]) -> str:
    """The first sentence of the docstring, behind the method's title."""
    sentence = " ".join(cls.sections()["Summary"].split("\n\n")[0].split()).rstrip(".")
    return sentence.split(": ", 1)[-1]


def demo_text() -> str:
    """What the committed demo printed."""
    result = DemoResult.model_validate_json((RESULTS / "demo" / "result.json").read_text("utf-8"))
    return f"```text\n{printed(demo_tables(result))}```\n"


def control_text() -> str:
    """Change of NLL inside the old window, against the untouched model and against the control."""
    rows = []
    for name, words in (
        ("extended_against_untouched", "extended, against untouched"),
        ("extended_against_control", "extended, against the control"),
        ("control_against_untouched", "the control, against untouched"),
    ):
        comparison = Comparison.model_validate_json((RESULTS / "control" / f"{name}.json").read_text("utf-8"))
        change = comparison.find("paired_nll_change", 256)
        if change is None:
            raise SystemExit(f"results/control/{name}.json has no change at 256 tokens; run `make control`.")
        interval = f"{change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"
        rows.append((words, interval, f"{change.samples} windows of {change.clusters} modules"))
    return table(("NLL of text at 256 tokens", "nats/token, 95 % interval", "n"), rows)


def choice_text() -> str:
    """What `auto` chose and reached, beside every method trained whole and certified (`measure_choice.py`)."""
    result = json.loads((RESULTS / "choice" / "result.json").read_text("utf-8"))
    models = result["models"].values()
    rows = [
        ("`auto`", *(f"{reached(model['automatic'])}, by `{model['automatic']['chosen']}`" for model in models)),
        *(
            (f"`{method}`", *(reached(model["exhaustive"][method]) for model in models))
            for method in dict.fromkeys(method for model in models for method in model["exhaustive"])
        ),
    ]
    costs = [
        (f"cost of `auto`, share of {what}", *(f"{cost_share(model, key):.2f}" for model in models))
        for what, key in (("trained tokens", "tokens"), ("time", "seconds"))
    ]
    head = ("certified context, tokens", *(model["about"] for model in models))
    return table(head, [*rows, *costs]) + f"\n{result['protocol'].capitalize()}.\n"


def reached(one: dict[str, Any]) -> str:
    """A certified length, or why there is none."""
    if "failed" in one:
        return "failed"
    return "not certifiable" if one["certified"] is None else f"{one['certified']:,}"


def cost_share(model: dict[str, Any], key: str) -> float:
    """What `auto` cost, over what all methods together cost."""
    return float(model["automatic"][key] / sum(one[key] for one in model["exhaustive"].values()))


def searches_text() -> str:
    """What two searches of equal length found, on needles that neither saw."""
    result = SearchComparison.model_validate_json((RESULTS / "search" / "result.json").read_text("utf-8"))
    return f"```text\n{printed([search_table(result)])}```\n\n{search_words(result)}\n"


def curve_table() -> str:
    """The learning curve of the built-in model."""
    curve = json.loads((ROOT / "src/ropewalk/assets/builtin/training.json").read_text("utf-8"))["curve"]
    rows: dict[tuple[int, int], dict[str, float]] = {}
    for entry in curve:
        rows.setdefault((entry["phase"], entry["step"]), {}).update(entry)
    cells = [
        (str(phase + 1), f"{step:,}", f"{entry['eval_text_loss']:.3f}", f"{entry['eval_recall_loss']:.4f}")
        for (phase, step), entry in sorted(rows.items())
    ]
    return table(("cycle", "step", "held-out text", "recall answers"), cells)


def measured_text() -> str:
    """What was measured of the built-in model inside its window."""
    result = EvaluationResult.model_validate_json((RESULTS / "builtin" / "result.json").read_text("utf-8"))
    return f"```text\n{printed(evaluation_tables(result))}```\n"


def printed(tables: Iterable[object]) -> str:
    """Tables as a terminal of 100 columns shows them, without colours."""
    target = io.StringIO()
    console = Console(file=target, width=WIDTH, highlight=False, markup=False, emoji=False, color_system=None)
    for shown in tables:
        console.print(shown)
    return "".join(f"{line.rstrip()}\n" for line in target.getvalue().splitlines())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed pages and write nothing")
    check = parser.parse_args().check
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text]
    if check and stale:
        names = ", ".join(path.name for path in stale)
        print(f"{names}: not what the register and the results say; run `make docs`.", file=sys.stderr)
        return 1
    for path in stale:
        path.write_text(pages()[path], "utf-8")
    for folder in studies() if not check else ():
        if drawn_from(folder / FIGURE) != drawn_fingerprint(read_study(folder)):
            write_reproduction_figure(read_study(folder), folder / FIGURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
