"""A small HTML and SVG writer: everything is escaped unless this module made it.

>>> element("p", "a < b", class_="note")
'<p class="note">a &lt; b</p>'
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ropewalk.report.image import svg_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.figure import Figure

VOID = frozenset({"br", "img", "link", "meta"})


class Markup(str):
    """Text that is markup already, and so is not escaped again."""

    __slots__ = ()


Content = str | None


def element(name: str, /, *children: Content, **attributes: str | float | bool | None) -> Markup:
    """One element.

    Args:
        name: Its tag.
        children: Markup, or text that is escaped here; None is left out.
        attributes: By name, with `_` for `-` and a trailing `_` where Python has the word (`class_`). None and False
            leave the attribute out, True writes it without a value.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    opening = f"<{name}{written}>"
    return Markup(opening if name in VOID else f"{opening}{joined(children)}</{name}>")


def joined(parts: Iterable[Content]) -> Markup:
    """The parts one after the other."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts if part is not None))


def table(
    caption: str,
    head: Sequence[Content],
    rows: Iterable[Sequence[Content]],
    *,
    class_: str = "",
    header_columns: int = 1,
    note: Content = None,
) -> Markup:
    """A table with a caption, inside a box that scrolls by itself where the page is narrow.

    Args:
        caption: What the table shows; screen readers announce it first.
        head: Headings of the columns; all empty for none.
        rows: Cells; one that is a whole `td` or `th` already is taken as it is.
        class_: Classes of the table.
        header_columns: How many columns at the left name their row.
        note: Smaller text after the caption.
    """
    headings = (element("th", heading, scope="col") for heading in head)
    body = (element("tr", *(_cell(cell, i < header_columns) for i, cell in enumerate(row))) for row in rows)
    words = element("caption", element("span", caption), element("small", note) if note else None)
    inner = element(
        "table",
        words,
        element("thead", element("tr", *headings)) if any(head) else None,
        element("tbody", *body),
        class_=class_ or None,
    )
    return element("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def picture(figure: Figure, words: str) -> Markup:
    """A figure inside the page, with its caption as its description."""
    image = element("img", src=svg_address(figure), alt=words, class_="picture")
    return element("figure", image, class_="wide")


def lines(*parts: Content) -> Markup:
    """Parts below each other in one cell."""
    kept = [part for part in parts if part]
    return joined(piece for i, part in enumerate(kept) for piece in ((element("br"), part) if i else (part,)))


def small(text: Content) -> Markup:
    """Text of less weight, such as an interval below its value."""
    return element("small", text)


def _cell(cell: Content, is_header: bool) -> Markup:
    if isinstance(cell, Markup) and cell.startswith(("<td", "<th")):
        return cell
    return element("th", cell, scope="row") if is_header else element("td", cell)


def _attribute(name: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    key = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {key}"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f' {key}="{escape(text, quote=True)}"'
