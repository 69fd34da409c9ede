"""A container's output to its log file, in CRI's format.

``2026-01-02T03:04:05.000000000Z stdout F line``: F ends a line, P says that the line goes on in the next entry.
A line is cut at 16 KiB (containerd's max_container_log_line_size), so no more than that is held per stream.
"""

from __future__ import annotations

import os
import time
from typing import Protocol

from netkube.runtime.words import say

_READ = 65536
MAX_LINE = 16384
MAX_BYTES, MAX_FILES = 10 << 20, 5  # the kubelet's containerLogMaxSize and containerLogMaxFiles


def log_timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nine digits."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f'{time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))}.{fraction:09d}Z'


def render_entries(data: bytes, timestamp: str, stream: str) -> tuple[bytes, bytes]:
    """The entries of all lines that are complete or too long, and what is left of the last one (16 KiB at most)."""
    full, partial = (f'{timestamp} {stream} {tag} '.encode() for tag in 'FP')
    complete, newline, rest = data.rpartition(b'\n')
    entries = []
    if newline and len(max(complete.split(b'\n'), key=len)) <= MAX_LINE:
        entries.append(full + complete.replace(b'\n', b'\n' + full) + b'\n')
    elif newline:
        for line in complete.split(b'\n'):
            head, line = _cut(line, partial)
            entries += [head, full, line, b'\n']
    head, rest = _cut(rest, partial)
    entries.append(head)
    return b''.join(entries), rest


def _cut(line: bytes, prefix: bytes) -> tuple[bytes, bytes]:
    """Entries of MAX_LINE bytes for as long as more follows, and the remainder."""
    entries = []
    while len(line) > MAX_LINE:
        entries.append(prefix + line[:MAX_LINE] + b'\n')
        line = line[MAX_LINE:]
    return b''.join(entries), line


class LogFile:
    """The file both streams of a container are appended to. What a full disk refuses is lost, and said once.

    It is rotated here, where every byte is counted: a process that writes 100 MB/s would be far ahead of a look at the
    size every ten seconds. ``PATH.1`` is the last file before the current one.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._torn = False  # the last entry is not whole
        self._fd = _open(path) if path else -1
        self._size = os.fstat(self._fd).st_size if self._fd >= 0 else 0

    def _rotate(self) -> None:
        """Whoever looks finds a file at the path at any time. Nothing has changed if there is no room for another."""
        new = _open(f'{self.path}.new')
        for number in range(MAX_FILES - 2, 0, -1):
            if os.path.exists(f'{self.path}.{number}'):
                os.rename(f'{self.path}.{number}', f'{self.path}.{number + 1}')
        os.link(self.path, f'{self.path}.1')
        os.rename(f'{self.path}.new', self.path)
        self.close()
        self._fd, self._size = new, 0

    def append(self, entries: bytes) -> None:
        """A full disk must not stop the container that writes."""
        if self._fd < 0:
            return
        try:
            if self._size >= MAX_BYTES:
                self._rotate()
            self._write(b'\n' + entries if self._torn else entries)
        except OSError as error:
            if not self._torn:
                say(f'{self.path}: log entries are lost: {error.strerror}')
            self._torn = True
        else:
            self._torn = False

    def _write(self, data: bytes) -> None:
        self._size += len(data)
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _open(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o640)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o640)


class Tap(Protocol):
    """Where a stream's bytes go beside the log."""

    def give(self, data: bytes) -> None: ...

    def end(self) -> None: ...


class LogStream:
    """Our end of a container's pipe or terminal; ``name`` is stdout or stderr."""

    def __init__(self, fd: int, name: str, file: LogFile) -> None:
        self.fd = fd
        self.name = name
        self.taps: list[Tap] = []
        self._file = file
        self._rest = b''
        os.set_blocking(fd, False)

    def pump(self) -> bool:
        """Moves what is there, 64 KiB at most; False when nobody writes any more."""
        chunk = self._read()
        if chunk:
            self._take(chunk)
        return chunk != b''

    def _read(self) -> bytes | None:
        """b'' at the end, None when there is nothing now."""
        try:
            return os.read(self.fd, _READ)
        except BlockingIOError:
            return None
        except OSError:  # EIO: the last process has closed the terminal
            return b''

    def _take(self, chunk: bytes) -> None:
        entries, self._rest = render_entries(self._rest + chunk, log_timestamp(time.time_ns()), self.name)
        self._file.append(entries)
        for tap in self.taps:
            tap.give(chunk)

    def close(self) -> None:
        """After the writer's end: moves what is still in the pipe, and a last line that was not ended."""
        while chunk := self._read():
            self._take(chunk)
        if self._rest:
            self._file.append(f'{log_timestamp(time.time_ns())} {self.name} F '.encode() + self._rest + b'\n')
        os.close(self.fd)
        for tap in self.taps:
            tap.end()
