"""One forwarded connection: bytes of a client to a port, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from netkube.api.errors import ApiError
from netkube.client.kubelet import Connection, words_of

READ_BYTES = 32768
WAITING = 16  # messages held for a port that does not read; then the client waits

Connect = Callable[[], Awaitable[Connection]]


class Outlet(Protocol):
    """Where a port's answer goes."""

    async def data(self, data: bytes) -> None: ...

    async def end(self) -> None:
        """The port sends no more."""
        ...

    async def fail(self, message: str) -> None:
        """There is no connection to the port; this is the end, too."""
        ...


class Forward:
    """``connect`` is called once, by ``run``; it raises OSError, or ApiError, when nobody listens."""

    def __init__(self, connect: Connect, outlet: Outlet) -> None:
        self._connect, self._outlet = connect, outlet
        self._input: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        self._ended = False

    async def give(self, data: bytes) -> None:
        """Bytes for the port, b'' for their end. Waits while it does not read; what comes after its end is lost."""
        if not self._ended:
            await self._input.put(data)

    async def run(self) -> None:
        """Until the port has sent all. A client that ends its half still gets the answer."""
        try:
            reader, writer = await self._connect()
            await self._exchange(reader, writer)
        except (OSError, ApiError) as error:
            await self._outlet.fail(_words(error))
        else:
            await self._outlet.end()
        finally:
            self._ended = True
            while not self._input.empty():  # whoever waits in ``give`` is let go
                self._input.get_nowait()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        giving = asyncio.create_task(self._give_on(writer))
        try:
            while data := await reader.read(READ_BYTES):
                await self._outlet.data(data)
        finally:
            giving.cancel()
            writer.close()
            await asyncio.gather(giving, return_exceptions=True)

    async def _give_on(self, writer: asyncio.StreamWriter) -> None:
        """What cannot be written, the reading side learns of, too."""
        while data := await self._input.get():
            writer.write(data)
            await writer.drain()
        writer.write_eof()


def _words(error: OSError | ApiError) -> str:
    return error.message if isinstance(error, ApiError) else words_of(error)
