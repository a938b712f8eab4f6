"""GGUF files: their keys give the method, their tensors are the model's, and what would come out wrong is refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import TARGET, TRAINED, tiny_model
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from ropewalk import methods
from ropewalk.adapters import extend_checkpoint
from ropewalk.adapters.export import choose, read_subject
from ropewalk.adapters.gguf import GGUF_ENGINES, read_gguf
from ropewalk.adapters.gguf.vocabulary import read_vocabulary
from ropewalk.analysis.llama_cpp import DIVISORS
from ropewalk.errors import CarrierError, ModelError, OptionError, OutputError
from ropewalk.run.gguf import export_gguf
from ropewalk.run.gguf_parity import check_gguf

ENGINE = GGUF_ENGINES["llama.cpp"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("gguf")


@pytest.fixture(scope="module")
def extended(place):
    """Makes an extended checkpoint of a family, once."""

    def make(family="llama", method="yarn", **config):
        name = "-".join([family, str(method), *map(str, config)]).replace(" ", "")[:60]
        if not (place / name).exists():
            tiny_model(family, **config).save_pretrained(place / f"{name}-base", max_shard_size="60KB")
            extend_checkpoint(place / f"{name}-base", place / name, method, TARGET)
        return place / name

    return make


def tensors_of(file):
    from gguf import GGUFReader

    return {tensor.name: np.array(tensor.data) for tensor in GGUFReader(file).tensors}


def test_queries_and_keys_are_interleaved_for_llama_and_everything_else_stays(extended, tmp_path):
    folder = extended()
    file, result = export_gguf(folder, "llama.cpp", tmp_path / "m.gguf", dtype="f32")
    stored = {}
    for shard in folder.glob("*.safetensors"):
        stored |= load_file(shard)
    found = tensors_of(file)
    queries = stored["model.layers.1.self_attn.q_proj.weight"].numpy().reshape(4, 16, 64)
    got = found["blk.1.attn_q.weight"].reshape(4, 16, 64)
    for pair in range(8):  # dimensions 0 and 8 of a head are a pair; llama.cpp wants them side by side
        np.testing.assert_array_equal(got[:, 2 * pair], queries[:, pair])
        np.testing.assert_array_equal(got[:, 2 * pair + 1], queries[:, pair + 8])
    np.testing.assert_array_equal(found["blk.1.attn_v.weight"], stored["model.layers.1.self_attn.v_proj.weight"])
    np.testing.assert_array_equal(found["output.weight"], stored["lm_head.weight"])
    assert len(found) == len(stored)
    assert result.weights == f"{len(stored)} tensors in one file, matrices in f32"
    assert json.loads((tmp_path / "m.gguf.json").read_text())["carrier"] == "yarn"


def test_qwen_keeps_its_rows_and_its_biases_in_float32(extended, tmp_path):
    folder = extended("qwen2")
    file, _ = export_gguf(folder, "llama.cpp", tmp_path / "m.gguf", dtype="f16")
    stored = {}
    for shard in folder.glob("*.safetensors"):
        stored |= load_file(shard)
    found = tensors_of(file)
    queries = stored["model.layers.0.self_attn.q_proj.weight"]
    np.testing.assert_array_equal(found["blk.0.attn_q.weight"], queries.to(torch.float16).numpy())
    assert found["blk.0.attn_q.bias"].dtype == found["output_norm.weight"].dtype == np.float32


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_matrices_are_rounded_once_to_the_wanted_format(extended, tmp_path, dtype):
    file, _ = export_gguf(extended(), "llama.cpp", tmp_path / "m.gguf", dtype=dtype)
    words = read_gguf(file, digests=True).digests["token_embd.weight"].split()
    assert words[1:] == [{"f32": "float32", "f16": "float16", "bf16": "bfloat16"}[dtype], "64x64"]


def test_tied_embeddings_are_stored_once(extended, tmp_path):
    file, _ = export_gguf(extended(tie_word_embeddings=True), "llama.cpp", tmp_path / "m.gguf")
    assert "output.weight" not in read_gguf(file, digests=True).digests


@pytest.mark.parametrize("method", ["linear", "yarn", "llama3", "abf", "ntk", "longrope"])
def test_the_keys_of_every_static_method_give_its_table(extended, method):
    subject = read_subject(extended("llama", method if method != "longrope" else _longrope()))
    form = choose(ENGINE, subject)
    assert form.loses is None
    assert ENGINE.complaint(form, subject) is None
    keys = dict(form.rope_parameters)
    if DIVISORS in keys:
        wrong = {**keys, DIVISORS: [1.01 * keys[DIVISORS][0], *keys[DIVISORS][1:]]}
    else:
        wrong = {**keys, "rope.freq_base": 1.01 * keys["rope.freq_base"]}
    assert "turns pair" in ENGINE.complaint(dataclasses.replace(form, rope_parameters=wrong), subject)
    louder = {**keys, "rope.scaling.attn_factor": 1.01 * keys.get("rope.scaling.attn_factor", 1)}
    assert "multiplies cos and sin" in ENGINE.complaint(dataclasses.replace(form, rope_parameters=louder), subject)


def _longrope():
    return methods.get("longrope")(factor=8.0, factors=(1.0, 1.1, 1.3, 1.5, 2.5, 5.0, 7.0, 8.0))


def test_what_llama_cpp_cannot_read_is_refused_where_the_architecture_has_no_divisors(extended):
    with pytest.raises(CarrierError, match=r"it does not read rope_freqs\.weight"):
        choose(ENGINE, read_subject(extended("qwen2", "llama3")))


def test_a_scale_by_position_needs_leave_and_becomes_stairs(extended, tmp_path):
    folder = extended("llama", "entropy-abf")
    with pytest.raises(CarrierError, match="nearest form is 'staircase'"):
        export_gguf(folder, "llama.cpp", tmp_path / "m.gguf")
    file, result = export_gguf(folder, "llama.cpp", tmp_path / "m.gguf", approximate=True)
    found = read_gguf(file)
    assert found.architecture == "mistral3"
    assert found.keys["rope.scaling.original_context_length"] == TRAINED
    assert found.keys["attention.temperature_scale"] == pytest.approx(1 / np.log(TRAINED), rel=1e-6)
    assert "the scale on logits differs" in result.loses


@pytest.mark.parametrize(
    ("family", "config", "words"),
    [
        ("phi", {}, "this is 'phi': its keys and tensors have not been compared with llama.cpp here"),
        ("mistral", {"sliding_window": 32}, "a sliding window of 32 tokens, which llama.cpp does not apply"),
        ("llama", {"hidden_act": "gelu"}, "its activation is gelu"),
        ("qwen2", {"head_dim": 32}, "takes the size of its heads for hidden size / heads"),
        ("qwen3", {"attention_bias": True}, "no biases in its attention"),
    ],
)
def test_a_model_that_llama_cpp_would_compute_otherwise_is_refused(extended, tmp_path, family, config, words):
    with pytest.raises(CarrierError, match=words):
        export_gguf(extended(family, "linear", **config), "llama.cpp", tmp_path / "m.gguf")
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_is_missing_leaves_nothing_behind(extended, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    source = extended()
    for file in source.iterdir():
        if file.is_file() and not file.name.startswith("model-00001"):
            (folder / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelError, match=r"1 is not there \(model-00001"):
        export_gguf(folder, "llama.cpp", tmp_path / "m.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_a_file_that_was_changed_is_told_from_the_method(extended, tmp_path):
    subject = read_subject(extended())
    form = choose(ENGINE, subject)
    ENGINE.write(form, subject, tmp_path / "m.gguf", "f32", None)
    keys = {**form.rope_parameters, "rope.scaling.factor": 8.08}
    with pytest.raises(CarrierError, match=r"read again, llama\.cpp turns pair"):
        _write_other(dataclasses.replace(form, rope_parameters=keys), subject, tmp_path)
    whole = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "m.gguf").write_bytes(whole[:-5000])
    with pytest.raises(CarrierError, match="a GGUF file must be whole"):
        read_gguf(tmp_path / "m.gguf")


def _write_other(form, subject, folder):
    ENGINE.write(form, subject, folder / "other.gguf", "f32", None)


def test_options_and_places_are_checked_before_anything_is_written(extended, tmp_path):
    with pytest.raises(OptionError, match="stored as f32, f16, bf16; got --dtype q4"):
        export_gguf(extended(), "llama.cpp", tmp_path / "m.gguf", dtype="q4")
    with pytest.raises(OptionError, match=r"name ends in \.gguf"):
        export_gguf(extended(), "llama.cpp", tmp_path / "m")
    (tmp_path / "m.gguf").write_text("kept")
    with pytest.raises(OutputError, match="nothing is overwritten by accident"):
        export_gguf(extended(), "llama.cpp", tmp_path / "m.gguf")
    assert (tmp_path / "m.gguf").read_text() == "kept"
    with pytest.raises(ModelError, match="Name it with --source DIR"):
        check_gguf(tmp_path / "m.gguf")
    with pytest.raises(ModelError, match="is given one GGUF file"):
        check_gguf(tmp_path / "none.gguf")


def test_ollama_gets_a_folder_with_the_window_in_its_modelfile(extended, tmp_path):
    folder, result = export_gguf(extended(), "ollama", tmp_path / "served")
    name = extended().name
    assert (folder / "Modelfile").read_text() == f"FROM ./{name}.gguf\nPARAMETER num_ctx {TARGET}\n"
    assert sorted(path.name for path in folder.iterdir()) == ["Modelfile", f"{name}.gguf", "ropewalk"]
    assert result.serve == f"ollama create served -f {folder}/Modelfile && ollama run served"


def test_the_built_in_tokenizer_is_recognised(tmp_path):
    extend_checkpoint("builtin", tmp_path / "long", "yarn", 512)
    subject = read_subject(tmp_path / "long")
    vocabulary = read_vocabulary(subject.config, subject.folder)
    assert (vocabulary.kind, vocabulary.pre, len(vocabulary.tokens)) == ("gpt2", "smollm", 4096)
    assert vocabulary.types[:3] == (3, 3, 1)


def saved(folder, tokenizer, config):
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return read_vocabulary(config, folder)


def test_tokenizers_that_llama_cpp_may_not_have_are_refused_unless_somebody_names_them(extended, tmp_path):
    config = dataclasses.replace(read_subject(extended()).config, vocabulary_size=8)
    bytewise = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    bytewise.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(CarrierError, match=r"this one cuts texts by .*Whitespace"):
        saved(tmp_path / "one", bytewise, config)
    assert read_vocabulary(config, tmp_path / "one", "gpt-2").pre == "gpt-2"
    with pytest.raises(CarrierError, match="this one is WordLevel"):
        saved(tmp_path / "two", Tokenizer(models.WordLevel({"a": 0}, "a")), config)
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "tokenizer.model").write_bytes(b"")
    with pytest.raises(CarrierError, match=r"this one is tokenizer\.model alone"):
        read_vocabulary(config, tmp_path / "three")


def test_sentencepiece_scores_follow_the_order_of_merges(extended, tmp_path):
    words = {"<unk>": 0, "<0x41>": 1, "▁": 2, "a": 3, "b": 4, "ab": 5, "▁ab": 6}
    tokenizer = Tokenizer(models.BPE(words, [("▁", "ab"), ("a", "b")], unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.ByteFallback()
    config = dataclasses.replace(read_subject(extended()).config, vocabulary_size=8)
    vocabulary = saved(tmp_path / "one", tokenizer, config)
    assert vocabulary.kind == "llama"
    assert vocabulary.types == (2, 6, 1, 1, 1, 1, 1, 5)
    assert vocabulary.scores[6] == 0 > vocabulary.scores[5] == -1 > vocabulary.scores[3] == -2
    assert vocabulary.tokens[7] == "[PAD7]"
