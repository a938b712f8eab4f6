"""Numbers of tokens as people write them: `2048`, `2k`, `32k`, `1m`; lists such as `256,512,2k`, and of names."""

from __future__ import annotations

import re

from ropewalk.errors import OptionError

UNITS = {"": 1, "k": 1024, "m": 1024**2}
SPELLING = "write it as 2048, 2k (2,048), 32k (32,768) or 1m (1,048,576)"


def parse_length(text: str) -> int:
    """A number of tokens, at least 1.

    Args:
        text: Digits with an optional `k` (1,024) or `m` (1,048,576), in either case.

    Raises:
        OptionError: Anything else.
    """
    tokens = _whole_number("a length", text)
    if tokens < 1:
        raise OptionError(f"a length must be at least 1 token; got '{text}'; {SPELLING}.")
    return tokens


def parse_lengths(text: str) -> tuple[int, ...]:
    """Different lengths between commas, in increasing order.

    Raises:
        OptionError: A part that is no length, an empty part, or a length that stands twice.
    """
    lengths = tuple(parse_length(part) for part in _parts("lengths", text))
    if len(set(lengths)) < len(lengths):
        raise OptionError(
            f"lengths must differ, because each is measured once; got '{text}'; leave the second one out."
        )
    return tuple(sorted(lengths))


def parse_positions(text: str) -> tuple[int, ...]:
    """0-based positions between commas, in the order given.

    Raises:
        OptionError: A part that is no whole number, or an empty part.
    """
    return tuple(_whole_number("a position", part) for part in _parts("positions", text))


def parse_names(what: str, text: str) -> tuple[str, ...]:
    """Different names between commas, in the order given.

    Args:
        what: What messages call them, in the plural.
        text: Such as `paired,passkey`.

    Raises:
        OptionError: An empty part, or a name that stands twice.
    """
    names = tuple(_parts(what, text))
    if len(set(names)) < len(names):
        raise OptionError(f"{what} must differ, because each is done once; got '{text}'; leave the second one out.")
    return names


def _whole_number(what: str, text: str) -> int:
    match = re.fullmatch(r"([0-9]+)([km]?)", text.strip().lower())
    if match is None:
        raise OptionError(f"{what} must be a whole number of tokens; got '{text}'; {SPELLING}.")
    return int(match[1]) * UNITS[match[2]]


def _parts(what: str, text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise OptionError(
            f"{what} must stand between single commas, because an empty one says nothing; got '{text}'; "
            "write them as 256,512,2k."
        )
    return parts
