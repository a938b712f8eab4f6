"""What transformers warns of and a person at the terminal need not read."""

from __future__ import annotations

import logging
import re

ROPE_LOGGER = "transformers.modeling_rope_utils"
# vLLM reads these two and transformers does not; the exporters write both spellings of the one scale on purpose.
OURS = frozenset({"short_mscale", "long_mscale"})


class OwnKeys(logging.Filter):
    """Drops the warning about keys of a rope setting where all of them are ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        said = record.getMessage()
        found = re.search(r"Unrecognized keys .*: \{(.*)\}", said)
        return found is None or not set(re.findall(r"'(\w+)'", found[1])) <= OURS


def hush() -> None:
    """Leaves that warning out, for this process; nothing happens where it is left out already."""
    logger = logging.getLogger(ROPE_LOGGER)
    if not any(isinstance(one, OwnKeys) for one in logger.filters):
        logger.addFilter(OwnKeys())
