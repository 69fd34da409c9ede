"""Events live for an hour (kube-apiserver --event-ttl)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

from netkube.api.meta import Object, parse_timestamp
from netkube.api.resources import EVENTS
from netkube.apiserver.storage import Storage, copied, prefix
from netkube.store.store import Entry

EVENT_LIFETIME = timedelta(hours=1)
INTERVAL_SECONDS = 60.0
BATCH = 200  # deletions between two turns of the event loop


async def expire_events(storage: Storage) -> None:
    """Remove events that have not changed for an hour, for ever."""
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        await remove_expired(storage)


async def remove_expired(storage: Storage) -> None:
    for count, entry in enumerate(list(_expired(storage)), 1):
        if storage.store.get(entry.key) is entry:
            storage.remove(EVENTS, copied(storage.object(entry)), entry)
        if count % BATCH == 0:
            await asyncio.sleep(0)


def _expired(storage: Storage) -> Iterator[Entry]:
    oldest = storage.now() - EVENT_LIFETIME
    for entry in storage.store.list(prefix(EVENTS)):
        if parse_timestamp(last_seen(storage.object(entry))) < oldest:
            yield entry


def last_seen(event: Object) -> str:
    series = event.get('series') or {}
    return str(
        series.get('lastObservedTime') or event.get('lastTimestamp') or event.get('eventTime')
        or event['metadata']['creationTimestamp']
    )  # fmt: skip
