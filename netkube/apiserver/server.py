"""The API server: a registry behind listeners. What it listens on is given by whoever composes the cluster."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from netkube.api.errors import ApiError
from netkube.apiserver.bootstrap import ensure_namespaces
from netkube.apiserver.defaultroles import ensure_default_roles
from netkube.apiserver.expiry import expire_events
from netkube.apiserver.http import HttpApi, KubeletOf
from netkube.apiserver.registry import Registry
from netkube.client.kubelet import Kubelet

GRACE_SECONDS = 1.0  # for answers that are on their way when the server stops


def no_kubelet(node: str) -> Kubelet:
    raise ApiError(503, 'ServiceUnavailable', f'no agent of node {node} is connected')


class ApiServer:
    """Serves ``registry``; ``kubelet_of(node)`` is who is asked for logs and streams, ApiError when nobody is."""

    def __init__(self, registry: Registry, kubelet_of: KubeletOf = no_kubelet) -> None:
        self.registry = registry
        self._api = HttpApi(registry, kubelet_of)
        self._servers: list[asyncio.Server] = []
        self._sockets: list[Path] = []
        self._factory: Callable[[], asyncio.Protocol] | None = None

    async def run(self) -> None:
        """Write the store's log and expire events, until cancelled: without it no HTTP write is acknowledged.

        The system's namespaces exist after the first turn. store.errors.Failed when the disk refuses. In the end the
        log is still written while the last answers go out.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.registry.store.run(), name='store')
            tasks.create_task(expire_events(self.registry.storage), name='event expiry')
            try:
                await ensure_namespaces(self.registry)
                ensure_default_roles(self.registry.storage)
                await asyncio.Event().wait()
            finally:
                await self.stop()

    async def serve_unix(self, path: Path) -> None:
        """Listen on a socket that root alone may open; whoever does is a member of system:masters."""
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        umask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(umask)
        listener.setblocking(False)
        self._sockets.append(path)
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_unix_server(self._protocol_factory(), sock=listener, backlog=1024))

    async def serve_tls(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        """Listen with TLS on a bound socket; clients are told apart by their certificates."""
        listener.setblocking(False)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._protocol_factory(), sock=listener, ssl=context, backlog=1024)
        self._servers.append(server)

    async def stop(self) -> None:
        """Stop listening, end the watches, let answers that are on their way go out."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for path in self._sockets:
            path.unlink(missing_ok=True)
        self._sockets.clear()
        self.registry.store.end_watches()
        if self._factory is not None:
            await self._close_connections()

    async def _close_connections(self) -> None:
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=GRACE_SECONDS)
        for connection in list(self._state.connections):
            if not connection.transport.is_closing():
                connection.transport.abort()

    def _protocol_factory(self) -> Callable[[], asyncio.Protocol]:
        """uvicorn costs 100 ms to import: it is imported when something is to be served."""
        if self._factory is None:
            from uvicorn.server import ServerState

            from netkube.apiserver.protocol import Connection, protocol_config

            config = protocol_config(self._api)
            self._state = ServerState()
            self._factory = lambda: Connection(config, self._state)
        return self._factory
