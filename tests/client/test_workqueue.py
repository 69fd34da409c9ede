"""The queue of keys, on both event loops that it meets: asyncio's own and the daemon's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from netkube.client.workqueue import WorkQueue

Run = Callable[[Coroutine[Any, Any, Any]], Any]
WAIT = 60.0


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=['asyncio', 'uvloop'])
def run(request: pytest.FixtureRequest) -> Run:
    return request.param


async def take(queue: WorkQueue[str]) -> str:
    return await asyncio.wait_for(queue.get(), WAIT)


def test_a_key_is_queued_once_and_comes_back_when_it_was_added_meanwhile(run: Run) -> None:
    async def body() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add('a')
        queue.add('a')
        assert (await take(queue), len(queue)) == ('a', 0)
        queue.add('a')
        assert len(queue) == 0
        queue.done('a')
        assert await take(queue) == 'a'

    run(body())


def test_of_several_delays_the_earliest_counts(run: Run) -> None:
    async def body() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add_after('a', 1000)
        queue.add_after('a', 0.001)
        queue.add_after('a', 1000)
        assert await take(queue) == 'a'
        queue.close()

    run(body())


def test_a_delay_can_be_dropped(run: Run) -> None:
    async def body() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add_after('a', 0.001)
        queue.add_after('b', 0.002)
        queue.drop_delayed('a')
        queue.drop_delayed('c')
        assert (await take(queue), len(queue)) == ('b', 0)
        queue.close()

    run(body())


def test_delays_too_short_for_the_clock(run: Run) -> None:
    """uvloop counts milliseconds, and what is due in less is no timer to it."""

    async def body() -> None:
        queue: WorkQueue[str] = WorkQueue()
        for seconds in (0.0001, 0.0002, 0.00005):
            queue.add_after('a', seconds)
        assert await take(queue) == 'a'
        queue.close()

    run(body())


def test_a_key_that_fails_waits_longer_each_time(run: Run) -> None:
    async def body() -> None:
        queue: WorkQueue[str] = WorkQueue()
        loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        for _ in range(3):
            queue.add_rate_limited('a')
            queue.done(await take(queue))
        assert loop.time() - began >= 0.030  # 5, 10 and 20 ms, less what a clock of milliseconds rounds off
        queue.close()

    run(body())
