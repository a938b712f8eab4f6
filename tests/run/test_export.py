"""A user's round trip: nothing is lost, no weight is rewritten, and what is written is what was promised."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from ropewalk import methods
from ropewalk.adapters import extend_checkpoint
from ropewalk.errors import CarrierError, ModelError, OutputError
from ropewalk.run.export import export
from ropewalk.run.parity import check

TRAINED, TARGET = 64, 512
ENTROPY = methods.get("entropy-abf")(exempt_layers=0)
TEMPLATE = "{% for message in messages %}<{{ message.role }}> {{ message.content }}\n{% endfor %}"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Three shards in bfloat16, tied embeddings, and everything that people keep beside their weights."""
    folder = tmp_path_factory.mktemp("export") / "base"
    config = LlamaConfig(
        vocab_size=96, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=TRAINED, tie_word_embeddings=True, bos_token_id=1,
        eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.generation_config = GenerationConfig(temperature=0.3, top_p=0.8, do_sample=True, eos_token_id=[2, 5])
    model.save_pretrained(folder, max_shard_size="56KB")
    words = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2, "rope": 3, "walk": 4}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", eos_token="</s>", model_max_length=TRAINED
    )
    tokenizer.chat_template = {"default": TEMPLATE, "tools": TEMPLATE.replace("<", "[")}
    tokenizer.save_pretrained(folder)
    (folder / "LICENSE").write_text("the licence of the base")
    (folder / "notes.xyz").write_bytes(bytes(range(256)))
    (folder / "extras").mkdir()
    (folder / "extras" / "table.csv").write_text("a,b\n")
    assert len(list(folder.glob("model-*.safetensors"))) == 3
    return folder


def digests(folder, pattern="*.safetensors"):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.glob(pattern))}


def files_of(folder):
    found = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    return {name for name in found if not name.startswith("ropewalk/")}


@pytest.fixture(scope="module")
def extended(base):
    folder = base.with_name("extended")
    extend_checkpoint(base, folder, "yarn", TARGET, link=True)
    return folder


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_a_round_trip_loses_nothing_and_rewrites_no_weight(base, extended, tmp_path, engine):
    folder, result = export(extended, engine, tmp_path / "out")
    assert files_of(folder) == files_of(extended) == files_of(base)
    assert digests(folder) == digests(base)
    for shard in base.glob("*.safetensors"):
        assert (folder / shard.name).stat().st_ino == shard.stat().st_ino
    assert result.weights == "linked"
    untouched = files_of(base) - {"config.json", "tokenizer_config.json"}
    for name in untouched:
        assert (folder / name).read_bytes() == (base / name).read_bytes(), name
    before, after = (json.loads((place / "config.json").read_text()) for place in (base, folder))
    changed = {"rope_parameters", "rope_scaling", "rope_theta", "max_position_embeddings", "ropewalk"}
    assert {k: v for k, v in after.items() if k not in changed} == {k: v for k, v in before.items() if k not in changed}
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.generation_config.top_p == 0.8
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.model_max_length == TARGET
    assert set(tokenizer.chat_template) == {"default", "tools"}


def test_generation_that_ends_at_the_old_window_ends_at_the_new_one(extended, tmp_path):
    """Of a checkpoint that somebody else extended; ropewalk's own are told when they are made."""
    stale = tmp_path / "stale"
    shutil.copytree(extended, stale)
    (stale / "generation_config.json").write_text(json.dumps({"max_length": TRAINED, "top_p": 0.8}))
    folder, _ = export(stale, "vllm", tmp_path / "out")
    written = json.loads((folder / "generation_config.json").read_text())
    assert written == {"max_length": TARGET, "top_p": 0.8}


def test_the_record_says_what_was_written_and_checked(extended, tmp_path):
    folder, result = export(extended, "vllm", tmp_path / "out")
    assert json.loads((folder / "ropewalk" / "export.json").read_text()) == result.model_dump(mode="json")
    assert (result.carrier, result.exact, result.loses) == ("yarn", True, None)
    assert result.serve == f"vllm serve {folder} --max-model-len 512"
    assert result.serve_source.startswith(f"vllm serve {extended} --max-model-len 512 --hf-overrides '{{\"rope_param")
    assert {(cell.length, cell.phase) for cell in result.parity} == {
        (length, phase) for length in (TRAINED, TARGET) for phase in ("prefill", "decode")
    }
    assert "hard links" in result.notes[0]


