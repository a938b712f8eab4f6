"""What an export wrote, and how its numbers compare with the extended model's."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ropewalk.result.records import FORMAT_VERSION, Record


class ParityCell(Record):
    """Logits of the same prompt from two forms of a model.

    Attributes:
        length: Tokens of the window; the prompt's last token stands at its end.
        phase: `prefill` (one call) or `decode` (token by token, with a cache).
        tokens: Tokens that were compared: the prompt's, or its last ones.
        largest_difference: Of any logit at any of these tokens.
        largest_logit: Of the applied model, for comparison.
        first_divergent_token: Position of the first token after which the two would choose another one; None if none.
    """

    length: int
    phase: Literal["prefill", "decode"]
    tokens: int
    largest_difference: float
    largest_logit: float
    first_divergent_token: int | None


class ExportResult(Record):
    """What an export wrote: `ropewalk/export.json` in the exported folder.

    Attributes:
        engine: For which program.
        source: The extended checkpoint that was exported.
        method: Phrase such as `yarn, factor 8`.
        carrier: How the config holds the method: a rope type, `folded` or `staircase` with one, or `frozen`.
        exact: The engine computes the method; if not, `loses` says what is lost.
        rope_parameters: As written.
        query_factor: What the weights that make queries were multiplied by; 1 where no weight changed.
        weights: What became of the weight files: linked, copied, or changed.
        notes: Sentences for people.
        checked: What was compared after writing, one phrase each.
        parity: Logits of a small random model with the written config, against the applied method.
        serve: The command that serves the folder.
        serve_source: The command that serves the source's own weights with these settings; None if they had to change.
    """

    format_version: int = FORMAT_VERSION
    engine: str
    source: str
    method: str
    trained_length: int
    target_length: int
    carrier: str
    exact: bool
    loses: str | None
    rope_parameters: dict[str, Any]
    query_factor: float = 1.0
    weights: str
    notes: tuple[str, ...]
    checked: tuple[str, ...]
    parity: tuple[ParityCell, ...] = Field(default=())
    serve: str
    serve_source: str | None


class ParityResult(Record):
    """Whether an engine's form of a checkpoint computes what the applied method computes.

    Attributes:
        engine: Whose form was compared; of engines that do not run here, what their sources say they read.
        verdict: PASS, FAIL, or APPROXIMATE for an export that was made as one and is no further off than its config.
        reason: In one sentence.
        tolerance: Of logits, as a share of the largest one (at least 1).
    """

    format_version: int = FORMAT_VERSION
    engine: str
    folder: str
    verdict: Literal["PASS", "FAIL", "APPROXIMATE"]
    reason: str
    tolerance: float
    cells: tuple[ParityCell, ...]
