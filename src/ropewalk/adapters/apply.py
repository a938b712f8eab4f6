"""Applies a method to a loaded model in place, or to a checkpoint folder without reading its weights."""

from __future__ import annotations

import copy
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropewalk import methods
from ropewalk.adapters import attention, files, selftest
from ropewalk.adapters.carriers import Carrier, attention_factor, carrier
from ropewalk.adapters.config import (
    RECORD,
    ModelConfig,
    loaded_config,
    read_model_config,
    resolve_source,
)
from ropewalk.adapters.doctor import require_sound
from ropewalk.adapters.families import SLIDING
from ropewalk.adapters.inference_map import refuse_mapped
from ropewalk.adapters.record import method_record
from ropewalk.adapters.source import require_outside
from ropewalk.adapters.spelling import both_spellings, rope_parameters, transformers_4_refuses
from ropewalk.errors import ModelError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transformers import PreTrainedModel

    from ropewalk.method import Method
    from ropewalk.rope import Rope


@dataclass(frozen=True)
class ExtensionReport:
    """What an extension did.

    Attributes:
        method: Such as `yarn, factor 8`.
        trained_length: Tokens of the window before.
        target_length: Tokens of the window after.
        carrier: Rope type that is written: `default`, `linear`, `dynamic`, `yarn`, `llama3` or `longrope`.
        exact: Plain transformers computes the method from the config; if False, `ropewalk.load` is needed.
        rope_parameters: What is written, as transformers 5 spells it.
        notes: Sentences for people: layers left alone, what other readers will see.
        self_test: What was checked after the extension, one phrase each.
    """

    method: str
    trained_length: int
    target_length: int
    carrier: str
    exact: bool
    rope_parameters: Mapping[str, Any]
    notes: tuple[str, ...]
    self_test: tuple[str, ...]


@dataclass(frozen=True)
class _Plan:
    config: ModelConfig
    method: Method
    target_length: int
    carrier: Carrier

    @property
    def changes(self) -> dict[str, Any]:
        """The config entries that the extension sets, in the spelling of transformers 5."""
        text, rope = self.config.text, self.config.rope
        changes: dict[str, Any] = {
            "rope_parameters": rope_parameters(text, self.carrier.rope_parameters),
            "max_position_embeddings": self.carrier.max_position_embeddings,
            RECORD: method_record(self.method, rope, self.target_length),
        }
        if text.get("original_max_position_embeddings") is not None:
            changes["original_max_position_embeddings"] = rope.trained_length
        if self.config.family.needs_head_dim:
            changes["head_dim"] = self.config.head_size
        return changes

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about this extension."""
        found = []
        types, window = self.config.layer_types, self.config.sliding_window
        if SLIDING in types and window:
            found.append(
                f"{types.count(SLIDING)} of {len(types)} layers slide over {window:,} tokens and keep that window"
            )
        if self.config.family.note:
            found.append(self.config.family.note)
        rope = self.config.rope
        reached, of = rope.head_dim, self.config.query_size
        if reached < of and not self.method.scale_varies and self.carrier.rope_parameters["rope_type"] != "default":
            factor = attention_factor(self.method, rope, self.target_length, self.config.layers)
            if factor != 1:
                found.append(
                    f"the attention scale reaches the {reached} rotated of {of} dimensions of a head, because "
                    "transformers applies it with the rotation"
                )
        if self.carrier.records_scale:
            found.append(
                "the attention scale varies with the position: plain transformers sees the frequencies alone, "
                "ropewalk.load the whole method"
            )
        if transformers_4_refuses(self.config.model_type, self.carrier.name):
            found.append(
                f"transformers 4 refuses '{self.carrier.name}' for {self.config.model_type} with an error; 5 reads it"
            )
        if self.method.depends_on_length:
            found.append("the frequencies depend on the length of each call: cached keys are not exact")
        return tuple(found)

    def report(self, self_test: tuple[str, ...]) -> ExtensionReport:
        rope = self.config.rope
        return ExtensionReport(
            method=self.method.describe(rope),
            trained_length=rope.trained_length,
            target_length=self.target_length,
            carrier=self.carrier.name,
            exact=self.carrier.exact,
            rope_parameters=self.changes["rope_parameters"],
            notes=self.notes,
            self_test=self_test,
        )


def extend_model(model: PreTrainedModel, method: Method | str, target_length: int) -> ExtensionReport:
    """Extends a loaded model in place and tests it.

    Args:
        model: A causal language model of a supported family.
        method: The method, or its name with the options that fit the target.
        target_length: Tokens of the new window.

    Raises:
        OptionError: A target that is below the trained window.
        ModelError: A family that ropewalk does not extend, or a model that is scaled already.
        CarrierError: The method cannot be written exactly or its scale misses layers, or the model is under an
            inference map.
        SelfTestError: The extended model does not compute the method; the model is then as it was before.
    """
    refuse_mapped(model)
    config = loaded_config(model)
    plan = _plan(config, method, target_length)
    with _restored_on_error(model):
        replace_rotary(model)  # in float32, whatever the model was converted to
        selftest.check_read(model, config)
        for key, value in plan.changes.items():
            setattr(model.config.get_text_config(), key, copy.deepcopy(value))
        replace_rotary(model)
        if plan.carrier.records_scale:
            attention.attach(model, plan.method, config, target_length)
        checked = selftest.check_model(model, plan.method, config, target_length)
    generation = getattr(model, "generation_config", None)
    if generation is not None and generation.max_length == config.rope.trained_length:
        generation.max_length = target_length  # as `files.set_window` does
    return plan.report(checked)


def extend_checkpoint(
    source: str | Path,
    output: str | Path,
    method: Method | str,
    target_length: int,
    *,
    link: bool = False,
    overwrite: bool = False,
    bring: Callable[[Path, Path], object] = shutil.copyfile,
) -> ExtensionReport:
    """Extends a checkpoint folder: the config changes, the weight files are copied or linked, never read.

    Args:
        source: `builtin`, a folder, or a hub id.
        output: The folder to write; it appears complete or not at all.
        method: The method, or its name with the options that fit the target.
        target_length: Tokens of the new window.
        link: Hard links instead of copies: no disk space, but both folders then share the weight files.
        overwrite: Replace an output folder that exists.
        bring: How a file is copied; see `files.bring_weights`.

    Raises:
        OptionError: A target that is below the trained window.
        ModelError: No such model, a broken one, a family that ropewalk does not extend, or one that is scaled already.
        CarrierError: The method cannot be written exactly, or its scale misses layers.
        OutputError: The output exists, lies inside the source, or cannot be written.
        SelfTestError: A model with the new config does not compute the method; nothing is left behind.
    """
    config = read_model_config(source)
    origin, target = resolve_source(source), Path(output)
    plan = _plan(config, method, target_length)
    require_sound(config)
    require_outside(origin, target)
    with files.whole_folder(target, overwrite=overwrite) as partial:
        files.bring_weights(origin, partial, link=link, bring=bring)
        selftest.check_source(origin, plan.config)
        files.write_json(partial / "config.json", both_spellings(_changed(plan)))
        files.set_window(partial, plan.config.rope.trained_length, target_length)
        checked = selftest.check_folder(partial, plan.method, plan.config, target_length)
    return plan.report(checked)


def replace_rotary(model: PreTrainedModel) -> None:
    """Rebuilds a model's rotary modules from its config, in place: changing the config alone does nothing."""
    rotaries = attention.rotary_modules(model)
    for name, module in list(model.named_modules()):
        if module in rotaries:
            buffer = next(module.buffers())
            fresh = type(module)(config=model.config.get_text_config()).to(buffer.device)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, fresh)


