"""Attention entropy by layer."""

from __future__ import annotations

from typing import Literal

from ropewalk.result.records import FORMAT_VERSION, Environment, Estimate, ModelRecord, Record


class LayerEntropy(Record):
    """Entropy of one layer's attention by query position, one number for each stretch of positions.

    Attributes:
        layer: 0-based.
        entropy: Mean over documents, heads and queries, nats.
        low, high: Its two-sided interval.
        largest: ln of the number of keys seen, nats: the entropy of attention that is spread evenly.
        flat_scale: What the logits would have to be multiplied by, on top of the model's own scale, for the entropy
            of the trained length; None inside the trained window, and where nothing from 1/8 to 8 does it.
        flat_scale_low, flat_scale_high: Its two-sided interval, None where it is None.
        slope: Of `flat_scale` against ln n / ln L, for query n and trained length L, through 1 at the trained length;
            None if a `flat_scale` is missing.
    """

    layer: int
    entropy: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    largest: tuple[float, ...]
    flat_scale: tuple[float | None, ...]
    flat_scale_low: tuple[float | None, ...]
    flat_scale_high: tuple[float | None, ...]
    slope: Estimate | None


class EntropyResult(Record):
    """Attention entropy of one model, layer by layer.

    Attributes:
        status: `incomplete` when more than 1 % of the documents failed.
        data: Fingerprint of the texts.
        seed: Seed of the choice of documents.
        documents: Names of those measured.
        failed: Names of those at which the model's logits were not finite.
        length: Tokens of each document that the model read.
        heads: Query heads in each layer.
        first, last: Ends of each stretch, as query positions counted from 1; query n sees n keys or fewer.
        protocol: How it was measured, in one phrase.
        interval: How the intervals were made.
    """

    format_version: int = FORMAT_VERSION
    status: Literal["complete", "incomplete"]
    model: ModelRecord
    data: str
    seed: int
    documents: tuple[str, ...]
    failed: tuple[str, ...]
    length: int
    heads: int
    first: tuple[int, ...]
    last: tuple[int, ...]
    unit: str = "nats"
    protocol: str
    interval: str
    level: float = 0.95
    layers: tuple[LayerEntropy, ...]
    environment: Environment
    wall_seconds: float

    @property
    def reference(self) -> int:
        """Index of the stretch that ends at the trained length."""
        return self.last.index(self.model.trained_length)


class EntropyComparison(Record):
    """Attention entropy of several models on the same texts, such as before and after an extension."""

    format_version: int = FORMAT_VERSION
    results: tuple[EntropyResult, ...]
