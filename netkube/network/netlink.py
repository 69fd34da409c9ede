"""rtnetlink: requests as bytes, a socket that sends them, errors in the kernel's words.

The messages netkube needs are few and fixed, and their encoding is two ``struct`` calls. A general library costs
0.2 s and 13 MB to import, and 0.8 ms for each message, and these are on the way of every start and every Pod; so
the modules beside this one (links, addresses, routes, neighbours) write the bytes themselves.

References: rtnetlink(7), linux/netlink.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from sys import byteorder

import msgspec

from netkube.network.namespaces import inside

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200  # in an answer
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLMSGERR_ATTR_MSG = 1
SIOCGIFINDEX, IFREQ = 0x8933, struct.Struct('16si20x')  # netdevice(7)
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11

HEADER = struct.Struct('=IHHII')  # length, type, flags, sequence, port
ATTRIBUTE = struct.Struct('=HH')  # length, type
NESTED_OR_BYTE_ORDER = 0xC000
RECEIVE_SIZE = 1 << 18

Attributes = dict[int, bytes]


class Message(msgspec.Struct, frozen=True):
    """One request. ``body`` is the family's header and the attributes."""

    type: int
    flags: int
    body: bytes
    meaning: str
    """What it does, for error messages: ``add link nk-a``."""
    already: tuple[int, ...] = ()
    """The errnos which say that what is asked for is so already: success."""


def attribute(kind: int, payload: bytes) -> bytes:
    return ATTRIBUTE.pack(4 + len(payload), kind) + payload + b'\0' * (-len(payload) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind, b''.join(attributes))


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack('=I', value))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b'\0')


def parse_attributes(data: bytes) -> Attributes:
    """Type to payload; of a type that comes twice, the last."""
    found: Attributes = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        found[kind & ~NESTED_OR_BYTE_ORDER] = data[offset + 4 : offset + length]
        offset += length + 3 & ~3
    return found


class Netlink:
    """A routing socket; it belongs to the network namespace the calling thread is in when it is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def request(self, *messages: Message) -> None:
        """Carry out all messages in order, in one system call.

        One that fails does not stop those after it; the first failure is raised at the end, as the OSError of its
        errno, with what was tried and the kernel's explanation.
        """
        if not messages:
            return
        *others, last = messages
        first = self._send((*others, msgspec.structs.replace(last, flags=last.flags | NLM_F_ACK)), 0)
        failures = [
            failure
            for sequence, flags, payload in self._receive_errors(first + len(others))
            if (failure := failure_of(messages[sequence - first], flags, payload))
        ]
        if failures:
            raise failures[0]

    def _receive_errors(self, last: int) -> Iterator[tuple[int, int, bytes]]:
        """Until the answer to the message of this number. One that succeeds is not answered, unless it asks for it."""
        sequence = 0
        while sequence != last:
            for sequence, _, flags, payload in self._parse(self._socket.recv(RECEIVE_SIZE)):
                yield sequence, flags, payload

    def index_of(self, link: str) -> int:
        """Of a link in the socket's namespace, at a hundredth of the cost of asking for the link. OSError ENODEV."""
        answer = fcntl.ioctl(self._socket, SIOCGIFINDEX, IFREQ.pack(link.encode(), 0))
        return int(IFREQ.unpack(answer)[1])

    def get(self, message: Message) -> bytes | None:
        """The body of the one answer; None if the errno is one of ``message.already``: there is no such thing."""
        self._send((message,), 0)
        ((_, kind, flags, payload),) = self._parse(self._socket.recv(RECEIVE_SIZE))
        if kind != NLMSG_ERROR:
            return payload
        if failure := failure_of(message, flags, payload):
            raise failure
        return None

    def dump(self, message: Message) -> list[bytes]:
        """The bodies of all answers."""
        return list(self.iterate(message))

    def iterate(self, message: Message) -> Iterator[bytes]:
        """The bodies of all answers, as they arrive. Use it up: what is not read is taken for the next answer."""
        self._send((message,), NLM_F_DUMP)
        while True:
            for _, kind, flags, payload in self._parse(self._socket.recv(RECEIVE_SIZE)):
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    if failure := failure_of(message, flags, payload):
                        raise failure
                    return
                yield payload

    def _send(self, messages: tuple[Message, ...], flags: int) -> int:
        first = self._sequence + 1
        self._sequence += len(messages)
        self._socket.send(b''.join(_encode(m, flags, first + i) for i, m in enumerate(messages)))
        return first

    def _parse(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        offset = 0
        while offset < len(data):
            length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
            yield sequence, kind, flags, data[offset + HEADER.size : offset + length]
            offset += length + 3 & ~3


@contextmanager
def netlink_in(namespace: int) -> Iterator[Netlink]:
    """A routing socket in the namespace of this file descriptor, for a thread that stays where it is."""
    with inside(namespace):
        netlink = Netlink()
    try:
        yield netlink
    finally:
        netlink.close()


def failure_of(message: Message, flags: int, payload: bytes) -> OSError | None:
    """What an NLMSG_ERROR answer means; None is success. The payload: errno, the request's header, attributes."""
    code = -int.from_bytes(payload[:4], byteorder, signed=True)
    if code == 0 or code in message.already:
        return None
    explanation = _explanation(flags, payload) or os.strerror(code) or errno.errorcode.get(code, str(code))
    return OSError(code, f'{message.meaning}: {explanation}')


def _explanation(flags: int, payload: bytes) -> str:
    if not flags & NLM_F_ACK_TLVS:
        return ''
    request_length = HEADER.size if flags & NLM_F_CAPPED else int.from_bytes(payload[4:8], byteorder)
    found = parse_attributes(payload[4 + request_length :]).get(NLMSGERR_ATTR_MSG, b'')
    return found.rstrip(b'\0').decode(errors='replace')


def _encode(message: Message, flags: int, sequence: int) -> bytes:
    size = HEADER.size + len(message.body)
    padding = b'\0' * (-size % 4)
    return HEADER.pack(size, message.type, NLM_F_REQUEST | flags | message.flags, sequence, 0) + message.body + padding
