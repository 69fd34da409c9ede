"""Objects under keys with revisions: get, list, create, update, delete, watch. It knows no kind.

The current state lives in memory, but for what is shelved: that is on the disk only (see shelf.py). Each change gets
the next revision, is told to the watches at once, and is written to the log in batches. ``durable(revision)`` waits
until a revision is on the disk: whoever acknowledges a write to the outside waits for it, in-process readers need not.
The interface is narrow enough for etcd.

While the disk is full nothing is acknowledged, but everything goes on in memory, and is written once there is room:
so whoever makes room by deleting something need not wait for it.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import logging
import os
from bisect import bisect_left, insort
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from heapq import merge, nsmallest
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from netkube.store.errors import Compacted, Conflict, Failed, KeyExists, NoSpace
from netkube.store.history import History
from netkube.store.watch import Entry, Event, Watch

if TYPE_CHECKING:
    from netkube.store.log import Log, Row
    from netkube.store.shelf import Shelf

__all__ = ['Compacted', 'Conflict', 'Entry', 'Event', 'Failed', 'KeyExists', 'NoSpace', 'Store', 'Watch']

MEMORY = ':memory:'
FULL = 'database space exceeded'
AGAIN = 0.5  # seconds between two tries to write to a full disk
PATIENCE = 5.0  # seconds that an acknowledgement waits for room

log = logging.getLogger(__name__)


class Waiter(NamedTuple):
    """For a revision to be on the disk, since then on the loop's clock."""

    revision: int
    since: float
    future: asyncio.Future[None]


