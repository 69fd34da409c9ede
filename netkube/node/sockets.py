"""Sockets of the Node: what the agent connects to a Pod with."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict

from netkube.network.namespaces import NamespaceThread

STOCK = 32  # made at a time: waking the thread costs more than a probe does


class NodeSockets:
    """A socket lives in the namespace in which it was made, so a thread that lives in the Node's makes them."""

    def __init__(self, netns: str | None) -> None:
        self._thread = NamespaceThread(netns)
        self._stock: defaultdict[socket.AddressFamily, list[socket.socket]] = defaultdict(list)
        self._making = asyncio.Lock()

    async def dial(self, family: socket.AddressFamily) -> socket.socket:
        """A non-blocking stream socket, not connected yet."""
        stock = self._stock[family]
        while not stock:
            async with self._making:
                stock += [] if stock else await self._thread.run(_stream_sockets, family)
        return stock.pop()

    def close(self) -> None:
        self._thread.close()
        for made in (one for stock in self._stock.values() for one in stock):
            made.close()
        self._stock.clear()


def _stream_sockets(family: socket.AddressFamily) -> list[socket.socket]:
    return [_stream_socket(family) for _ in range(STOCK)]


def _stream_socket(family: socket.AddressFamily) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    return made
