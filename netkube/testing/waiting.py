"""Wait for a condition, never for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar('T')

INTERVAL = 0.01  # seconds between two looks


async def eventually(condition: Callable[[], T | Awaitable[T]], timeout: float = 60.0, what: str = '') -> T:
    """The first true value of ``condition()``; AssertionError, with what was last seen, after ``timeout`` seconds.

    A condition may be a coroutine function. It counts as not yet when an assertion inside it fails, or when what it
    looks into does not have that field yet.
    """
    deadline = time.monotonic() + timeout
    while True:
        seen: object
        try:
            value = condition()
            seen = await value if inspect.isawaitable(value) else value
            if seen:
                return seen  # type: ignore[return-value]
        except (AssertionError, LookupError, TypeError) as error:
            seen = error
        if time.monotonic() > deadline:
            raise AssertionError(f'not within {timeout} s: {what or condition}; last seen: {seen!r}')
        await asyncio.sleep(INTERVAL)
