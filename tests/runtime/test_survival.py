"""Pods outlive the daemon; nothing outlives a teardown."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from conftest import Pods, RunningServer, pods_on

from netkube.runtime import cgroup
from netkube.runtime.client import RuntimeClient
from netkube.runtime.cri import RuntimeUnavailable
from netkube.testing import eventually

DAEMON = """
import asyncio, os, sys
from netkube.runtime.client import RuntimeClient
from netkube.runtime.cri import ContainerConfig, Mount, SandboxConfig

async def main(socket, netns, folder):
    client = RuntimeClient(socket)
    await client.connect()
    await client.run_pod_sandbox(SandboxConfig('pod', 'd', 'x', netns))
    for name, script in (('runs', 'exec sleep 1000'), ('ends', 'until [ -e /data/go ]; do sleep 0.01; done; exit 7')):
        config = ContainerConfig(name, 'pod', name, 0, ('sh', '-c', script), mounts=(Mount(folder, '/data'),))
        await client.create_container(config)
        await client.start_container(name)
    os.kill(os.getpid(), 9)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_containers_and_exit_codes_survive_their_client(server: RunningServer, tmp_path: Path) -> None:
    """The client is another process, and is killed."""
    arguments = (str(server.socket), f'{server.name}-pod', str(tmp_path))
    daemon = await asyncio.create_subprocess_exec(sys.executable, '-c', DAEMON, *arguments)
    assert await daemon.wait() == -9
    (tmp_path / 'go').touch()
    client = RuntimeClient(str(server.socket))
    await client.connect()
    ended = await Pods(server, client, tmp_path).exit_of('ends')
    assert (ended.exit_code, ended.reason) == (7, 'Error')
    states = {status.name: status.state for status in await client.list_containers()}
    assert states == {'runs': 'running', 'ends': 'exited'}
    assert [sandbox.state for sandbox in await client.list_pod_sandboxes()] == ['ready']
    await client.close()


async def test_a_hang_up_does_not_end_it(pods: Pods) -> None:
    started = await pods.start('sleep', '1000')
    pods.server.process.send_signal(signal.SIGHUP)
    assert [(status.id, status.state) for status in await pods.client.list_containers()] == [(started.id, 'running')]
    assert os.getsid(pods.server.process.pid) == pods.server.process.pid


async def test_every_client_gets_every_event(pods: Pods) -> None:
    other = RuntimeClient(str(pods.server.socket))
    await other.connect()
    events = other.events()
    await other.version()  # subscribed, now that this is answered
    ended = await pods.run('false')
    seen = [await anext(events), await anext(events)]
    assert [(status.id, status.state) for status in seen] == [(ended.id, 'running'), (ended.id, 'exited')]
    assert seen[1] == ended
    await other.close()


async def test_clients_learn_that_the_server_is_gone(pods: Pods) -> None:
    waiting = asyncio.create_task(anext(pods.events))  # type: ignore[arg-type]
    pods.server.kill()
    with pytest.raises(RuntimeUnavailable):
        await waiting
    with pytest.raises(RuntimeUnavailable):
        await pods.client.list_containers()
    with pytest.raises(RuntimeUnavailable):
        await pods.client.connect()


async def test_containers_die_with_their_server(pods: Pods) -> None:
    started = await pods.start('sleep', '1000')
    pidfd = os.pidfd_open(started.pid)
    pods.server.kill()
    await _readable(pidfd)
    os.close(pidfd)


async def test_teardown_after_a_kill_leaves_nothing(pods: Pods) -> None:
    before = _machine()
    await pods.sandbox('second')
    await pods.start('sh', '-c', 'setsid sleep 1000 & echo much > /opt/file; exec sleep 1000')
    await pods.start('sleep', '1000', sandbox='second')
    pods.server.kill()
    pods.server.tear_down()
    assert not list(Path('/run/netns').glob(f'{pods.server.name}*'))
    assert pods.server.cgroup is None or not pods.server.cgroup.exists()
    assert not pods.server.root.exists()
    assert _machine() == [line for line in before if pods.server.name not in line]
    pods.server.tear_down()  # twice is once


