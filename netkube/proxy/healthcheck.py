"""spec.healthCheckNodePort: does this Node have ready endpoints of the Service? Asked by load balancers.

One HTTP server for each such Service, on every address of the Node; it answers any path, as kube-proxy's does
(pkg/proxy/healthcheck/service_health.go).
"""

from __future__ import annotations

import asyncio
import json
import socket

from netkube.api.meta import Key
from netkube.network.namespaces import socket_in
from netkube.proxy.frontends import HealthCheck

REQUEST_SECONDS, REQUEST_BYTES = 10.0, 16384
BODY = """{{
	"service": {{
		"namespace": {namespace},
		"name": {name}
	}},
	"localEndpoints": {endpoints},
	"serviceProxyHealthy": true
}}"""


class HealthCheckServers:
    """``netns`` is the Node's namespace."""

    def __init__(self, netns: str) -> None:
        self._netns = netns
        self._checks: dict[Key, HealthCheck] = {}
        self._servers: dict[Key, asyncio.Server] = {}

    async def serve(self, key: Key, check: HealthCheck | None) -> None:
        """From now on ``check`` is what the Service's server tells; None ends it. OSError: the port is taken."""
        known = self._checks.pop(key, None)
        if known and (check is None or check.port != known.port):
            self._servers.pop(key).close()
        if check is None:
            return
        if key not in self._servers:
            listener = _listen(self._netns, check.port)
            self._servers[key] = await asyncio.start_server(
                lambda reader, writer: self._answer(key, reader, writer), sock=listener, limit=REQUEST_BYTES
            )
        self._checks[key] = check

    def close(self) -> None:
        for server in self._servers.values():
            server.close()

    async def _answer(self, key: Key, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await reader.readuntil(b'\r\n\r\n')
            if check := self._checks.get(key):
                writer.write(render_answer(key, check))
                await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # the asker has gone, or asks for nothing: there is nobody to tell
        finally:
            writer.close()


def render_answer(key: Key, check: HealthCheck) -> bytes:
    namespace, name = map(json.dumps, key)
    body = BODY.format(namespace=namespace, name=name, endpoints=check.endpoints).encode()
    head = [
        'HTTP/1.1 200 OK' if check.endpoints else 'HTTP/1.1 503 Service Unavailable',
        'Content-Type: application/json',
        'X-Content-Type-Options: nosniff',
        f'X-Load-Balancing-Endpoint-Weight: {check.endpoints}',
        f'Content-Length: {len(body)}',
        'Connection: close',
    ]
    return '\r\n'.join(head).encode() + b'\r\n\r\n' + body


def _listen(netns: str, port: int) -> socket.socket:
    """On all addresses of both families; of IPv4 alone where the kernel has no IPv6."""
    try:
        listener = socket_in(netns, socket.AF_INET6)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        address = '::'
    except OSError:
        listener, address = socket_in(netns, socket.AF_INET), '0.0.0.0'  # noqa: S104 - the Node's addresses
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener
