"""Two processes train what one does: DDP through Trainer, and FSDP2 over the same objective."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

SCRIPT = Path(__file__).with_name("several_processes.py")


def started(folder: Path, *, processes: int) -> Path:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), str(SCRIPT), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return started(tmp_path_factory.mktemp("one"), processes=1)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return started(tmp_path_factory.mktemp("two"), processes=2)


def found(folder: Path):
    return ast.literal_eval((folder / "losses").read_text()), load_file(folder / "weights")


@pytest.mark.parametrize("way", ["ddp", "fsdp2"])
@pytest.mark.parametrize("choice", ["contiguous", "cream", "entropy-abf", "gap"])
def test_two_processes_reproduce_one(way, choice, one, two):
    one_losses, one_weights = found(one / f"{way}-{choice}")
    two_losses, two_weights = found(two / f"{way}-{choice}")
    assert two_losses == pytest.approx(one_losses, abs=1e-5)
    assert one_weights.keys() == two_weights.keys()
    for name, weights in one_weights.items():
        assert abs(weights - two_weights[name]).max() < 1e-5, name
    assert len(set(one_losses)) > 1


def test_the_comparison_bites(one, two):
    contiguous, _ = found(one / "ddp-contiguous")
    other, _ = found(two / "ddp-entropy-abf")
    assert other != pytest.approx(contiguous, abs=1e-5)
