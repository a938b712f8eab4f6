"""RULER's niah_multikey_2: the haystack is made of needles, a number under each pair of words."""

from __future__ import annotations

from dataclasses import dataclass

from ropewalk.data.retrieval_task import register
from ropewalk.data.ruler import NeedlesOnly


@register("niah-multikey-2")
@dataclass(frozen=True)
class NiahMultikey2(NeedlesOnly):
    """As many needles as fit; one is asked for, or one in each part of the context."""
