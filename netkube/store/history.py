"""The recent past, in memory: what a watch that comes back with an older revision is told."""

from __future__ import annotations

from collections import deque

from netkube.store.errors import Compacted
from netkube.store.watch import Event

EVENTS = 8_192
BYTES = 4 << 20


class History:
    """The last events, bounded in number and in bytes of values."""

    def __init__(self, compacted: int) -> None:
        """``compacted``: everything up to and including this revision is unknown."""
        self.compacted = compacted
        self._events: deque[Event] = deque()
        self._bytes = 0

    def append(self, event: Event) -> None:
        self._events.append(event)
        self._bytes += len(event.entry.value)
        while len(self._events) > EVENTS or self._bytes > BYTES:
            dropped = self._events.popleft()
            self._bytes -= len(dropped.entry.value)
            self.compacted = dropped.revision

    def since(self, revision: int, last: int, prefix: str) -> list[Event]:
        """The events under ``prefix`` after ``revision``. Compacted when some may be missing.

        A revision after ``last`` comes from another life of the store (its state was thrown away).
        """
        if revision < self.compacted or revision > last:
            raise Compacted(revision, self.compacted)
        found: list[Event] = []
        for event in reversed(self._events):
            if event.revision <= revision:
                break
            if event.entry.key.startswith(prefix):
                found.append(event)
        found.reverse()
        return found

    def compact(self, revision: int) -> None:
        """Forget everything up to and including ``revision``."""
        while self._events and self._events[0].revision <= revision:
            self._bytes -= len(self._events.popleft().entry.value)
        self.compacted = max(self.compacted, revision)
