"""The API over HTTP, for components in a process of their own: unix socket or TLS.

httptools parses; one connection serves one request at a time and is used again, and each watch has a
connection of its own. JSON only.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import Resource
from netkube.client.interface import MERGE_PATCH, ObjectList, WatchEvent
from netkube.client.wire import READ_BYTES, Response, failure_of, render_query, render_request, with_kinds


class Endpoint(msgspec.Struct, frozen=True):
    """Where the API is: a unix socket, or host and port with TLS."""

    socket_path: str = ''
    host: str = ''
    port: int = 0
    tls: ssl.SSLContext | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.socket_path:
            return await asyncio.open_unix_connection(self.socket_path)
        return await asyncio.open_connection(self.host, self.port, ssl=self.tls)


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def request(self, method: str, target: str, body: bytes = b'', content_type: str = '') -> Response:
        """Send; return once the answer's status line and headers are in."""
        self._writer.write(render_request(method, target, body, content_type=content_type))
        await self._writer.drain()
        response = Response()
        while not response.started:
            await self.feed(response)
        return response

    async def feed(self, response: Response) -> None:
        """Read once; ConnectionError when the server has closed in the middle of an answer."""
        response.feed(await self._reader.read(READ_BYTES))

    async def body(self, response: Response) -> bytes:
        while not response.complete:
            await self.feed(response)
        return response.take()

    @property
    def ended(self) -> bool:
        """The server has closed it: an idle connection lives as long as the server wants."""
        return self._reader.at_eof() or self._writer.is_closing()

    def close(self) -> None:
        self._writer.close()


class HttpClient:
    """``netkube.client.interface.Client`` over the wire. OSError when the server cannot be reached."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._idle: list[Connection] = []

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        return await self._call('GET', resource.path(namespace, name))

    async def list(
        self,
        resource: Resource,
        namespace: str = '',
        *,
        label_selector: str = '',
        field_selector: str = '',
        limit: int = 0,
        continue_token: str = '',
    ) -> ObjectList:
        query = render_query(
            {
                'labelSelector': label_selector,
                'fieldSelector': field_selector,
                'limit': str(limit or ''),
                'continue': continue_token,
            }
        )
        answer = await self._call('GET', resource.path(namespace) + query)
        metadata, items = answer['metadata'], with_kinds(answer).get('items') or []
        return ObjectList(items, metadata['resourceVersion'], metadata.get('continue') or '')

    async def watch(
        self,
        resource: Resource,
        namespace: str = '',
        *,
        resource_version: str = '',
        label_selector: str = '',
        field_selector: str = '',
        allow_bookmarks: bool = True,
    ) -> AsyncIterator[WatchEvent]:
        query = render_query(
            {
                'watch': 'true',
                'resourceVersion': resource_version,
                'labelSelector': label_selector,
                'fieldSelector': field_selector,
                'allowWatchBookmarks': 'true' if allow_bookmarks else '',
            }
        )
        connection = Connection(*await self._endpoint.open())
        try:
            response = await connection.request('GET', resource.path(namespace) + query)
            if response.failed:
                raise _failure(await connection.body(response))
            async for line in _lines(connection, response):
                event = msgspec.json.decode(line)
                if event['type'] == 'ERROR':
                    raise ApiError.from_status(event['object'])
                yield WatchEvent(event['type'], event['object'])
        finally:
            connection.close()

    async def create(self, resource: Resource, obj: Object, subresource: str = '') -> Object:
        namespace = obj['metadata'].get('namespace', '')
        name = obj['metadata']['name'] if subresource else None
        return await self._call('POST', resource.path(namespace, name, subresource), obj)

    async def update(self, resource: Resource, obj: Object, subresource: str = '') -> Object:
        metadata = obj['metadata']
        path = resource.path(metadata.get('namespace', ''), metadata['name'], subresource)
        return await self._call('PUT', path, obj)

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Any,
        content_type: str = MERGE_PATCH,
        subresource: str = '',
    ) -> Object:
        return await self._call('PATCH', resource.path(namespace, name, subresource), patch, content_type)

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = '',
        grace_period_seconds: int | None = None,
        propagation_policy: str = '',
    ) -> Object:
        options: Object = {'kind': 'DeleteOptions', 'apiVersion': 'v1'}
        if uid:
            options['preconditions'] = {'uid': uid}
        if grace_period_seconds is not None:
            options['gracePeriodSeconds'] = grace_period_seconds
        if propagation_policy:
            options['propagationPolicy'] = propagation_policy
        return await self._call('DELETE', resource.path(namespace, name), options)

    async def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _call(self, method: str, target: str, body: Any = None, content_type: str = 'application/json') -> Object:
        encoded = b'' if body is None else msgspec.json.encode(body)
        request = (method, target, encoded, content_type)
        if idle := self._idle_connection():
            try:
                return await self._exchange(idle, *request)
            except ConnectionError:  # the server has closed it in this moment
                if method != 'GET':
                    raise
        return await self._exchange(Connection(*await self._endpoint.open()), *request)

    def _idle_connection(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.ended:
                return connection
            connection.close()
        return None

    async def _exchange(self, connection: Connection, *request: Any) -> Object:
        """After a failure of the connection it is closed, not used again."""
        try:
            response = await connection.request(*request)
            answer = await connection.body(response)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        if response.failed:
            raise _failure(answer)
        return msgspec.json.decode(answer)


async def _lines(connection: Connection, response: Response) -> AsyncIterator[bytes]:
    """The answer's lines; ends with the answer, or quietly with the connection (a watch may end at any time)."""
    rest = b''
    while True:
        *lines, rest = (rest + response.take()).split(b'\n')
        for line in lines:
            if line:
                yield line
        if response.complete:
            return
        try:
            await connection.feed(response)
        except ConnectionError:
            return


def _failure(body: bytes) -> ApiError:
    try:
        return failure_of(msgspec.json.decode(body), body)
    except msgspec.DecodeError:
        return failure_of(None, body)
