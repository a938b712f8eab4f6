"""All training-position samplers: one file, one sampler. Found by looking, listed nowhere."""

from __future__ import annotations

from ropewalk.sampler import SAMPLERS

names = SAMPLERS.names
get = SAMPLERS.named

SAMPLERS.discover(__name__, __path__)
