"""One question to one nameserver, over UDP or TCP.

Queries go on byte for byte, so a client's EDNS options reach the nameserver. Each has a socket of its own, connected to
that nameserver, on a source port that the kernel picks at random (RFC 5452).
"""

from __future__ import annotations

import asyncio
import socket
from typing import NamedTuple

from netkube.dns.objects import canonical_address

HEADER = 12
PORT = 53


class Nameserver(NamedTuple):
    """``address`` of a link-local nameserver carries its interface: ``fe80::1%eth0``."""

    address: str
    port: int = PORT

    def __str__(self) -> str:
        return f'[{self.address}]:{self.port}' if ':' in self.address else f'{self.address}:{self.port}'


def parse_nameserver(text: str) -> Nameserver:
    """``192.0.2.1``, ``192.0.2.1:5353``, ``2001:db8::1`` or ``[2001:db8::1]:5353``; ValueError."""
    if text.startswith('['):
        address, _, port = text[1:].rpartition(']:')
    elif text.count(':') == 1:
        address, _, port = text.rpartition(':')
    else:
        address, _, port = text, '', str(PORT)
    try:
        canonical_address(address.partition('%')[0])
    except ValueError:
        raise ValueError(f'{text!r} is not an IP address, or an IP address and a port') from None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f'{text!r}: the port must be between 1 and 65535')
    return Nameserver(address, int(port))


async def exchange(nameserver: Nameserver, query: bytes) -> bytes:
    answer = await exchange_udp(nameserver, query)
    return await exchange_tcp(nameserver, query) if answer[2] & 2 else answer


async def exchange_udp(nameserver: Nameserver, query: bytes) -> bytes:
    """Datagrams that do not answer this very question are ignored."""
    loop = asyncio.get_running_loop()
    family = _family(nameserver.address)
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
        sock.connect(_socket_address(nameserver))
        sock.send(query)
        while True:
            answer = await loop.sock_recv(sock, 65535)
            if answers(query, answer):
                return answer


async def exchange_tcp(nameserver: Nameserver, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*nameserver)
    try:
        writer.write(len(query).to_bytes(2, 'big') + query)
        while True:
            answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2), 'big'))
            if answers(query, answer):
                return answer
    finally:
        writer.close()


def answers(query: bytes, answer: bytes) -> bool:
    """Whether ``answer`` is a response with the query's id and its question; letter case may differ."""
    end = question_end(query)
    return (
        len(answer) >= end
        and answer[:2] == query[:2]
        and bool(answer[2] & 0x80)
        and answer[4:6] == b'\0\1'
        and answer[HEADER : end - 4].lower() == query[HEADER : end - 4].lower()
        and answer[end - 4 : end] == query[end - 4 : end]
    )


def question_end(wire: bytes) -> int:
    """The offset behind the first question of a well-formed query: labels, type and class."""
    offset = HEADER
    while wire[offset]:
        offset += 1 + wire[offset]
    return offset + 1 + 4


def question_labels(wire: bytes) -> tuple[str, ...]:
    """The name in the first question of a well-formed query: lower-case labels without the root."""
    labels, offset = [], HEADER
    while length := wire[offset]:
        labels.append(wire[offset + 1 : offset + 1 + length].lower().decode('latin-1'))
        offset += 1 + length
    return tuple(labels)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ':' in address else socket.AF_INET


def _socket_address(nameserver: Nameserver) -> tuple[str, int] | tuple[str, int, int, int]:
    address, port = nameserver
    if ':' not in address:
        return address, port
    host, _, interface = address.partition('%')
    return host, port, 0, socket.if_nametoindex(interface) if interface else 0
