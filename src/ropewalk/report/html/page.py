"""One self-contained page from result records: no script, no network, nothing that is not in the file.

The page forbids itself everything but its own style (Content-Security-Policy), so a name that escaped this writer
could still load and run nothing. The same records give the same bytes.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from ropewalk.errors import OutputError
from ropewalk.report.html import (
    certificate,
    choosing,
    entropy,
    extensions,
    gate,
    measured,
    provenance,
    ranking,
    summary,
)
from ropewalk.report.html.markup import Markup, element, joined
from ropewalk.report.html.subjects import gather
from ropewalk.version import __version__
from ropewalk.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ropewalk.report.html.subjects import Contents, Identity, ReportRecord

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
GENERATOR = "ropewalk"
# Share of white that a colour gets where the page is dark.
LIGHTER = 0.45
DASHES = ("none", "7 4", "2 3", "10 3 2 3")


def html_page(records: Iterable[ReportRecord]) -> str:
    """The page as text.

    Args:
        records: Evaluations of the same samples, extensions, demos, comparisons and rankings, in the order to
            show them.

    Raises:
        MeasurementError: Nothing to show, or results that do not compare.
    """
    contents = gather(records)
    sections = [(slug, heading, body) for slug, heading, body in _sections(contents) if body]
    title = summary.title(contents)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content=f"{GENERATOR} {__version__}"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", Markup(_stylesheet(contents.identities))),
    )
    body = element(
        "body",
        element("header", element("h1", title), summary.summary(contents), _navigation(sections)),
        element("main", *(_section(*section) for section in sections)),
        element("footer", element("p", f"Written by ropewalk {__version__} from result records alone.")),
    )
    return "<!DOCTYPE html>\n" + element("html", head, "\n", body, lang="en") + "\n"


def write_page(page: str, path: Path) -> None:
    """Writes the page beside its place, then moves it there. An earlier report is replaced, nothing else is.

    Args:
        page: From `html_page`.
        path: The HTML file.

    Raises:
        OutputError: Something else stands there, or the file cannot be written.
    """
    try:
        if path.exists() and not is_report(path):
            raise OutputError(
                f"a report may replace only an earlier report; '{path}' is something else. Choose another file with -o."
            )
        write_whole(path, page)
    except OSError as error:
        raise OutputError(
            f"a report must be written to a file; '{path}' cannot be written: {error.strerror}. Give another path."
        ) from error


def is_report(path: Path) -> bool:
    """Whether a file begins as this module's pages do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return f'name="generator" content="{GENERATOR} '.encode() in file.read(1000)


def _sections(contents: Contents) -> list[tuple[str, str, Markup | None]]:
    subjects = contents.subjects
    return [
        ("plan", "Plan", choosing.plans(contents.plans)),
        ("probe", "Untrained methods", choosing.probes(contents.probes)),
        ("search", "Searched frequencies", choosing.searches(contents.searches)),
        ("ranking", "Ranking under one budget", ranking.rankings(contents.rankings)),
        ("certificate", "Certificate", certificate.certificates(subjects)),
        ("gate", "Short-context gate", gate.gates(contents.extensions)),
        ("trade-off", "Short against long", choosing.trade_offs(subjects)),
        ("lengths", "Against context length", measured.curves(subjects)),
        ("depths", "Depth by length", measured.heat_maps(subjects)),
        ("positions", "By position in a document", measured.positions(subjects)),
        ("gains", "Gain from more context", measured.gains(subjects)),
        ("changes", "Change on the same samples", measured.changes(contents.comparisons)),
        ("entropy", "Attention entropy", entropy.entropies(contents.entropies)),
        ("extension", "The extension", extensions.extensions(contents.extensions)),
        ("provenance", "Provenance", provenance.provenance(subjects)),
        ("numbers", "Every number", provenance.every_number(subjects)),
    ]


def _section(slug: str, heading: str, body: Markup | None) -> Markup:
    return element(
        "section", element("h2", heading, id=f"{slug}-heading"), body, id=slug, aria_labelledby=f"{slug}-heading"
    )


def _navigation(sections: Sequence[tuple[str, str, Markup | None]]) -> Markup:
    links = (element("li", element("a", heading, href=f"#{slug}")) for slug, heading, _ in sections)
    return element("nav", element("ul", joined(links)), aria_label="Sections")


def _stylesheet(identities: Sequence[Identity]) -> str:
    """The style of all pages, and the colours of this page's series."""
    common = files("ropewalk.report.html").joinpath("page.css").read_text("utf-8")
    light = [
        f".series-{s.index} {{ --series: {s.colour}; --dash: {DASHES[s.index % len(DASHES)]}; }}" for s in identities
    ]
    dark = [f".series-{s.index} {{ --series: {lighter(s.colour)}; }}" for s in identities]
    return "\n".join([common, *light, "@media screen and (prefers-color-scheme: dark) {", *dark, "}"])


def lighter(colour: str) -> str:
    """A colour nearer to white, for a dark page."""
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(channel + LIGHTER * (255 - channel)):02x}" for channel in channels)
