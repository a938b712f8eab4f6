"""CREAM's study: the cells and claims of all its parts, what tables show, and the figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.cells.texts import MODULES
from ropewalk.reproduce.cream.cells import (
    FREQUENCIES,
    FREQUENCY_NAMES,
    SAMPLERS,
    cells_at_eight_times,
    quick_cells,
    searches,
)
from ropewalk.reproduce.cream.chat import chat_cells
from ropewalk.reproduce.cream.claims import all_claims, middle
from ropewalk.reproduce.cream.exams import (
    FORMATS,
    FORMATS_EXAM,
    KEYS,
    LENGTHS,
    NEEDLE,
    NLL,
    PASSKEY,
    RECALL,
    TARGET,
)
from ropewalk.reproduce.cream.far import FAR, FAR_TEXT, far_cells, far_exams
from ropewalk.reproduce.cream.route_claims import chat_claims, far_claims
from ropewalk.reproduce.study import Study
from ropewalk.result import Along, Line, Panel

if TYPE_CHECKING:
    from ropewalk.cells.cell import Cell

SIGMAS = ((2, "-narrow"), (2.5, "-sigma-2.5"), (3, ""), (3.5, "-sigma-3.5"), (4, "-wide"))
CONTINUITY = (
    (0, "-continuity-0"),
    (0.25, "-continuity-25"),
    (0.5, ""),
    (0.75, "-continuity-75"),
    (1, "-continuity-100"),
)
NOTES = (
    "No model here was ever fed a window above 256 tokens, except those that say so. Half of the windows hold recall "
    "tasks, of 256 tokens like all others.",
    "Recall: 32 contexts of 16 records at each length, all asked for; the middle is the third of the context between "
    "one third and two thirds of its depth.",
    "Contiguous and RandPos take the learning rate that was searched for PoSE with the same frequencies.",
)
WHOLE_NOTES = (
    "32 and 64 times the window: 4 contexts of 16 records, one seed, learning rates searched at 8 times. NLL there is "
    "measured on 8 modules up to 8,192 tokens, which every module holds; only nine of the sixteen hold 16,384.",
    "Lost in the Middle's JSON, LongChat's lines and RULER's needle are tried on the untouched model inside its own "
    "window (table `formats`). Two records of whole UUIDs with their question do not fit into 256 tokens, so the JSON "
    "holds identifiers of 8 hexadecimal digits. No cell is asked what the untouched model does not answer: in their "
    "place stand records `word=number`, by depth and by length, and pass keys in a grid of lengths and depths.",
    "Tuned on conversations: 960 made-up conversations of at most 256 tokens, of which the answers are learned; then "
    "960 others in CREAM's windows, of which every token is, as in the released code. The tuning takes the rate of the "
    "run file.",
    "The ablations are made over linear frequencies, the paper's first choice, and over revised YaRN: the pilot found "
    "nothing at 8 times the window with linear frequencies after so few steps.",
)


def cream(*, quick: bool) -> Study:
    """The study of CREAM: three samplers over YaRN with one seed, or everything."""
    return Study(
        name="cream",
        title="CREAM: trained at the old window alone",
        paper="2406.07138",
        quick=quick,
        cells=quick_cells() if quick else whole_cells(),
        claims=(middle("yarn"),) if quick else (*all_claims(), *far_claims(), *chat_claims()),
        shown=((RECALL, KEYS), (MODULES, NLL), *(() if quick else more_shown())),
        depths=((RECALL, KEYS, TARGET), *(() if quick else ((NEEDLE, PASSKEY, length) for length in LENGTHS))),
        panels=panels("yarn") if quick else whole_panels(),
        searches=() if quick else searches(),
        defaults={f"{f}-{s}": 1e-3 for f in FREQUENCIES for s in ("cream", "pose")} | {"yarn-pose": 3e-4},
        notes=NOTES if quick else (*NOTES, *WHOLE_NOTES),
    )


def whole_cells() -> tuple[Cell, ...]:
    """Everything: 8 times the window first."""
    return (*cells_at_eight_times(far_exams(64)), *far_cells(), *chat_cells())


def more_shown() -> tuple[tuple[str, str], ...]:
    """Exams that the quick set does not have."""
    return ((NEEDLE, PASSKEY), (FAR, KEYS), (FAR_TEXT, NLL), *((FORMATS, measure) for measure in FORMATS_EXAM.measures))


def whole_panels() -> tuple[Panel, ...]:
    """Recall over both frequencies, the ablations, far targets, and the needle grid of CREAM and its rivals."""
    far = tuple(cell.name for cell in far_cells() if cell.name.startswith("yarn"))
    return (
        *panels("linear", *SAMPLERS),
        *panels("yarn", *SAMPLERS),
        ablation_panel("Middle's spread", "sigma, half windows", SIGMAS),
        ablation_panel("Mix of modes", "share of continuity mode", CONTINUITY),
        Panel(title="Records found far beyond, revised YaRN", of=FAR, measure=KEYS, cells=far),
        *(needle_panel(sampler) for sampler in ("cream", "pose", "contiguous")),
    )


def panels(frequencies: str, *samplers: str) -> tuple[Panel, ...]:
    """Recall by depth, and by length."""
    chosen = samplers or ("cream", "pose", "contiguous")
    cells = tuple(f"{frequencies}-{sampler}" for sampler in chosen)
    name = FREQUENCY_NAMES[frequencies]
    return (
        Panel(title=f"Records found by depth, {name}", of=RECALL, measure=KEYS, cells=cells, at=TARGET),
        Panel(title=f"Records found by length, {name}", of=RECALL, measure=KEYS, cells=cells),
    )


def ablation_panel(title: str, axis: str, places: tuple[tuple[float, str], ...]) -> Panel:
    """Records found at the target, all depths together, against an option of CREAM's."""
    line = Line(name="CREAM, revised YaRN", cells=tuple((place, f"yarn-cream{name}") for place, name in places))
    along = Along(title=axis, lines=(line,), logarithmic=False)
    return Panel(title=f"{title}, {TARGET:,} tokens", of=RECALL, measure=KEYS, at=TARGET, along=along)


def needle_panel(sampler: str) -> Panel:
    """Pass keys by length and depth."""
    title = f"Pass keys found, revised YaRN, {SAMPLERS[sampler]}"
    return Panel(title=title, of=NEEDLE, measure=PASSKEY, cells=(f"yarn-{sampler}",), is_grid=True)
