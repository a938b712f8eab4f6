"""What was read for training: examples used, dropped and changed, each with its reason and the first places."""

from __future__ import annotations

from pydantic import Field

from ropewalk.result.records import Record


class Reason(Record):
    """One reason for which examples were dropped or changed.

    Attributes:
        kind: The reason in a short phrase, such as `not JSON`.
        examples: How many examples.
        first: Where the first few of them stand, such as `chats.jsonl:17`.
    """

    kind: str
    examples: int
    first: tuple[str, ...]

    def __str__(self) -> str:
        more = ", ..." if self.examples > len(self.first) else ""
        return f"{self.examples:,} x {self.kind} ({', '.join(self.first)}{more})"


class SourceReport(Record):
    """What was read from one source.

    Attributes:
        source: As the user named it: a file, a folder, `hub:NAME` or `builtin`.
        read: Examples in the source, good or not: lines, rows, list items, text files.
        used: Examples that are trained on: those read less those dropped.
        dropped: Why examples were left out, the most frequent reason first.
        noted: What was changed in examples that are used: split, truncated, an empty turn removed.
        tokens: Tokens of what is used.
        supervised: Those of them that are learnt.
        template: The chat template that conversations were written with: the `tokenizer`'s own or ropewalk's `plain`
            one; None without conversations.
        masks: Conversations by the way in which the answers in them were found: `marks` of the template, or
            `construction`.
    """

    source: str
    read: int
    used: int
    dropped: tuple[Reason, ...] = ()
    noted: tuple[Reason, ...] = ()
    tokens: int = 0
    supervised: int = 0
    template: str | None = None
    masks: dict[str, int] = Field(default_factory=dict)

    def __str__(self) -> str:
        lines = [
            f"{self.source}: {self.used:,} of {self.read:,} examples used, {self.tokens:,} tokens, "
            f"{self.supervised:,} of them learnt"
        ]
        lines += [f"  dropped {reason}" for reason in self.dropped]
        lines += [f"  changed {reason}" for reason in self.noted]
        return "\n".join(lines)


class SourceWindows(Record):
    """What a run makes of one source.

    Attributes:
        report: What was read.
        packing: How documents shorter than a window become windows: `fill`, `best-fit` or `none`.
        windows: Windows of the run that come from this source.
        windows_per_sweep: Windows that hold each of its documents once.
        padding_share: Share of the places in these windows that no token fills, 0 to 1.
        left_out_tokens: Tokens of its documents that no window holds.
    """

    report: SourceReport
    packing: str
    windows: int
    windows_per_sweep: int
    padding_share: float
    left_out_tokens: int

    @property
    def sweeps(self) -> float:
        """How many times the run reads the source."""
        return self.windows / self.windows_per_sweep

    def __str__(self) -> str:
        padding = f", {self.padding_share:.1%} padding" if self.padding_share else ""
        left_out = f", {self.left_out_tokens:,} tokens left out" if self.left_out_tokens else ""
        return (
            f"{self.report}\n  {self.windows:,} windows ({self.packing}), {self.sweeps:.1f} sweeps of "
            f"{self.windows_per_sweep:,}{padding}{left_out}"
        )


class DataReport(Record):
    """What a run is trained on.

    Attributes:
        fingerprint: First 16 hex digits of SHA-256 over the names and texts of what was read.
        window: Tokens in a window.
        sources: In the order of the run file.
        recall_windows: Windows of synthetic recall tasks.
    """

    fingerprint: str
    window: int
    sources: tuple[SourceWindows, ...]
    recall_windows: int = 0

    def describe(self) -> str:
        """In one phrase, such as `408 documents`; with several sources, what each gives."""
        words = [
            f"{source.report.used:,} {'conversations' if source.report.template else 'documents'}"
            + (f" of {source.report.source} ({source.windows:,} windows)" if len(self.sources) > 1 else "")
            for source in self.sources
        ]
        return ", ".join(words)

    def __str__(self) -> str:
        recall = f"\nsynthetic recall: {self.recall_windows:,} windows" if self.recall_windows else ""
        return "\n".join(map(str, self.sources)) + recall
