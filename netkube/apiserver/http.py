"""HTTP: a request comes in, a handler answers, and every failure leaves through one place as a Status.

An answer is sent when what it shows is on the disk.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from typing import Any

from msgspec.structs import replace

from netkube.api.errors import ApiError, internal, no_space, no_such_path
from netkube.apiserver import health
from netkube.apiserver.authentication import authenticate, without_credentials
from netkube.apiserver.authorization import authorize_request
from netkube.apiserver.connect import KubeletOf, connect, refuse_plain_http
from netkube.apiserver.discovery import discover
from netkube.apiserver.handlers import HANDLERS, Answer
from netkube.apiserver.impersonation import impersonated
from netkube.apiserver.logs import log_stream
from netkube.apiserver.metrics import CONTENT_TYPE, Metrics, labels_of
from netkube.apiserver.openid import OPENID, openid_document
from netkube.apiserver.proxy import proxy
from netkube.apiserver.registry import Registry
from netkube.apiserver.request import Receive, Request, Send
from netkube.apiserver.response import Response, Stream, error_response, warning_headers
from netkube.apiserver.reviews import REVIEW_HANDLERS, token_request
from netkube.apiserver.user import requester
from netkube.store.errors import NoSpace

READING = frozenset(('get', 'list'))
GROWING = frozenset(('create', 'update', 'patch'))  # refused while the disk is full; who deletes makes room
GZIP_ABOVE, GZIP_LEVEL = 128 << 10, 1  # bytes, and zlib's level: as kube-apiserver

log = logging.getLogger(__name__)


class HttpApi:
    """The ASGI application. ``kubelet_of(node)`` is the node's agent; ApiError when there is none."""

    def __init__(self, registry: Registry, kubelet_of: KubeletOf) -> None:
        self._registry, self._kubelet_of, self._metrics = registry, kubelet_of, Metrics()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope['type'] == 'websocket':
            await self._connect(scope, receive, send)
            return
        began = time.monotonic()
        request, answer = await self._answer(scope, receive)
        labels = labels_of(request, scope['method'])
        if isinstance(answer, Response):
            self._metrics.answered(labels, answer.code, time.monotonic() - began)
            warnings = request.warnings if request is not None else ()
            await send_response(await compressed(scope, answer), warnings, send)
            return
        self._metrics.answered(labels, 200, time.monotonic() - began)
        with self._metrics.running(labels):
            await send_stream(answer, receive, send)

    async def _answer(self, scope: dict[str, Any], receive: Receive) -> tuple[Request | None, Answer]:
        """The request, None when it is none, and its answer. The one place where failures become answers."""
        request: Request | None = None
        try:
            request = await self._admit(scope, receive)
            answer = await self._handle(request)
            if isinstance(answer, Response) and answer.revision:
                store = self._registry.store
                wait = store.settled if request.verb in READING else store.durable
                await wait(answer.revision)
            return request, answer
        except ApiError as error:
            return request, error_response(error)
        except NoSpace:
            return request, error_response(no_space())
        except ConnectionResetError as error:
            return request, error_response(internal(str(error)))
        except Exception as error:
            log.exception('%s %s', scope.get('method'), scope['path'])
            return request, error_response(internal(f'{type(error).__name__}: {error}'))

    async def _admit(self, scope: dict[str, Any], receive: Receive) -> Request:
        """The request, of somebody who may make it. ApiError 401, 403."""
        roles = self._registry.storage.roles
        user = await authenticate(self._registry.tokens, scope)
        user = impersonated(roles, user, scope['headers'])
        scope['headers'] = without_credentials(scope['headers'])
        request = Request.parse(scope, receive, user, self._registry.storage.served)
        authorize_request(roles, request)
        requester.set(user)
        return request

    async def _handle(self, request: Request) -> Answer:
        if request.target is None:
            if request.path in OPENID:
                return await openid_document(self._registry.tokens, request)
            check = health.find_check(request.path)
            if check is not None:
                return health.health(request, self._registry.storage, *check)
            if request.path == '/metrics':
                return Response(self._metrics.text(self._registry.storage), content_type=CONTENT_TYPE)
            return discover(request, self._registry.storage.served)
        if request.target.resource in REVIEW_HANDLERS:
            return await REVIEW_HANDLERS[request.target.resource](self._registry, request)
        if request.target.subresource == 'token':
            return await token_request(self._registry, request)
        if request.target.subresource == 'log':
            return await log_stream(self._registry, self._kubelet_of, request, request.target)
        if request.target.subresource == 'proxy':
            return await proxy(self._registry, self._kubelet_of, request, request.target)
        if request.verb == 'connect':
            raise refuse_plain_http(self._registry, request.target, request)
        if request.verb in GROWING:
            self._registry.store.require_space()
        handler = HANDLERS[request.verb]
        return await handler(self._registry, request, request.target)

    async def _connect(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            request = await self._admit(scope, receive)
            if request.target is None:
                raise no_such_path()
            await connect(self._registry, self._kubelet_of, scope, request, request.target, send)
        except ApiError as error:
            await refuse_websocket(error, send)
        except Exception as error:
            log.exception('websocket %s', scope['path'])
            await refuse_websocket(internal(f'{type(error).__name__}: {error}'), send)


async def compressed(scope: dict[str, Any], answer: Response) -> Response:
    """What is big, for a client that takes it (endpoints/handlers/responsewriters), compressed on a thread."""
    if len(answer.body) <= GZIP_ABOVE or scope['method'] != 'GET':
        return answer
    accepted = next((value for name, value in scope['headers'] if name == b'accept-encoding'), b'')
    if not any(one.strip().split(b';')[0] == b'gzip' for one in accepted.split(b',')):
        return answer
    body = await asyncio.to_thread(zlib.compress, answer.body, GZIP_LEVEL, zlib.MAX_WBITS | 16)
    headers = (*answer.headers, (b'content-encoding', b'gzip'), (b'vary', b'Accept-Encoding'))
    return replace(answer, body=body, headers=headers)


async def send_response(answer: Response, warnings: tuple[str, ...], send: Send) -> None:
    headers = [(b'content-type', answer.content_type), (b'content-length', str(len(answer.body)).encode())]
    headers += answer.headers
    headers += warning_headers(warnings)
    await send({'type': 'http.response.start', 'status': answer.code, 'headers': headers})
    await send({'type': 'http.response.body', 'body': answer.body})


async def send_stream(stream: Stream, receive: Receive, send: Send) -> None:
    """Until the stream ends or the client goes."""
    headers = [*stream.headers, *([(b'content-type', stream.content_type)] if stream.content_type else ())]
    await send({'type': 'http.response.start', 'status': stream.code, 'headers': headers})
    gone = asyncio.create_task(wait_for_disconnect(receive))
    pump = asyncio.create_task(pump_stream(stream, send))
    try:
        await asyncio.wait((gone, pump), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        pump.cancel()
        await asyncio.gather(gone, pump, return_exceptions=True)
    if not pump.cancelled():
        pump.result()


async def pump_stream(stream: Stream, send: Send) -> None:
    async for part in stream.parts:
        await send({'type': 'http.response.body', 'body': part, 'more_body': True})
    await send({'type': 'http.response.body', 'body': b''})


async def wait_for_disconnect(receive: Receive) -> None:
    while (await receive())['type'] != 'http.disconnect':
        pass


async def refuse_websocket(error: ApiError, send: Send) -> None:
    """A failure before the WebSocket is accepted is an ordinary HTTP answer."""
    response = error_response(error)
    headers = [(b'content-type', response.content_type)]
    await send({'type': 'websocket.http.response.start', 'status': response.code, 'headers': headers})
    await send({'type': 'websocket.http.response.body', 'body': response.body})
