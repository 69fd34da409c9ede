"""SPDY/3.1 without I/O, the server's end: bytes in, events and bytes out.

kubectl speaks it inside a WebSocket for port-forward (KEP-4006). Like github.com/moby/spdystream, on the other end,
this knows no windows: what is sent is taken.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator

import msgspec

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FIN = 0x01
PROTOCOL_ERROR, CANCEL = 1, 5  # statuses of RST_STREAM
CONTROL_BIT = 0x80000000
STREAM_MASK = 0x7FFFFFFF
HEADER_BYTES = 8
MAX_FRAME = 1 << 20  # clients send 32 KiB
MAX_HEADERS = 64 << 10  # uncompressed

_WORDS = re.split(
    ' (?!OK)',
    'options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow '
    'authorization cache-control connection content-base content-encoding content-language content-length '
    'content-location content-md5 content-range content-type date etag expect expires from host if-match '
    'if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma '
    'proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade '
    'user-agent vary via warning www-authenticate method get status 200 OK version HTTP/1.1 url public set-cookie '
    'keep-alive origin',
)
_TAIL = (
    '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative '
    'Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 '
    'Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec '
    '00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,'
    'application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8'
    'charset=iso-8859-1,utf-,*,enq=0.'
)
# draft-mbelshe-httpbis-spdy-00, section 2.6.10.1: both ends prime their compressors with it.
DICTIONARY = b''.join(struct.pack('>I', len(word)) + word.encode() for word in _WORDS) + _TAIL.encode()


class SpdyError(Exception):
    """The peer does not keep to the protocol; the connection is of no use any more."""


class StreamOpened(msgspec.Struct, frozen=True):
    """The peer opens a stream, with headers in lower case; it waits for ``Connection.accept`` or ``reset``."""

    stream: int
    headers: dict[str, str]


class Data(msgspec.Struct, frozen=True):
    stream: int
    data: bytes


class StreamEnded(msgspec.Struct, frozen=True):
    """The peer sends no more on this stream."""

    stream: int


class StreamReset(msgspec.Struct, frozen=True):
    """Neither side sends on it any more."""

    stream: int


class WentAway(msgspec.Struct, frozen=True):
    """The peer opens no more streams."""


Event = StreamOpened | Data | StreamEnded | StreamReset | WentAway


class Connection:
    """Feed ``receive``, send what ``to_send`` hands out after each call of any other method."""

    def __init__(self) -> None:
        self._received = b''
        self._unsent: list[bytes] = []
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def to_send(self) -> bytes:
        data = b''.join(self._unsent)
        self._unsent.clear()
        return data

    def receive(self, data: bytes) -> Iterator[Event]:
        """The events of all frames that are complete. SpdyError."""
        self._received += data
        while len(self._received) >= HEADER_BYTES:
            first, second = struct.unpack_from('>II', self._received)
            flags, length = second >> 24, second & 0xFFFFFF
            if length > MAX_FRAME:
                raise SpdyError(f'a frame of {length} bytes')
            if len(self._received) < HEADER_BYTES + length:
                return
            body = self._received[HEADER_BYTES : HEADER_BYTES + length]
            self._received = self._received[HEADER_BYTES + length :]
            yield from self._control(first, flags, body) if first & CONTROL_BIT else self._data(first, flags, body)

    def accept(self, stream: int) -> None:
        headers = self._deflate.compress(struct.pack('>I', 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        self._send_control(SYN_REPLY, struct.pack('>I', stream) + headers)

    def send(self, stream: int, data: bytes) -> None:
        self._unsent.append(struct.pack('>II', stream, len(data)) + data)

    def end(self, stream: int) -> None:
        """We send no more on this stream."""
        self._unsent.append(struct.pack('>II', stream, FIN << 24))

    def reset(self, stream: int, status: int = CANCEL) -> None:
        self._send_control(RST_STREAM, struct.pack('>II', stream, status))

    def _send_control(self, kind: int, body: bytes) -> None:
        self._unsent.append(struct.pack('>HHI', 0x8000 | VERSION, kind, len(body)) + body)

    def _data(self, stream: int, flags: int, body: bytes) -> Iterator[Event]:
        if body:
            yield Data(stream, body)
        if flags & FIN:
            yield StreamEnded(stream)

    def _control(self, first: int, flags: int, body: bytes) -> Iterator[Event]:
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != VERSION:
            raise SpdyError(f'SPDY version {version}')
        handle = _CONTROLS.get(kind)  # the others, such as SETTINGS and WINDOW_UPDATE, ask for nothing
        if handle is not None:
            try:
                yield from handle(self, flags, body)
            except (struct.error, zlib.error, UnicodeDecodeError) as error:
                raise SpdyError(f'a broken frame of type {kind}: {error}') from error

    def _opened(self, flags: int, body: bytes) -> Iterator[Event]:
        stream = struct.unpack_from('>I', body)[0] & STREAM_MASK
        block = self._inflate.decompress(body[10:], MAX_HEADERS)
        if self._inflate.unconsumed_tail:
            raise SpdyError(f'more than {MAX_HEADERS} bytes of headers')
        yield StreamOpened(stream, parse_headers(block))
        if flags & FIN:
            yield StreamEnded(stream)

    def _reset(self, flags: int, body: bytes) -> Iterator[Event]:
        yield StreamReset(struct.unpack_from('>I', body)[0] & STREAM_MASK)

    def _ping(self, flags: int, body: bytes) -> Iterator[Event]:
        self._send_control(PING, body)
        yield from ()

    def _went_away(self, flags: int, body: bytes) -> Iterator[Event]:
        yield WentAway()


_CONTROLS: dict[int, Callable[[Connection, int, bytes], Iterator[Event]]] = {
    SYN_STREAM: Connection._opened,
    RST_STREAM: Connection._reset,
    PING: Connection._ping,
    GOAWAY: Connection._went_away,
}


def parse_headers(block: bytes) -> dict[str, str]:
    """A name/value block; struct.error when it is cut short."""
    (count,), offset = struct.unpack_from('>I', block), 4
    texts = []
    for _ in range(min(count * 2, len(block))):
        (length,) = struct.unpack_from('>I', block, offset)
        texts.append(struct.unpack_from(f'{length}s', block, offset + 4)[0].decode())
        offset += 4 + length
    return dict(zip(texts[::2], texts[1::2], strict=True))
