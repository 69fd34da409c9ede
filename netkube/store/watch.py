"""A watch: the events under a prefix, in order of revision, each exactly once."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from netkube.store.errors import Compacted

BUFFERED, BUFFERED_BYTES = 10_000, 16 << 20  # a watch may lag behind so far before it is cut off


class Entry:
    """One version of one key.

    ``decoded`` is room for the reader's form of ``value``, so that each version is decoded at most once; the
    store drops it when the version is superseded.
    """

    __slots__ = ('key', 'revision', 'value', 'decoded')

    def __init__(self, key: str, revision: int, value: bytes, decoded: Any = None) -> None:
        self.key, self.revision, self.value, self.decoded = key, revision, value, decoded


class Event:
    """A change: ``previous`` is None for a created key; ``entry`` is the last state when ``deleted``.

    ``encoded`` is room for what readers derive from the event, so that many watchers share one encoding.
    """

    __slots__ = ('revision', 'entry', 'previous', 'deleted', 'encoded')

    def __init__(self, entry: Entry, previous: Entry | None, deleted: bool) -> None:
        self.revision = entry.revision
        self.entry, self.previous, self.deleted = entry, previous, deleted
        self.encoded: dict[Any, Any] = {}


class Watch:
    """Async iterator of the events after ``since``. It ends after ``close``; Compacted when its reader was too slow."""

    def __init__(self, prefix: str, since: int, backlog: list[Event], durable: bool) -> None:
        self.prefix, self.since, self.durable = prefix, since, durable
        self.closed = False
        self._events: deque[Event] = deque(backlog)
        self._bytes = sum(len(event.entry.value) for event in backlog)
        self._overflowed_at = 0
        self._waiter: asyncio.Future[None] | None = None

    def push(self, event: Event) -> None:
        if self.closed or event.revision <= self.since:
            return
        self._bytes += len(event.entry.value)
        if len(self._events) >= BUFFERED or self._bytes > BUFFERED_BYTES:
            self._overflowed_at = event.revision
            self._events.clear()
            self.closed = True
        else:
            self._events.append(event)
        self.wake()

    def close(self) -> None:
        self.closed = True
        self.wake()

    def pending(self) -> list[Event]:
        """All events that are there now, taken out."""
        events = list(self._events)
        self._events.clear()
        self._bytes = 0
        return events

    async def wait(self) -> bool:
        """Wait for events or a ``wake``; False when there will be no events any more."""
        if not self._events and not self.closed:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._overflowed_at:
            raise Compacted(self._overflowed_at, self._overflowed_at)
        return bool(self._events) or not self.closed

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Event:
        while await self.wait():
            if self._events:
                event = self._events.popleft()
                self._bytes -= len(event.entry.value)
                return event
        raise StopAsyncIteration

    def wake(self) -> None:
        """Let ``wait`` return, whatever there is."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
