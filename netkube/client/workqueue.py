"""A queue of keys: each key is in it once, is worked on by one worker at a time, and can be retried later.

The contract is client-go's workqueue: a key added while it is being worked on comes back when that is done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

K = TypeVar('K')

BASE_DELAY, MAX_DELAY = 0.005, 1000.0  # seconds, as client-go's ItemExponentialFailureRateLimiter


class WorkQueue(Generic[K]):
    """Not thread-safe: it belongs to one event loop."""

    def __init__(self) -> None:
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._working: set[K] = set()
        self._later: dict[K, tuple[float, asyncio.Handle]] = {}  # the loop's time, and what will happen then
        self._failures: dict[K, int] = {}
        self._wakeup = asyncio.Event()

    def add(self, key: K) -> None:
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._working:
            self._ready.append(key)
            self._wakeup.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Add the key in that time; of several delays for one key the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if key in self._later:
            due, pending = self._later[key]
            if due <= when:
                return
            pending.cancel()
        self._later[key] = when, loop.call_later(seconds, self._due, key)

    def drop_delayed(self, key: K) -> None:
        """Nothing is to be done for the key later on: what it named is gone."""
        if key in self._later:
            _, pending = self._later.pop(key)
            pending.cancel()

    def add_rate_limited(self, key: K) -> None:
        """Add the key after a delay that doubles with each failure since the last ``forget``."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(BASE_DELAY * 2.0 ** min(failures, 30), MAX_DELAY))

    def forget(self, key: K) -> None:
        """The key succeeded: its next failure starts at the shortest delay."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key; the caller must call ``done`` with it."""
        while not self._ready:
            self._wakeup.clear()
            await self._wakeup.wait()
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        self._working.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wakeup.set()

    def close(self) -> None:
        """Forget all delayed keys, so that no timer outlives the owner."""
        for _, pending in self._later.values():
            pending.cancel()
        self._later.clear()

    def __len__(self) -> int:
        return len(self._ready)

    def _due(self, key: K) -> None:
        del self._later[key]
        self.add(key)
