"""The one control loop: events queue keys, ``sync(key)`` decides from state.

Level-triggered, as every controller of Kubernetes is: an event says which key to look at and nothing else,
so a lost, doubled or reordered event cannot matter.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, key_of
from netkube.api.resources import Resource
from netkube.client.informer import Informers
from netkube.client.workqueue import WorkQueue

log = logging.getLogger(__name__)


def own_key(obj: Object) -> Iterable[Key]:
    return (key_of(obj),)


class Controller:
    """Runs ``sync`` for each queued key, one worker a key at a time.

    ``sync`` may raise ApiError (a conflict, a namespace that is going) or one of ``expected``: the key is tried
    again after a growing delay. Anything else is a defect and ends the process.
    """

    def __init__(
        self,
        name: str,
        informers: Informers,
        sync: Callable[[Any], Awaitable[None]],
        *,
        workers: int = 1,
        expected: tuple[type[Exception], ...] = (),
    ) -> None:
        self.name = name
        self.queue: WorkQueue[Any] = WorkQueue()
        self._informers = informers
        self._sync = sync
        self._workers = workers
        self._expected: tuple[type[Exception], ...] = (ApiError, *expected)
        self._watched: list[Resource] = []

    def watch(self, resource: Resource, keys: Callable[[Object], Iterable[Any]] = own_key) -> None:
        """Queue ``keys(object)`` for the object before and after each change of ``resource``."""
        self._watched.append(resource)
        self.follow(resource, keys)

    def follow(self, resource: Resource, keys: Callable[[Object], Iterable[Any]] = own_key) -> None:
        """The same for a resource that may come and go: ``run`` does not wait for its first list."""
        self._informers[resource].subscribe(lambda old, new: self._enqueue(keys, old, new))

    def _enqueue(self, keys: Callable[[Object], Iterable[Any]], old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            if obj is not None:
                for key in keys(obj):
                    self.queue.add(key)

    async def run(self) -> None:
        for resource in self._watched:
            await self._informers[resource].synced.wait()
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(self._workers):
                    tasks.create_task(self._work(), name=f'{self.name} {number}')
        finally:
            self.queue.close()

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._sync(key)
                self.queue.forget(key)
            except self._expected as error:
                level = logging.DEBUG if isinstance(error, ApiError) and error.code == 409 else logging.WARNING
                log.log(level, '%s %s: %s; trying again', self.name, key, error)
                self.queue.add_rate_limited(key)
            finally:
                self.queue.done(key)
