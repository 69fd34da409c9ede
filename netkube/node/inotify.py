"""Waiting for a file to grow: Linux' inotify on the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import os

IN_MODIFY, IN_ATTRIB = 0x2, 0x4  # the latter comes when a name of it goes

_libc = ctypes.CDLL(None, use_errno=True)


class FileWatch:
    """``changed`` is set whenever the file has been written to, or replaced."""

    def __init__(self, path: str) -> None:
        self.changed = asyncio.Event()
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0 or _libc.inotify_add_watch(self._fd, os.fsencode(path), IN_MODIFY | IN_ATTRIB) < 0:
            number = ctypes.get_errno()
            self.close()
            raise OSError(number, os.strerror(number), path)
        asyncio.get_running_loop().add_reader(self._fd, self._drain)

    def close(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _drain(self) -> None:
        os.read(self._fd, 4096)
        self.changed.set()
