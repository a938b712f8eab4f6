"""What a retrieval task is: it draws contexts with questions, and says how answers to them are scored.

A task is a frozen dataclass under `@register("name")` in a file of its own in `ropewalk/data/retrieval/`; the file
name is the registered name with underscores. It is a `SingleFact`, `ManyFacts` or `WholeContext`; its fields are its
options. Nothing else must be edited.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ropewalk.data.facts import ROOM_STEP
from ropewalk.errors import OptionError
from ropewalk.register import Register, Registered

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from ropewalk.data.facts import Fact
    from ropewalk.data.recall import Encode, RecallContext
    from ropewalk.register import Paper

Scoring = Literal["first-number", "number-at-once", "all-references", "any-reference"]
Placement = Literal["single", "many", "whole"]


@dataclass(frozen=True)
class RetrievalTask(Registered):
    """Base of all retrieval tasks.

    Class attributes:
        source: Where the task was published.
        scoring: `first-number`: the first run of digits in the answer is the number (landmark, PI, PoSE).
            `number-at-once`: the same with only blanks before it. `all-references`: the share of references that the
            answer contains (RULER's string_match_all). `any-reference`: whether it contains one of them (RULER's
            string_match_part, Lost in the Middle).
        placement: `single`: one fact at a depth. `many`: many facts, asked one by one. `whole`: the question is about
            the whole context, which has no depth.
        blind: What blind picking picks from, the meaning of a context's `chance`.
        reserves: `length` has room for all `new_tokens`, as in RULER, and not only for the expected answer.

    Attributes:
        new_tokens: Tokens that are decoded at most for one answer.
    """

    source: ClassVar[Paper]
    scoring: ClassVar[Scoring]
    placement: ClassVar[Placement]
    blind: ClassVar[str]
    reserves: ClassVar[bool] = False

    new_tokens: int = 10

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise OptionError(f"{field.name} of the task '{self.name}' must be at least 1; got {value}.")

    def sample(
        self,
        encode: Encode,
        rng: np.random.Generator,
        *,
        length: int,
        depth: float | None = None,
        facts: int | None = None,
    ) -> RecallContext:
        """A context of at most `length` tokens, question and room for the answer included.

        Args:
            encode: Text to token ids without special tokens.
            rng: Every draw comes from it.
            length: Tokens.
            depth: For a task with a single fact: where it stands, 0 to 1; at random if not given.
            facts: For a task with many facts: questions, one about a fact in each of as many equal parts of the
                context; the task's own choice if not given.

        Raises:
            OptionError: The length is too short, or the task has no depth, or not that many facts.
        """
        if depth is not None and (self.placement != "single" or not 0 <= depth <= 1):
            raise OptionError(
                f"a depth lies between 0 and 1 and belongs to a task with a single fact; got {depth} for the task "
                f"'{self.name}' ({self.placement})."
            )
        if facts is not None and (self.placement != "many" or facts < 1):
            raise OptionError(
                f"a number of facts is at least 1 and belongs to a task with many facts; got {facts} for the task "
                f"'{self.name}' ({self.placement})."
            )
        return self._drawn(encode, rng, length, depth, facts)

    def _drawn(
        self, encode: Encode, rng: np.random.Generator, length: int, depth: float | None, facts: int | None
    ) -> RecallContext:
        raise NotImplementedError

    def room(self, fact: Fact) -> int:
        """Tokens that a question about a fact and its answer take at the end of a prompt."""
        return len(fact.prompt) + max(len(fact.answer), self.new_tokens if self.reserves else 0)

    def common_room(self, facts: Iterable[Fact]) -> int:
        """Tokens that a question about any of the facts takes, in steps."""
        widest = max(self.room(fact) for fact in facts)
        return -(-widest // ROOM_STEP) * ROOM_STEP


@dataclass(frozen=True)
class SingleFact(RetrievalTask):
    """A task with one fact, at a depth."""

    placement: ClassVar[Placement] = "single"

    def draw(self, encode: Encode, rng: np.random.Generator, *, length: int, depth: float) -> RecallContext:
        """What a task implements; arguments as in `sample`, already checked."""
        raise NotImplementedError

    def _drawn(
        self, encode: Encode, rng: np.random.Generator, length: int, depth: float | None, facts: int | None
    ) -> RecallContext:
        del facts
        return self.draw(encode, rng, length=length, depth=float(rng.random()) if depth is None else depth)


@dataclass(frozen=True)
class ManyFacts(RetrievalTask):
    """A task with many facts that are asked one by one."""

    placement: ClassVar[Placement] = "many"

    def draw(self, encode: Encode, rng: np.random.Generator, *, length: int, facts: int | None) -> RecallContext:
        """What a task implements; arguments as in `sample`, already checked."""
        raise NotImplementedError

    def _drawn(
        self, encode: Encode, rng: np.random.Generator, length: int, depth: float | None, facts: int | None
    ) -> RecallContext:
        del depth
        return self.draw(encode, rng, length=length, facts=facts)


@dataclass(frozen=True)
class WholeContext(RetrievalTask):
    """A task about the whole context."""

    placement: ClassVar[Placement] = "whole"

    def draw(self, encode: Encode, rng: np.random.Generator, *, length: int) -> RecallContext:
        """What a task implements; arguments as in `sample`, already checked."""
        raise NotImplementedError

    def _drawn(
        self, encode: Encode, rng: np.random.Generator, length: int, depth: float | None, facts: int | None
    ) -> RecallContext:
        del depth, facts
        return self.draw(encode, rng, length=length)


TASKS: Register[RetrievalTask] = Register("retrieval task", "ropewalk.retrieval")
register = TASKS.enter


def depth_battery(
    task: RetrievalTask,
    encode: Encode,
    rng: np.random.Generator,
    length: int,
    *,
    tenths: int = 10,
    tenth: int | None = None,
) -> RecallContext:
    """A context for the cells of a certificate: depth by tenths, one question of a context in a cell.

    A task with many facts gives one context whose questions lie in tenth 0, 1, ... in order. A task with a single
    fact gives one question, at a random depth inside the given `tenth`.

    Raises:
        OptionError: The task has no depth, the length is too short, or a single fact is given no tenth.
    """
    if task.placement == "many":
        return task.sample(encode, rng, length=length, facts=tenths)
    if task.placement == "whole" or tenth is None or not 0 <= tenth < tenths:
        raise OptionError(
            f"the cells of a certificate are depths: a task with a single fact needs a tenth from 0 to {tenths - 1}, "
            f"a task about the whole context has none; got tenth {tenth} for the task '{task.name}' ({task.placement})."
        )
    return task.sample(encode, rng, length=length, depth=(tenth + float(rng.random())) / tenths)
