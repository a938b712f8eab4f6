"""How a method is written into a checkpoint: one file for each kind of carrier.

tables     a rope type of the config, native or the universal container
folded     a constant scale, multiplied into the weights that make queries
staircase  a scale that grows with the logarithm of the position, as `ministral3`
"""

from ropewalk.adapters.carriers.tables import (
    RELATIVE_TOLERANCE,
    STANDS_STILL,
    Carrier,
    attention_factor,
    candidates,
    carrier,
    computes,
    container,
    declared_length,
    transformers_table,
)

__all__ = [
    "RELATIVE_TOLERANCE",
    "STANDS_STILL",
    "Carrier",
    "attention_factor",
    "candidates",
    "carrier",
    "computes",
    "container",
    "declared_length",
    "transformers_table",
]
