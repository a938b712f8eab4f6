"""One row of the census: what a family's config class assumes, and what happens when a tiny model of it is extended."""

from __future__ import annotations

import copy
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from census_models import TRAINED, default_numbers, text_of, tiny_model
from census_reference import rotated_by_hand, scaled_from_outside
from transformers import CONFIG_MAPPING

from ropewalk import methods
from ropewalk.adapters import attention, extend_checkpoint, extend_model, families, load_model, save_model
from ropewalk.adapters.config import loaded_config

METHODS = ("linear", "yarn", "entropy-abf")
TARGET = 8 * TRAINED
TOKENS = 40
BEYOND = np.arange(200, 200 + TOKENS)
INSIDE = np.arange(TOKENS)
TOLERANCE = 1e-4  # of the largest logit, float32
BITES = 1e-3  # a method must change logits by more than this, or the comparison says nothing
FULL = families.FULL


def facts(model_type: str) -> dict[str, Any]:
    """What a config class assumes, as `families.Family` names it; entries that are its defaults are left out."""
    numbers = default_numbers(model_type)
    rope = numbers["rope_parameters"]
    row: dict[str, Any] = {}
    nested = {kind: entry for kind, entry in rope.items() if isinstance(entry, dict)}
    if nested:
        row["layer_bases"] = {kind: entry["rope_theta"] for kind, entry in nested.items()}
        rope = nested.get(FULL, next(iter(nested.values())))
    row["base"] = rope["rope_theta"]
    row["rotated_fraction"] = rope.get("partial_rotary_factor", 1.0)
    if "head_dim" in numbers and "kv_lora_rank" not in numbers:
        row["needs_head_dim"] = numbers["head_dim"] is None
        row["head_size"] = _constant_head_size(model_type, numbers)
    row["layer_pattern"] = _pattern(numbers.get("layer_types"))
    plain = families.Family()
    return {key: value for key, value in row.items() if value != getattr(plain, key) and value != []}


def _constant_head_size(model_type: str, numbers: dict[str, Any]) -> int | None:
    """The size of a head that a wider model of the class has, too; None where it follows the width."""
    try:
        wider = type(text_of(CONFIG_MAPPING[model_type]()))(hidden_size=2 * numbers["hidden_size"])
    except Exception:  # a class that checks its width against other sizes
        return numbers["head_dim"]
    size = wider.to_dict()["head_dim"]
    return size if size == numbers["head_dim"] else None


def _pattern(kinds: list[str] | None) -> list[str]:
    """The shortest sequence of layer types that repeats; empty where all layers attend to everything."""
    if not kinds or set(kinds) == {FULL}:
        return []
    period = next(n for n in range(1, len(kinds) + 1) if all(kinds[i] == kinds[i % n] for i in range(len(kinds))))
    return kinds[:period] if 2 * period <= len(kinds) else []


def measure(model_type: str) -> dict[str, Any]:
    """One row of the census; while it is measured, the type counts as a supported one."""
    before = dict(families.SUPPORTED)
    try:
        return _measured(model_type)
    finally:
        families.SUPPORTED.clear()
        families.SUPPORTED.update(before)


def _measured(model_type: str) -> dict[str, Any]:
    row: dict[str, Any] = {"model_type": model_type}
    row["facts"] = facts(model_type)
    for name in (model_type, text_of(CONFIG_MAPPING[model_type]()).model_type):
        families.SUPPORTED[name] = families._family(name, row["facts"])
    try:
        untouched = tiny_model(model_type)
        text = text_of(untouched.config)
        row["text_type"] = text.model_type
        row["kinds"] = sorted(set(getattr(text, "layer_types", None) or [FULL]))
    except Exception as error:
        return {**row, "refused": f"no small model of it could be built to check it with: {_brief(error)}"}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        save_model(untouched, None, base)
        for name in METHODS:
            try:
                row[name] = _compared(model_type, untouched, name, base, Path(folder) / name)
            except Exception as error:
                row[name] = {"failed": _brief(error)}
    return row


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]


