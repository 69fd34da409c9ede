"""Nameservers for tests, on addresses of the loopback and port 53: well, dead, lying."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import dns.rrset

from netkube.testing import eventually

GOOD, DEAD, OTHER = '127.0.0.53', '127.0.0.54', '127.0.0.55'


@asynccontextmanager
async def dnsmasq(address: str, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A real nameserver that knows what ``options`` say, for example ``--host-record=NAME,ADDRESS``."""
    process = await asyncio.create_subprocess_exec(
        'dnsmasq', '--no-daemon', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--bind-interfaces',
        f'--listen-address={address}', '--pid-file=', *options, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await eventually(lambda: _answers(address), what='dnsmasq answers')
        yield process
    finally:
        process.terminate()
        await process.wait()


async def _answers(address: str) -> bool:
    try:
        await dns.asyncquery.udp(dns.message.make_query('test.', 'A'), address, timeout=0.2)
    except (dns.exception.Timeout, OSError):
        return False
    return True


@contextmanager
def scripted(address: str, replies: Callable[[bytes], list[bytes]]) -> Iterator[list[bytes]]:
    """A UDP nameserver that sends ``replies(query)``; yields the queries it has had."""
    loop = asyncio.get_running_loop()
    queries: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind((address, 53))

        def on_readable() -> None:
            query, client = sock.recvfrom(4096)
            queries.append(query)
            for reply in replies(query):
                sock.sendto(reply, client)

        loop.add_reader(sock, on_readable)
        try:
            yield queries
        finally:
            loop.remove_reader(sock)


def reply(query: bytes, rcode: int = 0, **changes: str) -> bytes:
    question = dns.message.from_wire(query)
    response = dns.message.make_response(question, recursion_available=True)
    response.set_rcode(dns.rcode.Rcode(rcode))
    response.answer = [
        dns.rrset.from_text(question.question[0].name, 60, 'IN', 'A', changes.get('address', '192.0.2.1'))
    ]
    return response.to_wire()


async def resolve(
    by, name: str, rdtype: str = 'A', transport: str = 'udp', *, forget: bool = True, **options
) -> dns.message.Message:
    """Ask a resolver for a name that it has to ask for itself, unless it may remember what it heard before."""
    for each in (by.udp, by.tcp) if forget else ():
        each.foreign.clear()
    query = dns.message.make_query(name, rdtype, **options)
    found = by.resolve(query.to_wire(), getattr(by, transport))
    message = dns.message.from_wire(found if isinstance(found, bytes) else await found)
    assert message.id == query.id
    return message
