"""pods/portforward over a WebSocket, in the two forms that clients speak.

``SPDY/3.1+portforward.k8s.io`` (kubectl, KEP-4006): the messages are one stream of SPDY bytes, and each connection of
the user opens two streams of it, for errors and for data, with headers that say which port and which request.
``v4.channel.k8s.io`` (the Python client): one connection for each port of the query, a byte of channel before each
message, 2i for the data and 2i + 1 for the error of port i; each starts with the port, two bytes, little endian.

kubernetes pkg/kubelet streaming/portforward.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from netkube.api.errors import ApiError, bad_request
from netkube.apiserver.containers import node_of
from netkube.apiserver.forward import Connect, Forward
from netkube.apiserver.registry import Registry
from netkube.apiserver.request import Request, Send, Target
from netkube.apiserver.spdy import (
    Connection,
    Data,
    Event,
    SpdyError,
    StreamEnded,
    StreamOpened,
    StreamReset,
    WentAway,
)
from netkube.client.kubelet import Kubelet

TUNNEL = 'SPDY/3.1+portforward.k8s.io'
CHANNELS = 'v4.channel.k8s.io'
GOING_AWAY, PROTOCOL_ERROR = 1001, 1002  # RFC 6455, section 7.4.1


async def connect(
    registry: Registry, kubelet_of: Callable[[str], Kubelet], scope: dict[str, Any], request: Request,
    target: Target, send: Send,
) -> None:  # fmt: skip
    """Until the client goes. ApiError before the WebSocket is accepted."""
    pod = forward_target(registry, target)
    kubelet, protocol = kubelet_of(node_of(pod)), choose_protocol(scope['subprotocols'])
    ports = ports_of(request) if protocol == CHANNELS else []

    def open_port(port: int) -> Connect:
        return lambda: kubelet.port_forward(target.namespace, target.name, port)

    await request.receive()  # websocket.connect
    await send({'type': 'websocket.accept', 'subprotocol': protocol})
    session = Channels(ports, open_port, send) if protocol == CHANNELS else Tunnel(open_port, send)
    try:
        await session.run(request)
    finally:
        await session.close()


def as_tokens(subprotocols: bytes) -> bytes:
    """TUNNEL is no token (RFC 9110, section 5.6.2), so the library for WebSockets would refuse it."""
    return subprotocols.replace(b'/', b'-')


def choose_protocol(offered: list[str]) -> str:
    supported = {as_tokens(name.encode()).decode(): name for name in (TUNNEL, CHANNELS)}
    for protocol in offered:
        if protocol in supported:
            return supported[protocol]
    names = [*supported.values()]
    raise bad_request(f'unable to upgrade: no supported subprotocol in {offered}; supported are {names}')


def forward_target(registry: Registry, target: Target) -> dict[str, Any]:
    """The Pod. ApiError 404."""
    return registry.storage.object(registry.storage.get(target.resource, target.namespace, target.name))


def ports_of(request: Request) -> list[int]:
    """ApiError 400."""
    texts = [text for value in request.query.get('ports') or [] for text in value.split(',')]
    if not texts:
        raise bad_request('query parameter "ports" is required')
    return [parse_port(text) for text in texts]


def parse_port(text: str) -> int:
    """ApiError 400."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise bad_request(f'unable to parse "{text}" as a port')
    return int(text)


async def next_message(request: Request) -> bytes | None:
    """None when the client has gone."""
    message = await request.receive()
    if message['type'] != 'websocket.receive':
        return None
    return message.get('bytes') or (message.get('text') or '').encode()


