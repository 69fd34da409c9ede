"""How often work that grows with an object is done again.

Each change of one endpoint rewrites a slice of all of them, each change of one Pod counts all of its ReplicaSet, and
each that goes has its owner look for those that are left: with n Pods, one after the other, that is n squared. So a
key rests after its work for a time in proportion to the size of that: a small Service is written at once, a large one
in batches. Upstream has the same for slices as --endpointslice-updates-batch-period.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable


class Pace:
    """``seconds_each``: how long a key rests for each entry worked on."""

    def __init__(self, seconds_each: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds_each, self._clock = seconds_each, clock
        self._until: dict[Hashable, float] = {}

    def worked(self, key: Hashable, entries: int) -> None:
        self._until[key] = self._clock() + entries * self._seconds_each

    def rests(self, key: Hashable) -> float:
        """Seconds until the key may be worked on again; 0 when it may now."""
        left = self._until.get(key, 0.0) - self._clock()
        if left > 0:
            return left
        self._until.pop(key, None)
        return 0.0
