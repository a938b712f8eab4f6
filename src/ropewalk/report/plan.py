"""A plan for people: geometry, methods, recipes and memory as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from ropewalk.report.probe import bracketed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropewalk.result import ExtensionPlan, MemoryPlan, Probe, RecipePlan

GIB = 2**30


def geometry_facts(plan: ExtensionPlan) -> list[tuple[str, str]]:
    """Name and sentence."""
    geometry = plan.geometry
    enough = "below" if geometry.base < geometry.base_bound else "at or above"
    return [
        (
            "Window",
            f"{geometry.trained_length:,} tokens trained, {geometry.target_length:,} wanted ({geometry.factor:.4g} x)",
        ),
        ("Parameters", f"{plan.parameters:,}{_met(plan)}"),
        ("Trained pairs", f"{geometry.trained_pair_fraction:.2f} of all complete a turn inside the trained window"),
        (
            "Critical dimension",
            f"{geometry.critical_dimension} of {geometry.head_dim}: the others have not met all their angles "
            "(arXiv:2310.05209)",
        ),
        (
            "Base",
            f"{geometry.base:,.9g}, {enough} the {geometry.base_bound:,.3g} that the target asks for "
            f"(arXiv:2405.14591); as it is, resembling tokens are preferred up to {geometry.reach:,} tokens",
        ),
        ("Cache", f"{size(plan.cache_bytes)} of keys and values for one sequence of the target length"),
    ]


def _met(plan: ExtensionPlan) -> str:
    idle = plan.active_parameters < plan.parameters
    return f", of which a token meets {plan.active_parameters:,} (a mixture of experts)" if idle else ""


def method_table(plan: ExtensionPlan) -> Table:
    """Methods, those that suit first."""
    table = _table("Methods, by their frequencies alone")
    for name, justify in (("method", "left"), ("fits", "left"), ("because", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for one in plan.methods:
        table.add_row(one.method, one.suits, one.because)
    return table


def recipe_table(plan: ExtensionPlan) -> Table:
    """Published recipes at this model's size, the cheapest first."""
    where = "" if plan.device is None else f", on {plan.devices} x {plan.device}"
    table = _table(f"Published recipes at this size{where}")
    for name in ("recipe", "method", "steps", "windows", "tokens", "PFLOP", "hours", "memory", "setting"):
        right = name in ("steps", "windows", "tokens", "PFLOP", "hours", "memory")
        table.add_column(name, justify="right" if right else "left", no_wrap=right or name == "recipe")
    for recipe in plan.recipes:
        table.add_row(
            ("> " if recipe.recipe == plan.recommended else "  ") + recipe.recipe,
            recipe.method + (f", {recipe.positions}" if recipe.positions != "contiguous" else ""),
            f"{recipe.steps:,}",
            f"{recipe.batch} x {recipe.window:,}",
            short(recipe.tokens),
            short(recipe.petaflops),
            _hours(recipe),
            size(recipe.memory.total_bytes),
            recipe.memory.setting + ("" if recipe.memory.fits is not False else " (does not fit)"),
        )
    return table


def memory_table(memory: MemoryPlan) -> Table:
    """What holds how much of a device's memory, in the recommended setting."""
    table = _table(f"Memory of a device: {memory.setting}")
    table.add_column("part")
    table.add_column("GiB", justify="right")
    for name, held in memory.parts.items():
        table.add_row(name, f"{held / GIB:,.2f}")
    table.add_row("together", f"{memory.total_bytes / GIB:,.2f}")
    if memory.host_bytes:
        table.add_row("of the host, besides", f"{memory.host_bytes / GIB:,.2f}")
    return table


def assumptions(plan: ExtensionPlan) -> str:
    """What times and sizes rest on."""
    said = (
        "Memory is worked out part by part for one window a device, bfloat16 products and float32 weights; buffers of "
        "communication are not in it."
    )
    if plan.device is None:
        return said + " Name the hardware with --gpu NAME --gpus N for hours and fits."
    return (
        f"Hours assume {plan.products_share:.0%} of the peak of {plan.device} in products and "
        f"{plan.attention_share:.0%} in attention, and no waiting; nothing was timed. {said}"
    )


def measured_words(plan: ExtensionPlan, probe: Probe, finalists: Sequence[str]) -> str:
    """How the recommendation stands in a probe, and the command that settles what both leave open.

    Args:
        plan: Recommends by what was published.
        probe: Of the same model and target.
        finalists: Methods that a comparison should train.
    """
    method = next(recipe.method for recipe in plan.recipes if recipe.recipe == plan.recommended)
    best, row = probe.methods[0].method, next((one for one in probe.methods if one.method == method), None)
    if row is None:
        stands = "was not probed"
    elif method == best:
        stands = "is the best untrained in the probe, too"
    elif row.behind.low <= 0:
        stands = f"is not shown to be behind the best untrained in the probe, {best}"
    else:
        stands = f"is {bracketed(row.behind)} nats/answer token behind the best untrained in the probe, {best}"
    compared = ",".join(dict.fromkeys((*finalists, method)))
    return (
        f"It is recommended by what was published; its method, {method}, {stands}. What training makes of them: "
        f"ropewalk compare {plan.model} --to {plan.geometry.target_length} --methods {compared} --budget '60 steps'"
    )


def size(count: float) -> str:
    """Bytes in the largest binary unit that keeps them at or above 1."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.3g} {unit}"
        count /= 1024
    return f"{count:,.3g} TiB"


def short(count: float) -> str:
    """A large number with three digits and k, M, G or T."""
    for unit in ("", "k", "M", "G"):
        if abs(count) < 1000:
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:,.3g}T"


def _hours(recipe: RecipePlan) -> str:
    if recipe.hours is None:
        return "-"
    return f"{recipe.hours:,.3g}" if recipe.hours >= 0.01 else "< 0.01"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=None, pad_edge=False)
