"""Rules about the files of a checkpoint. No tensor is read: only names, sizes, and the headers of safetensors files."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from ropewalk.adapters.doctor.rule import Case, Found, Repair, Rule, rule
from ropewalk.adapters.families import ROTARY_WITHOUT_KEYS
from ropewalk.adapters.foreign import target_length_of
from ropewalk.adapters.safetensors_header import read_header
from ropewalk.adapters.trust import PICKLE, REMOTE_CODE, allowed
from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER: list[Rule] = []
_file = partial(rule, FOLDER)
_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_PICKLE = ".bin"
_NO_WEIGHTS = ("training_args.bin", "optimizer.bin")  # what a Trainer leaves beside them
_SHOWN = 3
_LAYOUT = "safetensors format: eight bytes, a JSON header, the tensors"
# transformers writes int(1e30) where a tokenizer has no limit.
_NO_LIMIT = 10**15


@_file("shards-missing", "error", "transformers, get_checkpoint_shard_files")
def _shards_missing(case: Case) -> Iterator[Found]:
    """Every shard that the index names must be there."""
    path = case.config.path
    missing = [name for name in _shards(case) if not (path / name).is_file()]
    if missing:
        yield Found(
            f"{_INDEX} names {len(_shards(case))} shards, of which {len(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not there ({_some(missing)}): the model cannot load",
            "Fetch the missing files again.",
        )


@_file("shard-broken", "error", _LAYOUT)
def _shard_broken(case: Case) -> Iterator[Found]:
    """Every safetensors file must be as long as its header says: a download that stopped leaves it shorter."""
    for file in _safetensors(case):
        try:
            read_header(file)
        except ModelError:
            yield Found(
                f"{file.name} is not a whole safetensors file ({file.stat().st_size:,} bytes do not hold what its "
                "header names): it was cut off or is something else",
                "Fetch the file again.",
            )


@_file("tensors-missing", "error", "transformers fills them with random numbers and logs one line")
def _tensors_missing(case: Case) -> Iterator[Found]:
    """Every tensor of the index must be in the shard that it names."""
    held: dict[str, set[str]] = {}
    for file in _safetensors(case):
        try:
            held[file.name] = set(read_header(file))
        except ModelError:
            continue
    absent = [name for name, shard in _weight_map(case).items() if shard in held and name not in held[shard]]
    if absent:
        yield Found(
            f"{_INDEX} names {len(absent)} tensors that their shards do not hold ({_some(absent)}): index and shards "
            "are of different checkpoints",
            "Fetch the index and all shards of one checkpoint.",
        )


@_file("two-sets-of-weights", "warning", "transformers takes the single file first")
def _two_sets(case: Case) -> Iterator[Found]:
    """A single file should not stand beside an index of shards: it is loaded in their place."""
    if (case.config.path / _SINGLE).is_file() and _shards(case) and _SINGLE not in _shards(case):
        yield Found(
            f"{_SINGLE} stands beside {_INDEX}: transformers loads the single file and leaves the shards",
            "Remove the older of the two.",
        )


@_file("pickle-only", "error", "Python's pickle documentation: loading can run any code")
def _pickle_only(case: Case) -> Iterator[Found]:
    """Weights must be safetensors: a pickle file can run code when it is read."""
    pickles = [file.name for file in _files(case) if file.suffix == _PICKLE and file.name not in _NO_WEIGHTS]
    if pickles and not _safetensors(case) and not _shards(case) and not allowed(PICKLE):
        yield Found(
            f"the weights are in pickle files alone ({_some(pickles)}), which can run code when they are read",
            "Convert them to safetensors where that does no harm, or say --allow-pickle if you trust their maker.",
        )


@_file("remote-code", "error", "transformers, trust_remote_code")
def _remote_code(case: Case) -> Iterator[Found]:
    """A checkpoint must not need Python code of its own: it is not run unless asked."""
    if _own_code(case) and not _is_known(case) and not allowed(REMOTE_CODE):
        yield Found(
            f"'{case.config.model_type}' needs Python code that lies in the checkpoint ({_own_code(case)}), which is "
            "never run unless asked",
            "Read that code, then say --trust-remote-code to evaluate with it; an extension needs a family of "
            "transformers.",
        )


@_file("own-code-unused", "note", "transformers 5.23, AutoModelForCausalLM")
def _own_code_unused(case: Case) -> Iterator[Found]:
    """Code in a checkpoint of a family that transformers knows is not run: transformers' own class computes."""
    if _own_code(case) and _is_known(case):
        yield Found(
            f"the checkpoint carries code of its own ({_own_code(case)}), which is not run: transformers' class of "
            f"'{case.config.model_type}' is used, and may compute a scaling differently",
            "Compare with the numbers that its makers published, or take auto_map out of config.json.",
        )


