"""`ropewalk plan`: everything that a config says about an extension, before a weight is read."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ropewalk.adapters.config import read_model_config
from ropewalk.adapters.doctor import require_sound
from ropewalk.adapters.shape import shape_of
from ropewalk.adapters.source import is_here
from ropewalk.analysis.compute import training_work
from ropewalk.choose.memory_settings import first_that_fits
from ropewalk.choose.suitability import geometry_of, suitable_methods
from ropewalk.errors import OptionError
from ropewalk.result import ExtensionPlan, RecipePlan
from ropewalk.run.plan import check_target
from ropewalk.run.runfile import override, parse_run, read_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.analysis.hardware import Device
    from ropewalk.analysis.memory import Shape
    from ropewalk.result import Geometry
    from ropewalk.run.runfile import RunFile

RECIPES = ("entropy-abf-100", "cream", "pose", "longlora", "yarn-400", "pi")
FEW_SAMPLES, OLD_WINDOW = "entropy-abf-100", "cream"
OLD_WINDOW_FACTOR = 64  # the largest that CREAM's paper reports
PETA = 1e15


def plan_extension(
    model: str | Path, target_length: int, *, device: Device | None = None, devices: int = 1
) -> ExtensionPlan:
    """Which method, at what price, on what hardware.

    Args:
        model: A checkpoint folder, a hub id, or `builtin`; no weight is read.
        target_length: Tokens of the new window.
        device: Hardware to fit and to time.
        devices: How many of them.

    Raises:
        ModelError: No such model, one whose files are broken, or one that ropewalk does not extend.
        OptionError: A target that is no extension, or fewer than one device.
    """
    if devices < 1:
        raise OptionError(f"a plan is for at least 1 device; got {devices}. Give --gpus 1 or more.")
    config = read_model_config(model)
    config.require_unscaled()
    if is_here(model):
        require_sound(config)
    check_target(target_length, config)
    shape = shape_of(config)
    geometry = geometry_of(config.rope, target_length)
    recipes = sorted(
        (_recipe(name, config, shape, target_length, device=device, devices=devices) for name in RECIPES),
        key=lambda recipe: recipe.petaflops,
    )
    recommended, because = _recommended(recipes, geometry)
    return ExtensionPlan(
        model=str(model),
        model_type=config.model_type,
        parameters=shape.parameters,
        active_parameters=shape.active,
        geometry=geometry,
        methods=suitable_methods(config.rope, target_length),
        recipes=tuple(recipes),
        recommended=recommended.recipe,
        because=because,
        cache_bytes=config.key_value_bytes(target_length),
        device=None if device is None else device.name,
        devices=devices,
        products_share=None if device is None else device.products_share,
        attention_share=None if device is None else device.attention_share,
        command=_command(model, recommended, target_length, devices),
        warnings=tuple(config.warnings()),
    )


def _recipe(
    name: str, config: ModelConfig, shape: Shape, target_length: int, *, device: Device | None, devices: int
) -> RecipePlan:
    run = parse_run(override(read_run(name), {"model": str(config.path)}), where=f"run file {name}.toml")
    window = _window(run, config.rope.trained_length, target_length)
    setting, memory = first_that_fits(
        shape,
        window,
        device=device,
        devices=devices,
        packed=run.data.packing != "none",
        lora=run.train.trainable == "lora",
    )
    work = training_work(shape, window, activation_checkpointing=setting.checkpoints, frozen=setting.lora)
    whole = work.times(run.train.steps * run.train.batch * window)
    return RecipePlan(
        recipe=name,
        method=run.method.name,
        positions=run.positions.name if run.positions else "contiguous",
        steps=run.train.steps,
        batch=run.train.batch,
        window=window,
        published_factor=float(run.factor or 1),
        petaflops=whole.total / PETA,
        hours=whole.seconds(device, devices) / 3600 if device is not None and memory.fits else None,
        memory=memory,
    )


def _window(run: RunFile, trained_length: int, target_length: int) -> int:
    """Tokens of a training window: the old one for positions that skip."""
    skips = run.positions is not None and run.positions.name != "contiguous"
    return trained_length if skips else target_length


def _recommended(recipes: Sequence[RecipePlan], geometry: Geometry) -> tuple[RecipePlan, str]:
    """The cheapest recipe that was published for so large a factor, among those that fit."""
    by_name = {recipe.recipe: recipe for recipe in recipes}
    few, old = by_name[FEW_SAMPLES], by_name[OLD_WINDOW]
    factor = geometry.factor
    if factor <= few.published_factor and few.memory.fits is not False:
        return few, f"published for {few.published_factor:g} times the window with 100 samples, and the cheapest here"
    if factor <= OLD_WINDOW_FACTOR:
        return old, (
            f"{factor:.3g} times is beyond what 100 samples were published for, and windows of {old.window:,} tokens "
            f"cost as much at any target; published for up to {OLD_WINDOW_FACTOR} times"
        )
    return old, (
        f"{factor:.3g} times is more than any of these was published for ({OLD_WINDOW_FACTOR} at most): go there in "
        "stages, and measure each"
    )


def _command(model: str | Path, recipe: RecipePlan, target_length: int, devices: int) -> str:
    entries = [part for name, value in recipe.memory.entries.items() for part in ("--entry", f"{name}={value}")]
    verb = ["ropewalk", "extend"]
    if devices > 1:
        config = '"$(python -m ropewalk.assets.accelerate fsdp2)"'
        verb = ["accelerate", "launch", "--config_file", config, "--num_processes", str(devices), "-m", *verb]
    chosen = ["--to", str(target_length), "--recipe", recipe.recipe]
    parts = [*verb, shlex.quote(str(model)), *chosen, *entries, "--data", "FILE", "-o", "DIR"]
    return " ".join(parts)
