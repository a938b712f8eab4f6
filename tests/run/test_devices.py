"""One process trains on one device; where others idle, people hear how to use them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ropewalk.run import training
from ropewalk.run.device import idle_devices
from ropewalk.run.extension import Silent


class Heard(Silent):
    def __init__(self):
        self.stages = []

    def stage(self, text):
        self.stages.append(text)


@pytest.mark.parametrize(("there", "processes", "idle"), [(0, 1, 0), (1, 1, 0), (4, 1, 3), (4, 4, 0)])
def test_people_hear_of_devices_that_idle_and_how_to_use_them(there, processes, idle, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    assert idle_devices() == idle
    heard = Heard()
    training._tell_more(SimpleNamespace(sources=()), SimpleNamespace(kind="all"), None, heard)
    assert [f"{idle} idle; `accelerate launch`" in stage for stage in heard.stages] == [True] * bool(idle)
