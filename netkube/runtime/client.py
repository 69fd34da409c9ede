"""The runtime's verbs for asyncio; see ``connection`` for what goes over the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import msgspec

from netkube.runtime.cri import (
    ContainerConfig,
    ContainerStatus,
    CriError,
    PodSandboxStatus,
    Record,
    RuntimeUnavailable,
    SandboxConfig,
    record_of,
)
from netkube.runtime.session import STDERR, STDOUT, ExecSession, attach_session, open_session

_MAX_OUTPUT = 16 << 20  # of exec_sync, each way: containerd's
_MAX_LINE = 64 << 20  # list_containers answers in one line


class RuntimeClient:
    """One connection. After RuntimeUnavailable, ``connect`` again and list: events are not replayed."""

    def __init__(self, socket_path: str) -> None:
        self._path = socket_path
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[Record]] = {}
        self._listeners: list[asyncio.Queue[ContainerStatus | None]] = []
        self._writer: asyncio.StreamWriter | None = None
        self._receiving: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        await self.close()
        try:
            reader, self._writer = await asyncio.open_unix_connection(self._path, limit=_MAX_LINE)
        except OSError as error:
            raise RuntimeUnavailable(f'{self._path}: {error.strerror}') from error
        self._receiving = asyncio.create_task(self._receive(reader))

    async def close(self) -> None:
        """Ends the connection; containers go on."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._receiving is not None:
            await self._receiving
            self._receiving = None

    async def version(self) -> Record:
        """``version``, ``pid`` and ``cgroup`` (the path of all containers' cgroups; '' without one) of the server."""
        return await self._call('version')

    async def run_pod_sandbox(self, config: SandboxConfig) -> None:
        await self._call('run_pod_sandbox', config=record_of(config))

    async def stop_pod_sandbox(self, id: str) -> None:
        """Kills all in it; returns when that has ended."""
        await self._call('stop_pod_sandbox', id=id)

    async def remove_pod_sandbox(self, id: str) -> None:
        """With its containers, running or not; returns when they and the network namespace's name are gone."""
        await self._call('remove_pod_sandbox', id=id)

    async def list_pod_sandboxes(self) -> list[PodSandboxStatus]:
        answer = await self._call('list_pod_sandboxes')
        return [PodSandboxStatus(**item) for item in answer['items']]

    async def create_container(self, config: ContainerConfig) -> None:
        await self._call('create_container', config=record_of(config))

    async def start_container(self, id: str) -> ContainerStatus:
        """Running, or exited with the reason StartError and a message that says why."""
        return ContainerStatus(**await self._call('start_container', id=id))

    async def stop_container(self, id: str, grace_seconds: float) -> None:
        """SIGTERM (the container's stop_signal), and SIGKILL after that time. Returns at once: the exit is an event."""
        await self._call('stop_container', id=id, grace_seconds=grace_seconds)

    async def remove_container(self, id: str) -> None:
        """Kills it if it runs."""
        await self._call('remove_container', id=id)

    async def list_containers(self) -> list[ContainerStatus]:
        answer = await self._call('list_containers')
        return [ContainerStatus(**item) for item in answer['items']]

    async def shutdown(self) -> None:
        """Ends the server with all that it made."""
        await self._call('shutdown')

    def events(self) -> AsyncIterator[ContainerStatus]:
        """Every change of a container's state from this call on (not from the first ``anext``): so call, then list.

        RuntimeUnavailable when the connection ends.
        """
        queue: asyncio.Queue[ContainerStatus | None] = asyncio.Queue()
        self._listeners.append(queue)
        self._send({'id': next(self._ids), 'verb': 'subscribe'})
        return self._listen(queue)

    async def _listen(self, queue: asyncio.Queue[ContainerStatus | None]) -> AsyncIterator[ContainerStatus]:
        try:
            while (status := await queue.get()) is not None:
                yield status
        finally:
            if queue in self._listeners:
                self._listeners.remove(queue)
        raise self._gone()

    async def exec(
        self,
        id: str,
        argv: list[str],
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        tty: bool = False,
    ) -> ExecSession:
        """A command that cannot be executed says so on stderr and ends with 127 or 126, as in a shell."""
        wanted = [name for name, on in (('stdin', stdin), ('stdout', stdout), ('stderr', stderr)) if on]
        return await open_session(self._path, id, argv, wanted, tty)

    async def attach(self, id: str, *, stdin: bool = False, stdout: bool = True, stderr: bool = True) -> ExecSession:
        """To the container's own process. Its exit code is the container's to tell; the session's is 0."""
        outputs = [name for name, on in (('stdout', stdout), ('stderr', stderr)) if on]
        return await attach_session(self._path, id, outputs, stdin)

    async def exec_sync(self, id: str, argv: list[str], timeout: float | None = None) -> tuple[int, bytes, bytes]:
        """(exit code, stdout, stderr). TimeoutError, and the command is killed, when it takes longer.

        What it prints beyond _MAX_OUTPUT bytes is read and forgotten.
        """
        outputs = {STDOUT: bytearray(), STDERR: bytearray()}
        async with asyncio.timeout(timeout):
            session = await self.exec(id, argv)
            try:
                while (output := await session.read()) is not None:
                    kept = outputs[output[0]]
                    kept += output[1][: _MAX_OUTPUT - len(kept)]
                return await session.exit_code(), bytes(outputs[STDOUT]), bytes(outputs[STDERR])
            finally:
                await session.close()

    async def _call(self, verb: str, **arguments: Any) -> Record:
        id = next(self._ids)
        answer: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        self._send({'id': id, 'verb': verb, 'arguments': arguments})
        self._waiting[id] = answer
        try:
            return await answer
        finally:
            self._waiting.pop(id, None)

    def _send(self, message: Record) -> None:
        if self._writer is None or self._writer.is_closing():
            raise self._gone()
        self._writer.write(msgspec.json.encode(message) + b'\n')

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._take(msgspec.json.decode(line))
        except ConnectionError:
            pass  # the same as its end
        self._lose()

    def _take(self, message: Record) -> None:
        if 'event' in message:
            for queue in self._listeners:
                queue.put_nowait(ContainerStatus(**message['event']))
            return
        waiting = self._waiting.get(message['id'])
        if waiting is None or waiting.done():
            return  # nobody waits any more
        if 'error' in message:
            waiting.set_exception(CriError(**message['error']))
        else:
            waiting.set_result(message['result'])

    def _lose(self) -> None:
        """Everyone who waits learns that there is nothing to wait for."""
        if self._writer is not None:
            self._writer.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(self._gone())
        for queue in self._listeners:
            queue.put_nowait(None)
        self._listeners.clear()

    def _gone(self) -> RuntimeUnavailable:
        return RuntimeUnavailable(f'{self._path}: the runtime is gone')
