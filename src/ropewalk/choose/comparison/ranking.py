"""The record of a comparison, read off what was measured."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ropewalk.choose.comparison.scores import estimated, readings_of, text_reading
from ropewalk.evals.environment import environment
from ropewalk.report.style import UNTOUCHED
from ropewalk.result import ComparedControl, RankedCandidate, Ranking
from ropewalk.run.device import default_device

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ropewalk.choose.comparison.candidates import Candidate
    from ropewalk.choose.comparison.comparing import Work
    from ropewalk.result import Estimate

CONTROL = "control"
SCORE = "NLL of text plus loss on answers of needles, both at the target length, nats/token"
SCORE_OF_NEEDLES = "loss on answers of needles at the target length, nats/token"


def ranking_of(work: Work) -> Ranking:
    """The record of a comparison that is done."""
    frame = work.frame
    order = sorted(work.candidates, key=partial(_place, work))
    best = order[0].name
    records = [record for owner in work.records.values() for _, record in sorted(owner.items())]
    return Ranking(
        model=frame.order.model,
        trained_length=frame.config.rope.trained_length,
        target_length=frame.order.target_length,
        budget=str(frame.order.budget),
        rung_steps=frame.rungs,
        step_tokens=frame.step_tokens,
        seeds=work.seeds,
        score=SCORE if frame.with_text else SCORE_OF_NEEDLES,
        candidates=tuple(_ranked(work, one, order[0]) for one in order),
        best=best,
        close=tuple(one.name for one in order[1:] if _stood(work, one) and work.rungs[one.name][-1].behind.low <= 0),
        controls=tuple(_controls(work)),
        rates=tuple(work.rates.values()),
        cells=tuple(records),
        data=work.data,
        notes=tuple(_notes(work)),
        environment=environment(default_device()),
        wall_seconds=sum(record.wall_seconds for record in records),
    )


def _stood(work: Work, candidate: Candidate) -> bool:
    return candidate.name not in work.failed and candidate.name not in work.stopped


def _place(work: Work, candidate: Candidate) -> tuple[bool, int, float]:
    """Those that failed last; the others by how far they came, then by their score there."""
    name = candidate.name
    if name in work.failed:
        return True, 0, 0.0
    return False, -work.stopped.get(name, work.frame.steps + 1), work.rungs[name][-1].score.value


def _ranked(work: Work, candidate: Candidate, best: Candidate) -> RankedCandidate:
    name, records = candidate.name, list(work.records.get(candidate.name, {}).values())
    found: dict[str, Estimate | None] = {}
    if _stood(work, candidate):
        steps = work.frame.steps
        cells = [work.cell_name(one, steps, work.rate(one)) for one in (candidate, best)]
        found = _tested(work, cells[0]) | {"behind": _test_score(work, *cells)}
    return RankedCandidate(
        candidate=name,
        method=candidate.described,
        positions=candidate.positions,
        window=candidate.window,
        learning_rate=work.rates[name].chosen if name in work.rates else None,
        rungs=tuple(work.rungs.get(name, ())),
        stopped_at=work.stopped.get(name),
        failed=work.failed.get(name),
        tokens=sum(record.tokens for record in records),
        wall_seconds=sum(record.wall_seconds for record in records),
        **found,
    )


def _controls(work: Work) -> Iterator[ComparedControl]:
    same_tokens = "same tokens at the old window"
    for owner, cell, name in ((UNTOUCHED, UNTOUCHED, UNTOUCHED), (CONTROL, work.control, same_tokens)):
        records = list(work.records.get(owner, {}).values())
        if records or owner in work.failed:
            yield ComparedControl(
                name=name,
                failed=work.failed.get(owner),
                tokens=sum(record.tokens for record in records),
                wall_seconds=sum(record.wall_seconds for record in records),
                **({} if owner in work.failed else _tested(work, cell)),
            )


def _test_score(work: Work, cell: str, minus: str | None = None) -> Estimate | None:
    of = partial(readings_of, side="test", length=work.frame.order.target_length, with_text=work.frame.with_text)
    return estimated(of(cell), work.samples, minus=None if minus is None else of(minus))


def _tested(work: Work, cell: str) -> dict[str, Estimate | None]:
    """What the test side says of a cell."""
    frame, target_length = work.frame, work.frame.order.target_length
    needles = readings_of(cell, "test", target_length, with_text=False)
    found = {"test": _test_score(work, cell), "needles": estimated(needles, work.samples)}
    if frame.with_text:
        trained = frame.config.rope.trained_length
        inside = [text_reading(name, "test", trained) for name in (cell, UNTOUCHED)]
        found["text"] = estimated([text_reading(cell, "test", target_length)], work.samples)
        found["inside"] = estimated(inside[:1], work.samples, minus=inside[1:])
    return found


def _notes(work: Work) -> Iterator[str]:
    if not work.frame.with_text:
        yield "No held-out text was given: needles alone decide, and loss inside the old window was not measured."
    for rate in work.rates.values():
        if len(rate.rates) > 1 and rate.chosen in (min(rate.rates), max(rate.rates)):
            yield f"The learning rate of {rate.name}, {rate.chosen:g}, lies at the edge of those tried."
    for name, why in work.failed.items():
        yield f"{name} failed: {why}"
