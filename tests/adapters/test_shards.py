"""A file copied with changes is the file that safetensors would write after the same arithmetic."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ropewalk.adapters import shards
from ropewalk.adapters.shards import LowRank, Replacement, RowScale, copy_changed, read_header
from ropewalk.errors import ModelError

ROWS, COLUMNS, RANK = 37, 12, 3
FORMATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def written(folder, dtype):
    """A file with a matrix, a vector and tensors of other formats around them."""
    tensors = {
        "a.first": torch.arange(5),
        "b.matrix": draw(ROWS, COLUMNS).to(dtype),
        "c.between": draw(7, seed=1).to(torch.float16),
        "d.vector": draw(ROWS, seed=2).to(dtype),
        "e.last": draw(2, 3, 4, seed=3),
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder / "model.safetensors", tensors


def low_rank(scale=0.5):
    return LowRank(draw(RANK, COLUMNS, seed=4), draw(ROWS, RANK, seed=5), scale)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("block", [1, 100, 1 << 20])
def test_changed_tensors_are_computed_exactly_and_rounded_once(tmp_path, monkeypatch, dtype, block):
    monkeypatch.setattr(shards, "BLOCK", block)
    file, tensors = written(tmp_path, dtype)
    update, factors = low_rank(), 1 + draw(ROWS, seed=6).abs()
    copy_changed(file, tmp_path / "copy", {"b.matrix": update, "d.vector": RowScale(factors)})
    exact = torch.promote_types(dtype, torch.float32)
    wanted = dict(tensors)
    wanted["b.matrix"] = (tensors["b.matrix"].double() + 0.5 * update.b.double() @ update.a.double()).to(exact)
    wanted["d.vector"] = (tensors["d.vector"].to(exact) * factors.to(exact)).to(dtype)
    got = load_file(tmp_path / "copy")
    assert {name: value.dtype for name, value in got.items()} == {name: value.dtype for name, value in tensors.items()}
    # one unit in the last place of the stored format: float32 sums in another order may fall on the other side
    tolerance = 1e-12 if dtype == torch.float64 else 1.01 * torch.finfo(dtype).eps
    torch.testing.assert_close(got["b.matrix"].double(), wanted["b.matrix"].double(), rtol=tolerance, atol=1e-6)
    for name in set(tensors) - {"b.matrix"}:
        assert torch.equal(got[name], wanted[name])


def test_a_sum_that_is_rounded_twice_is_found_out(tmp_path):
    file, tensors = written(tmp_path, torch.bfloat16)
    update = low_rank()
    copy_changed(file, tmp_path / "copy", {"b.matrix": update})
    got = load_file(tmp_path / "copy")["b.matrix"]
    once = (tensors["b.matrix"].float() + 0.5 * update.b @ update.a).bfloat16()
    twice = tensors["b.matrix"] + (0.5 * update.b @ update.a).bfloat16()
    assert torch.equal(got, once)
    assert not torch.equal(got, twice)


def test_the_header_and_every_other_byte_stay(tmp_path):
    file, tensors = written(tmp_path, torch.float32)
    copy_changed(file, tmp_path / "copy", {"b.matrix": Replacement(tensors["b.matrix"])})
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()
    copy_changed(file, tmp_path / "copy", {})
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()


def test_a_replacement_is_rounded_to_the_stored_format(tmp_path):
    file, _ = written(tmp_path, torch.bfloat16)
    value = draw(ROWS, COLUMNS, seed=8)
    copy_changed(file, tmp_path / "copy", {"b.matrix": Replacement(value)})
    assert torch.equal(load_file(tmp_path / "copy")["b.matrix"], value.bfloat16())


def test_no_more_than_a_block_of_rows_is_in_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "BLOCK", 4 * COLUMNS * 5)
    file, _ = written(tmp_path, torch.float32)
    seen = []

    class Recorder(RowScale):
        def apply(self, stored, first):
            seen.append((first, len(stored)))
            return super().apply(stored, first)

    copy_changed(file, tmp_path / "copy", {"b.matrix": Recorder(torch.ones(ROWS))})
    assert seen == [(first, min(5, ROWS - first)) for first in range(0, ROWS, 5)]


def test_a_header_is_read_as_safetensors_reads_it(tmp_path):
    file, tensors = written(tmp_path, torch.bfloat16)
    header = read_header(file)
    with safe_open(file, "pt") as opened:
        assert set(header) == set(opened.keys())
        assert all(tuple(opened.get_slice(name).get_shape()) == header[name].shape for name in header)
    assert [header[name].size for name in tensors] == [v.numel() * v.element_size() for v in tensors.values()]
    firsts = [tensor.first for tensor in header.values()]
    assert firsts == sorted(firsts)


@pytest.mark.parametrize("content", [b"", b"\x10", b"\xff" * 20, (9).to_bytes(8, "little") + b'{"a": 1.0', b"x" * 99])
def test_a_file_that_is_none_is_refused_by_name(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(
        ModelError, match=r"must be in the safetensors format; .*model\.safetensors is not .* Fetch it again"
    ):
        read_header(tmp_path / "model.safetensors")


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ModelError, match=r"must be in the safetensors format; .*gone\.safetensors is not"):
        read_header(tmp_path / "gone.safetensors")


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    file, _ = written(tmp_path, torch.float32)
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ModelError, match=r"must hold all bytes that its header names; .* does not"):
        read_header(file)


def test_weights_without_arithmetic_are_refused(tmp_path):
    header = json.dumps({"w": {"dtype": "F8_E4M3", "shape": [2, 2], "data_offsets": [0, 4]}}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"1234")
    with pytest.raises(ModelError, match=r"must be stored as F64, F32, F16, BF16 to be changed.*'w' in .* is F8_E4M3"):
        copy_changed(file, tmp_path / "copy", {"w": RowScale(torch.ones(2))})


def test_changes_fit_their_own_shapes_alone():
    assert low_rank().fits((ROWS, COLUMNS))
    assert not low_rank().fits((COLUMNS, ROWS))
    assert RowScale(torch.ones(4)).fits((4, 9))
    assert RowScale(torch.ones(4)).fits((4,))
    assert not RowScale(torch.ones(4)).fits((9, 4))
    assert not RowScale(torch.ones(4)).fits(())
    assert Replacement(torch.ones(2, 3)).fits((2, 3))
    assert not Replacement(torch.ones(2, 3)).fits((3, 2))
