"""The resolver on its sockets.

UDP is as short as Python allows: several datagrams a wake-up, one dictionary look-up each. TCP (RFC 7766): length
prefixes, several queries on one connection, answered as they become ready.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.dns.configuration import Configuration
from netkube.dns.datagrams import PLACE, Batch
from netkube.dns.probes import Pages
from netkube.dns.resolver import Resolver
from netkube.dns.sockets import Sockets

log = logging.getLogger(__name__)

BATCH, ROUNDS = 32, 4  # datagrams at a time, and times a wake-up; then others get their turn
MAX_CONNECTIONS = 256  # with those to upstream, well below the usual limit of 1024 open files
MAX_PIPELINED = 16
IDLE_SECONDS = 10.0


class UdpServer:
    """Answers on a non-blocking UDP socket, from ``start`` to ``stop``."""

    def __init__(self, sock: socket.socket, resolver: Resolver) -> None:
        self._socket = sock
        self._resolver = resolver
        self._batch = Batch(sock, BATCH)
        self._waiting: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self._socket, self._receive)

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        for task in self._waiting:
            task.cancel()

    def _receive(self) -> None:
        """More often than not more have come while some were answered, and asking costs less than a wake-up."""
        try:
            for _ in range(ROUNDS):
                count = self._batch.receive()
                if not count:
                    return
                self._answer(count)
        except OSError as error:
            log.debug('datagrams: %s', error)

    def _answer(self, count: int) -> None:
        """The hot path: nothing that a hit does not need. What is known goes back in runs, the rest one by one."""
        batch, find, seen = self._batch, self._resolver.udp.cache.get, self._resolver.udp.counts.hits
        places, lengths, answer_lengths = batch.places, batch.lengths, batch.answer_lengths
        start = place = 0
        for i in range(count):
            answer = find(bytes(places[place + 2 : place + lengths[i]]))
            if answer is not None:
                places[place + 2 : place + 2 + len(answer)] = answer
                answer_lengths[i] = len(answer) + 2
                seen[answer[1]] += 1
            else:
                batch.answer(start, i)
                start = i + 1
                self._resolve(bytes(places[place : place + lengths[i]]), batch.client(i))
                find = self._resolver.udp.cache.get  # what was just found may have made room
            place += PLACE
        batch.answer(start, count)

    def _resolve(self, query: bytes, client: Any) -> None:
        answer = self._resolver.resolve(query, self._resolver.udp)
        if isinstance(answer, bytes):
            self._send(answer, client)
        elif answer is not None:
            task = asyncio.create_task(self._send_later(answer, client))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _send_later(self, answer: Coroutine[Any, Any, bytes], client: Any) -> None:
        self._send(await answer, client)

    def _send(self, answer: bytes, client: Any) -> None:
        try:
            self._socket.sendto(answer, client)
        except OSError as error:  # UDP: whoever misses an answer asks again
            log.debug('no answer to %s: %s', client, error)


class TcpServer:
    """Answers on listening TCP sockets, which share the limit of connections."""

    def __init__(self, resolver: Resolver, idle_seconds: float = IDLE_SECONDS) -> None:
        self._resolver = resolver
        self._idle_seconds = idle_seconds
        self._connections = 0

    async def run(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(self._accept, sock=listener)
        async with server:
            await server.serve_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= MAX_CONNECTIONS:
                await self._serve(reader, writer)
        except* OSError as errors:  # that client has gone
            log.debug('connection: %r', errors.exceptions)
        finally:
            self._connections -= 1
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the client closes, or says nothing for a while."""
        room = asyncio.Semaphore(MAX_PIPELINED)
        async with asyncio.TaskGroup() as answers:
            while query := await self._next_query(reader):
                answer = self._resolver.resolve(query, self._resolver.tcp)
                if answer is None:
                    return
                await room.acquire()
                task = answers.create_task(self._write(writer, answer))
                task.add_done_callback(lambda _: room.release())

    async def _next_query(self, reader: asyncio.StreamReader) -> bytes | None:
        try:
            async with asyncio.timeout(self._idle_seconds):
                length = int.from_bytes(await reader.readexactly(2), 'big')
                return await reader.readexactly(length)
        except (asyncio.IncompleteReadError, TimeoutError):
            return None

    async def _write(self, writer: asyncio.StreamWriter, answer: bytes | Coroutine[Any, Any, bytes]) -> None:
        encoded = answer if isinstance(answer, bytes) else await answer
        writer.write(len(encoded).to_bytes(2, 'big') + encoded)
        async with asyncio.timeout(self._idle_seconds):
            await writer.drain()


async def serve(
    resolver: Resolver, informers: Informers, sockets: Sockets, recorder: EventRecorder, on_ready: Callable[[], None]
) -> None:
    """Until SIGTERM or SIGINT. ``on_ready`` is called once the zone is known, so answers are complete."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    resolver.follow(informers)
    Configuration(resolver, recorder).follow(informers)
    datagrams = [UdpServer(sock, resolver) for sock in sockets.udp]
    streams = TcpServer(resolver)
    pages = Pages({'/health': resolver.health, '/ready': resolver.ready, '/metrics': resolver.metrics})
    async with asyncio.TaskGroup() as tasks:
        for server in datagrams:
            server.start()
        bodies = (
            *(streams.run(sock) for sock in sockets.tcp),
            *(pages.run(sock) for sock in sockets.probes),
            informers.run(),
            recorder.run(),
            _announce(resolver, informers, on_ready),
        )
        running = [tasks.create_task(body) for body in bodies]
        await ended.wait()
        for task in running:
            task.cancel()
    for server in datagrams:
        server.stop()


async def _announce(resolver: Resolver, informers: Informers, on_ready: Callable[[], None]) -> None:
    await informers.synced()
    gc.freeze()  # what is known now stays: going through all of it again and again is milliseconds each time
    resolver.synced.set()
    on_ready()
