"""A figure's file, whole or not at all, with what it was made from in its metadata; and a figure inside a page."""

from __future__ import annotations

import base64
import hashlib
import io
from typing import TYPE_CHECKING

import matplotlib

from ropewalk.errors import OutputError
from ropewalk.report import style
from ropewalk.writing import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

# Names inside an SVG come from this, so that the same figure gives the same bytes.
SALT = {"svg.hashsalt": "ropewalk"}


def write_png(figure: Figure, path: Path, *, title: str, words: str, version: str, **origin: str) -> None:
    """Writes a PNG beside its place, then moves it there.

    Args:
        figure: Any figure.
        path: The PNG file; its folder is made.
        title: What the file calls itself.
        words: What the figure shows, for those who do not see it.
        version: Of the ropewalk that made the results.
        **origin: Fingerprints of what it was made from, by name.

    Raises:
        OutputError: The file cannot be written.
    """
    metadata = {"Title": f"ropewalk: {title}", "Description": words, "Software": f"ropewalk {version}"}
    metadata |= {f"ropewalk:{name}": fingerprint for name, fingerprint in origin.items()}
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=style.DOTS_PER_INCH, metadata=metadata)
    try:
        write_whole(path, image.getvalue())
    except OSError as error:
        raise OutputError(
            f"a figure must be written to a file; '{path}' cannot be written: {error.strerror}. Give another path."
        ) from error


def fingerprint_of(content: str) -> str:
    """The first 16 hex digits of SHA-256 over what a figure shows."""
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def svg_address(figure: Figure) -> str:
    """A figure as SVG inside an address (`data:image/svg+xml;base64,...`), for a page that loads nothing."""
    image = io.BytesIO()
    with matplotlib.rc_context(SALT):
        figure.savefig(image, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(image.getvalue()).decode('ascii')}"
