"""What 4 bits need is asked for before a weight is read."""

from __future__ import annotations

import pytest
import torch
from tiny_models import tiny_model

from ropewalk.adapters import load_model
from ropewalk.adapters.quantize import four_bits
from ropewalk.errors import OptionError


def test_four_bits_without_a_gpu_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    tiny_model().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(OptionError, match=r"need a CUDA device, .* on 'cpu' and no GPU is found. Leave quantize out"):
        load_model(tmp_path, device="cpu", quantize=True)


def test_four_bits_without_bitsandbytes_name_the_extra(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("ropewalk.adapters.quantize.find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"need bitsandbytes.*pip install 'ropewalk\[quantize\]'"):
        four_bits(torch.bfloat16, None)
