"""The log on disk: one row per revision, in SQLite.

``revision`` is an AUTOINCREMENT row id, so a number is never used twice, also not after a restart. Each
transaction deletes the rows it supersedes, so the log never holds more than the current state: the history
that watches need is kept in memory. What those rows leave of the file is used again and, when it is much, given
back bit by bit. WAL with ``synchronous=FULL`` syncs each commit: what is committed survives kill -9 and a power
cut. https://www.sqlite.org/wal.html, https://www.sqlite.org/autoinc.html,
https://www.sqlite.org/pragma.html#pragma_incremental_vacuum
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from netkube.store.errors import NoSpace

SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    value BLOB
)
"""


FREE_PAGES = 1024  # of 4 KiB, to be used again
VACUUMED_PAGES = 128  # at most, with a commit: it takes the longer for it


class Row(msgspec.Struct, frozen=True):
    """``value`` None: the key is gone. ``supersedes``: the revision of the key's row before this one, 0 if none."""

    revision: int
    key: str
    value: bytes | None
    supersedes: int


class Log:
    """Used from one thread at a time. sqlite3.Error when the disk refuses."""

    def __init__(self, path: str | Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ('auto_vacuum=INCREMENTAL', 'journal_mode=WAL', 'synchronous=FULL', 'cache_size=-2048'):
            self._connection.execute(f'PRAGMA {pragma}')
        self._connection.execute(SCHEMA)

    def rows(self, besides: str = '') -> Iterator[tuple[int, str, bytes]]:
        """(revision, key, value) of every live key, in order of revision, but of none that begins with ``besides``."""
        query = 'SELECT revision, key, value FROM log WHERE ? = \'\' OR substr(key, 1, ?) != ? ORDER BY revision'
        return self._connection.execute(query, (besides, len(besides), besides))

    def last_revision(self) -> int:
        """The highest revision ever written, 0 in a new log."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
        return row[0] if row else 0

    def append(self, rows: Iterable[Row]) -> None:
        """Write all rows in one synced transaction. NoSpace: none of them."""
        rows = list(rows)
        superseded = [(row.supersedes,) for row in rows if row.supersedes]
        superseded += [(row.revision,) for row in rows if row.value is None]
        self._connection.execute('BEGIN IMMEDIATE')
        try:
            added = ((row.revision, row.key, row.value) for row in rows)
            self._connection.executemany('INSERT INTO log (revision, key, value) VALUES (?, ?, ?)', added)
            self._connection.executemany('DELETE FROM log WHERE revision = ?', superseded)
            self._connection.execute('COMMIT')
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute('ROLLBACK')
            if _is_full(error):
                raise NoSpace(str(error)) from None
            raise
        try:
            self._vacuum()
        except sqlite3.Error as error:
            if not _is_full(error):  # which needs room to give some back
                raise

    def _vacuum(self) -> None:
        ((free,),) = self._connection.execute('PRAGMA freelist_count').fetchall()
        if free > FREE_PAGES:
            # Each step of it is one page, and ``execute`` makes a single step.
            self._connection.executescript(f'PRAGMA incremental_vacuum({VACUUMED_PAGES})')

    def close(self) -> None:
        self._connection.close()


def _is_full(error: sqlite3.Error) -> bool:
    """The file, or the index of the WAL beside it, cannot grow."""
    return getattr(error, 'sqlite_errorcode', 0) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


def collapsed(rows: Iterable[Row]) -> list[Row]:
    """Of several rows of one key the last, in place of what the first superseded: those between need not be written."""
    last: dict[str, Row] = {}
    for row in rows:
        before = last.pop(row.key, None)
        last[row.key] = row if before is None else replace(row, supersedes=before.supersedes)
    return list(last.values())

