"""All extension methods: one file, one method. Found by looking, listed nowhere."""

from __future__ import annotations

from ropewalk.method import METHODS

names = METHODS.names
get = METHODS.named

METHODS.discover(__name__, __path__)
