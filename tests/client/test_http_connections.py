"""Connections are used again while the server keeps them, and not once it has closed them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from netkube.api.resources import NAMESPACES
from netkube.client.http import Endpoint, HttpClient

BODY = b'{"metadata": {"name": "a"}}'
ANSWER = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s' % (len(BODY), BODY)


class Server:
    """Answers every request; ``most`` on a connection, then it closes that."""

    def __init__(self, most: int) -> None:
        self.most, self.connections = most, 0
        self.closed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        for _ in range(self.most):
            await reader.readuntil(b'\r\n\r\n')
            writer.write(ANSWER)
        writer.close()
        await writer.wait_closed()
        self.closed.set()


@asynccontextmanager
async def served(folder: Path, most: int) -> AsyncIterator[tuple[Server, HttpClient]]:
    server, path = Server(most), str(folder / 'socket')
    listener = await asyncio.start_unix_server(server.serve, path)
    client = HttpClient(Endpoint(socket_path=path))
    async with listener:
        yield server, client
        await client.close()


@pytest.mark.parametrize(('most', 'connections'), [(2, 1), (1, 2)])
async def test_a_connection_that_the_server_has_closed_is_replaced(
    tmp_path: Path, most: int, connections: int
) -> None:
    async with served(tmp_path, most) as (server, client):
        await client.get(NAMESPACES, '', 'a')
        if most == 1:
            async with asyncio.timeout(60):
                await server.closed.wait()
        assert (await client.get(NAMESPACES, '', 'a'))['metadata']['name'] == 'a'
        assert server.connections == connections
