"""The entries under one prefix, which are on the disk and not in memory: many, and rarely read.

They are rows of the log like all others, found by a partial index on their keys. Reading has a connection of its own,
which never waits for a commit (https://www.sqlite.org/wal.html#concurrency); what the log has not committed yet is
kept here until then, so a reader always sees the present state.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from netkube.store.watch import Entry, Event

PAGE = 500  # rows read at a time


class Shelf:
    """``prefix`` ends in '/' and is a constant of the code: it is part of the index. Used from the event loop."""

    def __init__(self, path: str | Path, prefix: str) -> None:
        """The log is open already. sqlite3.Error when the disk refuses."""
        self.prefix = prefix
        within = f"key >= '{prefix}' AND key < '{end_of(prefix)}'"
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute(f'CREATE INDEX IF NOT EXISTS shelf ON log (key) WHERE {within}')
        for pragma in ('query_only=1', 'cache_size=-256'):
            self._connection.execute(f'PRAGMA {pragma}')
        self._row = f'SELECT revision, key, value FROM log WHERE {within} AND key = ?'
        self._page = f'SELECT revision, key, value FROM log WHERE {within} AND key > ? AND key < ? ORDER BY key LIMIT ?'
        self._by_age = f'SELECT revision, key, value FROM log NOT INDEXED WHERE revision > ? AND {within} LIMIT ?'
        self._count = f'SELECT COUNT(*) FROM log WHERE {within} AND key > ? AND key < ?'
        self._uncommitted: OrderedDict[str, Event] = OrderedDict()  # the last event of each key, in order of revision

    def change(self, event: Event) -> None:
        """From now on readers see it."""
        event.entry.decoded = None
        self._uncommitted[event.entry.key] = event
        self._uncommitted.move_to_end(event.entry.key)

    def committed(self, revision: int) -> None:
        """The log holds all changes up to and including this one."""
        changes = self._uncommitted
        while changes and (oldest := next(iter(changes.values()))).revision <= revision:
            del changes[oldest.entry.key]

    def get(self, key: str) -> Entry | None:
        change = self._uncommitted.get(key)
        if change is not None:
            return None if change.deleted else change.entry
        rows = self._connection.execute(self._row, (key,)).fetchall()  # all: a cursor left open holds up checkpoints
        return _entry(*rows[0]) if rows else None

    def scan(self, prefix: str) -> Iterator[Entry]:
        """Those that also begin with ``prefix``, in order of their keys. Nothing may change meanwhile."""
        changes = self._uncommitted
        fresh = sorted(key for key, change in changes.items() if key.startswith(prefix) and not change.deleted)
        fresh.reverse()
        for entry in self._committed_entries(prefix):
            while fresh and fresh[-1] < entry.key:
                yield changes[fresh.pop()].entry
            yield entry
        yield from (changes[key].entry for key in reversed(fresh))

    def by_age(self, after: int, limit: int) -> list[Entry]:
        """The first ``limit`` committed ones after that revision that have not changed since, oldest first."""
        return [_entry(*row) for row in self._connection.execute(self._by_age, (after, limit)).fetchall()
                if row[1] not in self._uncommitted]  # fmt: skip

    def count(self, prefix: str) -> int:
        """How many begin with ``prefix``; changes that are not committed yet do not count."""
        ((count,),) = self._connection.execute(self._count, (prefix, end_of(prefix))).fetchall()
        return int(count)

    def close(self) -> None:
        self._connection.close()

    def _committed_entries(self, prefix: str) -> Iterator[Entry]:
        after, end = prefix, end_of(prefix)
        while rows := self._connection.execute(self._page, (after, end, PAGE)).fetchall():
            yield from (_entry(*row) for row in rows if row[1] not in self._uncommitted)
            after = rows[-1][1]


def end_of(prefix: str) -> str:
    """The first string after all that begin with ``prefix``."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else '\U0010ffff'


def _entry(revision: int, key: str, value: bytes) -> Entry:
    return Entry(key, revision, value)
