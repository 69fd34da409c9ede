"""Nameservers for tests, on addresses of the loopback and port 53: well, dead, lying."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import dns.asyncquery
import dns.exception
import dns.message

from netkube.testing import eventually


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
