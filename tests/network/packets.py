"""Real connections between namespaces, and what a machine's network looks like, for comparison."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

from pytest import MonkeyPatch

from netkube.api.families import Address, socket_family
from netkube.network.namespaces import list_names, socket_in
from netkube.network.netlink import Message, Netlink

PORT = 8080
DEADLINE = 60  # seconds


def run(command: str, netns: str | None = None) -> str:
    """The output of the command; CalledProcessError if it fails."""
    inside = ['ip', 'netns', 'exec', netns] if netns else []
    return subprocess.run([*inside, *command.split()], check=True, text=True, capture_output=True).stdout


@asynccontextmanager
async def listening(netns: str | None, address: Address | str = '0.0.0.0') -> AsyncIterator[None]:
    """A TCP server in the namespace (None: the machine) that tells each client the address it comes from."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(writer.get_extra_info('peername')[0].encode())
        writer.close()

    sock = socket_in(netns, socket_family(ip_address(str(address))))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((str(address), PORT))
    server = await asyncio.start_server(answer, sock=sock)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


async def seen_as(netns: str | None, server: Address | str) -> str:
    """Connect from the namespace to a ``listening`` address: the client's address as the server sees it."""
    sock = socket_in(netns, socket_family(ip_address(str(server))))
    async with asyncio.timeout(DEADLINE):
        await asyncio.get_running_loop().sock_connect(sock, (str(server), PORT))
        reader, writer = await asyncio.open_connection(sock=sock)
        answer = await reader.read()
        writer.close()
    return answer.decode()


def network_state() -> str:
    """All that a cluster could change of the machine's network, as text."""
    commands = (
        'ip -d link',
        'ip address',
        'ip route show table all',
        'ip -6 route',
        'ip rule',
        'ip neigh show nud permanent',
        'nft list ruleset',
    )
    settings = sorted([*Path('/proc/sys/net/ipv4').rglob('*'), *Path('/proc/sys/net/ipv6').rglob('*')])
    return '\n'.join(
        [f'{command}:\n{run(command)}' for command in commands]
        + [f'{path}: {path.read_text().strip()}' for path in settings if is_stable(path)]
        + [f'namespaces: {list_names()}', Path('/proc/self/mountinfo').read_text()]
    )


def is_stable(path: Path) -> bool:
    """A readable setting, and not one that the kernel moves by itself."""
    mode = path.stat().st_mode
    return path.is_file() and bool(mode & 0o444) and path.name not in ('tcp_fastopen_key', 'fib_trie', 'stable_secret')


class Killed(BaseException):
    """As a kill -9: no ``except Exception`` notices, nothing is tidied up."""


def killed_after(monkeypatch: MonkeyPatch, messages: int) -> None:
    """From now on the process dies when it has sent so many netlink messages; ``monkeypatch.undo()`` revives it."""
    request, left = Netlink.request, iter(range(messages))

    def request_one_by_one(netlink: Netlink, *wanted: Message) -> None:
        for message in wanted:
            if next(left, None) is None:
                raise Killed
            request(netlink, message)

    monkeypatch.setattr(Netlink, 'request', request_one_by_one)