def test_ten_gigabytes_of_weights_are_linked(base, tmp_path):
    """A hole of nine GiB stands for the tensors of a shard: copying it would take minutes and the space."""
    big = tmp_path / "big"
    big.mkdir()
    for file in base.iterdir():
        if file.is_file():
            os.link(file, big / file.name)
    shard = big / "model-00003-of-00003.safetensors"
    header = json.dumps(
        {name: {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i, name in enumerate(load_file(shard))}
        | {"hole": {"dtype": "U8", "shape": [9 << 30], "data_offsets": [len(load_file(shard)), 9 << 30]}}
    ).encode()
    header = header.replace(b"[9663676416]", f"[{(9 << 30) - len(load_file(shard))}]".encode())
    shard.unlink()
    with shard.open("wb") as hole:
        hole.write(len(header).to_bytes(8, "little") + header)
        hole.truncate(8 + len(header) + (9 << 30))
    extend_checkpoint(big, tmp_path / "extended", "yarn", TARGET, link=True)
    folder, _ = export(tmp_path / "extended", "vllm")
    assert folder.name == "extended-vllm"
    linked = (folder / shard.name).stat()
    assert linked.st_size > 9 << 30
    assert (linked.st_ino, linked.st_size) == (shard.stat().st_ino, shard.stat().st_size)
    assert linked.st_blocks == shard.stat().st_blocks < 100  # the header


def test_a_folded_scale_changes_the_queries_alone_and_says_how_it_was_rounded(base, extended, tmp_path):
    folder, result = export(extended, "transformers", tmp_path / "out", carrier="folded")
    assert result.weights == "changed"
    assert "each rounded once to bfloat16" in result.notes[0]
    assert result.serve_source is None
    before, after = (
        {k: v for file in place.glob("*.safetensors") for k, v in load_file(file).items()} for place in (base, folder)
    )
    scale = (0.1 * torch.log(torch.tensor(8.0)) + 1) ** 2
    for name, weight in before.items():
        wanted = (weight.float() * scale).bfloat16() if "q_proj" in name else weight
        assert torch.equal(after[name], wanted), name
    assert check(folder).verdict == "PASS"  # these random weights attend so evenly that the rounding does not show
    with pytest.raises(ModelError, match=r"could fold a scale twice; .*out is an export itself"):
        export(folder, "vllm")


def test_copies_are_made_where_they_are_asked_for_or_links_cannot_be(base, extended, tmp_path, monkeypatch):
    folder, result = export(extended, "sglang", tmp_path / "asked", copy=True)
    assert (result.weights, digests(folder)) == ("copied", digests(base))

    def refuse(*arguments):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    folder, result = export(extended, "sglang", tmp_path / "forced")
    assert (result.weights, digests(folder)) == ("copied", digests(base))
    assert not {file.stat().st_ino for file in folder.glob("*")} & {file.stat().st_ino for file in base.glob("*")}


def perturb(folder, pair):
    """One factor of the container, off by a percent."""
    file = folder / "config.json"
    config = json.loads(file.read_text())
    for place in (config["rope_parameters"], config["rope_scaling"]):
        for key in ("short_factor", "long_factor"):
            place[key][pair] *= 1.01
    file.unlink()
    file.write_text(json.dumps(config))


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_one_factor_off_by_a_percent_fails_the_check(extended, tmp_path, engine):
    folder, _ = export(extended, engine, tmp_path / "out", carrier="longrope")
    assert check(folder).verdict == "PASS"
    perturb(folder, 4)
    result = check(folder)
    assert result.verdict == "FAIL"
    assert "turns pair 4 by" in result.reason
    assert max(cell.largest_difference for cell in result.cells) > 0


def test_an_extended_checkpoint_is_checked_as_plain_transformers_loads_it(base, extended, tmp_path):
    assert check(extended, "vllm").verdict == "PASS"
    extend_checkpoint(base, tmp_path / "short", "yarn", TRAINED + 32)
    whole = check(tmp_path / "short", whole=True)
    assert [cell.tokens for cell in whole.cells] == [TRAINED, TRAINED, TRAINED + 32, TRAINED + 32]
    assert whole.verdict == "PASS"
    extend_checkpoint(base, tmp_path / "entropy", ENTROPY, TARGET)
    entropy = check(tmp_path / "entropy")
    assert entropy.verdict == "FAIL"  # plain transformers sees the frequencies alone
    assert "transformers has the method's tables, but logits differ" in entropy.reason
    assert entropy.cells[0].largest_difference == 0
    extend_checkpoint(base, tmp_path / "parts", "ntk-by-parts", TARGET)
    result = check(tmp_path / "parts", "vllm")
    assert result.verdict == "FAIL"
    assert "instead of 1: attention_factor" in result.reason


def test_an_approximation_is_called_one_by_the_check(base, tmp_path):
    extend_checkpoint(base, tmp_path / "entropy", ENTROPY, TARGET)
    with pytest.raises(CarrierError, match=r"Write it with --approximate"):
        export(tmp_path / "entropy", "vllm")
    folder, result = export(tmp_path / "entropy", "vllm", approximate=True)
    assert not result.exact
    assert result.serve_source is None
    config = json.loads((folder / "config.json").read_text())
    assert config["llama_4_scaling"] == {
        "beta": config["rope_parameters"]["llama_4_scaling_beta"],
        "original_max_position_embeddings": TRAINED,
    }
    assert "ropewalk" not in config  # loading it must not scale a second time
    checked = check(folder)
    assert checked.verdict == "APPROXIMATE"
    assert "the scale on logits differs by at most 0.163" in checked.reason


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(base, extended, tmp_path):
    with pytest.raises(ModelError, match=r"compares with the method that a checkpoint records, .*base records none"):
        export(base, "vllm", tmp_path / "out")
    with pytest.raises(OutputError, match=r"must not exist yet"):
        export(extended, "vllm", tmp_path)
    with pytest.raises(OutputError, match=r"must lie outside the source"):
        export(extended, "vllm", extended / "inside")
    with pytest.raises(CarrierError, match=r"there is none to try"):
        export(extended, "vllm", tmp_path / "out", carrier="staircase")
    assert list(tmp_path.iterdir()) == []


def test_an_export_whose_source_is_gone_asks_for_it(extended, tmp_path):
    extended_copy = tmp_path / "moved"
    export(extended, "vllm", tmp_path / "out")
    record = tmp_path / "out" / "ropewalk" / "export.json"
    text = record.read_text()
    record.write_text(text.replace(str(extended.resolve()), str(extended_copy)))
    with pytest.raises(ModelError, match=r"moved, which is gone. Name it with --source DIR"):
        check(tmp_path / "out")
    assert check(tmp_path / "out", source=extended).verdict == "PASS"
    record.write_text("{}")
    with pytest.raises(ModelError, match=r"must be the record of an export"):
        check(tmp_path / "out")
