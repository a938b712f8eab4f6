"""Weights held in 4 bits while adapters are trained beside them (QLoRA, Dettmers et al., arXiv:2305.14314).

Written after the paper and the documentation of transformers and peft, and never run: no GPU was at hand.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from ropewalk.errors import OptionError


def four_bits(dtype: torch.dtype, device: torch.device | str | None) -> dict[str, Any]:
    """Arguments of `from_pretrained` for the paper's format: NormalFloat4 with quantised scales.

    Args:
        dtype: Products are computed in it.
        device: The GPU; None for the first.

    Raises:
        OptionError: There is no GPU, or bitsandbytes is not installed.
    """
    place = torch.device(device or "cuda")
    if place.type != "cuda" or not torch.cuda.is_available():
        raise OptionError(
            "weights in 4 bits need a CUDA device, because bitsandbytes has the arithmetic for nothing else; this run "
            f"is on '{place.type}'{'' if torch.cuda.is_available() else ' and no GPU is found'}. Leave quantize out: "
            "adapters train beside bfloat16 weights too."
        )
    if find_spec("bitsandbytes") is None:
        raise OptionError(
            "weights in 4 bits need bitsandbytes, which is an extra; it is not installed. Install it with: "
            "pip install 'ropewalk[quantize]'"
        )
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": settings, "device_map": {"": place}}
