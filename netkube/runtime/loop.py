"""The server's event loop: descriptors, timers, signals and children, in one thread.

asyncio would cost 9 MB and 100 ms of start-up.
"""

from __future__ import annotations

import heapq
import os
import select
import signal
import time
from collections.abc import Callable
from itertools import count

Callback = Callable[[], object]


class Loop:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Callback] = {}
        self._events: dict[int, int] = {}
        self._timers: list[tuple[float, int, Callback]] = []
        self._order = count()
        self._children: dict[int, Callable[[int], None]] = {}
        self._signals: dict[int, Callback] = {signal.SIGCHLD: self.reap}
        self._stopped = False

    def watch(self, fd: int, callback: Callback, events: int = select.EPOLLIN) -> None:
        """Calls back whenever one of ``events``, an error or a hang-up is there; replaces an earlier watch."""
        if fd not in self._ready:
            self._epoll.register(fd, events)
        elif self._events[fd] != events:
            self._epoll.modify(fd, events)
        self._ready[fd], self._events[fd] = callback, events

    def unwatch(self, fd: int) -> None:
        """To be called before the descriptor is closed; nothing happens for one that is not watched."""
        if self._ready.pop(fd, None) is not None:
            del self._events[fd]
            self._epoll.unregister(fd)

    def call_after(self, seconds: float, callback: Callback) -> None:
        """A timer cannot be taken back: its callback looks whether it still has something to do."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), callback))

    def on_exit(self, pid: int, callback: Callable[[int], None]) -> None:
        """Calls back once with the wait status of this child."""
        self._children[pid] = callback

    def on_signal(self, number: int, callback: Callback) -> None:
        self._signals[number] = callback

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> None:
        self._listen_for_signals()
        while not self._stopped:
            for fd, _ in self._epoll.poll(self._timeout()):
                callback = self._ready.get(fd)  # gone when an earlier callback of this round unwatched it
                if callback is not None:
                    callback()
            self._run_timers()

    def _timeout(self) -> float:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _listen_for_signals(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in self._signals:
            signal.signal(number, _noted)
        self.watch(reader, lambda: self._take_signals(reader))

    def _take_signals(self, reader: int) -> None:
        for number in set(os.read(reader, 4096)):
            self._signals[number]()

    def reap(self) -> None:
        """One SIGCHLD may stand for many exits."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            callback = self._children.pop(pid, None)
            if callback is not None:
                callback(status)


def _noted(number: int, frame: object) -> None:
    """A Python handler is what makes the wake-up descriptor work; the loop does the rest."""
