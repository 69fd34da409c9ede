"""Names that are not the cluster's: asked of the machine's own nameservers.

Queries go on byte for byte, only their id is our own; so a client's EDNS options reach the nameserver. Each has
a socket of its own, connected to that nameserver, on a source port that the kernel picks at random (RFC 5452).
Answers are not cached: the machine's nameserver usually does that.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable

from netkube.dns.objects import canonical_address

log = logging.getLogger(__name__)

HEADER = 12
PORT = 53
MAX_NAMESERVERS = 3  # as glibc: MAXNS
BUDGET_SECONDS = 4.0  # for one question; stub resolvers give up after 5
MIN_TRIES = 2
MAX_IN_FLIGHT = 400  # each is one file descriptor
UNHELPFUL = (2, 4, 5)  # SERVFAIL, NOTIMP, REFUSED: another nameserver may do better

Exchange = Callable[[str, bytes], Awaitable[bytes]]


class UpstreamError(Exception):
    """No nameserver gave an answer."""


class Overloaded(UpstreamError):
    """Too many questions are waiting already."""


class ResolvConf:
    """The nameservers of a resolv.conf(5), read again when the file changes; none if there is no file.

    ``excluded``: our own addresses, as asking them would never end.
    """

    def __init__(self, path: str, excluded: frozenset[str] = frozenset()) -> None:
        self.path, self.excluded = path, excluded
        self._stamp: tuple[int, int, int] | None = None
        self._nameservers: tuple[str, ...] = ()

    def nameservers(self) -> tuple[str, ...]:
        stamp = self._read_stamp()
        if stamp != self._stamp:
            self._nameservers = self._read() if stamp else ()
            self._stamp = stamp
        return self._nameservers

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self) -> tuple[str, ...]:
        with open(self.path, encoding='utf-8', errors='replace') as lines:
            return tuple(parse_nameservers(lines, self.excluded))


def parse_nameservers(lines: Iterable[str], excluded: frozenset[str] = frozenset()) -> list[str]:
    """The addresses of the ``nameserver`` lines; glibc uses the first three, and 127.0.0.1 is not implied here."""
    fields = (line.split() for line in lines)
    addresses = [words[1] for words in fields if len(words) > 1 and words[0] == 'nameserver' and _is_address(words[1])]
    return [address for address in dict.fromkeys(addresses) if address not in excluded][:MAX_NAMESERVERS]


def _is_address(text: str) -> bool:
    try:
        canonical_address(text.partition('%')[0])
    except ValueError:
        log.warning('resolv.conf: %r is not an address', text)
        return False
    return True


class Upstream:
    """``ask`` forwards one query. It starts with the nameserver that answered last."""

    def __init__(self, resolv_conf: ResolvConf, budget_seconds: float = BUDGET_SECONDS) -> None:
        self._resolv_conf = resolv_conf
        self._budget = budget_seconds
        self._in_flight = 0
        self._answered_last = ''

    async def ask_udp(self, query: bytes) -> bytes:
        """The answer, perhaps with TC set. UpstreamError within the budget."""
        return await self._ask(query, exchange_udp)

    async def ask(self, query: bytes) -> bytes:
        """The whole answer: over TCP if a datagram cannot hold it."""
        return await self._ask(query, exchange)

    async def _ask(self, query: bytes, exchange: Exchange) -> bytes:
        if self._in_flight >= MAX_IN_FLIGHT:
            raise Overloaded(f'{self._in_flight} questions are waiting already')
        self._in_flight += 1
        try:
            own_id = secrets.token_bytes(2)
            answer = await self._try_all(own_id + query[2:], exchange)
            return query[:2] + answer[2:]
        finally:
            self._in_flight -= 1

    async def _try_all(self, query: bytes, exchange: Exchange) -> bytes:
        nameservers = self._by_preference()
        tries = max(len(nameservers), MIN_TRIES)
        unhelpful: bytes | None = None
        for nameserver in (nameservers * MIN_TRIES)[:tries]:
            try:
                async with asyncio.timeout(self._budget / tries):
                    answer = await exchange(nameserver, query)
            except (OSError, EOFError) as error:  # TimeoutError is an OSError
                log.debug('nameserver %s: %r', nameserver, error)
                continue
            if answer[3] & 15 not in UNHELPFUL:
                self._answered_last = nameserver
                return answer
            unhelpful = answer
            if len(nameservers) == 1:
                break
        if unhelpful is None:
            raise UpstreamError(f'no answer from {", ".join(nameservers) or "any nameserver: there is none"}')
        return unhelpful

    def _by_preference(self) -> tuple[str, ...]:
        nameservers = self._resolv_conf.nameservers()
        return tuple(sorted(nameservers, key=lambda nameserver: nameserver != self._answered_last))


async def exchange(nameserver: str, query: bytes) -> bytes:
    answer = await exchange_udp(nameserver, query)
    return await exchange_tcp(nameserver, query) if answer[2] & 2 else answer


async def exchange_udp(nameserver: str, query: bytes) -> bytes:
    """Datagrams that do not answer this very question are ignored."""
    loop = asyncio.get_running_loop()
    with socket.socket(_family(nameserver), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
        sock.connect(_socket_address(nameserver))
        sock.send(query)
        while True:
            answer = await loop.sock_recv(sock, 65535)
            if answers(query, answer):
                return answer


async def exchange_tcp(nameserver: str, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(nameserver, PORT)
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


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ':' in address else socket.AF_INET


def _socket_address(address: str) -> tuple[str, int] | tuple[str, int, int, int]:
    """``fe80::1%eth0``: a link-local nameserver carries its interface."""
    if ':' not in address:
        return address, PORT
    host, _, interface = address.partition('%')
    return host, PORT, 0, socket.if_nametoindex(interface) if interface else 0
