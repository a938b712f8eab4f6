"""`measure_entropy` reads a checkpoint by name and by folder, and says what it measured."""

from __future__ import annotations

import pytest

import ropewalk
from ropewalk.errors import DataError
from ropewalk.result import EntropyResult
from ropewalk.run.entropy import measure_entropy
from ropewalk.run.evaluation import weights_fingerprint


def test_the_record_names_the_model_its_method_its_weights_and_its_documents(checkpoints, text_file, tmp_path):
    long = ropewalk.extend(checkpoints["qwen3"], "entropy-abf", 256, output=tmp_path / "long")
    other = tmp_path / "other.txt"
    other.write_text(text_file.read_text()[200:])
    result = measure_entropy(long, [128, 256], [text_file, other], name="tiny")
    assert (result.model.name, result.model.trained_length, result.model.target_length) == ("tiny", 64, 256)
    assert result.model.method.startswith("entropy-abf, base 10000")
    assert result.model.weights == weights_fingerprint(long)
    assert result.model.rope["rope_theta"] == 10_000
    assert result.documents == tuple(sorted([str(text_file), str(other)]))
    assert (result.length, result.last[-1], result.last[result.reference]) == (256, 256, 64)
    assert [layer.layer for layer in result.layers] == [0, 1, 2]
    assert result.status == "complete"
    assert EntropyResult.model_validate_json(result.model_dump_json()) == result


def test_two_models_are_measured_on_the_same_documents(checkpoints):
    first, second = (measure_entropy(checkpoints[f], [64], documents=2) for f in ("qwen3", "gpt_neox"))
    assert (first.documents, first.data) == (second.documents, second.data)
    assert len(first.documents) == 2


def test_texts_that_are_shorter_than_the_length_are_refused(checkpoints, text_file):
    with pytest.raises(DataError, match="must hold one window of 4,096 tokens"):
        measure_entropy(checkpoints["qwen3"], [4096], [text_file])