class Channels:
    """Every port of the request once."""

    def __init__(self, ports: list[int], open_port: Callable[[int], Connect], send: Send) -> None:
        self._send = send
        self._ports = ports
        self._forwards = [
            Forward(open_port(port), _ChannelOutlet(send, 2 * index)) for index, port in enumerate(ports)
        ]

    async def run(self, request: Request) -> None:
        for index, port in enumerate(self._ports):
            for channel in (2 * index, 2 * index + 1):
                await self._send({'type': 'websocket.send', 'bytes': struct.pack('<BH', channel, port)})
        taking = asyncio.create_task(self._take(request))
        done = asyncio.gather(*(forward.run() for forward in self._forwards))
        try:
            await asyncio.wait((taking, done), return_when=asyncio.FIRST_COMPLETED)
            if done.done():
                await self._send({'type': 'websocket.close', 'code': 1000})
        finally:
            taking.cancel()
            done.cancel()
            await asyncio.gather(taking, done, return_exceptions=True)

    async def _take(self, request: Request) -> None:
        while (message := await next_message(request)) is not None:
            channel, odd = divmod(message[0], 2) if message else (0, 1)
            if not odd and channel < len(self._forwards):
                await self._forwards[channel].give(message[1:])

    async def close(self) -> None:
        pass


class _ChannelOutlet(msgspec.Struct, frozen=True):
    send: Send
    channel: int

    async def data(self, data: bytes) -> None:
        await self.send({'type': 'websocket.send', 'bytes': bytes((self.channel,)) + data})

    async def end(self) -> None:
        """This protocol ends a port only by ending the WebSocket."""

    async def fail(self, message: str) -> None:
        await self.send({'type': 'websocket.send', 'bytes': bytes((self.channel + 1,)) + message.encode()})


class Tunnel:
    """SPDY inside the WebSocket's messages."""

    def __init__(self, open_port: Callable[[int], Connect], send: Send) -> None:
        self._open_port, self._send = open_port, send
        self._spdy = Connection()
        self._sending = asyncio.Lock()  # frames leave in the order in which they were made
        self._errors: dict[str, int] = {}  # request id -> its stream for errors
        self._forwards: dict[int, tuple[Forward, asyncio.Task[None]]] = {}

    async def run(self, request: Request) -> None:
        try:
            while (message := await next_message(request)) is not None:
                for event in self._spdy.receive(message):
                    await self._take(event)
                await self.flush()
        except SpdyError:
            await self._send({'type': 'websocket.close', 'code': PROTOCOL_ERROR})

    async def close(self) -> None:
        tasks = [task for _, task in self._forwards.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def flush(self) -> None:
        async with self._sending:
            if data := self._spdy.to_send():
                await self._send({'type': 'websocket.send', 'bytes': data})

    async def _take(self, event: Event) -> None:
        match event:
            case StreamOpened(stream, headers):
                self._opened(stream, headers)
            case Data(stream, data) if stream in self._forwards:
                await self._forwards[stream][0].give(data)
            case StreamEnded(stream) if stream in self._forwards:
                await self._forwards[stream][0].give(b'')
            case StreamReset(stream) if stream in self._forwards:
                self._forwards[stream][1].cancel()
            case WentAway():
                pass  # the WebSocket's own end follows

    def _opened(self, stream: int, headers: dict[str, str]) -> None:
        """First the stream for errors, then that for data; kubectl waits for the answer to each."""
        kind, request_id = headers.get('streamtype'), headers.get('requestid', '')
        try:
            port = parse_port(headers.get('port', ''))
        except ApiError:
            kind = None
        if kind == 'error':
            self._errors[request_id] = stream
        elif kind == 'data' and request_id in self._errors:
            self._start(stream, self._errors.pop(request_id), port)
        else:
            self._spdy.reset(stream)
            return
        self._spdy.accept(stream)

    def _start(self, stream: int, errors: int, port: int) -> None:
        forward = Forward(self._open_port(port), _StreamOutlet(self._spdy, self.flush, stream, errors, port))
        task = asyncio.create_task(forward.run())
        self._forwards[stream] = forward, task
        task.add_done_callback(lambda _: self._forwards.pop(stream))


class _StreamOutlet(msgspec.Struct, frozen=True):
    spdy: Connection
    flush: Callable[[], Awaitable[None]]
    stream: int
    errors: int
    port: int

    async def data(self, data: bytes) -> None:
        self.spdy.send(self.stream, data)
        await self.flush()

    async def end(self) -> None:
        self.spdy.end(self.stream)
        self.spdy.end(self.errors)
        await self.flush()

    async def fail(self, message: str) -> None:
        """kubectl prints it, and ends."""
        self.spdy.send(self.errors, f'error forwarding port {self.port} to pod: {message}'.encode())
        await self.end()
