"""Bad checkpoints through every verb: exit code 2, one paragraph, nothing left behind."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from ropewalk.adapters import extend_checkpoint
from ropewalk.adapters.files import bring_weights


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """An unextended checkpoint, and one that was extended: export takes only the latter."""
    place = tmp_path_factory.mktemp("sound")
    config = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=256,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        LlamaForCausalLM(config).save_pretrained(place / "base", max_shard_size="100KB")
    extend_checkpoint(place / "base", place / "long", "yarn", 1024)
    return place


def change(folder, **entries):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))


def pickle_only(folder):
    tensors = {name: value for file in sorted(folder.glob("*.safetensors")) for name, value in load_file(file).items()}
    for file in [*folder.glob("*.safetensors"), *folder.glob("*.index.json")]:
        file.unlink()
    torch.save(tensors, folder / "pytorch_model.bin")


def cut(folder):
    file = sorted(folder.glob("*.safetensors"))[-1]
    file.write_bytes(file.read_bytes()[:-100])


BAD = {
    "unknown-type": lambda f: change(f, rope_parameters=None, rope_scaling={"type": "magic", "factor": 2.0}),
    "two-settings": lambda f: change(
        f,
        rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4},
        rope_scaling={"rope_type": "linear", "factor": 2.0},
    ),
    "shards-missing": lambda f: sorted(f.glob("*.safetensors"))[0].unlink(),
    "shard-broken": cut,
    "pickle-only": pickle_only,
    "remote-code": lambda f: change(
        f, model_type="nobody", auto_map={"AutoModelForCausalLM": "modeling_nobody.Nobody"}
    ),
}


@pytest.fixture
def bad(sound, tmp_path):
    def make(source, name):
        folder = tmp_path / "bad"
        folder.mkdir()
        bring_weights(sound / source, folder, link=False)
        (folder / "config.json").write_bytes((sound / source / "config.json").read_bytes())
        BAD[name](folder)
        (folder / "modeling_nobody.py").write_text(f"open({str(tmp_path / 'it ran')!r}, 'w')")
        return folder

    return make


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        ("base", ("inspect", "BAD")),
        ("base", ("inspect", "BAD", "--fix", "-o", "OUT")),
        ("base", ("extend", "BAD", "--to", "1024", "-o", "OUT")),
        ("base", ("evaluate", "BAD", "--lengths", "192", "--no-certificate", "-o", "OUT")),
        ("long", ("export", "BAD", "--to", "vllm", "-o", "OUT")),
    ],
    ids=["inspect", "fix", "extend", "evaluate", "export"],
)
def test_a_bad_checkpoint_is_refused_in_one_paragraph_and_nothing_is_left(run, bad, tmp_path, name, source, arguments):
    folder = bad(source, name)
    before = sorted(path.name for path in folder.iterdir())
    places = {"BAD": str(folder), "OUT": str(tmp_path / "out")}
    outcome = run(*(places.get(argument, argument) for argument in arguments))
    assert outcome.exit_code == 2
    assert outcome.err.startswith("Error: ")
    assert outcome.err.strip().count("\n\n") == 0
    assert f"(rule {name})" in outcome.paragraph
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad"]
    assert sorted(path.name for path in folder.iterdir()) == before


def test_pickles_are_read_where_the_user_allows_them(run, bad, tmp_path):
    folder = bad("base", "pickle-only")
    assert run("inspect", str(folder), "--allow-pickle").exit_code == 0
    done = run("extend", str(folder), "--to", "1024", "-o", str(tmp_path / "out"), "--no-gate", "--allow-pickle")
    assert done.exit_code == 0
    assert (tmp_path / "out" / "pytorch_model.bin").is_file()
    assert run("inspect", str(tmp_path / "out")).exit_code == 2


def test_a_repair_is_written_and_told(run, model, tmp_path):
    scaling = {"rope_type": "yarn", "factor": 4.0}
    folder = model(
        model_type="llama", hidden_size=64, num_attention_heads=4, num_hidden_layers=2, vocab_size=64,
        max_position_embeddings=1024, rope_theta=1e4, rope_scaling=scaling,
    )  # fmt: skip
    save_file({"a": np.ones(2, np.float32)}, f"{folder}/model.safetensors")
    out = tmp_path / "out"
    done = run("inspect", folder, "--fix", "-o", str(out), "--set", "trained_length=256")
    assert done.exit_code == 0
    assert "1 repaired" in done.out
    assert "(original-missing)" in " ".join(done.out.split())
    shown = run("inspect", str(out))
    assert "Scaled by yarn, factor 4, to 1,024 tokens" in " ".join(shown.out.split())
    assert json.loads(run("inspect", str(out), "--json").out)["findings"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--overwrite",), "nothing is written, so --overwrite has nothing to act on; add --fix -o OUT"),
        (
            ("--fix", "-o", "x", "--json"),
            "--fix tells what it repaired, and no numbers, so --json has nothing to act on",
        ),
        (("--fix",), "a repaired copy needs --fix and a place for it; got one of them"),
        (("--set", "trained=4"), "no thing that a checkpoint can be told is called 'trained'"),
        (("--set", "trained_length=1"), "trained_length must be a whole number of at least 2; got 1"),
        (("--fix", "-o", "x"), "only what is certain is repaired"),
    ],
)
def test_what_inspect_cannot_do_is_refused_in_words(run, arguments, words):
    outcome = run("inspect", "builtin", *arguments)
    assert outcome.exit_code == 2
    assert words in outcome.paragraph