OUTLIVES_ITS_FIRST_THREAD = """
import ctypes, platform, threading, time
memory = b'x' * (1 << 29)
threading.Thread(target=time.sleep, args=(1000,)).start()
print('full', flush=True)
ctypes.CDLL(None).syscall({'x86_64': 60}.get(platform.machine(), 93), 0)  # exit, of this thread alone
"""


async def test_a_teardown_waits_for_a_process_that_dies_slowly(pods: Pods) -> None:
    """Its last thread gives back much memory: ``cgroup.procs`` is empty then, but the cgroup cannot be removed yet."""
    started = await pods.start('python3', '-c', OUTLIVES_ITS_FIRST_THREAD)
    await eventually(lambda: 'full' in pods.output(started.id))
    group = str(pods.server.cgroup or '')
    pods.server.kill()
    while cgroup.processes(group):
        cgroup.kill(group)
    cgroup.empty(group)
    cgroup.remove(group)


async def test_teardown_finds_processes_without_a_cgroup(pods: Pods) -> None:
    """As on a machine without a cgroup tree for us: by the network namespace alone."""
    started = await pods.start('sleep', '1000')
    if pods.server.cgroup is not None:
        (pods.server.cgroup.parent / 'cgroup.procs').write_text(str(started.pid))
    os.kill(pods.server.process.pid, signal.SIGSTOP)  # so that it is not the server's death that ends it
    pidfd = os.pidfd_open(started.pid)
    pods.server.tear_down()
    await _readable(pidfd)
    os.close(pidfd)


@pytest.mark.parametrize('by_signal', [True, False])
async def test_a_shutdown_leaves_nothing(pods: Pods, by_signal: bool) -> None:
    before = _machine()
    await pods.start('sleep', '1000')
    await pods.run('sh', '-c', 'echo much > /opt/file')
    if by_signal:
        pods.server.process.send_signal(signal.SIGTERM)
    else:
        await pods.client.shutdown()
    assert await asyncio.to_thread(pods.server.process.wait, 10) == 0
    assert not pods.server.root.exists() and not pods.server.socket.exists()
    assert pods.server.cgroup is None or not pods.server.cgroup.exists()
    assert _machine() == [line for line in before if pods.server.name not in line]


async def test_a_new_server_starts_where_one_was_killed(pods: Pods) -> None:
    pods.server.kill()
    pods.server.tear_down()
    async with pods_on(RunningServer(pods.folder), pods.folder) as again:
        assert await again.client.list_containers() == []
        assert await again.sh('echo again') == 'again\n'


async def test_without_a_cgroup_tree_everything_works(tmp_path: Path) -> None:
    """A name that no cgroup can have stands for a tree that we may not write."""
    async with pods_on(RunningServer(tmp_path, cgroup_name='a\nb'), tmp_path) as pods:
        assert (await pods.client.version())['cgroup'] == ''
        started = await pods.start('sh', '-c', 'setsid sleep 1000 & exec sleep 1000')
        assert await pods.client.exec_sync(started.id, ['ls', '-A', '/sys/fs/cgroup']) == (0, b'', b'')
        await pods.client.stop_container(started.id, 0)
        assert (await pods.exit_of(started.id)).exit_code == 137


async def test_a_client_that_talks_nonsense_is_cut_off(pods: Pods) -> None:
    reader, writer = await asyncio.open_unix_connection(str(pods.server.socket))
    writer.write(b'{"verb": "shutdown"}\nGET / HTTP/1.1\n')
    assert await reader.read() == b''
    writer.close()
    assert len(await pods.client.list_pod_sandboxes()) == 1


def _machine() -> list[str]:
    """What is mounted."""
    return Path('/proc/self/mountinfo').read_text().splitlines()


async def _readable(fd: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, ready.set)
    async with asyncio.timeout(60):
        await ready.wait()
    loop.remove_reader(fd)
