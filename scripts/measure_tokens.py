"""How fast, and in how much memory, text becomes tokens and packed windows. Documented in docs/training-data.md.

    python scripts/measure_tokens.py --megabytes 1000

Writes a JSON Lines file of that size (parts of the standard library's modules, of lengths from a few hundred characters
to a hundred thousand), or with `--one` one text file, makes its token store with the built-in tokenizer, packs it, and
reads windows from all over it. Prints one line of JSON; memory is the growth of the process's highest resident set
after everything is imported.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from ropewalk import adapters
from ropewalk.data.corpus import standard_library
from ropewalk.data.sources import open_source
from ropewalk.data.windows import TextStretches


def write_text(path: Path, megabytes: float, *, one: bool) -> None:
    """Slices of the standard library from a seed, each an example of a line, or all one text."""
    text = "\n".join(standard_library(held_out=False).documents.values())
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < megabytes * 1e6:
            start, length = rng.integers(len(text)), int(min(rng.lognormal(8, 1.5), 1e5))
            piece = text[start : start + length] or "x"
            file.write(piece + "\n" if one else json.dumps({"text": piece}) + "\n")


def peak_bytes() -> int:
    """The highest resident set of this process; `getrusage` would begin with that of the parent (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def measure(path: Path, window: int) -> dict[str, float | int | str]:
    """Tokens and windows of a file, with what they cost."""
    tokenizer = adapters.load_tokenizer("builtin")
    tokenizer("warm up")
    before, began, cpu = peak_bytes(), time.monotonic(), sum(os.times()[:2])
    source = open_source([str(path)], tokenizer, window=window)
    tokenized = time.monotonic()
    result: dict[str, float | int | str] = {
        "megabytes": round(path.stat().st_size / 1e6),
        "tokens": int(source.store.lengths.sum()),
        "documents": len(source.store),
        "tokenize_seconds": round(tokenized - began, 1),
        "megabytes_per_second": round(path.stat().st_size / 1e6 / (tokenized - began), 2),
        "peak_growth_megabytes_tokenizing": round((peak_bytes() - before) / 1e6),
    }
    for packing in ("fill", "best-fit"):
        began = time.monotonic()
        text = TextStretches(source.store, window=window, reach=window, seed=0, packing=packing)
        result |= {f"{packing}_seconds": round(time.monotonic() - began, 1), f"{packing}_windows": len(text)}
        result[f"{packing}_padding_share"] = round(text.padding_share, 5)
    result["peak_growth_megabytes_packed"] = round((peak_bytes() - before) / 1e6)
    began = time.monotonic()
    for number in range(1000):
        text.stretch(number)
    result["microseconds_per_window"] = round((time.monotonic() - began) * 1e3)
    began = time.monotonic()
    again = open_source([str(path)], tokenizer, window=window)
    assert again.pace is None, "the second time the store is found"
    result["reopen_seconds"] = round(time.monotonic() - began, 1)
    return result | {"cpu_seconds": round(sum(os.times()[:2]) - cpu, 1), "threads": os.cpu_count() or 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=1000)
    parser.add_argument("--window", type=int, default=8192)
    parser.add_argument("--one", action="store_true", help="One long text instead of many examples.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ROPEWALK_CACHE"] = folder
        path = Path(folder) / ("text.txt" if arguments.one else "texts.jsonl")
        write_text(path, arguments.megabytes, one=arguments.one)
        print(json.dumps(measure(path, arguments.window)), flush=True)


if __name__ == "__main__":
    main()
