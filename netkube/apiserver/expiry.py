"""Events live for an hour (kube-apiserver --event-ttl)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import timedelta

from netkube.api.meta import Object, copy_object, parse_timestamp
from netkube.api.resources import EVENTS
from netkube.apiserver.storage import Storage, prefix
from netkube.store.store import Entry

EVENT_LIFETIME = timedelta(hours=1)
INTERVAL_SECONDS = 60.0
BATCH = 200  # events between two turns of the event loop


async def expire_events(storage: Storage) -> None:
    """Remove events that have not changed for an hour, for ever."""
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        await remove_expired(storage)


async def remove_expired(storage: Storage) -> None:
    """From the one that has not changed for longest on, as long as there are any among so many."""
    after = 0
    while batch := storage.store.by_age(prefix(EVENTS), after, BATCH):
        expired = list(_expired(storage, batch))
        for entry in expired:
            storage.remove(EVENTS, copy_object(storage.object(entry)), entry)
        if not expired:
            return
        after = batch[-1].revision
        await asyncio.sleep(0)


def _expired(storage: Storage, entries: Iterable[Entry]) -> Iterator[Entry]:
    oldest = storage.now() - EVENT_LIFETIME
    for entry in entries:
        if parse_timestamp(last_seen(storage.object(entry))) < oldest:
            yield entry


def last_seen(event: Object) -> str:
    series = event.get('series') or {}
    return str(
        series.get('lastObservedTime') or event.get('lastTimestamp') or event.get('eventTime')
        or event['metadata']['creationTimestamp']
    )  # fmt: skip