def _changed(plan: _Plan) -> dict[str, Any]:
    """The source's config with the changes; an older spelling in it is taken out of the way."""
    config = plan.config
    text = {**config.text, **plan.changes, "rope_scaling": None}
    return text if config.text is config.raw else {**config.raw, "text_config": text}


def _plan(config: ModelConfig, method: Method | str, target_length: int) -> _Plan:
    family = config.family
    config.require_unscaled()
    checked_target(config.rope, target_length)
    chosen = methods.get(method).for_target(config.rope, target_length) if isinstance(method, str) else method
    if chosen.scale_varies and family.scale_refused:
        raise ModelError(
            f"'{chosen.name}' scales attention by position, which cannot be done in a '{config.model_type}': "
            f"{family.scale_refused}. Choose a method without a position-dependent scale, such as yarn or abf."
        )
    if chosen.scale_varies:
        attention.scaled_layers(chosen, config, target_length)  # refuses before anything is written
    found = carrier(chosen, config.rope, target_length, family, config.layers)
    return _Plan(config, chosen, target_length, found)


def checked_target(rope: Rope, target_length: int) -> int:
    """Returns the target if a model of this geometry can be extended to it.

    Raises:
        OptionError: Not a whole number, or below the trained window.
    """
    whole = isinstance(target_length, int) and not isinstance(target_length, bool)
    if not whole or not math.isfinite(target_length) or target_length < rope.trained_length:
        raise OptionError(
            f"target_length must be a whole number of at least the trained window of {rope.trained_length:,} tokens, "
            f"because an extension never shortens; got {target_length}. "
            f"Eight times the window is {8 * rope.trained_length:,}."
        )
    return target_length


class _restored_on_error:  # noqa: N801 - reads as the statement it is used in
    """Gives a model its old config entries, rotary modules and no scale, if the block fails."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.config = model.config.get_text_config()
        self.entries = copy.deepcopy(dict(self.config.__dict__))

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            return
        self.config.__dict__.clear()
        self.config.__dict__.update(self.entries)
        replace_rotary(self.model)
        for module in self.model.modules():
            module.__dict__.pop(attention.ATTRIBUTE, None)
