"""What a plan says: a model's geometry, the methods that suit it, and what recipes would cost. No weights were read."""

from __future__ import annotations

from typing import Literal

from ropewalk.result.records import FORMAT_VERSION, Record

Suits = Literal["suits", "after training", "in part"]


class Geometry(Record):
    """What rotary geometry says of a long window.

    Attributes:
        head_dim: Rotated dimensions of a head.
        base: `rope_theta`.
        trained_length, target_length: Tokens.
        trained_pair_fraction: Share of pairs that complete a turn inside the trained window.
        critical_dimension: Dimensions that do.
        base_bound: Smallest base for the target length.
        reach: Distance up to which resembling tokens are preferred with the base as it is, tokens; at most the target.
    """

    head_dim: int
    base: float
    trained_length: int
    target_length: int
    trained_pair_fraction: float
    critical_dimension: int
    base_bound: float
    reach: int

    @property
    def factor(self) -> float:
        """Target over trained length."""
        return self.target_length / self.trained_length


class Suitability(Record):
    """How a method fits a model and a target length.

    Attributes:
        method: Registered name.
        described: With its numbers.
        suits: `suits` as it is, `after training`, or `in part`.
        new_angles: Pairs that meet angles at the target length which training never showed.
        fastest_stretch: How many times slower the fastest pair turns; None where it stands still.
        reach: Distance up to which resembling tokens are preferred, tokens; at most the target.
        because: In words.
    """

    method: str
    described: str
    suits: Suits
    new_angles: int
    fastest_stretch: float | None
    reach: int
    because: str


class MemoryPlan(Record):
    """A setting of training, and what it needs.

    Attributes:
        setting: In words.
        entries: Entries of a run file that make it, by their dotted names.
        total_bytes: On each device.
        host_bytes: Of the host's memory, for offloaded activations.
        parts: Bytes by what holds them.
        fits: None where no device was named.
    """

    setting: str
    entries: dict[str, str | int]
    total_bytes: int
    host_bytes: int
    parts: dict[str, int]
    fits: bool | None


class RecipePlan(Record):
    """A published recipe at this model's size.

    Attributes:
        recipe: Name of a packaged run file.
        method, positions: What it extends by.
        steps, batch, window: Of its training; tokens of a window.
        published_factor: The factor of its paper.
        petaflops: Operations, 1e15.
        hours: On the named devices; None without a device, or where no setting fits.
        memory: The first setting that fits, or the leanest.
    """

    recipe: str
    method: str
    positions: str
    steps: int
    batch: int
    window: int
    published_factor: float
    petaflops: float
    hours: float | None
    memory: MemoryPlan

    @property
    def tokens(self) -> int:
        """Tokens of the whole training."""
        return self.steps * self.batch * self.window


class ExtensionPlan(Record):
    """The answer to: which method, what will it cost, will it fit?

    Attributes:
        model, model_type: What was asked for.
        parameters: Of the model.
        active_parameters: Of these, those that a token meets; fewer in a mixture of experts.
        geometry: Of its rotary embedding.
        methods: All static methods, those that suit first.
        recipes: Published recipes, the cheapest first.
        recommended: Name of a recipe.
        because: Why that one.
        cache_bytes: Key/value cache of one sequence of the target length.
        device, devices: Hardware that times and fits are for; None where none was named.
        products_share, attention_share: Assumed shares of its peak.
        command: The launch.
        warnings: What the config says against itself, and what was not estimated.
    """

    format_version: int = FORMAT_VERSION
    model: str
    model_type: str
    parameters: int
    active_parameters: int
    geometry: Geometry
    methods: tuple[Suitability, ...]
    recipes: tuple[RecipePlan, ...]
    recommended: str
    because: str
    cache_bytes: int
    device: str | None
    devices: int
    products_share: float | None
    attention_share: float | None
    command: str
    warnings: tuple[str, ...]
