"""Events: what happened to an object, in the words that ``kubectl describe`` shows.

An event that repeats is counted in one Event object, as client-go's EventCorrelator does, and what is not
written yet is bounded: a storm of events never holds up the component that reports them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

import msgspec

from netkube.api.errors import ApiError
from netkube.api.meta import Object, timestamp, utc_now
from netkube.api.resources import EVENTS
from netkube.client.interface import Client

log = logging.getLogger(__name__)

REMEMBERED = 4096  # events that may still be counted up
QUEUED = 2000  # events that wait for their write


class Counted(msgspec.Struct):
    """An event that may still be counted up; ``number`` is in its name."""

    number: int
    count: int = 0


class EventRecorder:
    """Reports events as ``component`` (and, for a node's agent, ``host``)."""

    def __init__(
        self, client: Client, component: str, host: str = '', *, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._client = client
        self._source = {'component': component, 'host': host} if host else {'component': component}
        self._now = now
        self._seen: OrderedDict[int, Counted] = OrderedDict()  # by a hash, as thousands of them are kept
        self._queue: asyncio.Queue[Object] = asyncio.Queue(QUEUED)

    def event(self, obj: Object, type: str, reason: str, message: str, field_path: str = '') -> None:
        """Queue one event about ``obj`` (it needs apiVersion and kind); ``type`` is Normal or Warning.

        ``field_path`` is the part of the object that is meant, for example ``spec.containers{web}``.
        """
        identity = hash((obj['metadata'].get('uid', ''), type, reason, message, field_path))
        known = self._seen.get(identity)
        if known is None:
            known = self._seen[identity] = Counted(time.time_ns())
        known.count += 1
        self._seen.move_to_end(identity)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        try:
            self._queue.put_nowait(self._new(obj, type, reason, message, field_path, known))
        except asyncio.QueueFull:
            log.warning('too many events; dropped: %s %s', reason, message)

    async def run(self) -> None:
        while True:
            event = await self._queue.get()
            try:
                await self._write(event)
            except ApiError as error:  # the namespace is going: nobody is left to read it
                log.debug('event %s: %s', event['metadata'], error)

    async def _write(self, event: Object) -> None:
        """One that repeats may have expired meanwhile; then it is made again."""
        if event['count'] > 1:
            counted = {'count': event['count'], 'lastTimestamp': event['lastTimestamp']}
            try:
                await self._client.patch(EVENTS, event['metadata']['namespace'], event['metadata']['name'], counted)
                return
            except ApiError as error:
                if error.code != 404:
                    raise
        await self._client.create(EVENTS, event)

    def _new(self, obj: Object, type: str, reason: str, message: str, field_path: str, counted: Counted) -> Object:
        metadata, at = obj['metadata'], timestamp(self._now())
        namespace = metadata.get('namespace') or 'default'
        involved = {
            'apiVersion': obj['apiVersion'], 'kind': obj['kind'], 'name': metadata['name'],
            'uid': metadata.get('uid', ''), 'resourceVersion': metadata.get('resourceVersion', ''),
        }  # fmt: skip
        if metadata.get('namespace'):
            involved['namespace'] = metadata['namespace']
        if field_path:
            involved['fieldPath'] = field_path
        return {
            'apiVersion': 'v1', 'kind': 'Event',
            'metadata': {'namespace': namespace, 'name': f'{metadata["name"][:200]}.{counted.number:x}'},
            'involvedObject': involved, 'reason': reason, 'message': message, 'type': type,
            'source': self._source, 'firstTimestamp': at, 'lastTimestamp': at, 'count': counted.count,
            'reportingComponent': self._source['component'], 'reportingInstance': self._source.get('host', ''),
        }  # fmt: skip
