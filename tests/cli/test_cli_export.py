"""`ropewalk export` on the terminal: what was written and checked, refusals, and an exit code for a failed check."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ropewalk.adapters import extend_checkpoint


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    place = tmp_path_factory.mktemp("cli")
    config = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=256,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        LlamaForCausalLM(config).save_pretrained(place / "base")
    extend_checkpoint(place / "base", place / "long", "yarn", 1024)
    return place / "long"


def test_an_export_tells_the_carrier_the_checks_and_the_command(run, extended, tmp_path):
    done = run("export", str(extended), "--to", "vllm", "-o", str(tmp_path / "served"))
    assert done.exit_code == 0
    words = " ".join(done.out.split())
    assert "Carrier yarn (exact)" in words
    assert "the written config gives vllm the method's frequencies and scale" in words
    lines = done.out.splitlines()
    assert lines[lines.index("Serve it:") + 1] == f"vllm serve {tmp_path}/served --max-model-len 1024"
    assert lines[lines.index("Or the source as it is:") + 1].endswith('"max_position_embeddings": 1024}\'')
    record = run("export", str(extended), "--to", "sglang", "-o", str(tmp_path / "other"), "--json")
    assert json.loads(record.out)["engine"] == "sglang"


def test_a_check_prints_a_table_and_fails_with_exit_code_1(run, extended, tmp_path):
    run("export", str(extended), "--to", "vllm", "-o", str(tmp_path / "served"))
    passed = run("export", "--check", str(tmp_path / "served"))
    assert passed.exit_code == 0
    assert "PASS: vllm has the method's tables" in " ".join(passed.out.split())
    assert "window, tokens" in passed.out
    file = tmp_path / "served" / "config.json"
    file.write_text(file.read_text().replace('"factor": 4.0', '"factor": 4.04'))
    failed = run("export", "--check", str(tmp_path / "served"), "--engine", "vllm", "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.out)["verdict"] == "FAIL"


def test_a_gguf_is_one_file_with_its_record_and_the_command(run, extended, tmp_path):
    done = run("export", str(extended), "--to", "llama.cpp", "--dtype", "f16", "-o", str(tmp_path / "m.gguf"))
    assert done.exit_code == 0
    words = " ".join(done.out.split())
    assert "Carrier yarn (exact)" in words
    assert "every tensor read again has the bytes that were written" in words
    lines = done.out.splitlines()
    assert lines[lines.index("Serve it:") + 1] == f"llama-server -m {tmp_path}/m.gguf -c 1024"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.gguf", "m.gguf.json"]


def test_a_check_without_llama_cpp_says_how_to_get_it(run, extended, tmp_path, monkeypatch):
    run("export", str(extended), "--to", "llama.cpp", "-o", str(tmp_path / "m.gguf"))
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    done = run("export", "--check", str(tmp_path / "m.gguf"))
    assert done.exit_code == 2
    assert "logits of llama.cpp need llama-cpp-python, which is not installed" in done.paragraph
    monkeypatch.setitem(sys.modules, "gguf", None)
    done = run("export", str(extended), "--to", "ollama", "-o", str(tmp_path / "o"))
    assert done.exit_code == 2
    assert "GGUF files need gguf, which is an extra; it is not installed" in done.paragraph


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--to", "vllm", "--dtype", "f16"),
            "and vllm reads a folder, so --dtype has nothing to act on; say --to llama.cpp",
        ),
        (
            ("--to", "llama.cpp", "--copy"),
            "a GGUF file is always a copy, so --copy has nothing to act on; leave it out.",
        ),
        ((), "an export needs an engine, and a check writes nothing; got neither --to nor --check"),
        (("--to", "vllm", "--check"), "got both --check and --to"),
        (("--to", "vlm"), "no engine is called 'vlm'; did you mean 'vllm'?"),
    ],
)
def test_an_impossible_request_is_refused_in_one_paragraph(run, extended, arguments, words):
    done = run("export", str(extended), *arguments)
    assert done.exit_code == 2
    assert words in done.paragraph
    assert done.out == ""


@pytest.mark.parametrize(
    ("mode", "unread", "words"),
    [
        *(
            (("--check",), unread, "--check writes nothing, so {} has nothing to act on; say --to ENGINE in its place")
            for unread in (
                *(("-o", "out"), ("--carrier", "yarn"), ("--approximate",), ("--dtype", "f16")),
                *(("--tokenizer-pre", "llama-bpe"), ("--copy",), ("--overwrite",)),
            )
        ),
        *(
            (("--to", "vllm"), unread, "so {} has nothing to act on; say --check in its place, or leave it out.")
            for unread in (("--engine", "vllm"), ("--source", "x"), ("--whole",))
        ),
    ],
)
def test_an_option_of_writing_is_none_of_checking_and_the_other_way_round(run, extended, mode, unread, words):
    before = sorted(extended.parent.iterdir())
    done = run("export", str(extended), *mode, *unread)
    assert done.exit_code == 2
    assert words.format(unread[0]) in done.paragraph
    assert sorted(extended.parent.iterdir()) == before


def test_links_are_for_extensions_without_training(run, tmp_path):
    done = run("extend", "builtin", "--to", "512", "--steps", "2", "--link", "--no-gate", "-o", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "links stand for weight files that do not change; this run trains 2 steps" in done.paragraph
    assert list(tmp_path.iterdir()) == []
