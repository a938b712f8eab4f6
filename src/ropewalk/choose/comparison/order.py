"""What a comparison is asked for, and everything that is settled and refused before it begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ropewalk.adapters import load_tokenizer
from ropewalk.adapters.config import ModelConfig, read_model_config
from ropewalk.adapters.shape import shape_of
from ropewalk.cells.texts import MODULES, VALIDATION, texts
from ropewalk.choose.comparison.budget import SHARES, Budget, rungs_of
from ropewalk.choose.comparison.candidates import candidates_of, check_entries
from ropewalk.choose.comparison.exams import exams_of
from ropewalk.choose.needles import Needles
from ropewalk.data.corpus import Corpus
from ropewalk.data.documents import read_texts
from ropewalk.errors import DataError, OptionError
from ropewalk.evals.tasks import encoder
from ropewalk.run.flags import SEARCHED
from ropewalk.run.plan import check_target, resolve
from ropewalk.run.runfile import BUILT_IN, Choice, override
from ropewalk.run.training_data import texts_trained_on, training_windows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ropewalk.cells.exams import Exam
    from ropewalk.choose.comparison.candidates import Candidate
    from ropewalk.choose.comparison.exams import Side

SMALL_RATES, LARGE_RATES = (3e-4, 1e-3, 3e-3), (1e-5, 2e-5, 5e-5)
SMALL = 100_000_000  # parameters below which a model takes the larger rates
FEWEST = 2  # documents of a side; an interval needs as many
EVERY = 4  # of the documents given, one of so many decides and the others report
BUILT_IN_RECALL = 0.5  # of its windows hold recall tasks, because it forgets how to answer without them


@dataclass(frozen=True)
class CompareOrder:
    """A comparison as it is asked for.

    Attributes:
        model: A checkpoint folder, a hub id, or `builtin`.
        target_length: Tokens of the new window.
        methods: By name; `searched` stands for what a search finds.
        positions: Samplers of training positions, by name.
        budget: Of each candidate.
        seeds: Trainings with the whole budget.
        rates: Learning rates to choose from; by the model's size if none are given.
        batch: Windows of the target length in a step; others get as many tokens.
        data: What is trained on, as in a run file; the built-in corpus for the built-in model.
        held_out: Text files and folders that are measured; the built-in held-out modules where there are none and the
            model or its training text is the built-in one.
        entries: Of a run file that all candidates share, nested.
        search: `taper` or `evolution`, for `searched`.
        evaluations: Of that search.
        contexts: Needle contexts of each side.
        keys: Facts in each.
        windows_per_document: Text windows of each document.
        controls: Measure the same tokens at the old window, too.
        shares: Of the budget, after which candidates are compared; the last is the whole.
    """

    model: str
    target_length: int
    methods: tuple[str, ...]
    budget: Budget
    positions: tuple[str, ...] = ("contiguous",)
    seeds: int = 3
    rates: tuple[float, ...] = ()
    batch: int = 4
    data: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    entries: Mapping[str, Any] = field(default_factory=dict)
    search: str = "taper"
    evaluations: int = 300
    contexts: int = 16
    keys: int = 16
    windows_per_document: int = 4
    controls: bool = True
    shares: tuple[float, ...] = SHARES


@dataclass(frozen=True)
class Frame:
    """A comparison with everything settled.

    Attributes:
        order: What was asked for.
        config: The model's.
        steps: Of the whole budget.
        rungs: Steps of each rung.
        step_tokens: Tokens of a step.
        rates: Learning rates to choose from.
        candidates: Without the searched one, whose frequencies are not known yet.
        base: What the runs of all candidates share.
        texts: Documents of each side; None where only needles are measured.
    """

    order: CompareOrder
    config: ModelConfig
    steps: int
    rungs: tuple[int, ...]
    step_tokens: int
    rates: tuple[float, ...]
    candidates: tuple[Candidate, ...]
    base: Mapping[str, Any]
    texts: Mapping[Side, Corpus | str] | None

    @property
    def with_text(self) -> bool:
        """Whether text is measured."""
        return self.texts is not None

    def exams(self, *sides: Side) -> tuple[Exam, ...]:
        """The exams of sides."""
        order = self.order
        return tuple(
            exam
            for side in sides
            for exam in exams_of(
                side,
                self.texts[side] if self.texts else None,
                trained_length=self.config.rope.trained_length,
                target_length=order.target_length,
                contexts=order.contexts,
                keys=order.keys,
                windows_per_document=order.windows_per_document,
            )
        )

    def candidates_with(self, searched: Choice | None) -> tuple[Candidate, ...]:
        """All candidates, what a search found among them."""
        order = self.order
        if searched is None:
            return self.candidates
        found = candidates_of(
            (), order.positions, self.config.rope, order.target_length, self.step_tokens, searched=searched
        )
        return (*self.candidates, *found)


def frame_of(order: CompareOrder) -> Frame:
    """Settles a comparison.

    Raises:
        DataError: No training text, too short, or held-out text that is too little or trained on.
        ModelError: No such model, or one that ropewalk does not extend.
        OptionError: Fewer than two candidates, a budget below one step, a target that is no extension, ...
        UnknownNameError: A method or sampler that does not exist.
    """
    config = read_model_config(order.model)
    config.require_unscaled()
    _check_sizes(order, config)
    check_entries(order.entries)
    step_tokens = order.batch * order.target_length
    named = [Choice(name=name) for name in order.methods if name != SEARCHED]
    candidates = candidates_of(named, order.positions, config.rope, order.target_length, step_tokens)
    count = len(candidates) + order.methods.count(SEARCHED) * len(order.positions)
    if count < 2:
        raise OptionError(
            f"a comparison is between at least two candidates, which are methods times positions; got {count}. Name "
            "more with --methods or --positions, or train the one there is: ropewalk extend."
        )
    steps = order.budget.steps(step_tokens)
    tokenizer = load_tokenizer(order.model)
    Needles.draw(tokenizer, order.target_length, contexts=1, keys=order.keys)
    base = _base(order)
    frame = Frame(
        order=order,
        config=config,
        steps=steps,
        rungs=rungs_of(steps, order.shares),
        step_tokens=step_tokens,
        rates=order.rates or (SMALL_RATES if shape_of(config).parameters < SMALL else LARGE_RATES),
        candidates=candidates,
        base=base,
        texts=_held_out(order, tokenizer),
    )
    _check_data(frame, tokenizer)
    return frame


def _check_sizes(order: CompareOrder, config: ModelConfig) -> None:
    check_target(order.target_length, config)
    trained = config.rope.trained_length
    if order.target_length == trained:
        raise OptionError(
            f"candidates are compared at a window that the model does not have yet; got its own, {trained:,} tokens. "
            f"Choose --to {2 * trained} or more."
        )
    for name in ("seeds", "batch", "contexts", "keys", "windows_per_document", "evaluations"):
        least = 2 if name == "contexts" else 1
        if getattr(order, name) < least:
            raise OptionError(
                f"{name} of a comparison must be at least {least}, because nothing is measured otherwise; got "
                f"{getattr(order, name)}. Give a larger number."
            )


def _base(order: CompareOrder) -> Mapping[str, Any]:
    own = {"model": order.model, "data": {"files": list(order.data) or None}}
    recall = {"data": {"recall_share": BUILT_IN_RECALL}} if order.model == BUILT_IN else {}
    return override(override(recall, order.entries), own)


def _held_out(order: CompareOrder, tokenizer: Any) -> Mapping[Side, Corpus | str] | None:
    if not order.held_out:
        if order.model != BUILT_IN and BUILT_IN not in order.data:
            return None
        for name in (VALIDATION, MODULES):
            _long_enough(texts(name).documents, tokenizer, order.target_length)
        return {"validation": VALIDATION, "test": MODULES}
    documents: dict[str, str] = {}
    for path in order.held_out:
        documents |= (texts(MODULES) if path == BUILT_IN else read_texts([path])).documents
    names = sorted(_long_enough(documents, tokenizer, order.target_length, sides=2))
    split = set(names[::EVERY] if len(names) >= FEWEST * EVERY else names[::2])
    sides: dict[Side, Corpus | str] = {
        "validation": Corpus({name: documents[name] for name in names if name in split}),
        "test": Corpus({name: documents[name] for name in names if name not in split}),
    }
    return sides


def _long_enough(documents: Mapping[str, str], tokenizer: Any, length: int, *, sides: int = 1) -> list[str]:
    """Names of the documents that hold a window.

    Raises:
        DataError: Too few.
    """
    encode = encoder(tokenizer)
    found = [name for name, text in documents.items() if len(encode(text)) >= length]
    if len(found) < FEWEST * sides:
        raise DataError(
            f"a comparison needs {FEWEST} held-out documents of at least {length:,} tokens to decide by, and as many "
            f"others to report; of {len(documents)} documents {len(found)} are that long. Give more or longer ones "
            "with --held-out, or choose a shorter target."
        )
    return found


def _check_data(frame: Frame, tokenizer: Any) -> None:
    """Raises DataError where nothing can be trained on, or where what is measured is trained on."""
    for candidate in {one.window: one for one in frame.candidates}.values():
        run = candidate.run(
            frame.base, target_length=frame.order.target_length, steps=1, learning_rate=frame.rates[0], seed=0
        )
        plan = resolve(run)
        training_windows(plan, tokenizer)
        if frame.order.held_out and frame.texts:
            measured = [
                text for side in frame.texts.values() if isinstance(side, Corpus) for text in side.documents.values()
            ]
            known = texts_trained_on(plan.run.data, measured)
            if known:
                raise DataError(
                    f"held-out text must not be trained on, because memorised text hides differences; {len(known)} of "
                    f"{len(measured)} documents are. Leave them out of --data or of --held-out."
                )
