"""All retrieval tasks: one file, one task. Found by looking, listed nowhere."""

from __future__ import annotations

from ropewalk.data.retrieval_task import TASKS

names = TASKS.names
get = TASKS.named

TASKS.discover(__name__, __path__)
