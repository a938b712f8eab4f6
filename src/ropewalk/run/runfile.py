"""A run as one TOML file: read, checked, completed, written back.

The resolved run is written beside the result, and runs again as it is:

    model = "builtin"
    target_length = 2048

    [method]
    name = "yarn"           # further keys are the method's own options

    [positions]
    name = "contiguous"     # further keys are the sampler's own options

    [train]
    steps = 60
    batch = 4

    [data]
    files = ["builtin"]     # text files, folders, or the built-in corpus by name
"""

from __future__ import annotations

import difflib
import tomllib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ropewalk.errors import RunFileError, unknown_name
from ropewalk.train.settings import GapSettings, LoraSettings, TrainSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

BUILT_IN = "builtin"
Packing = Literal["fill", "best-fit", "none"]


class Choice(BaseModel):
    """A method or sampler by name; every further key is one of its options."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The options, by name."""
        return dict(self.model_extra or {})


class SourceSettings(BaseModel):
    """One source of a mix: a `[[data.sources]]` section.

    Attributes:
        path: A file, a folder, `hub:NAME` for a data set of the Hugging Face hub, or `builtin`.
        weight: Share of the windows against the other sources' weights.
        packing: As in `[data]`, for this source alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    packing: Packing | None = None


class DataSettings(BaseModel):
    """What a model is trained on: the `[data]` section.

    Attributes:
        files: Files and folders of text or of examples, `hub:NAME`, and `builtin` for the built-in corpus: read as one
            source.
        sources: Several sources mixed by weight, instead of `files`.
        column: Key that holds the text of an example or its conversation; found by itself for the usual names.
        examples: At most this many examples of each source, drawn by the seed; all by default. A conversation that was
            split counts once for each piece.
        min_tokens: Examples with fewer tokens are left out.
        packing: `fill` joins short texts and cuts them at the window's border, `best-fit` joins them uncut, `none`
            gives each a window of its own. Texts are filled and conversations fitted by default.
        drop_last: Each sweep over a source ends with its last whole batch, and what is left over waits for the next; a
            source of less than a batch is read to its end.
        recall_share: Share of windows that hold synthetic recall tasks, 0 to 1.
        window: Tokens in a training window; by default the target length for samplers that train at it, else the
            trained length.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: tuple[str, ...] = ()
    sources: tuple[SourceSettings, ...] = ()
    column: str | None = None
    examples: int | None = Field(default=None, ge=1)
    min_tokens: int = Field(default=0, ge=0)
    packing: Packing | None = None
    drop_last: bool = False
    recall_share: float = Field(default=0.0, ge=0, le=1)
    window: int | None = Field(default=None, ge=2)


class RunFile(BaseModel):
    """One run.

    Attributes:
        model: A checkpoint folder, a hub id, or `builtin`.
        target_length: Tokens of the new window.
        factor: The new window as a multiple of the trained one, in place of `target_length`; a resolved run has none.
        method: The extension method and its options.
        positions: The training-position sampler and its options; the method's own by default.
        train: Steps, batch, learning rate, ...
        data: What to train on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    target_length: int | None = Field(default=None, ge=2)
    factor: float | None = Field(default=None, ge=1, allow_inf_nan=False)
    method: Choice = Choice(name="yarn")
    positions: Choice | None = None
    train: TrainSettings = TrainSettings()
    data: DataSettings = DataSettings()

    def to_toml(self) -> str:
        """The run as TOML text; what is None is left out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def parse_run(values: Mapping[str, Any], *, where: str) -> RunFile:
    """Checks the values of a run.

    Args:
        values: Nested mappings, as TOML gives them.
        where: What messages call the source, such as `run file runs/demo.toml`.

    Raises:
        RunFileError: A missing, unknown or impossible value; the message names its section.
    """
    try:
        return RunFile.model_validate(values)
    except ValidationError as error:
        raise RunFileError(f"{where}{_explain(error)}") from None


def read_run(name_or_path: str) -> dict[str, Any]:
    """The values of a run file, unchecked, so that flags can override them.

    Args:
        name_or_path: A path ending in `.toml`, or the name of a run file that the package carries.

    Raises:
        UnknownNameError: No packaged run has that name.
        RunFileError: The file does not exist, is not TOML, or has a value in the place of a section.
    """
    if not name_or_path.endswith(".toml"):
        known = packaged_runs()
        if name_or_path not in known:
            raise unknown_name("recipe", name_or_path, known)
        return tomllib.loads(known[name_or_path])
    path = Path(name_or_path)
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RunFileError(f"run file '{path}' cannot be read: {error.strerror}. Check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunFileError(f"run file '{path}' must be TOML: {error}. Mend that place.") from None
    for section in ("method", "positions", "train", "data"):
        if not isinstance(values.get(section, {}), dict):
            raise RunFileError(
                f"run file '{path}': {section} is a section with entries of its own; got {section} = "
                f"{values[section]!r}. Write [{section}] and its entries below it."
            )
    return values


def packaged_runs() -> dict[str, str]:
    """The run files of the package: name to TOML text."""
    folder = resources.files("ropewalk.assets") / "runs"
    return {
        entry.name.removesuffix(".toml"): entry.read_text("utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".toml")
    }


def override(values: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """The values with flags laid over them, section by section; a flag that is None changes nothing."""
    merged = dict(values)
    for key, value in flags.items():
        if isinstance(value, dict):
            below = merged.get(key)
            merged[key] = override(below if isinstance(below, dict) else {}, value)
            if not merged[key]:
                del merged[key]
        elif value is not None:
            merged[key] = value
    return merged


def _explain(error: ValidationError) -> str:
    """The first problem of a validation, in words."""
    problem = error.errors()[0]
    *sections, key = [str(part) for part in problem["loc"]]
    section = f", [{'.'.join(sections)}]" if sections else ""
    if problem["type"] == "extra_forbidden":
        models: dict[str, type[BaseModel]] = {
            "train": TrainSettings,
            "train.lora": LoraSettings,
            "train.gap": GapSettings,
            "data": DataSettings,
            "data.sources": SourceSettings,
        }
        place = ".".join(part for part in sections if not part.isdigit())
        known = sorted(models.get(place, RunFile).model_fields)
        near = difflib.get_close_matches(key, known, n=1)
        hint = f" did you mean '{near[0]}'?" if near else ""
        return f"{section}: unknown key '{key}';{hint} this section knows {', '.join(known)}."
    if problem["type"] == "missing":
        return f"{section}: the key '{key}' must be given."
    return f"{section}: {key} = {problem['input']!r} cannot be used: {problem['msg']}."