class Store:
    """Belongs to one event loop. A store on disk acknowledges nothing before its ``run()`` runs."""

    def __init__(self, path: str | Path = MEMORY, shelved: str = '') -> None:
        """Opens the log and reads the state back. sqlite3.Error when it is not a store or not writable.

        ``shelved``: the prefix of entries to be kept on the disk only, if there is one.
        """
        self._entries: dict[str, Entry] = {}
        self._log = _open_log(path)
        self._shelf = _open_shelf(path, shelved) if self._log is not None and shelved else None
        self.revision = 0
        if self._log is not None:
            self._load(self._log)
        self._keys = sorted(self._entries)
        self._durable_revision = self.revision
        self._history = History(self.revision)
        self._watches: dict[str, list[Watch]] = {}  # by collection: each change is told to two of many lists
        self._undurable: list[Event] = []
        self._rows: list[Row] = []
        self._rows_added = asyncio.Event()
        self._waiters: list[Waiter] = []
        self._full = False
        self._failure: Exception | None = None

    def get(self, key: str) -> Entry | None:
        """Of a shelved key each call reads another Entry; what stays the same is its revision."""
        shelf = self._shelf_of(key)
        return self._entries.get(key) if shelf is None else shelf.get(key)

    def list(self, prefix: str) -> list[Entry]:
        """All entries under ``prefix``, in order of their keys."""
        return list(self.scan(prefix))

    def scan(self, prefix: str) -> Iterator[Entry]:
        """As ``list``, while nothing is changed: what is shelved is not in memory all at once."""
        shelf = self._shelf
        if shelf is not None and (prefix.startswith(shelf.prefix) or shelf.prefix.startswith(prefix)):
            kept = shelf.scan(max(prefix, shelf.prefix, key=len))
            return merge(self._in_memory(prefix), kept, key=attrgetter('key'))
        return self._in_memory(prefix)

    def count(self, prefix: str) -> int:
        """How many entries ``list`` would give, or would have given a moment ago."""
        shelf = self._shelf_of(prefix)
        if shelf is not None:
            return shelf.count(prefix)
        return sum(1 for _ in self.scan(prefix))

    def by_age(self, prefix: str, after: int, limit: int) -> builtins.list[Entry]:
        """Entries under ``prefix`` that have changed last after revision ``after``, the longest unchanged first: at
        most ``limit``, and perhaps without those of the last moment."""
        shelf = self._shelf_of(prefix)
        if shelf is not None and shelf.prefix == prefix:
            return shelf.by_age(after, limit)
        changed = (entry for entry in self.scan(prefix) if entry.revision > after)
        return nsmallest(limit, changed, key=attrgetter('revision'))

    def list_at(self, prefix: str, revision: int) -> builtins.list[Entry]:
        """What ``list`` gave at an older revision. Compacted when the changes since then are not all remembered."""
        entries = {entry.key: entry for entry in self.list(prefix)}
        for event in reversed(self._history.since(revision, self.revision, prefix)):
            if event.previous is None:
                del entries[event.entry.key]
            else:
                entries[event.entry.key] = event.previous
        return [entries[key] for key in sorted(entries)]

    def create(self, key: str, value: bytes, decoded: Any = None) -> Entry:
        """A new key, at ``self.revision + 1``. KeyExists."""
        self.check_free(key)
        self.check_alive()
        return self._write(key, value, decoded, None)

    def check_free(self, key: str) -> None:
        """KeyExists."""
        if self.get(key) is not None:
            raise KeyExists(key)

    def update(self, key: str, value: bytes, expected: int, decoded: Any = None) -> Entry:
        """Replace the value that is at revision ``expected``. Conflict."""
        previous = self._expect(key, expected)
        self.check_alive()
        return self._write(key, value, decoded, previous)

    def delete(self, key: str, last: bytes, expected: int) -> Entry:
        """Remove the key at revision ``expected``; watches are told ``last``, its last state. Conflict."""
        previous = self._expect(key, expected)
        self.check_alive()
        if self._shelf_of(key) is None:
            del self._entries[key]
            del self._keys[bisect_left(self._keys, key)]
        self.revision += 1
        entry = Entry(key, self.revision, last)
        self._publish(Event(entry, previous, deleted=True))
        return entry

    def watch(self, prefix: str, since: int, *, durable: bool = False) -> Watch:
        """The changes under ``prefix`` after revision ``since``; with ``durable`` only once they are on the disk.

        Compacted when ``since`` is too old. Give it to ``unwatch`` in the end.
        """
        backlog = self._history.since(since, self.revision, prefix)
        if durable:
            backlog = [event for event in backlog if event.revision <= self._durable_revision]
        watch = Watch(prefix, since, backlog, durable)
        self._watches.setdefault(_collection(prefix), []).append(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        watch.close()
        collection = _collection(watch.prefix)
        self._watches[collection].remove(watch)
        if not self._watches[collection]:
            del self._watches[collection]

    def compact(self, revision: int) -> None:
        """Forget the history up to and including ``revision``: watches from before it are Compacted."""
        self._history.compact(min(revision, self.revision))

    @property
    def compacted_revision(self) -> int:
        """The history up to and including it is forgotten."""
        return self._history.compacted

    @property
    def durable_revision(self) -> int:
        """Everything up to and including it survives a power cut."""
        return self._durable_revision

    async def durable(self, revision: int) -> None:
        """Wait until ``revision`` is on the disk. Failed when it cannot be, NoSpace when it is not for now."""
        if revision <= self._durable_revision:
            return
        self.check_alive()
        loop = asyncio.get_running_loop()
        waiter = Waiter(revision, loop.time(), loop.create_future())
        self._waiters.append(waiter)
        await waiter.future

    async def settled(self, revision: int) -> None:
        """As ``durable``, but for who only reads: a full disk is not waited for."""
        if not self._full:
            with contextlib.suppress(NoSpace):
                await self.durable(revision)

    def require_space(self) -> None:
        """NoSpace while the disk is full."""
        if self._full:
            raise NoSpace(FULL)

    async def run(self) -> None:
        """Write the log, a batch at a time, for ever. Failed when the disk refuses."""
        if self._log is None:
            await asyncio.Event().wait()
            return
        with ThreadPoolExecutor(1, thread_name_prefix='store') as thread:
            try:
                while True:
                    await self._rows_added.wait()
                    await self._commit(self._log, thread)
                    if self._full:
                        await asyncio.sleep(AGAIN)
            finally:
                self._flush()

    def end_watches(self, prefix: str = '') -> None:
        """Of those whose own prefix begins so. Their readers see the end, and come back or not."""
        for watch in (one for watches in self._watches.values() for one in watches):
            if watch.prefix.startswith(prefix):
                watch.close()

    def close(self) -> None:
        """End all watches and write what is left. Only when ``run()`` does not run any more."""
        self.end_watches()
        self._flush()
        if self._log is not None:
            if self._shelf is not None:
                self._shelf.close()
            self._log.close()
            self._log = None

    async def _commit(self, journal: Log, thread: ThreadPoolExecutor) -> None:
        """Write what has gathered, while the next batch gathers. It is not interrupted half-way."""
        self._rows_added.clear()
        rows, self._rows = self._rows, []
        commit = asyncio.get_running_loop().run_in_executor(thread, journal.append, rows)
        try:
            await asyncio.shield(commit)
        except asyncio.CancelledError:
            await asyncio.wait((commit,))
            if commit.exception() is None:
                self._committed(rows[-1].revision)
            else:
                self._rows = rows + self._rows
            raise
        except NoSpace as error:
            self._hold(rows, error)
            return
        except Exception as error:
            self._fail(error)
            raise Failed(f'cannot write the log: {error}') from error
        self._committed(rows[-1].revision)

    def _hold(self, rows: builtins.list[Row], error: NoSpace) -> None:
        """For the next try. Who has waited long enough for room is told."""
        from netkube.store.log import collapsed

        if not self._full:
            log.error('%s: changes are kept in memory until there is room', error)
        self._full = True
        self._rows = collapsed(rows + self._rows)
        self._rows_added.set()
        patient = asyncio.get_running_loop().time() - PATIENCE
        for waiter in self._waiters:
            if waiter.since <= patient and not waiter.future.done():
                waiter.future.set_exception(NoSpace(FULL))
        self._waiters = [waiter for waiter in self._waiters if not waiter.future.done()]

    def _flush(self) -> None:
        if self._log is None or not self._rows or self._failure is not None:
            return
        rows, self._rows = self._rows, []
        try:
            self._log.append(rows)
        except NoSpace as error:
            log.error('%s: %d changes that nobody was told of are lost', error, len(rows))
            return
        self._committed(rows[-1].revision)

    def _shelf_of(self, key: str) -> Shelf | None:
        """Where the key's entry is, if not in memory."""
        shelf = self._shelf
        return shelf if shelf is not None and key.startswith(shelf.prefix) else None

    def _in_memory(self, prefix: str) -> Iterator[Entry]:
        keys = self._keys
        start = bisect_left(keys, prefix)
        end = bisect_left(keys, prefix + '\U0010ffff', start)
        return (self._entries[key] for key in keys[start:end])

    def _load(self, log: Log) -> None:
        for revision, key, value in log.rows(besides=self._shelf.prefix if self._shelf is not None else ''):
            self._entries[key] = Entry(key, revision, value)
        self.revision = log.last_revision()

    def _expect(self, key: str, revision: int) -> Entry:
        entry = self.get(key)
        if entry is None or entry.revision != revision:
            raise Conflict(key)
        return entry

    def _write(self, key: str, value: bytes, decoded: Any, previous: Entry | None) -> Entry:
        self.revision += 1
        entry = Entry(key, self.revision, value, decoded)
        if self._shelf_of(key) is None:
            if previous is None:
                insort(self._keys, key)
            self._entries[key] = entry
        self._publish(Event(entry, previous, deleted=False))
        return entry

    def _publish(self, event: Event) -> None:
        if event.previous is not None:
            event.previous.decoded = None
        shelf = self._shelf_of(event.entry.key)
        if shelf is not None:
            shelf.change(event)
        self._history.append(event)
        for watch in self._watching(event.entry.key):
            if not watch.durable:
                watch.push(event)
        self._undurable.append(event)
        if self._log is None:
            self._committed(event.revision)
        else:
            self._log_event(event)

    def _log_event(self, event: Event) -> None:
        from netkube.store.log import Row

        supersedes = event.previous.revision if event.previous is not None else 0
        value = None if event.deleted else event.entry.value
        self._rows.append(Row(event.revision, event.entry.key, value, supersedes))
        self._rows_added.set()

    def _committed(self, revision: int) -> None:
        if self._full:
            log.info('there is room on the disk again')
            self._full = False
        self._durable_revision = revision
        if self._shelf is not None:
            self._shelf.committed(revision)
        self._tell_durable_watches(revision)
        waiting = []
        for waiter in self._waiters:
            if waiter.revision > revision:
                waiting.append(waiter)
            elif not waiter.future.done():
                waiter.future.set_result(None)
        self._waiters = waiting

    def _tell_durable_watches(self, revision: int) -> None:
        pending, self._undurable = self._undurable, []
        for event in pending:
            if event.revision > revision:
                self._undurable.append(event)
                continue
            for watch in self._watching(event.entry.key):
                if watch.durable:
                    watch.push(event)

    def _watching(self, key: str) -> builtins.list[Watch]:
        candidates = (*self._watches.get('', ()), *self._watches.get(_collection(key), ()))
        return [watch for watch in candidates if key.startswith(watch.prefix)]

    def _fail(self, error: Exception) -> None:
        self._failure = error
        for waiter in self._waiters:
            if not waiter.future.done():
                waiter.future.set_exception(Failed(f'cannot write the log: {error}'))
        self._waiters = []

    def check_alive(self) -> None:
        """Failed when the disk has refused a write."""
        if self._failure is not None:
            raise Failed(f'cannot write the log: {self._failure}')


def _collection(prefix: str) -> str:
    """What a key or a prefix begins with; '' when it does not say."""
    return prefix.partition('/')[0] if '/' in prefix else ''


def _open_log(path: str | Path) -> Log | None:
    if str(path) == MEMORY:
        return None
    from netkube.store.log import Log

    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # there are Secrets in it; SQLite's own files follow suit
    return Log(path)


def _open_shelf(path: str | Path, prefix: str) -> Shelf:
    from netkube.store.shelf import Shelf

    return Shelf(path, prefix)
