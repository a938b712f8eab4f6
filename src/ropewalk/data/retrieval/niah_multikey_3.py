"""RULER's niah_multikey_3: the haystack is made of needles, a UUID under each UUID."""

from __future__ import annotations

from dataclasses import dataclass

from ropewalk.data.retrieval_task import register
from ropewalk.data.ruler import NeedlesOnly


@register("niah-multikey-3")
@dataclass(frozen=True)
class NiahMultikey3(NeedlesOnly):
    """As many needles as fit; one is asked for, or one in each part of the context."""

    kind = "uuid"
    uuid_keys = True