def _compared(model_type: str, untouched: Any, name: str, base: Path, folder: Path) -> dict[str, Any]:
    model, ids = copy.deepcopy(untouched), _tokens()
    config = loaded_config(untouched)
    told = _told(model)
    if told is False:
        row = {**families.SUPPORTED[model_type].__dict__, "hides_positions": True}
        families.SUPPORTED[model_type] = families.SUPPORTED[config.model_type] = families.Family(**row)
    report = extend_model(model, name, TARGET)
    method = methods.get(name).for_target(config.rope, TARGET)
    factor = 1.0 if method.scale_varies else float(method.attention_scale(config.rope, np.zeros(1, int), 0)[0]) ** 0.5
    got, plain = _logits(model, ids, BEYOND), _logits(untouched, ids, BEYOND)
    wanted = _by_hand(untouched, method, config, factor, ids, BEYOND)
    size = np.abs(wanted).max()
    found: dict[str, Any] = {
        "carrier": report.carrier,
        "error": float(np.abs(got - wanted).max() / size),
        "change": float(np.abs(got - plain).max() / size),
        "notes": list(report.notes),
    }
    if method.scale_varies:
        with attention.without_scale(model):
            found["scale_change"] = float(np.abs(got - _logits(model, ids, BEYOND)).max() / size)
            inside = _logits(model, ids, INSIDE)
        found["inside"] = float(np.abs(_logits(model, ids, INSIDE) - inside).max() / size)
        found["told_positions"] = told
    extend_checkpoint(base, folder, name, TARGET)
    found["reloaded"] = float(np.abs(_logits(load_model(folder), ids, BEYOND) - got).max() / size)
    wrong = [key for key in ("error", "inside", "reloaded") if not found.get(key, 0.0) <= TOLERANCE]
    blind = [key for key in ("change", "scale_change") if not found.get(key, 1.0) > BITES]
    if wrong or blind:
        found["failed"] = f"logits: {', '.join(wrong + blind)} out of bounds"
    return found


def _told(model: Any) -> bool | None:
    """Whether the attention function is told positions; None if it is never called."""
    heard: list[bool] = []
    attention.wrap_attention_functions()
    modules = [
        m for m in model.modules() if type(m).__name__.endswith("Attention") and attention.of_language_model(m, model)
    ]
    for module in modules:
        setattr(module, attention.LISTENER, lambda *_, **options: heard.append(options.get("position_ids") is not None))
    try:
        _logits(model, _tokens(), INSIDE)
    finally:
        for module in modules:
            delattr(module, attention.LISTENER)
    return all(heard) if heard else None


def _by_hand(model: Any, method: Any, config: Any, factor: float, ids: Any, positions: np.ndarray) -> np.ndarray:
    with ExitStack() as stack:
        for rotary in [m for m in model.modules() if attention.is_rotary(m) and attention.of_language_model(m, model)]:
            kind = FULL if isinstance(rotary.rope_type, dict) else None
            before, after = config.rope.frequencies, method.frequencies(config.rope)
            stack.enter_context(rotated_by_hand(rotary, before, after, factor, kind))
        if method.scale_varies:
            layers = [
                layer for layer, kind in enumerate(config.layer_types) if kind in (FULL, families.HYBRID) and layer > 1
            ]
            scale = lambda layer: torch.from_numpy(method.attention_scale(config.rope, positions, layer))  # noqa: E731
            stack.enter_context(scaled_from_outside(attention.attention_modules(model, layers), scale))
        return _logits(model, ids, positions)


def _tokens() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(7).integers(3, 60, size=(1, TOKENS)))


@torch.no_grad()
def _logits(model: Any, ids: torch.Tensor, positions: np.ndarray) -> np.ndarray:
    output = model(
        input_ids=ids,
        position_ids=torch.from_numpy(positions)[None],
        attention_mask=torch.ones_like(ids),
        use_cache=False,
    )
    numbers: np.ndarray = output.logits.double().numpy()
    return numbers
