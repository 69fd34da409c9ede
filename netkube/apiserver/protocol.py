"""A connection: uvicorn's HTTP protocol, with the peer's identity, and WebSockets loaded when the first one comes."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from http import HTTPStatus
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from netkube.api.errors import ApiError, bad_request
from netkube.apiserver.portforward import as_tokens
from netkube.apiserver.storage import encode
from netkube.apiserver.user import AUTHENTICATED, CREDENTIAL_ID, MASTERS, User

IDLE_SECONDS = 90  # as kube-apiserver's http.Server
HEAD_SECONDS = 32  # the same, ReadHeaderTimeout
MAX_HEAD = 1 << 20  # bytes of request line and headers, as Go's http.Server
ROOT = User('system:admin', (MASTERS, AUTHENTICATED))


def is_wanted(record: logging.LogRecord) -> bool:
    """uvicorn takes a WebSocket refused with an HTTP answer for an application's mistake."""
    return 'without completing handshake' not in str(record.msg)


def protocol_config(app: Any) -> Config:
    logging.getLogger('uvicorn.error').addFilter(is_wanted)
    return Config(
        app, lifespan='off', ws='none', log_config=None, access_log=False, interface='asgi3', server_header=False,
        date_header=False, proxy_headers=False, timeout_keep_alive=IDLE_SECONDS, ws_max_size=1 << 20,
        ws_per_message_deflate=False,
    )  # fmt: skip


class Connection(HttpToolsProtocol):
    """One client. Who it is, is known once the TLS handshake is done."""

    def __init__(self, config: Config, state: ServerState) -> None:
        self._in_head, self._head_size = True, 0
        super().__init__(config=config, server_state=state, app_state={}, _loop=asyncio.get_running_loop())

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {'user': peer_identity(transport)}
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that has sent its whole request, and ends its half then, still gets the answer; True keeps it."""
        cycle = self.cycle
        if cycle is None or cycle.response_started or not self._in_head:
            return False
        cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self.refuse(ApiError(431, 'RequestHeaderFieldsTooLarge', f'the limit is {MAX_HEAD} bytes of headers'))
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline.cancelled():
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._in_head, self._head_size = False, 0
        self._deadline.cancel()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def _expect_head(self) -> None:
        """Whoever does not send the whole head in time is hung up on."""
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP at all."""
        self.refuse(bad_request(msg))

    def refuse(self, error: ApiError) -> None:
        """Answer in the middle of a request, and hang up."""
        body = encode(error.status())
        head = f'HTTP/1.1 {error.code} {HTTPStatus(error.code).phrase}\r\ncontent-type: application/json\r\n'
        self.transport.write(f'{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n'.encode() + body)
        self.transport.close()

    def _should_upgrade_to_ws(self) -> bool:
        return True

    def _unsupported_upgrade_warning(self) -> None:
        """Clients that speak SPDY get an answer like any other request."""

    def handle_websocket_upgrade(self) -> None:
        from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

        self.scope['headers'] = [
            (name, as_tokens(value) if name == b'sec-websocket-protocol' else value)
            for name, value in self.scope['headers']
        ]
        self.ws_protocol_class = WebSocketsSansIOProtocol
        super().handle_websocket_upgrade()


def peer_identity(transport: asyncio.BaseTransport) -> User | None:
    """The unix socket belongs to root alone; over TLS it is the certificate's subject; None without one."""
    tls = transport.get_extra_info('ssl_object')
    if tls is None:
        return ROOT
    certificate = tls.getpeercert()
    if not certificate:
        return None
    subject: dict[str, list[str]] = {}
    for attributes in certificate.get('subject', ()):
        for name, value in attributes:
            subject.setdefault(name, []).append(value)
    names = subject.get('commonName') or []
    if not names:
        return None
    fingerprint = hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()
    extra = ((CREDENTIAL_ID, (f'X509SHA256={fingerprint}',)),)
    return User(names[0], (*subject.get('organizationName', ()), AUTHENTICATED), '', extra)
