"""Where work runs."""

from __future__ import annotations

import os

import torch

from ropewalk.train.processes import spreads_weights, started_together


def default_device() -> torch.device:
    """This process's accelerator if there is one, else the processor."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def loading_device() -> torch.device:
    """Where a model is loaded to be trained: the processor if its weights will be spread over devices."""
    return torch.device("cpu") if spreads_weights() else default_device()


def idle_devices() -> int:
    """Accelerators of this machine that training leaves idle: a process uses one, and nothing started more of them."""
    return 0 if started_together() else max(0, torch.cuda.device_count() - 1)
