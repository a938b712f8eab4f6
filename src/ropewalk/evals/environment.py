"""Where a result was made: versions, device, threads."""

from __future__ import annotations

import platform
from importlib import metadata

import torch

from ropewalk.result import Environment
from ropewalk.version import __version__


def environment(device: torch.device) -> Environment:
    """The record of this process, computing on a device."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return Environment(
        ropewalk=__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        transformers=metadata.version("transformers"),
        numpy=metadata.version("numpy"),
        device=f"{device.type} ({name})",
        threads=torch.get_num_threads(),
    )
