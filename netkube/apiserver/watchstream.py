"""A watch over HTTP: a line of JSON per event, bookmarks in between, an ERROR line when it cannot go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec

from netkube.api.errors import ApiError, gone
from netkube.api.resources import Resource
from netkube.apiserver.list import invalid_options
from netkube.apiserver.registry import Registry, parse_resource_version
from netkube.apiserver.representation import Representation, event_line
from netkube.apiserver.request import Request
from netkube.apiserver.selection import Selection
from netkube.apiserver.storage import encode, prefix
from netkube.store.store import Compacted, Entry, Watch

BOOKMARK_SECONDS = 60.0
DEFAULT_TIMEOUT_SECONDS = 3600
INITIAL_EVENTS_END = 'k8s.io/initial-events-end'


class WatchOptions(msgspec.Struct, frozen=True):
    """``since`` 0: begin with what there is; ``timeout`` in seconds."""

    since: int
    timeout: int
    bookmarks: bool
    initial_events_end: bool

    @classmethod
    def parse(cls, request: Request) -> WatchOptions:
        """ApiError 400, 422."""
        streaming = request.flag('sendInitialEvents')
        if 'sendInitialEvents' in request.query and request.value('resourceVersionMatch') != 'NotOlderThan':
            why = 'Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'
            raise invalid_options('resourceVersionMatch', why)
        if 'sendInitialEvents' not in request.query and request.value('resourceVersionMatch'):
            why = 'Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided'
            raise invalid_options('resourceVersionMatch', why)
        bookmarks = request.flag('allowWatchBookmarks')
        asked = parse_resource_version(request.value('resourceVersion'))
        since = 0 if streaming else asked
        timeout = request.number('timeoutSeconds') or DEFAULT_TIMEOUT_SECONDS
        return cls(since, timeout, bookmarks, streaming and bookmarks)


async def watch_lines(
    registry: Registry, resource: Resource, namespace: str, selection: Selection, form: Representation,
    options: WatchOptions,
) -> AsyncIterator[bytes]:  # fmt: skip
    """Lines, several at once when there are. It shows only what is on the disk."""
    store = registry.store
    begin = store.revision
    initial = [] if options.since else registry.select(resource, namespace, selection)
    try:
        watch = store.watch(prefix(resource, namespace), options.since or begin, durable=True)
    except Compacted as error:
        yield error_line(gone(str(error)))
        return
    timers = Timers(watch, options)
    try:
        if not options.since:
            await store.settled(begin)
            yield initial_lines(registry, resource, initial, form, options, begin)
        while await watch.wait():
            lines = [form.event(registry.storage, resource, event, selection) for event in watch.pending()]
            if options.bookmarks and timers.bookmark_is_due():
                lines.append(form.bookmark(resource, store.durable_revision))
            if any(lines):
                yield b''.join(lines)
    except Compacted as error:
        yield error_line(gone(str(error)))
    finally:
        timers.cancel()
        store.unwatch(watch)


def initial_lines(
    registry: Registry, resource: Resource, entries: Sequence[Entry], form: Representation, options: WatchOptions,
    revision: int,
) -> bytes:  # fmt: skip
    lines = [form.added(registry.storage, resource, entry) for entry in entries]
    if options.initial_events_end:
        lines.append(form.bookmark(resource, revision, {INITIAL_EVENTS_END: 'true'}))
    return b''.join(lines)


def error_line(error: ApiError) -> bytes:
    return event_line('ERROR', encode(error.status()))


class Timers:
    """Ends a watch at its timeout and wakes it for its bookmarks."""

    def __init__(self, watch: Watch, options: WatchOptions) -> None:
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        self._due = False
        self._handles = [self._loop.call_later(options.timeout, watch.close)]
        if options.bookmarks:
            self._handles.append(self._loop.call_later(BOOKMARK_SECONDS, self._wake))

    def bookmark_is_due(self) -> bool:
        """True once for each bookmark."""
        due, self._due = self._due, False
        return due

    def cancel(self) -> None:
        for handle in self._handles:
            handle.cancel()

    def _wake(self) -> None:
        self._due = True
        self._handles[1] = self._loop.call_later(BOOKMARK_SECONDS, self._wake)
        self._watch.wake()
