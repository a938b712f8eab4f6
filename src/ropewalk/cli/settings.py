"""What options have in common: `--set key=value` for a method's own, and a refusal of those that nothing reads."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from ropewalk.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALLOW_PICKLE = "Read weights from pickle files, which can run code: for makers that you trust."
TRUST_REMOTE_CODE = "Run Python code that lies in the checkpoint: for makers that you trust."


def parse_settings(items: Iterable[str], *, example: str = "--set factor=8") -> dict[str, Any]:
    """Options by name.

    A value is read as TOML (`8`, `0.5`, `1e6`, `true`, `[1.0, 2.0]`, `"text"`), so that a run file and the command line
    mean the same by the same characters; what is not TOML is taken as text (`ramp=turns`).

    Args:
        items: As they came from the command line.
        example: How one is written, for messages.

    Raises:
        OptionError: An item without `=` or without a key, or a key that stands twice.
    """
    settings: dict[str, Any] = {}
    for item in items:
        key, sign, text = item.partition("=")
        key = key.strip().replace("-", "_")
        if not (sign and key):
            raise OptionError(f"an option must be given as key=value; got '{item}'; write it as {example}.")
        if key in settings:
            raise OptionError(f"an option must be given once; got '{key}' twice; leave one of them out.")
        settings[key] = _value(text.strip())
    return settings


def refuse_unread(why: str, options: Mapping[str, Any], otherwise: str = "") -> None:
    """Refuses options that were given and that the chosen work does not read, so that none is ignored silently.

    Args:
        why: The choice that leaves them out, such as `--no-gate leaves the gate out`.
        options: Values by flag; an option that was not given is None, False or empty.
        otherwise: What would make them act, such as `add --probe`.

    Raises:
        OptionError: One of them was given.
    """
    given = [flag for flag, value in options.items() if not (value is None or value is False or value in ([], ()))]
    if not given:
        return
    *before, last = given
    flags, have, them = (f"{', '.join(before)} and {last}", "have", "them") if before else (last, "has", "it")
    advice = f"{otherwise}, or leave {them} out" if otherwise else f"leave {them} out"
    raise OptionError(f"{why}, so {flags} {have} nothing to act on; {advice}.")


def _value(text: str) -> Any:
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return document["value"] if document.keys() == {"value"} else text
