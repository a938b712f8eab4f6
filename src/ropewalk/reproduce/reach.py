"""k_max of a cell with an interval: how far its pass keys are found, and how sure that is.

k_max is the longest distance up to which every distance has a fifth of its keys found (Chen et al. 2023,
arXiv:2306.15595, section 3.3). Ten keys say little of a share, so the interval asks what k_max is for shares that are
drawn from what the answers leave open: from Jeffreys' posterior at each distance, beta(found + 1/2, missed + 1/2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ropewalk.report.reproduction import distance_of, reached
from ropewalk.result import K_MAX, CellReading, Estimate, quantity_of
from ropewalk.statistics import LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

DRAWS = 2000
INTERVAL = "shares drawn from Jeffreys' posterior at each distance"


def reach_reading(by_depth: Sequence[CellReading]) -> CellReading | None:
    """k_max over all seeds of a cell together; None where no keys were asked for.

    Args:
        by_depth: Shares of keys found, one reading for each depth of one cell at one length.
    """
    if not by_depth:
        return None
    estimates = [reading.estimate for reading in by_depth]
    distances = [distance_of(estimate) for estimate in estimates]
    asked = np.array([estimate.samples for estimate in estimates])
    shares = np.array([estimate.value for estimate in estimates])
    rng = np.random.default_rng(0)
    drawn = rng.beta(asked * shares + 0.5, asked * (1 - shares) + 0.5, size=(DRAWS, len(asked)))
    value = reached(zip(distances, shares.tolist(), strict=True))
    reaches = [reached(zip(distances, row.tolist(), strict=True)) for row in drawn]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(reaches, [tail, 1 - tail], method="closest_observation")
    return CellReading(
        cell=by_depth[0].cell,
        of=by_depth[0].of,
        seeds=by_depth[0].seeds,
        estimate=Estimate(
            measure=K_MAX,
            protocol="longest distance up to which a fifth of the pass keys are found at every distance",
            unit=quantity_of(K_MAX).unit,
            length=estimates[0].length,
            value=value,
            low=min(float(low), value),
            high=max(float(high), value),
            interval=INTERVAL,
            samples=int(asked.sum()),
            failed=sum(estimate.failed for estimate in estimates),
            clusters=int(asked.sum()),
        ),
    )
