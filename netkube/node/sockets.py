"""Sockets of the Node: what the agent connects to a Pod with."""

from __future__ import annotations

import socket

from netkube.network.namespaces import NamespaceThread


class NodeSockets:
    """A socket lives in the namespace in which it was made, so a thread that lives in the Node's makes them."""

    def __init__(self, netns: str) -> None:
        self._thread = NamespaceThread(netns)

    async def dial(self, family: socket.AddressFamily) -> socket.socket:
        """A non-blocking stream socket, not connected yet."""
        return await self._thread.run(_stream_socket, family)

    def close(self) -> None:
        self._thread.close()


def _stream_socket(family: socket.AddressFamily) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    return made
