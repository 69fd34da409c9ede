"""What has been answered in time counts, whenever the daemon gets round to looking."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from netkube.node.patience import within

Run = Callable[[Coroutine[Any, Any, None]], None]
SECONDS = 0.05


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=['asyncio', 'uvloop'])
def run(request: pytest.FixtureRequest) -> Run:
    return request.param


async def connected(stack: list[socket.socket]) -> tuple[asyncio.StreamReader, socket.socket]:
    mine, theirs = socket.socketpair()
    stack += [mine, theirs]
    reader, _ = await asyncio.open_connection(sock=mine)
    return reader, theirs


def test_an_answer_that_came_while_the_loop_stood_still(run: Run) -> None:
    async def body() -> None:
        sockets: list[socket.socket] = []
        reader, theirs = await connected(sockets)

        async def ask() -> bytes:
            async with within(SECONDS):
                return await reader.readline() + await reader.readline()

        asking = asyncio.create_task(ask())
        await asyncio.sleep(0)
        theirs.sendall(b'yes\nindeed\n')
        threading.Event().wait(4 * SECONDS)  # the loop has something else to do: this is the test's input
        assert await asking == b'yes\nindeed\n'
        for one in sockets:
            one.close()

    run(body())


def test_no_answer_is_an_error(run: Run) -> None:
    async def body() -> None:
        sockets: list[socket.socket] = []
        reader, _ = await connected(sockets)
        with pytest.raises(TimeoutError):
            async with within(SECONDS):
                await reader.readline()
        for one in sockets:
            one.close()

    run(body())


def test_whoever_is_done_is_not_disturbed_later(run: Run) -> None:
    async def body() -> None:
        async with within(SECONDS):
            pass
        await asyncio.sleep(2 * SECONDS)

    run(body())


def test_being_cancelled_is_not_a_time_limit(run: Run) -> None:
    async def body() -> None:
        async def wait() -> None:
            async with within(1000):
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(body())
