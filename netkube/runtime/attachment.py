"""A client at a running container's streams: its output beside the log, and its standard input."""

from __future__ import annotations

import os
import select

from netkube.runtime.container import Container
from netkube.runtime.loop import Loop

MAX_UNSENT = 1 << 20  # bytes; a client that does not read is cut off: the container does not wait for it


class Tap:
    """The write end of a client's pipe, which gets what the container writes."""

    def __init__(self, loop: Loop, fd: int) -> None:
        self._loop, self._fd = loop, fd
        self._unsent = b''
        self._ending = False
        os.set_blocking(fd, False)

    def give(self, data: bytes) -> None:
        if self._fd < 0:
            return
        self._unsent += data
        self._flush()
        if len(self._unsent) > MAX_UNSENT:
            self.close()

    def end(self) -> None:
        """After what is still to be sent."""
        self._ending = True
        if not self._unsent:
            self.close()

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.unwatch(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _flush(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self._fd, self._unsent) :]
        except BlockingIOError:
            pass  # the rest goes when there is room
        except OSError:  # the client has closed it
            return self.close()
        if self._unsent:
            self._loop.watch(self._fd, self._flush, select.EPOLLOUT)
        elif self._ending:
            self.close()
        else:
            self._loop.unwatch(self._fd)


class Attachment:
    """``taps`` are by the name of the stream; ``stdin`` is a descriptor for the client, -1 when there is none."""

    def __init__(self, container: Container, taps: dict[str, Tap], stdin: int) -> None:
        self.stdin = stdin
        self.gone = container.gone
        self._container = container
        self._taps = taps
        for stream in container.streams:
            if stream.name in taps:
                stream.taps.append(taps[stream.name])

    def abandon(self) -> None:
        """The client has gone; the container goes on."""
        for stream in self._container.streams:
            stream.taps = [tap for tap in stream.taps if tap not in self._taps.values()]
        for tap in self._taps.values():
            tap.close()
