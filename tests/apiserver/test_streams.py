"""kubectl logs and exec, through to a node's agent whose containers are plain processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from served import POD, ServedApi, served_api

from netkube.api.errors import ApiError, bad_request
from netkube.client.kubelet import STDERR, STDOUT, ExecSession, LogOptions

PODS_PATH = '/api/v1/namespaces/default/pods'


class ProcessSession:
    """An ExecSession over a process of this machine."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._output: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self._pumps = [
            asyncio.create_task(self._pump(number, stream))
            for number, stream in ((STDOUT, process.stdout), (STDERR, process.stderr))
            if stream
        ]
        self._ended = asyncio.create_task(self._end())

    async def _pump(self, number: int, stream: asyncio.StreamReader) -> None:
        while data := await stream.read(65536):
            self._output.put_nowait((number, data))

    async def _end(self) -> None:
        await asyncio.gather(*self._pumps)
        self._output.put_nowait(None)

    async def write_stdin(self, data: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def close_stdin(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()

    async def resize(self, width: int, height: int) -> None:
        pass

    async def read(self) -> tuple[int, bytes] | None:
        return await self._output.get()

    async def exit_code(self) -> int:
        return await self._process.wait()

    async def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._ended


class Agent:
    """A Kubelet for containers ``c`` and ``d``."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append((pod, container, options))
        if options.previous:
            raise bad_request(f'previous terminated container "{container}" in pod "{pod}" not found')
        for number in range(3):
            yield b'line %d\n' % number

    async def exec(
        self, namespace: str, pod: str, container: str, argv: list[str], *, stdin: bool = False, stdout: bool = True,
        stderr: bool = True, tty: bool = False,
    ) -> ExecSession:  # fmt: skip
        if argv[0] == 'missing':
            raise bad_request('exec: "missing": executable file not found in $PATH')
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        return ProcessSession(process)


@pytest.fixture
def agent() -> Agent:
    return Agent()


@pytest.fixture
async def api(tmp_path: Path, agent: Agent) -> AsyncIterator[ServedApi]:
    def kubelet_of(node: str) -> Agent:
        if node != 'n':
            raise ApiError(503, 'ServiceUnavailable', f'no agent of node {node} is connected')
        return agent

    async with served_api(tmp_path, kubelet_of) as api:
        await add_pod(api, 'a')
        yield api


async def add_pod(api: ServedApi, name: str, *containers: str, node: str = 'n', **metadata: Any) -> None:
    listed = [{'name': one, 'image': 'none'} for one in containers or ('c',)]
    pod = {**POD, 'metadata': {'name': name, **metadata}, 'spec': {'nodeName': node, 'containers': listed}}
    assert (await api.request('POST', PODS_PATH, pod)).code == 201


async def test_logs(api: ServedApi, agent: Agent) -> None:
    assert await api.kubectl('logs', 'a', '--tail=5', '--timestamps') == 'line 0\nline 1\nline 2\n'
    assert agent.asked == [('a', 'c', LogOptions(timestamps=True, tail_lines=5))]


async def test_logs_of_several_containers_need_a_name_or_the_annotation(api: ServedApi, agent: Agent) -> None:
    await add_pod(api, 'b', 'c', 'd')
    answer = await api.request('GET', f'{PODS_PATH}/b/log')
    assert (answer.code, answer.message) == (400, 'a container name must be specified for pod b, choose one of: [c d]')
    assert (await api.request('GET', f'{PODS_PATH}/b/log?container=d')).body == b'line 0\nline 1\nline 2\n'
    answer = await api.request('GET', f'{PODS_PATH}/b/log?container=x')
    assert answer.message == 'container x is not valid for pod b'
    await add_pod(api, 'e', 'c', 'd', annotations={'kubectl.kubernetes.io/default-container': 'd'})
    await api.request('GET', f'{PODS_PATH}/e/log')
    assert agent.asked[-1][1] == 'd'


async def test_what_the_agent_refuses_is_a_status(api: ServedApi) -> None:
    answer = await api.request('GET', f'{PODS_PATH}/a/log?previous=true')
    assert (answer.code, answer.message) == (400, 'previous terminated container "c" in pod "a" not found')
    assert (await api.request('GET', f'{PODS_PATH}/a/log?tailLines=-1')).code == 400
    await add_pod(api, 'b', node='other')
    assert (await api.request('GET', f'{PODS_PATH}/b/log')).message == 'no agent of node other is connected'


async def test_exec_keeps_the_streams_apart_and_the_exit_code(api: ServedApi) -> None:
    output = await api.kubectl('exec', 'a', '--', 'sh', '-c', 'echo out; exit 3', code=3)
    assert output == 'out\ncommand terminated with exit code 3\n'


async def test_exec_passes_stdin_until_its_end(api: ServedApi) -> None:
    text = ''.join(f'line {number}\n' for number in range(20000))
    assert await api.kubectl('exec', '-i', 'a', '--', 'cat', stdin=text) == text


async def test_exec_passes_large_output(api: ServedApi) -> None:
    output = await api.kubectl('exec', 'a', '--', 'sh', '-c', 'head -c 3000000 /dev/zero | tr "\\0" x')
    assert output == 'x' * 3_000_000


async def test_exec_of_a_missing_command_is_said(api: ServedApi) -> None:
    assert 'executable file not found' in await api.kubectl('exec', 'a', '--', 'missing', code=1)


async def test_the_official_python_client_executes(api: ServedApi) -> None:
    def run() -> str:
        from kubernetes import client, config, stream

        core = client.CoreV1Api(config.new_client_from_config(api.environment['KUBECONFIG']))
        return str(stream.stream(
            core.connect_get_namespaced_pod_exec, 'a', 'default', command=['echo', 'hello'], stdout=True, stderr=True,
        ))  # fmt: skip

    assert await asyncio.to_thread(run) == 'hello\n'


@pytest.mark.parametrize('subresource', ['attach', 'portforward'])
async def test_streams_are_served_over_websocket_only(api: ServedApi, subresource: str) -> None:
    answer = await api.request('POST', f'{PODS_PATH}/a/{subresource}')
    message = f'Upgrade request required: {subresource} is served over WebSocket only'
    assert (answer.code, answer.message) == (400, message)
    answer = await api.request('POST', f'{PODS_PATH}/none/{subresource}')
    assert (answer.code, answer.message) == (404, 'pods "none" not found')
