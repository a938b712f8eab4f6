"""Which tensors of a checkpoint become which tensors of a GGUF file, and in which order their rows stand there.

llama.cpp rotates neighbouring dimensions of a head in the architectures llama and mistral3, transformers dimensions
that are half a head apart: rows of queries and keys change places accordingly (conversion/llama.py, permute).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropewalk.adapters.shards import read_header
from ropewalk.errors import CarrierError, ModelError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.adapters.export.form import Form, Subject
    from ropewalk.adapters.shards import StoredTensor

# By model type; `mistral3` is the layout of the first two with stairs on queries.
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
STAIRS = "mistral3"
_INTERLEAVED = ("llama", STAIRS)
_CONVERTER = "convert it with llama.cpp's own convert_hf_to_gguf.py, and compare the result with the method"


@dataclass(frozen=True)
class Placed:
    """One tensor of the new file.

    Attributes:
        name: In the GGUF.
        source: In the checkpoint.
        file: Where it is stored.
        stored: Format and shape there.
        heads: Of queries or keys whose rows change places; 0 for all others.
    """

    name: str
    source: str
    file: Path
    stored: StoredTensor
    heads: int = 0

    def arranged(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor with its rows in llama.cpp's order."""
        if not self.heads:
            return tensor
        half = tensor.shape[0] // self.heads // 2
        return tensor.reshape(self.heads, 2, half, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)


def architecture_of(form: Form, subject: Subject) -> str:
    """What llama.cpp calls the model."""
    return STAIRS if form.stairs else ARCHITECTURES[subject.config.model_type]


def require_layout(config: ModelConfig, target_length: int) -> None:
    """Refuses what llama.cpp would compute differently, or what has not been compared with it.

    Raises:
        CarrierError: The message says what and why.
    """
    reason = _obstacle(config, target_length)
    if reason is not None:
        raise CarrierError(
            f"a GGUF must make llama.cpp compute the model, and is written for {', '.join(ARCHITECTURES)}, which were "
            f"compared with it; this is '{config.model_type}': {reason}. If llama.cpp knows the model, {_CONVERTER}."
        )


def _obstacle(config: ModelConfig, target_length: int) -> str | None:
    text, kind = config.text, config.model_type
    if kind not in ARCHITECTURES:
        return "its keys and tensors have not been compared with llama.cpp here"
    if config.rope.head_dim != config.head_size:
        return f"llama.cpp rotates whole heads of this architecture, and it rotates {config.rope.head_dim} dimensions"
    if text.get("hidden_act", "silu") != "silu":
        return f"its activation is {text['hidden_act']}, and llama.cpp computes silu"
    window = config.sliding_window
    if window and window < target_length and any("sliding" in layer for layer in config.layer_types):
        return f"it has a sliding window of {window:,} tokens, which llama.cpp does not apply in this architecture"
    if kind == "qwen2" and config.head_size * config.query_heads != int(text["hidden_size"]):
        return "llama.cpp takes the size of its heads for hidden size / heads"
    if kind == "qwen3" and text.get("attention_bias"):
        return "llama.cpp has no biases in its attention"
    return None


def place_tensors(subject: Subject, architecture: str) -> list[Placed]:
    """All tensors of the new file, in its order.

    Raises:
        CarrierError: A tensor that has no place there, or one that llama.cpp would silently replace.
        ModelError: No safetensors, or a broken file.
    """
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map

    config = subject.config
    codes = {name: code for code, name in MODEL_ARCH_NAMES.items()}
    names = get_tensor_name_map(MODEL_ARCH(codes[architecture]), config.layers)
    tied = bool(config.text.get("tie_word_embeddings", False))
    heads = {"q_proj": config.query_heads, "k_proj": config.key_value_heads}
    placed = []
    for file in _weight_files(subject.folder):
        for source, stored in read_header(file).items():
            if source.endswith("rotary_emb.inv_freq") or (tied and source == "lm_head.weight"):
                continue
            name = names.get_name(source, try_suffixes=(".weight", ".bias"))
            if name is None:
                raise CarrierError(
                    f"every tensor must have a place in the GGUF; llama.cpp's '{architecture}' has none for '{source}' "
                    f"in {file.name}. If llama.cpp knows the model, {_CONVERTER}."
                )
            module = source.split(".")[-2]
            rows = heads.get(module, 0) if architecture in _INTERLEAVED else 0
            placed.append(Placed(name, source, file, stored, rows))
    if not tied and not any(tensor.name == "output.weight" for tensor in placed):
        raise CarrierError(
            "a model with an output matrix of its own must have it, because llama.cpp would take the embeddings "
            f"instead and say nothing; {subject.folder} has no lm_head.weight. Fetch the missing file."
        )
    return placed


def _weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights: those of the index where there is one, because others may lie beside them."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        files = [folder / name for name in names]
    else:
        one = folder / "model.safetensors"
        files = [one] if one.is_file() else sorted(folder.glob("*.safetensors"))
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        raise ModelError(
            f"a GGUF is made from safetensors; {folder} has {'no ' + missing[0] if missing else 'none'}. Fetch the "
            "missing files, or convert the checkpoint to safetensors."
        )
    return files
