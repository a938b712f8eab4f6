"""The committed comparison with llama.cpp passed, and the files that it was made with are still what is written."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from ropewalk.adapters.gguf.vocabulary import PRE_TOKENIZERS

ROOT = Path(__file__).parents[2]
RESULT = json.loads((ROOT / "results" / "engines" / "llama-cpp.json").read_text("utf-8"))


def load_script():
    specification = importlib.util.spec_from_file_location(
        "measure_llama_cpp", ROOT / "scripts" / "measure_llama_cpp.py"
    )
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # its dataclasses look their own module up
    specification.loader.exec_module(module)
    return module


SCRIPT = load_script()


def test_every_case_agreed_with_llama_cpp_in_tokens_and_logits():
    assert list(RESULT["cases"]) == list(SCRIPT.CASES)
    for name, row in RESULT["cases"].items():
        assert row["verdict"] == "PASS", name
        assert {(cell["length"], cell["phase"]) for cell in row["cells"]} == {
            (length, phase)
            for length in ((256, 2048) if "builtin" in name else (64, 512))
            for phase in ("prefill", "decode")
        }
        for cell in row["cells"]:
            assert cell["largest_difference"] <= RESULT["tolerance"] == 1e-2
            assert cell["first_divergent_token"] is None


def test_every_recognised_tokenizer_cut_texts_as_llama_cpp_does():
    assert RESULT["tokenizers"] == dict.fromkeys((*PRE_TOKENIZERS.values(), "llama"), True)


def test_without_divisors_or_factor_llama_cpp_is_silently_wrong():
    plain = {name: row["plain_largest_difference"] for name, row in RESULT["cases"].items() if row["divisors"]}
    assert {"llama llama3", "llama longrope", "llama yarn, straight in turns"} <= set(plain)
    assert all(difference > 1 for difference in plain.values())
    assert RESULT["cases"]["qwen3 ntk-by-parts with yarn's ramp"]["plain_largest_difference"] > 0.1


@pytest.mark.parametrize("name", list(SCRIPT.CASES))
def test_the_files_written_today_are_those_that_were_compared(name, tmp_path):
    file, carrier = SCRIPT.write(SCRIPT.CASES[name], tmp_path)
    row = RESULT["cases"][name]
    assert carrier == row["carrier"]
    found = SCRIPT.contents(file)
    assert found["keys"] == row["keys"]
    assert found["architecture"] == row["architecture"]
    assert found["tensors"] == row["tensors"]
    if row["divisors"] is None:
        assert found["divisors"] is None
    else:
        assert found["divisors"] == pytest.approx(row["divisors"], rel=3e-7)
