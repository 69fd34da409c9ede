"""SPDY/3.1 as kubectl's end speaks it."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netkube.apiserver import spdy
from netkube.apiserver.spdy import Connection, Data, SpdyError, StreamEnded, StreamOpened, StreamReset


class Peer:
    """A client: its frames, and what it understands of ours."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=spdy.DICTIONARY)

    def open(self, stream: int, **headers: str) -> bytes:
        texts = [text.encode() for pair in headers.items() for text in pair]
        block = struct.pack('>I', len(headers)) + b''.join(struct.pack('>I', len(text)) + text for text in texts)
        packed = self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return control(spdy.SYN_STREAM, struct.pack('>IIBB', stream, 0, 0, 0) + packed)


def control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack('>HHI', 0x8003, kind, flags << 24 | len(body)) + body


def data(stream: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack('>II', stream, flags << 24 | len(body)) + body


def test_streams_are_opened_with_headers() -> None:
    peer, connection = Peer(), Connection()
    first = peer.open(1, streamtype='error', port='80', requestid='0')
    second = peer.open(3, streamtype='data', port='80', requestid='0')  # compressed with what the first one said
    assert len(second) < len(first)
    assert list(connection.receive(first + second)) == [
        StreamOpened(1, {'streamtype': 'error', 'port': '80', 'requestid': '0'}),
        StreamOpened(3, {'streamtype': 'data', 'port': '80', 'requestid': '0'}),
    ]


def test_data_and_its_end() -> None:
    frames = data(3, b'hello') + data(3, b'!', flags=spdy.FIN) + control(spdy.RST_STREAM, struct.pack('>II', 3, 5))
    assert list(Connection().receive(frames)) == [Data(3, b'hello'), Data(3, b'!'), StreamEnded(3), StreamReset(3)]


@given(st.lists(st.integers(1, 40), max_size=20))
def test_frames_may_be_cut_anywhere(cuts: list[int]) -> None:
    frames = Peer().open(1, streamtype='data') + data(1, b'x' * 50) + data(1, b'', flags=spdy.FIN)
    connection, events = Connection(), []
    for cut in [*cuts, len(frames)]:
        events += connection.receive(frames[:cut])
        frames = frames[cut:]
    assert events == [StreamOpened(1, {'streamtype': 'data'}), Data(1, b'x' * 50), StreamEnded(1)]


def test_what_we_send() -> None:
    connection = Connection()
    connection.accept(3)
    reply = connection.to_send()
    assert struct.unpack_from('>HH', reply) == (0x8003, spdy.SYN_REPLY)
    assert zlib.decompressobj(zdict=spdy.DICTIONARY).decompress(reply[12:]) == struct.pack('>I', 0)
    connection.send(3, b'hello')
    connection.end(3)
    assert connection.to_send() == data(3, b'hello') + data(3, b'', flags=spdy.FIN)
    assert connection.to_send() == b''


def test_a_ping_comes_back_and_what_asks_for_nothing_is_passed_over() -> None:
    connection = Connection()
    ping = control(spdy.PING, struct.pack('>I', 7))
    settings, window = control(4, struct.pack('>I', 0)), control(9, struct.pack('>II', 1, 100))
    assert list(connection.receive(settings + ping + window)) == []
    assert connection.to_send() == ping


@pytest.mark.parametrize(
    'frames',
    [
        struct.pack('>HHI', 0x8002, spdy.PING, 4) + b'1234',
        struct.pack('>II', 1, spdy.MAX_FRAME + 1),
        control(spdy.SYN_STREAM, b'12'),
        control(spdy.SYN_STREAM, struct.pack('>IIBB', 1, 0, 0, 0) + b'not zlib'),
        Peer().open(1, bomb='x' * 1_000_000),
    ],
    ids=['version', 'size', 'cut short', 'compression', 'headers'],
)
def test_what_is_no_spdy_is_refused(frames: bytes) -> None:
    with pytest.raises(SpdyError):
        list(Connection().receive(frames))


@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_an_error(frames: bytes) -> None:
    with suppress(SpdyError):
        list(Connection().receive(frames))
