"""Where a config file lies: `python -m ropewalk.assets.accelerate fsdp2` prints its path, for `accelerate launch`."""

from __future__ import annotations

import sys
from pathlib import Path

from ropewalk.errors import RopewalkError, unknown_name

REFUSED = 2


def path_of(name: str) -> Path:
    """Path of the config file of that name.

    Raises:
        UnknownNameError: There is none.
    """
    known = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.yaml"))}
    if name not in known:
        raise unknown_name("accelerate config", name, known)
    return known[name]


if __name__ == "__main__":
    try:
        print(path_of(sys.argv[1] if len(sys.argv) > 1 else ""))
    except RopewalkError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(REFUSED) from None
