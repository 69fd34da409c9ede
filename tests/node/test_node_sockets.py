"""The sockets that probes connect with."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing

import pytest
from pods import container

from netkube.node.handlers import HandlerFailed, Handlers, Target
from netkube.node.sockets import STOCK, NodeSockets

TCP = socket.AF_INET


async def test_everyone_gets_a_socket_of_his_own_however_many_ask_at_once() -> None:
    with closing(NodeSockets(None)) as sockets:
        made = await asyncio.gather(*(sockets.dial(family) for family in (TCP, socket.AF_INET6) for _ in range(STOCK)))
        more = await sockets.dial(TCP)
    assert len({one.fileno() for one in (*made, more)}) == 2 * STOCK + 1
    assert [one.family for one in made] == [TCP] * STOCK + [socket.AF_INET6] * STOCK
    assert not any(one.getblocking() for one in made)
    for one in (*made, more):
        one.close()


async def test_a_server_that_does_not_accept_any_more_is_waited_for_until_the_timeout() -> None:
    with closing(NodeSockets(None)) as sockets, closing(socket.create_server(('127.0.0.1', 0), backlog=0)) as server:
        port = server.getsockname()[1]
        handlers, target = Handlers(sockets.dial, None), Target(container(), 'id', '127.0.0.1')  # type: ignore[arg-type]
        probe = {'tcpSocket': {'port': port}}
        await handlers.run(probe, target, 1)  # it is in the backlog, which is full now
        with pytest.raises(HandlerFailed, match=f'^dial tcp 127.0.0.1:{port}: i/o timeout$'):
            await handlers.run(probe, target, 0.1)
