"""A request, parsed once: what its method and path mean, its query, who asks.

k8s.io/apiserver/pkg/endpoints/request RequestInfo.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from netkube.api.errors import ApiError, bad_request, method_not_allowed, no_such_path
from netkube.api.resources import NAMESPACES, Resource
from netkube.apiserver.served import Served
from netkube.apiserver.user import User

MAX_BODY = 3 << 20  # bytes, as kube-apiserver
BODY_SECONDS = 60  # as kube-apiserver's --request-timeout
CONNECT = ('exec', 'attach', 'portforward', 'proxy')

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Target(msgspec.Struct, frozen=True):
    """What a path names; ``namespace`` and ``name`` are '' where there is none."""

    resource: Resource
    namespace: str = ''
    name: str = ''
    subresource: str = ''


# (method, an object is named) -> verb; a GET of a collection may be a watch.
VERBS = {
    ('GET', False): 'list', ('POST', False): 'create', ('DELETE', False): 'deletecollection',
    ('GET', True): 'get', ('PUT', True): 'update', ('PATCH', True): 'patch', ('DELETE', True): 'delete',
}  # fmt: skip


class Request(msgspec.Struct):
    """An API request; ``headers`` has lower-case names."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[bytes, bytes]
    user: User
    receive: Receive
    target: Target | None = None
    warnings: tuple[str, ...] = ()
    raw_target: str = ''  # path and query as they were written

    @classmethod
    def parse(cls, scope: dict[str, Any], receive: Receive, user: User, served: Served) -> Request:
        """ApiError 404 for a path below the API that is not served."""
        query = scope['query_string']
        parsed = parse_qs(query.decode(), keep_blank_values=True) if query else {}
        path = scope['path']
        raw = scope['raw_path'] + (b'?' + query if query else b'')
        target = find_target(path, served)
        if target is not None and '/watch/' in path and _without_watch(path.strip('/').split('/')):
            target, parsed = _as_watch(target, parsed)
        return cls(
            scope.get('method', 'GET'), path, parsed, dict(scope['headers']),
            user, receive, target, raw_target=raw.decode('latin-1'),
        )  # fmt: skip

    @property
    def verb(self) -> str:
        """ApiError 405 when the method means nothing there."""
        assert self.target is not None
        target = self.target
        if target.subresource in CONNECT:
            return 'connect'
        if target.subresource and self.method == 'POST':
            return 'create'
        verb = VERBS.get((self.method, bool(target.name)))
        if verb is None:
            raise method_not_allowed(target.resource.plural, self.method)
        return 'watch' if verb == 'list' and self.flag('watch') else verb

    def value(self, name: str) -> str:
        """The first value of a query parameter, '' when there is none."""
        values = self.query.get(name)
        return values[0] if values else ''

    def flag(self, name: str) -> bool:
        return name in self.query and self.value(name) not in ('false', '0', 'False')

    def number(self, name: str) -> int | None:
        """ApiError 400 when it is no whole number."""
        text = self.value(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise bad_request(f'{name}: Invalid value: "{text}": strconv.ParseInt: invalid syntax') from None

    @property
    def dry_run(self) -> bool:
        """ApiError 400 for anything but All."""
        values = self.query.get('dryRun') or []
        if any(value not in ('', 'All') for value in values):
            raise bad_request(f'dryRun: Unsupported value: "{values[0]}": supported values: "All"')
        return 'All' in values

    async def body(self) -> bytes:
        """All of it. ApiError 413 when it is too long, 408 when it does not come."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._body()
        except TimeoutError:
            why = 'Timeout: request did not complete within the allotted timeout'
            raise ApiError(408, 'Timeout', why) from None

    async def _body(self) -> bytes:
        parts, size, more = [], 0, True
        while more:
            message = await self.receive()
            if message['type'] == 'http.disconnect':
                raise ConnectionResetError('the client went away while it sent its request')
            part = message.get('body', b'')
            parts.append(part)
            size += len(part)
            if size > MAX_BODY:
                raise ApiError(413, 'RequestEntityTooLarge', f'Request entity too large: limit is {MAX_BODY}')
            more = message.get('more_body', False)
        return b''.join(parts)


def find_target(path: str, served: Served) -> Target | None:
    """What a path below /api/v1 or /apis/GROUP/VERSION names; None for other paths. ApiError 404."""
    parts = path.strip('/').split('/')
    parts = _without_watch(parts) or parts
    if parts[0] == 'api' and len(parts) > 2:
        return _target(served, '', parts[1], parts[2:])
    if parts[0] == 'apis' and len(parts) > 3:
        return _target(served, parts[1], parts[2], parts[3:])
    return None


def _without_watch(parts: list[str]) -> list[str] | None:
    """/api/v1/watch/pods, the old form of ?watch=true; a name at the end selects one object. None for other paths."""
    at = {'api': 2, 'apis': 3}.get(parts[0], 0)
    return parts[:at] + parts[at + 1 :] if at and len(parts) > at + 1 and parts[at] == 'watch' else None


def _as_watch(target: Target, query: dict[str, list[str]]) -> tuple[Target, dict[str, list[str]]]:
    query = {**query, 'watch': ['true']}
    if target.name:
        query['fieldSelector'] = [f'metadata.name={target.name}']
    return Target(target.resource, target.namespace), query


def _target(served: Served, group: str, version: str, parts: list[str]) -> Target:
    namespace = ''
    in_namespace = parts[0] == 'namespaces' and len(parts) > 2
    if in_namespace and not (len(parts) == 3 and parts[2] in NAMESPACES.subresources):
        namespace, parts = parts[1], parts[2:]
    resource = served.find(group, version, parts[0])
    has_more = len(parts) > 3 and parts[2] != 'proxy'
    if resource is None or has_more or (namespace and not resource.namespaced):
        raise no_such_path()
    name = unquote(parts[1]) if len(parts) > 1 else ''
    subresource = parts[2] if len(parts) > 2 else ''
    if resource.namespaced and name and not namespace:
        raise no_such_path()
    if subresource and subresource not in resource.subresources:
        raise no_such_path()
    return Target(resource, namespace, name, subresource)
