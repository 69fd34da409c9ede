"""What a controller has written and its informer may not show yet.

A cache lags behind its owner's writes; a controller that counts from it before it has caught up creates
or deletes twice. Upstream's ControllerExpectations count events; here resourceVersions are compared, which
needs no bookkeeping per object: a watch delivers in their order.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable

from netkube.api.meta import Key, Object
from netkube.client.informer import Informer

GIVE_UP_SECONDS = 300.0  # as upstream: a write that was relisted away, never to be seen


class Expectations:
    """For each key of one controller: the newest write that the cache has to show, and what was deleted."""

    def __init__(self, informer: Informer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen = 0
        self._written: dict[Key, tuple[int, float]] = {}
        self._deleted: dict[Key, set[str]] = defaultdict(set)
        informer.subscribe(self._observe)

    def wrote(self, key: Key, obj: Object) -> None:
        """``obj``, as the API answered it, was created or updated on behalf of ``key``."""
        version = int(obj['metadata']['resourceVersion'])
        known, _ = self._written.get(key, (0, 0.0))
        self._written[key] = max(version, known), self._clock() + GIVE_UP_SECONDS

    def deleted(self, key: Key, uid: str) -> None:
        """The object of this uid was asked to go on behalf of ``key``."""
        self._deleted[key].add(uid)

    def satisfied(self, key: Key) -> bool:
        """Whether the cache shows all that was written for ``key``; if not, an event of the object will follow."""
        version, until = self._written.get(key, (0, 0.0))
        if version > self._seen and self._clock() < until:
            return False
        self._written.pop(key, None)
        return True

    def without_deleted(self, key: Key, cached: Iterable[Object]) -> list[Object]:
        """``cached`` without what was deleted already, though the cache still shows it as it was."""
        objects = list(cached)
        gone = self._deleted.get(key)
        if not gone:
            return objects
        gone &= {obj['metadata']['uid'] for obj in objects}
        if not gone:
            del self._deleted[key]
        return [obj for obj in objects if obj['metadata']['uid'] not in gone]

    def forget(self, key: Key) -> None:
        self._written.pop(key, None)
        self._deleted.pop(key, None)

    def _observe(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._seen = max(self._seen, int(new['metadata']['resourceVersion']))
