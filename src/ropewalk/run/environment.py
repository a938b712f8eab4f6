"""Where a result was made: versions, device, threads."""

from __future__ import annotations

from importlib import metadata

import numpy as np
import torch

from ropewalk.data.corpus import python_version
from ropewalk.result import Environment
from ropewalk.version import __version__


def environment(device: str = "cpu") -> Environment:
    """The record of this process."""
    name = torch.cuda.get_device_name() if device.startswith("cuda") else device
    return Environment(
        ropewalk=__version__,
        python=python_version(),
        torch=torch.__version__,
        transformers=metadata.version("transformers"),
        numpy=np.__version__,
        device=name,
        threads=torch.get_num_threads(),
    )


def default_device() -> str:
    """The accelerator if there is one, else the processor."""
    return "cuda" if torch.cuda.is_available() else "cpu"
