"""A figure's file, whole or not at all, with what it was made from in its metadata; and a figure inside a page."""

from __future__ import annotations

import base64
import io
from contextlib import suppress
from typing import TYPE_CHECKING

import matplotlib

from ropewalk.errors import OutputError
from ropewalk.report import style

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.figure import Figure

# Names inside an SVG come from this, so that the same figure gives the same bytes.
SALT = {"svg.hashsalt": "ropewalk"}


def write_png(figure: Figure, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes a PNG beside its place, then moves it there.

    Args:
        figure: Any figure.
        path: The PNG file; its folder is made.
        metadata: Text chunks of the file.

    Raises:
        OutputError: The file cannot be written.
    """
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=style.DOTS_PER_INCH, metadata=dict(metadata))
    beside = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(image.getvalue())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise OutputError(
            f"a figure must be written to a file; '{path}' cannot be written: {error.strerror}. Give another path."
        ) from error


def svg_address(figure: Figure) -> str:
    """A figure as SVG inside an address (`data:image/svg+xml;base64,...`), for a page that loads nothing."""
    image = io.BytesIO()
    with matplotlib.rc_context(SALT):
        figure.savefig(image, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(image.getvalue()).decode('ascii')}"
