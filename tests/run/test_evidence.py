"""Evidence in the card: measured of this very checkpoint, without a place, the same in an export."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from huggingface_hub import metadata_load
from report.page_results import AFTER, BEFORE

from ropewalk.errors import MeasurementError, ModelError
from ropewalk.report.markdown import markdown_of
from ropewalk.report.tables import curves_table
from ropewalk.result import EvaluationResult, ExtensionResult
from ropewalk.run.api import extend
from ropewalk.run.checkpoint import weights_fingerprint
from ropewalk.run.evidence import put_evidence
from ropewalk.run.export import export
from ropewalk.run.gguf import export_gguf

RESULTS = Path(__file__).resolve().parents[2] / "results"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evidence") / "long"
    extend("builtin", "yarn", 2048, output=folder)
    return folder, ExtensionResult.model_validate_json((folder / "ropewalk" / "result.json").read_text())


@pytest.fixture
def extended(made, tmp_path):
    shutil.copytree(made[0], tmp_path / "long")
    return tmp_path / "long", made[1]


def measured(folder, result, record=AFTER, **changes):
    """A recorded evaluation, said to be of the checkpoint in a folder."""
    model = result.model.model_copy(update={"name": str(folder), "weights": weights_fingerprint(folder)} | changes)
    return record.model_copy(update={"model": model})


def written(folder, *records):
    paths = []
    for number, record in enumerate(records):
        paths.append(folder.parent / f"result-{number}.json")
        paths[-1].write_text(record.model_dump_json())
    return paths


def test_a_card_shows_the_tables_and_the_figure_of_its_evaluations(extended):
    folder, result = extended
    put_evidence(folder, written(folder, BEFORE, measured(folder, result)))
    text = (folder / "README.md").read_text()
    assert "Nothing was measured" not in text
    assert "](evidence.png)" in text
    assert (folder / "evidence.png").read_bytes().startswith(b"\x89PNG")
    own = measured(folder, result).model_copy(update={"model": result.model.model_copy(update={"name": "long"})})
    assert markdown_of(curves_table([own, BEFORE])) in text  # its own model first, in whatever order they are given
    assert f"Measured on the texts {AFTER.data} with seed {AFTER.seed}" in text
    assert text.count("# ") >= 5


def test_a_certificate_stands_in_the_card_with_what_it_rests_on(extended):
    folder, result = extended
    record = EvaluationResult.model_validate_json((RESULTS / "certificate" / "demo.json").read_text())
    put_evidence(folder, written(folder, measured(folder, result, record)))
    text = (folder / "README.md").read_text()
    headline = str(record.certificate)
    assert f"**{headline[0].upper()}{headline[1:]}.**" in text
    assert text.index("| certified |") < text.index("<details>") < text.index("threshold")


def test_an_export_takes_the_evidence_along_and_no_place_is_named(extended, tmp_path):
    folder, result = extended
    put_evidence(folder, written(folder, measured(folder, result)))
    export(folder, "vllm", tmp_path / "served")
    assert (tmp_path / "served" / "evidence.png").is_file()
    for place in (folder, tmp_path / "served"):
        text = (place / "README.md").read_text()
        assert markdown_of(curves_table([measured(folder, result)])) in text
        assert str(tmp_path) not in text
    assert str(tmp_path) not in (folder / "ropewalk" / "evidence.json").read_text()
    assert str(tmp_path).encode() not in (folder / "evidence.png").read_bytes()


def test_a_folder_for_ollama_has_a_card_that_calls_it_gguf(extended, tmp_path):
    folder, result = extended
    put_evidence(folder, written(folder, measured(folder, result)))
    export_gguf(folder, "ollama", tmp_path / "o")
    assert metadata_load(tmp_path / "o" / "README.md")["library_name"] == "gguf"
    text = (tmp_path / "o" / "README.md").read_text()
    assert "ollama create o -f o/Modelfile" in text
    assert "](evidence.png)" in text
    assert (tmp_path / "o" / "evidence.png").is_file()


@pytest.mark.parametrize("changes", [{"weights": "0" * 16}, {"method": "linear, factor 8"}, {"target_length": 512}])
def test_evidence_of_another_model_is_refused_and_the_card_stays(extended, changes):
    folder, result = extended
    before = (folder / "README.md").read_bytes()
    with pytest.raises(MeasurementError, match=r"measured of its own model, yarn.*got .*ropewalk evaluate"):
        put_evidence(folder, written(folder, measured(folder, result, **changes)))
    assert (folder / "README.md").read_bytes() == before
    assert not (folder / "evidence.png").exists()


def test_results_that_do_not_compare_are_refused(extended):
    folder, result = extended
    other = BEFORE.model_copy(update={"data": "another"})
    with pytest.raises(MeasurementError, match="come from the same samples"):
        put_evidence(folder, written(folder, measured(folder, result), other))


def test_a_folder_that_was_not_extended_has_no_card_to_write(tmp_path):
    (tmp_path / "plain").mkdir()
    with pytest.raises(ModelError, match=r"a card belongs to a checkpoint that 'ropewalk extend' wrote"):
        put_evidence(tmp_path / "plain", written(tmp_path / "plain", AFTER))
