"""What others ask about the resolver itself, over HTTP: /health, /ready and /metrics.

Each is asked on the port that CoreDNS has for it; all three ports know all of them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from typing import NamedTuple

log = logging.getLogger(__name__)

HEALTH_PORT, READY_PORT, METRICS_PORT = 8080, 8181, 9153
MAX_CONNECTIONS = 32
SECONDS = 5.0  # for one request
MAX_REQUEST = 8192  # bytes


class Page(NamedTuple):
    status: str
    text: str


NOT_FOUND = Page('404 Not Found', '404 page not found\n')
NOT_ALLOWED = Page('405 Method Not Allowed', 'only GET and HEAD\n')
OK = Page('200 OK', 'OK')


class Pages:
    """An HTTP/1.1 server of a few texts; one request a connection."""

    def __init__(self, pages: Mapping[str, Callable[[], Page]]) -> None:
        self._pages = pages
        self._connections = 0

    async def run(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(self._accept, sock=listener, limit=MAX_REQUEST)
        async with server:
            await server.serve_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= MAX_CONNECTIONS:
                async with asyncio.timeout(SECONDS):
                    head = await reader.readuntil(b'\r\n\r\n')
                    writer.write(self._answer(head))
                    await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:  # that client has gone, or makes no sense
            log.debug('connection: %r', error)
        finally:
            self._connections -= 1
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        method, target, *_ = [*head.partition(b'\r\n')[0].decode('latin-1').split(), '', '']
        page = self._page(method, target.partition('?')[0])
        body = page.text.encode()
        fields = f'Content-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {len(body)}'
        answer = f'HTTP/1.1 {page.status}\r\n{fields}\r\nConnection: close\r\n\r\n'.encode()
        return answer if method == 'HEAD' else answer + body

    def _page(self, method: str, path: str) -> Page:
        if path not in self._pages:
            return NOT_FOUND
        return self._pages[path]() if method in ('GET', 'HEAD') else NOT_ALLOWED
