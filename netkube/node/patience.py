"""A time limit for an answer that does not run out while nobody here could have taken the answer.

When the event loop comes back late, on a busy machine or after much work, it runs timers before it looks what has
arrived. So when the time is up the loop has a few more turns, in which an answer that is there already is taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TURNS = 8  # an answer passes through a transport, a reader and a task, one a turn


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """TimeoutError, as asyncio.timeout."""
    loop = asyncio.get_running_loop()
    pending: asyncio.Handle

    def expire(turns: int) -> None:
        nonlocal pending
        if turns:
            pending = loop.call_soon(expire, turns - 1)
        else:
            limit.reschedule(loop.time())

    async with asyncio.timeout(None) as limit:
        pending = loop.call_later(seconds, expire, TURNS)
        try:
            yield
        finally:
            pending.cancel()
