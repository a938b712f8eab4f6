"""Loads what ropewalk extended, with the whole method, and saves it in both spellings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoTokenizer

from ropewalk.adapters import files
from ropewalk.adapters.attention import attach
from ropewalk.adapters.config import read_model_config, resolve_source
from ropewalk.adapters.doctor import require_sound
from ropewalk.adapters.foreign import adopted
from ropewalk.adapters.inference_map import apply_map, refuse_mapped
from ropewalk.adapters.quantize import four_bits
from ropewalk.adapters.record import recorded_method
from ropewalk.adapters.spelling import both_spellings
from ropewalk.adapters.trust import REMOTE_CODE, allowed
from ropewalk.errors import ModelError, OutputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ropewalk.analysis.relative_maps import RelativeMap


def load_model(
    source: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    attention: str | None = None,
    quantize: bool = False,
    inference_map: RelativeMap | str | None = None,
    exempt_layers: int = 2,
) -> PreTrainedModel:
    """Loads a causal language model, ready to evaluate; an attention scale that ropewalk recorded is applied.

    A release of Entropy-ABF (rope type `eabf`, arXiv 2401.07004) is computed as its paper says, or as its code does.

    Args:
        source: `builtin`, a folder, or a hub id.
        dtype: Number format to compute in. float32 by default: on a CPU bfloat16 is several times slower.
        device: Where to put the model; None leaves it on the CPU.
        attention: `sdpa`, `eager`, `flex_attention`, ...; None for transformers' choice.
        quantize: Hold the weights of linear layers in 4 bits, to train adapters beside them; needs a GPU.
        inference_map: `rerope`, `leaky-rerope`, `self-extend` or such a map with its options: for comparison, on a
            checkpoint that nothing has extended. Such a model can be neither saved nor extended.
        exempt_layers: Of a release of Entropy-ABF alone: first layers whose logits stay as they are. 2 as the paper
            says; 0 as its released code computes, which scales all layers.

    Raises:
        UnknownNameError: No inference map has that name.
        OptionError: 4 bits without a GPU or without bitsandbytes.
        ModelError: No such model, its files are broken or do not load, or the inference map does not fit it.
        NoRopeError: The model's positions are not rotary.
    """
    found = read_model_config(source)
    path = resolve_source(source)
    require_sound(found)
    config = adopted(found, exempt_layers=exempt_layers)
    # Said either way: where it is left open, transformers asks on the terminal.
    options: dict[str, Any] = {"trust_remote_code": allowed(REMOTE_CODE)}
    if config is not found:
        options["config"] = CONFIG_MAPPING[config.raw["model_type"]].from_dict(dict(config.raw))
    if attention:
        options["attn_implementation"] = attention
    if quantize:
        options |= four_bits(dtype, device)
    try:
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, **options)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError, StrictDataclassError) as error:
        raise ModelError(
            f"a model folder must load in transformers; {path} does not ({error}). Check that its files are complete."
        ) from error
    method = recorded_method(config)
    if method is not None and config.extension is not None and method.scale_varies:
        attach(model, method, config, int(config.extension["target_length"]))
    model.eval()
    if inference_map is not None:
        apply_map(model, inference_map)
    return model if device is None or quantize else model.to(device)


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """Loads the tokenizer of a model.

    Raises:
        ModelError: There is none, or it does not load.
    """
    path = resolve_source(source)
    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=allowed(REMOTE_CODE))
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError) as error:
        raise ModelError(
            f"a model needs a tokenizer to read text with; {path} has none that loads ({str(error).splitlines()[0]}). "
            "Copy the tokenizer files of the model that it was made from into the folder."
        ) from error


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, folder: str | Path) -> None:
    """Saves a model and its tokenizer so that transformers 4.57 and 5.x read the same.

    Files of the same names and older weight files are replaced, others stay; a failure leaves the folder as it was.

    Raises:
        CarrierError: The model is under an inference map, which no checkpoint can hold.
        OutputError: The disk refused something.
    """
    refuse_mapped(model)
    target = Path(folder)
    existed = target.exists()
    fresh = target / ".saving"
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        model.save_pretrained(fresh)
        if tokenizer is not None:
            save_tokenizer(tokenizer, fresh, _window(model))
        config = json.loads((fresh / "config.json").read_text(encoding="utf-8"))
        files.write_json(fresh / "config.json", both_spellings(config))
        readable = (fresh / "config.json").stat().st_mode
        for file in fresh.iterdir():
            file.chmod(readable)  # the writer of the weights keeps them from everybody else
        written = {file.name for file in fresh.iterdir()}
        for name in sorted(written):
            (fresh / name).replace(target / name)
        for name in _weights(target) - written:
            (target / name).unlink()
        fresh.rmdir()
    except (OSError, SafetensorError) as error:  # the writer of the weights reports a full disk by its own type
        shutil.rmtree(fresh if existed else target, ignore_errors=True)
        raise OutputError(
            f"a checkpoint must be saved whole or not at all; saving {target} failed ({error}). Nothing of it was left "
            "behind: make room or choose another place, and save again."
        ) from error
    except BaseException:
        shutil.rmtree(fresh if existed else target, ignore_errors=True)
        raise


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path, window: int) -> None:
    """Writes a tokenizer, with its chat template, beside a model whose window it is to know."""
    tokenizer.save_pretrained(folder)
    files.set_tokenizer_length(folder, window)


def _weights(folder: Path) -> set[str]:
    """Names of the weight files: a single file left beside newer shards would be loaded in their place."""
    return {file.name for pattern in ("model*.safetensors*", "pytorch_model*.bin*") for file in folder.glob(pattern)}


def _window(model: PreTrainedModel) -> int:
    recorded = getattr(model.config, "ropewalk", None) or {}
    return int(recorded.get("target_length", model.config.max_position_embeddings))
