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

Identity = tuple[str, str, str, str, str]


class Counted(msgspec.Struct):
    """An event that may still be counted up; ``unwritten`` is all of it until the API has it."""

    namespace: str
    name: str
    count: int
    at: str
    unwritten: Object | None


class EventRecorder:
    """Reports events as ``component`` (and, for a node's agent, ``host``)."""

    def __init__(
        self, client: Client, component: str, host: str = '', *, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._client = client
        self._source = {'component': component, 'host': host} if host else {'component': component}
        self._now = now
        self._seen: OrderedDict[Identity, Counted] = OrderedDict()
        self._queue: asyncio.Queue[Identity] = asyncio.Queue(QUEUED)

    def event(self, obj: Object, type: str, reason: str, message: str, field_path: str = '') -> None:
        """Queue one event about ``obj`` (it needs apiVersion and kind); ``type`` is Normal or Warning.

        ``field_path`` is the part of the object that is meant, for example ``spec.containers{web}``.
        """
        metadata = obj['metadata']
        identity = (metadata.get('uid', ''), type, reason, message, field_path)
        at = timestamp(self._now())
        known = self._seen.get(identity)
        if known is None:
            event = self._new(obj, type, reason, message, field_path, at)
            self._seen[identity] = Counted(event['metadata']['namespace'], event['metadata']['name'], 1, at, event)
        else:
            known.count += 1
            known.at = at
        self._seen.move_to_end(identity)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        try:
            self._queue.put_nowait(identity)
        except asyncio.QueueFull:
            log.warning('too many events; dropped: %s %s', reason, message)

    async def run(self) -> None:
        while True:
            identity = await self._queue.get()
            event = self._seen.get(identity)
            if event is not None:
                await self._write(event)

    async def _write(self, event: Counted) -> None:
        counted = {'count': event.count, 'lastTimestamp': event.at}
        try:
            if event.unwritten is not None:
                await self._client.create(EVENTS, event.unwritten | counted)
                event.unwritten = None
            else:
                await self._client.patch(EVENTS, event.namespace, event.name, counted)
        except ApiError as error:  # the namespace is going, or the event has expired: nobody is left to read it
            log.debug('event %s/%s: %s', event.namespace, event.name, error)

    def _new(self, obj: Object, type: str, reason: str, message: str, field_path: str, at: str) -> Object:
        metadata = obj['metadata']
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
            'metadata': {'namespace': namespace, 'name': f'{metadata["name"][:200]}.{time.time_ns():x}'},
            'involvedObject': involved, 'reason': reason, 'message': message, 'type': type,
            'source': self._source, 'firstTimestamp': at, 'lastTimestamp': at, 'count': 1,
            'reportingComponent': self._source['component'], 'reportingInstance': self._source.get('host', ''),
        }  # fmt: skip
