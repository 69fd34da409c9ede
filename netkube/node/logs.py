"""Reading container logs in the CRI format: ``2026-01-02T03:04:05.000000000Z stdout F line``.

P instead of F marks a part of a line that goes on in the next entry of the same stream.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, NamedTuple

from netkube.api.meta import parse_timestamp
from netkube.client.kubelet import LogOptions
from netkube.node.inotify import FileWatch

CHUNK = 64 * 1024


class Entry(NamedTuple):
    timestamp: bytes
    stream: bytes
    whole: bool  # its line ends here
    text: bytes


def parse_entry(line: bytes) -> Entry | None:
    """None for what is no entry: a write that a power cut left unfinished."""
    parts = line.split(b' ', 3)
    if len(parts) != 4:
        return None
    return Entry(parts[0], parts[1], parts[2] == b'F', parts[3])


def since_of(options: LogOptions, now: datetime) -> bytes:
    """The earliest timestamp wanted, as the log writes it (timestamps compare as text)."""
    if options.since_seconds is not None:
        earliest = now - timedelta(seconds=options.since_seconds)
    elif options.since_time:
        earliest = parse_timestamp(options.since_time)
    else:
        return b''
    return earliest.strftime('%Y-%m-%dT%H:%M:%S.%f').encode()


class EntryRenderer:
    """Entries to text: those from ``since`` on, each begun line with its timestamp if wanted."""

    def __init__(self, since: bytes = b'', timestamps: bool = False) -> None:
        self._since, self._timestamps = since, timestamps
        self._open_streams: set[bytes] = set()

    def render(self, lines: Iterable[bytes]) -> bytes:
        return b''.join(self._text(line) for line in lines)

    def _text(self, line: bytes) -> bytes:
        entry = parse_entry(line)
        if entry is None or entry.timestamp < self._since:
            return b''
        begins = entry.stream not in self._open_streams
        (self._open_streams.discard if entry.whole else self._open_streams.add)(entry.stream)
        prefix = entry.timestamp + b' ' if self._timestamps and begins else b''
        return prefix + entry.text + (b'\n' if entry.whole else b'')


def tail_offset(path: Path, lines: int) -> int:
    """Where the last so many lines of the log begin. Blocking."""
    with path.open('rb') as file:
        size, window = file.seek(0, os.SEEK_END), CHUNK
        if lines <= 0:
            return size
        while True:
            begin = max(0, size - window)
            file.seek(begin)
            starts = _line_starts(file.read(size - begin), begin == 0)
            if len(starts) >= lines:
                return begin + starts[-lines]
            if begin == 0:
                return 0
            window *= 4


def _line_starts(data: bytes, is_beginning: bool) -> list[int]:
    """The offsets in a piece of a log at which a line surely begins."""
    starts, offset, after_whole = [], 0, is_beginning
    for line in data.splitlines(keepends=True):
        if after_whole and line.endswith(b'\n'):
            starts.append(offset)
        entry = parse_entry(line)
        after_whole = entry is not None and entry.whole
        offset += len(line)
    return starts


async def read_log(path: Path, options: LogOptions, now: datetime, ended: asyncio.Event) -> AsyncIterator[bytes]:
    """What the options ask for, in chunks; with ``follow`` until ``ended``, which says that nobody writes any more."""
    left = options.limit_bytes
    async for text in _chunks(path, options, now, ended):
        if left is not None:
            text = text[:left]
            left -= len(text)
        if text:
            yield text
        if left == 0:
            return


async def _chunks(path: Path, options: LogOptions, now: datetime, ended: asyncio.Event) -> AsyncIterator[bytes]:
    """A log that is followed goes on in the next file when it is rotated."""
    renderer, rest = EntryRenderer(since_of(options, now), options.timestamps), b''
    position = 0 if options.tail_lines is None else await asyncio.to_thread(tail_offset, path, options.tail_lines)
    file, watch = await asyncio.to_thread(path.open, 'rb'), FileWatch(str(path)) if options.follow else None
    try:
        file.seek(position)
        while True:
            # Both are asked before reading: what was written before the end, or the rotation, is read.
            over, rotated = ended.is_set(), watch is not None and await asyncio.to_thread(_is_rotated, file, path)
            block = await asyncio.to_thread(file.read, CHUNK)
            *lines, rest = (rest + block).split(b'\n')
            yield renderer.render(lines)
            if block:
                continue
            if watch is None:
                return
            if rotated:
                watch.close()
                file.close()
                file, watch = await asyncio.to_thread(path.open, 'rb'), FileWatch(str(path))
            elif over:
                return
            else:
                await _either(watch.changed, ended)
                watch.changed.clear()
    finally:
        file.close()
        if watch is not None:
            watch.close()


def _is_rotated(file: BinaryIO, path: Path) -> bool:
    """The log goes on in another file. Blocking."""
    try:
        return os.fstat(file.fileno()).st_ino != path.stat().st_ino
    except FileNotFoundError:  # the Pod has gone, and its log with it
        return False


async def _either(*events: asyncio.Event) -> None:
    """Until one of them is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