@_file("quantized", "note", "quantization_config; see adapters.safetensors_header for stored formats")
def _quantized(case: Case) -> Iterator[Found]:
    """Weights that were rounded by groups cannot be changed one by one: only the config of such a model can."""
    settings = case.config.raw.get("quantization_config")
    if isinstance(settings, dict):
        yield Found(
            f"the weights are quantised ({settings.get('quant_method', 'unnamed method')}): an extension without "
            "training works, and a scale cannot be folded into them",
            "To train or to fold, start from the checkpoint that it was quantised from.",
        )


@_file("tokenizer-window", "warning", "transformers, PreTrainedTokenizerBase")
def _tokenizer_window(case: Case) -> Iterator[Found]:
    """`model_max_length` of the tokenizer should be the window: it cuts where truncation is on, and warns elsewhere."""
    tokens, window = case.tokenizer.get("model_max_length"), target_length_of(case.config)
    if not isinstance(tokens, int | float) or tokens >= _NO_LIMIT or tokens >= window:
        return
    trained = case.config.rope.trained_length
    is_old = tokens == trained < case.config.declared_length
    yield Found(
        f"tokenizer_config.json says model_max_length {int(tokens):,}, the model's window is {window:,}: text is cut "
        "there where truncation is on",
        f'Write "model_max_length": {window} into tokenizer_config.json'
        + ("; `inspect --fix` does." if is_old else ", if the model was trained so far."),
        Repair(tokenizer={"model_max_length": window}) if is_old else None,
    )


@_file("generation-window", "warning", "transformers, GenerationConfig")
def _generation_window(case: Case) -> Iterator[Found]:
    """generation_config.json should not ask for more tokens than the window holds, nor end at the one before it."""
    tokens, window = case.json("generation_config.json").get("max_length"), target_length_of(case.config)
    if tokens == case.config.rope.trained_length < window:
        yield Found(
            f"generation_config.json says max_length {tokens:,}, the window before the scaling to {window:,}: "
            "`generate` refuses longer prompts, unless it is told max_new_tokens",
            f'Write "max_length": {window} into generation_config.json; `inspect --fix` does.',
            Repair(generation={"max_length": window}),
        )
    if isinstance(tokens, int) and tokens > window:
        yield Found(
            f"generation_config.json says max_length {tokens:,}, beyond the window of {window:,}: generation runs past "
            "what the model was made for",
            f'Write "max_length": {window} into generation_config.json.',
        )


@_file("json-broken", "error", "RFC 8259")
def _json_broken(case: Case) -> Iterator[Found]:
    """The JSON files of a checkpoint must be JSON."""
    for name in (_INDEX, "tokenizer_config.json", "generation_config.json"):
        try:
            json.loads((case.config.path / name).read_text("utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            yield Found(f"{name} is not JSON text ({error})", "Fetch the file again.")


def _files(case: Case) -> list[Path]:
    path = case.config.path
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else []


def _safetensors(case: Case) -> list[Path]:
    """The weight files that transformers would read: those of the index, or all."""
    named = _shards(case)
    found = [file for file in _files(case) if file.suffix == ".safetensors"]
    return [file for file in found if not named or file.name in named]


def _weight_map(case: Case) -> dict[str, str]:
    found = case.json(_INDEX).get("weight_map")
    return {str(name): str(shard) for name, shard in found.items()} if isinstance(found, dict) else {}


def _shards(case: Case) -> list[str]:
    return sorted(set(_weight_map(case).values()))


def _own_code(case: Case) -> str:
    mapped: Any = case.config.raw.get("auto_map")
    return str(mapped.get("AutoModelForCausalLM") or mapped.get("AutoConfig") or "") if isinstance(mapped, dict) else ""


def _is_known(case: Case) -> bool:
    return str(case.config.raw.get("model_type")) in ROTARY_WITHOUT_KEYS


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
