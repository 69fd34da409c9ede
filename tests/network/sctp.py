"""SCTP associations between namespaces, where the kernel has them: one-to-one sockets (RFC 6458, section 4)."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest

from netkube.network.namespaces import socket_in

PATIENCE = 60.0  # an INIT that is lost is sent again after 3 s, then 6
LOST_AFTER = 1.0  # seconds without an answer to the first INIT


def reason_for_none() -> str:
    """'' where there are SCTP sockets."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError as error:
        return f'this kernel has no SCTP sockets: {error.strerror}'
    return ''


REASON = reason_for_none()
needs_sctp = pytest.mark.skipif(bool(REASON), reason=REASON)


def sctp_socket(netns: str | None, address: str) -> socket.socket:
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    return socket_in(netns, family, socket.SOCK_STREAM, socket.IPPROTO_SCTP)


def serve(stack: AsyncExitStack, name: str, netns: str | None, address: str, port: int) -> None:
    """Tells each client 'NAME CLIENT-ADDRESS', and then is an echo."""
    listener = stack.enter_context(sctp_socket(netns, address))
    listener.bind((address, port))
    listener.listen()
    task = asyncio.create_task(_accept(name, listener))
    stack.callback(task.cancel)


async def _accept(name: str, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        while True:
            client, address = await loop.sock_accept(listener)
            tasks.create_task(_answer(name, client, address[0]))


async def _answer(name: str, client: socket.socket, address: str) -> None:
    loop = asyncio.get_running_loop()
    with client:
        try:
            await loop.sock_sendall(client, f'{name} {address}'.encode())
            while data := await loop.sock_recv(client, 1 << 16):
                await loop.sock_sendall(client, data)
        except OSError:
            return  # the other end has gone


async def associate(netns: str | None, address: str, port: int, timeout: float = PATIENCE) -> tuple[socket.socket, str]:
    """The association, and what ``serve`` said. TimeoutError, OSError."""
    loop = asyncio.get_running_loop()
    client = sctp_socket(netns, address)
    try:
        async with asyncio.timeout(timeout):
            await loop.sock_connect(client, (address, port))
            return client, (await loop.sock_recv(client, 100)).decode()
    except BaseException:
        client.close()
        raise


async def ask(netns: str | None, address: str, port: int, timeout: float = PATIENCE) -> str:
    client, said = await associate(netns, address, port, timeout)
    client.close()
    return said


async def echoed(client: socket.socket, data: bytes, timeout: float = PATIENCE) -> bytes:
    """What comes back; TimeoutError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout):
        await loop.sock_sendall(client, data)
        return await loop.sock_recv(client, len(data))
