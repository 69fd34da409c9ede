"""Calls on files of the machine that may never return: a FUSE whose server does not answer, a share that is gone.

Each call has a thread of its own, never one of a pool, and is waited for only so long. One that does not come back
is left to itself; until it does, its path is answered for at once. A thread in such a wait ends with the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar('T')

SECONDS = 3.0  # that a path has for its answer
MOST = 100  # calls that have not come back


class NotAnswering(Exception):
    """The message says which path."""


class _Call(msgspec.Struct):
    deadline: float  # on the loop's clock
    outcome: asyncio.Future[Any]


class HostFiles:
    """One call for each path at a time, of one event loop. ``returned`` is told of an answer that came late."""

    def __init__(self, returned: Callable[[], None] = lambda: None, seconds: float = SECONDS) -> None:
        self._returned, self._seconds = returned, seconds
        self._calls: dict[str, _Call] = {}

    async def run(self, path: str, action: Callable[[], T]) -> T:
        """What ``action`` gives or raises. NotAnswering."""
        while (earlier := self._calls.get(path)) is not None:
            await self._outcome(path, earlier)
        if len(self._calls) >= MOST:
            raise NotAnswering(f'{path}: {MOST} other paths of this machine do not answer')
        loop = asyncio.get_running_loop()
        call = self._calls[path] = _Call(loop.time() + self._seconds, loop.create_future())
        call.outcome.add_done_callback(lambda outcome: self._forget(path))
        try:
            threading.Thread(target=_work, args=(loop, call.outcome, action), name=f'file {path}', daemon=True).start()
        except RuntimeError:  # the machine has no room for another thread
            call.outcome.set_exception(OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path))
        await self._outcome(path, call)
        result: T = call.outcome.result()
        return result

    def _forget(self, path: str) -> None:
        call = self._calls.pop(path)
        call.outcome.exception()  # seen, if nobody waits for it any more
        if asyncio.get_running_loop().time() > call.deadline:
            self._returned()

    async def _outcome(self, path: str, call: _Call) -> None:
        left = call.deadline - asyncio.get_running_loop().time()
        if not call.outcome.done():
            await asyncio.wait((call.outcome,), timeout=max(0.0, left))
        if not call.outcome.done():
            raise NotAnswering(f'{path} does not answer')


def _work(loop: asyncio.AbstractEventLoop, outcome: asyncio.Future[Any], action: Callable[[], Any]) -> None:
    tell: Callable[[Any], None]
    try:
        tell, what = outcome.set_result, action()
    except Exception as error:  # whatever it is, it is the caller's, who waits in another thread
        tell, what = outcome.set_exception, error
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is interested any more
        loop.call_soon_threadsafe(tell, what)
