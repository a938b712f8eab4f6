"""Tokenizes and packs a small and a large file and prints by how much the process grew: for test_training_data.

    python peak_memory.py SMALL LARGE

A third number says how much it grows when all tokens of the large one are held, so that the first two mean something.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path

from ropewalk import adapters
from ropewalk.data import sources, store
from ropewalk.data.windows import TextStretches


def growth(function) -> int:
    """Bytes by which the highest resident memory exceeds that before."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # sets the highest resident memory back to the present one
    before = resident("VmRSS")
    kept = function()
    peak = resident("VmHWM") - before
    del kept
    return peak


def resident(field: str) -> int:
    return 1024 * int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0])


def packed(file: str, tokenizer) -> TextStretches:
    source = sources.open_source([file], tokenizer, window=1024)
    return TextStretches(source.store, window=1024, reach=1024, seed=0, packing="best-fit")


def main(small: str, large: str) -> None:
    sources.TOGETHER_CHARACTERS = 2**15  # so that what one call takes does not hide what the file takes
    store.BATCH_TOKENS = 2**18
    sources.IN_MEMORY_BYTES = -1
    tokenizer = adapters.load_tokenizer("builtin")
    packed(small, tokenizer)  # imports, and the tokenizer's own memory of words
    Path(small).write_bytes(Path(small).read_bytes() + b"\n")
    sizes = [growth(lambda file=file: packed(file, tokenizer)) for file in (small, large)]
    held = packed(large, tokenizer).store
    print(*sizes, growth(lambda: [held[document].astype("int32") for document in range(len(held))]))


if __name__ == "__main__":
    main(*sys.argv[1:])
