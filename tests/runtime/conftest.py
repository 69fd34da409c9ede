"""A real runtime server, and a machine (see tests/conftest.py) for it to work on."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from netkube.runtime import cgroup
from netkube.runtime.client import RuntimeClient
from netkube.runtime.cri import ContainerConfig, ContainerStatus, SandboxConfig
from netkube.runtime.teardown import teardown

PATIENCE = 120  # seconds: an emulated machine that is busy beside needs as much for a Python that is throttled
_numbers = itertools.count(1)


class RunningServer:
    """The server's process and the names of what it owns."""

    def __init__(self, folder: Path, root: Path | None = None, cgroup_name: str = '') -> None:
        self.name = f'nkt-{os.getpid()}-{next(_numbers)}'
        self.cgroup_name = cgroup_name or self.name
        self.root = root or folder / 'root'
        self.socket = folder / 'runtime.sock'
        self.process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        options = ('--socket', str(self.socket), '--root', str(self.root), '--cgroup', self.cgroup_name)
        process = subprocess.Popen([sys.executable, '-m', 'netkube.runtime.server', *options])
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert process.poll() is None and time.monotonic() < deadline, 'the runtime server does not start'
            os.sched_yield()
        return process

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as attempt:
            return attempt.connect_ex(str(self.socket)) == 0

    @property
    def cgroup(self) -> Path | None:
        tree = cgroup.find_tree()
        return Path(tree) / self.cgroup_name if tree else None

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def tear_down(self) -> None:
        teardown(self.cgroup_name, str(self.root), self.name)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path)
    yield running
    running.kill()
    running.tear_down()


class Pods:
    """One sandbox, and short ways to put containers in it."""

    def __init__(self, server: RunningServer, client: RuntimeClient, folder: Path) -> None:
        self.server, self.client, self.folder = server, client, folder
        self.events = client.events()

    async def sandbox(self, id: str = 'pod', **fields: object) -> SandboxConfig:
        fields = {'netns': f'{self.server.name}-{id}', 'hostname': id, **fields}
        config = SandboxConfig(id, 'default', id, **fields)  # type: ignore[arg-type]
        await self.client.run_pod_sandbox(config)
        return config

    async def start(self, *argv: str, id: str = '', sandbox: str = 'pod', **fields: object) -> ContainerStatus:
        id = id or f'c{next(_numbers)}'
        config = ContainerConfig(id, sandbox, id, 0, argv, log_path=str(self.log(id)), **fields)  # type: ignore[arg-type]
        await self.client.create_container(config)
        return await self.client.start_container(id)

    async def run(self, *argv: str, **fields: object) -> ContainerStatus:
        """Until it has exited."""
        return await self.exit_of((await self.start(*argv, **fields)).id)

    async def sh(self, script: str, **fields: object) -> str:
        """What a shell script prints; it must succeed."""
        status = await self.run('sh', '-euc', script, **fields)
        assert status.exit_code == 0, (status, self.output(status.id))
        return self.output(status.id)

    async def exit_of(self, id: str) -> ContainerStatus:
        async with asyncio.timeout(PATIENCE):
            while True:
                for status in await self.client.list_containers():
                    if status.id == id and status.state == 'exited':
                        return status
                await anext(self.events)

    def log(self, id: str) -> Path:
        return self.folder / 'logs' / f'{id}.log'

    def output(self, id: str) -> str:
        """The log without its timestamps and tags."""
        entries = [line.split(' ', 3) for line in self.log(id).read_text().splitlines()]
        return ''.join(text + ('\n' if tag == 'F' else '') for _, _, tag, text in entries)


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[RuntimeClient]:
    client = RuntimeClient(str(server.socket))
    await client.connect()
    yield client
    await client.close()


@asynccontextmanager
async def pods_on(server: RunningServer, folder: Path) -> AsyncIterator[Pods]:
    """With a sandbox named ``pod``; the server is killed, and torn down, at the end."""
    client = RuntimeClient(str(server.socket))
    try:
        await client.connect()
        pods = Pods(server, client, folder)
        await pods.sandbox()
        yield pods
    finally:
        await client.close()
        server.kill()
        server.tear_down()


@pytest.fixture
async def pods(server: RunningServer, client: RuntimeClient, tmp_path: Path) -> Pods:
    """With a sandbox named ``pod``."""
    pods = Pods(server, client, tmp_path)
    await pods.sandbox()
    return pods
