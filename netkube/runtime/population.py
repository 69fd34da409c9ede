"""Noticing that the last process of a cgroup has ended."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

from netkube.runtime.loop import Loop


def when_empty(loop: Loop, path: str, callback: Callable[[], None]) -> None:
    """Calls back once no process lives in the cgroup or below (cgroup.events signals EPOLLPRI); perhaps at once."""
    events = os.open(f'{path}/cgroup.events', os.O_RDONLY | os.O_CLOEXEC)

    def look() -> None:
        if b'populated 0' in os.pread(events, 4096, 0):
            loop.unwatch(events)
            os.close(events)
            callback()

    loop.watch(events, look, select.EPOLLPRI)
    look()
