"""Writes a GGUF file, tensor by tensor, and reads one again.

The format (ggml-org/ggml, docs/gguf.md): keys, then the description of every tensor, then their bytes. One tensor is in
memory at a time. Vectors are stored in float32, as llama.cpp's converter stores them; matrices in the wanted format.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open

from ropewalk.adapters.gguf.layout import place_tensors
from ropewalk.adapters.gguf.vocabulary import write_vocabulary
from ropewalk.analysis.llama_cpp import DIVISORS
from ropewalk.errors import CarrierError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gguf import GGUFWriter

    from ropewalk.adapters.export.form import Form, Subject
    from ropewalk.adapters.gguf.layout import Placed
    from ropewalk.adapters.gguf.vocabulary import Vocabulary
    from ropewalk.rope import Floats

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
_STORED = {"F32": "f32", "F16": "f16", "BF16": "bf16", "F64": "f32"}
_WHOLE = ("float32", "float16", "bfloat16", "float64")
RECORD_KEY = "ropewalk.method"


@dataclass(frozen=True)
class GgufFile:
    """What a GGUF file holds.

    Attributes:
        architecture: `general.architecture`.
        keys: The architecture's own, without its name in front.
        divisors: `rope_freqs.weight`, `[pairs]`, or None.
        digests: SHA-256 of the bytes of every tensor, with format and shape, by name.
    """

    architecture: str
    keys: Mapping[str, Any]
    divisors: Floats | None
    digests: Mapping[str, str]


def require_gguf() -> None:
    """Raises OptionError where the package `gguf` is not installed."""
    try:
        import gguf  # noqa: F401
    except ImportError:
        raise OptionError(
            "GGUF files need gguf, which is an extra; it is not installed. Install it with: "
            "pip install 'ropewalk[gguf]'"
        ) from None
    logging.getLogger("gguf").setLevel(logging.ERROR)  # it tells of every file that it opens


def stored_dtype(subject: Subject) -> str:
    """The format of the checkpoint's own weights, in GGUF's name."""
    dtype = subject.config.dtype
    return {"float16": "f16", "bfloat16": "bf16"}.get(dtype, "f32")


def write_gguf(
    file: Path, form: Form, subject: Subject, architecture: str, vocabulary: Vocabulary, dtype: str
) -> dict[str, str]:
    """Writes a form.

    Args:
        file: To be made.
        form: Keys and divisors of the method.
        subject: What is exported.
        architecture: As llama.cpp calls it.
        vocabulary: The tokenizer.
        dtype: Of matrices: f32, f16 or bf16.

    Returns:
        The digest of every tensor that was written; see `GgufFile`.

    Raises:
        CarrierError: A tensor has no place in the file, or no arithmetic format.
        ModelError: The weights are missing or broken.
    """
    from gguf import GGUFWriter

    placed = place_tensors(subject, architecture)
    writer = GGUFWriter(file, architecture)
    try:
        _write_keys(writer, form, subject, dtype)
        write_vocabulary(writer, vocabulary, subject.folder)
        divisors = form.rope_parameters.get(DIVISORS)
        if divisors is not None:
            _announce(writer, DIVISORS, (len(divisors),), "f32")
        for tensor in placed:
            _announce(writer, tensor.name, tensor.stored.shape, _format(tensor, dtype))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        digests = {}
        if divisors is not None:
            digests[DIVISORS] = _write(writer, torch.tensor(divisors, dtype=torch.float32))
        for tensor, stored in _loaded(placed):
            wanted = DTYPES[_format(tensor, dtype)]
            digests[tensor.name] = _write(writer, tensor.arranged(stored).to(wanted).contiguous())
    finally:
        writer.close()
    return digests


def _write_keys(writer: GGUFWriter, form: Form, subject: Subject, dtype: str) -> None:
    from gguf import LlamaFileType

    config, text = subject.config, subject.config.text
    writer.add_name(subject.folder.resolve().name)
    writer.add_file_type(getattr(LlamaFileType, {"f32": "ALL_F32"}.get(dtype, f"MOSTLY_{dtype.upper()}")))
    writer.add_string(RECORD_KEY, subject.method.describe(config.rope))
    writer.add_context_length(subject.target_length)
    writer.add_block_count(config.layers)
    writer.add_embedding_length(int(text["hidden_size"]))
    writer.add_feed_forward_length(int(text["intermediate_size"]))
    writer.add_head_count(config.query_heads)
    writer.add_head_count_kv(config.key_value_heads)
    writer.add_key_length(config.head_size)
    writer.add_value_length(config.head_size)
    writer.add_layer_norm_rms_eps(float(text.get("rms_norm_eps", 1e-6)))
    writer.add_vocab_size(config.vocabulary_size)
    writer.add_rope_dimension_count(config.rope.head_dim)
    for key, value in form.rope_parameters.items():
        full = f"{writer.arch}.{key}"
        if isinstance(value, str):
            writer.add_string(full, value)
        elif isinstance(value, int):
            writer.add_uint32(full, value)
        elif isinstance(value, float):
            writer.add_float32(full, value)


def _format(tensor: Placed, dtype: str) -> str:
    if tensor.stored.format not in _STORED:
        raise CarrierError(
            f"a GGUF is made from weights in {', '.join(_WHOLE)}, because others are rounded by groups; "
            f"'{tensor.source}' is {tensor.stored.format}. Start from the checkpoint that it was quantised from."
        )
    return "f32" if len(tensor.stored.shape) < 2 else dtype


def _announce(writer: GGUFWriter, name: str, shape: tuple[int, ...], dtype: str) -> None:
    from gguf import GGMLQuantizationType

    width = DTYPES[dtype].itemsize
    # numpy has no bfloat16; two bytes are two bytes.
    kind = np.dtype(np.float32 if width == 4 else np.float16)
    writer.add_tensor_info(
        name, shape, kind, int(np.prod(shape)) * width, raw_dtype=GGMLQuantizationType[dtype.upper()]
    )


def _loaded(placed: list[Placed]) -> Iterator[tuple[Placed, torch.Tensor]]:
    """Tensors in the order of the new file; each is forgotten before the next one is read."""
    for file in dict.fromkeys(tensor.file for tensor in placed):
        with safe_open(file, framework="pt") as weights:
            for tensor in placed:
                if tensor.file == file:
                    yield tensor, weights.get_tensor(tensor.source)


def _write(writer: GGUFWriter, tensor: torch.Tensor) -> str:
    raw = tensor.reshape(-1).view(torch.uint8).numpy()
    writer.write_tensor_data(raw)
    return _digest(raw, str(tensor.dtype).split(".")[-1], tuple(tensor.shape))


def _digest(raw: Any, dtype: str, shape: tuple[int, ...]) -> str:
    return hashlib.sha256(raw.data).hexdigest() + f" {dtype} {'x'.join(map(str, shape))}"


def read_gguf(file: Path, *, digests: bool = False) -> GgufFile:
    """Reads a GGUF file again.

    Args:
        file: As written.
        digests: Read the bytes of the tensors as well.

    Raises:
        CarrierError: It is no GGUF file, or cut off.
    """
    from gguf import GGMLQuantizationType, GGUFReader

    try:
        reader = GGUFReader(file)
        architecture = str(reader.fields["general.architecture"].contents())
        keys = {
            name.removeprefix(f"{architecture}."): field.contents()
            for name, field in reader.fields.items()
            if name.startswith(f"{architecture}.")
        }
        tensors = {tensor.name: tensor for tensor in reader.tensors}
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise CarrierError(f"a GGUF file must be whole; {file} is not ({error}). Export it again.") from error
    divisors = np.array(tensors[DIVISORS].data, dtype=np.float64) if DIVISORS in tensors else None
    names = {
        GGMLQuantizationType.F32: "float32",
        GGMLQuantizationType.F16: "float16",
        GGMLQuantizationType.BF16: "bfloat16",
    }
    found = {
        name: _digest(
            np.ascontiguousarray(tensor.data).view(np.uint8),
            names.get(tensor.tensor_type, tensor.tensor_type.name),
            tuple(int(size) for size in reversed(tensor.shape)),
        )
        for name, tensor in tensors.items()
        if digests
    }
    return GgufFile(architecture, keys, divisors, found)
