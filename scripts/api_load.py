"""Load for the API of a running cluster, over its unix socket; ``scripts/bench.py api`` runs it.

Prints a JSON object of figures: seconds, but writes a second. The client is a handful of lines of asyncio, so that what
is measured is the server (and the client's own time, on the same cores).
"""

from __future__ import annotations

import asyncio
import json
import select
import socket
import statistics
import sys
import time
from typing import Any

CONNECTIONS, WRITES, PODS, WATCHERS, ROUNDS = 20, 4_000, 10_000, 1_000, 20
MAPS = '/api/v1/namespaces/default/configmaps'


class Connection:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, path: str) -> Connection:
        return cls(*await asyncio.open_unix_connection(path, limit=1 << 20))

    def send(self, method: str, path: str, body: Any = None) -> None:
        content = json.dumps(body).encode() if body is not None else b''
        head = f'{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'
        self._writer.write(f'{head}content-length: {len(content)}\r\n\r\n'.encode() + content)

    async def ask(self, method: str, path: str, body: Any = None) -> bytes:
        self.send(method, path, body)
        head = (await self._reader.readuntil(b'\r\n\r\n')).lower()
        answer = await self._reader.readexactly(int(head.partition(b'content-length: ')[2].split(b'\r')[0]))
        assert head.split()[1] in (b'200', b'201'), answer
        return answer

    def close(self) -> None:
        self._writer.close()


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[int((len(values) - 1) * part)]


async def writes(socket_path: str, path: str, bodies: list[Any]) -> tuple[float, list[float]]:
    """Writes a second at 20 connections, and how long each took."""
    took: list[float] = []
    left = iter(bodies)

    async def write(connection: Connection) -> None:
        for body in left:
            began = time.perf_counter()
            await connection.ask('POST', path, body)
            took.append(time.perf_counter() - began)

    connections = [await Connection.open(socket_path) for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    await asyncio.gather(*map(write, connections))
    rate = len(bodies) / (time.perf_counter() - began)
    for connection in connections:
        connection.close()
    return rate, took


def config_map(name: str) -> Any:
    return {'metadata': {'name': name}, 'data': {'key': 'value' * 20}}


def pod(name: str) -> Any:
    """Nobody schedules it."""
    container = {'name': 'main', 'image': 'none', 'command': ['sleep', '1'], 'env': [{'name': 'A', 'value': 'b'}]}
    spec = {'schedulerName': 'bench', 'containers': [container]}
    return {'metadata': {'name': name, 'labels': {'app': 'bench'}}, 'spec': spec}


async def lists(socket_path: str) -> tuple[float, int]:
    """A list of 10,000 Pods, warm, and how big it is."""
    path = '/api/v1/namespaces/default/pods'
    await writes(socket_path, path, [pod(f'p{number}') for number in range(PODS)])
    connection = await Connection.open(socket_path)
    took, size = [], 0
    for _ in range(7):
        began = time.perf_counter()
        size = len(await connection.ask('GET', path))
        took.append(time.perf_counter() - began)
    connection.close()
    return statistics.median(took[1:]), size


class Watchers:
    """Open watches of one object, read by epoll: a task of asyncio for each would be slower than the server."""

    def __init__(self, socket_path: str, count: int, query: str) -> None:
        self._sockets = {}
        self._epoll = select.epoll()
        for _ in range(count):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(socket_path)
            connection.sendall(f'GET {MAPS}?{query} HTTP/1.1\r\nhost: x\r\n\r\n'.encode())
            head = b''
            while b'\r\n\r\n' not in head:
                head += connection.recv(4096)
            self._sockets[connection.fileno()] = connection
            self._epoll.register(connection, select.EPOLLIN)

    def receive(self, began: float) -> list[float]:
        """When each has had its event, in seconds since ``began``."""
        took: dict[int, float] = {}
        while len(took) < len(self._sockets):
            for descriptor, _ in self._epoll.poll():
                part = self._sockets[descriptor].recv(65536)
                if part.endswith(b'}\n\r\n'):
                    took[descriptor] = time.perf_counter() - began
        return list(took.values())

    def close(self) -> None:
        for connection in self._sockets.values():
            connection.close()
        self._epoll.close()


async def fan_out(socket_path: str, watchers: int) -> list[float]:
    """From a write's sending to its event at each of the watchers."""
    name = f'seen-{watchers}'
    writer = await Connection.open(socket_path)
    await writer.ask('POST', MAPS, config_map(name))
    version = json.loads(await writer.ask('GET', f'{MAPS}/{name}'))['metadata']['resourceVersion']
    query = f'watch=true&resourceVersion={version}&fieldSelector=metadata.name%3D{name}'
    open_watches = Watchers(socket_path, watchers, query)
    took: list[float] = []
    for number in range(ROUNDS):
        began = time.perf_counter()
        receiving = asyncio.create_task(asyncio.to_thread(open_watches.receive, began))
        await writer.ask('PUT', f'{MAPS}/{name}', {**config_map(name), 'data': {'number': str(number)}})
        took += await receiving
    open_watches.close()
    writer.close()
    return took


async def main(path: str) -> None:
    rate, took = await writes(path, MAPS, [config_map(f'm{number}') for number in range(WRITES)])
    alone = await fan_out(path, 1)
    many = await fan_out(path, WATCHERS)
    listed, size = await lists(path)
    print(json.dumps({
        'writes': rate, 'write p50': percentile(took, 0.5), 'write p99': percentile(took, 0.99),
        'event p50': percentile(alone, 0.5), 'event p99': percentile(alone, 0.99),
        'fan-out p50': percentile(many, 0.5), 'fan-out p99': percentile(many, 0.99),
        'list': listed, 'list bytes': size,
    }))  # fmt: skip


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1]))
