"""Stopping: asked first, killed after the grace period."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from conftest import Pods

from netkube.runtime.cri import ContainerStatus

HANDLES = 'trap "exit 5" {}; touch /run/ready; while :; do sleep 0.01; done'


async def start_handler(pods: Pods, signal_name: str, **fields: object) -> ContainerStatus:
    """A container that ends with 5 at that signal, and is ready for it."""
    started = await pods.start('sh', '-c', HANDLES.format(signal_name), **fields)
    script = 'until [ -e /run/ready ]; do sleep 0.01; done'
    assert await pods.client.exec_sync(started.id, ['sh', '-c', script], timeout=60) == (0, b'', b'')
    return started


async def test_a_process_that_handles_term_ends_as_it_likes(pods: Pods) -> None:
    started = await start_handler(pods, 'TERM')
    await pods.client.stop_container(started.id, 100)
    status = await pods.exit_of(started.id)
    assert (status.exit_code, status.signal) == (5, 0)


async def test_pid_1_without_a_handler_ignores_term_and_is_killed_in_the_end(pods: Pods) -> None:
    started = await pods.start('sleep', '1000')
    await pods.client.stop_container(started.id, 0.05)
    status = await pods.exit_of(started.id)
    assert (status.exit_code, status.signal) == (137, 9)


async def test_without_grace_it_is_killed_at_once(pods: Pods) -> None:
    started = await start_handler(pods, 'TERM')
    await pods.client.stop_container(started.id, 0)
    assert (await pods.exit_of(started.id)).exit_code == 137


async def test_a_shorter_grace_wins(pods: Pods) -> None:
    started = await pods.start('sleep', '1000')
    await pods.client.stop_container(started.id, 1000)
    await pods.client.stop_container(started.id, 0.01)
    assert (await pods.exit_of(started.id)).exit_code == 137


async def test_another_stop_signal(pods: Pods) -> None:
    started = await start_handler(pods, 'INT', stop_signal=int(signal.SIGINT))
    await pods.client.stop_container(started.id, 100)
    assert (await pods.exit_of(started.id)).exit_code == 5


async def test_a_stopped_process_is_killed_too(pods: Pods) -> None:
    started = await pods.start('sleep', '1000')
    os.kill(started.pid, signal.SIGSTOP)
    await pods.client.stop_container(started.id, 0.01)
    assert (await pods.exit_of(started.id)).signal == 9


@pytest.mark.vm
async def test_its_children_end_with_it(pods: Pods) -> None:
    started = await pods.start('sh', '-c', 'setsid sleep 1000 & setsid sleep 1000 & wait')
    group = pods.server.cgroup and pods.server.cgroup / 'pod' / started.id
    await pods.client.stop_container(started.id, 0)
    await pods.exit_of(started.id)
    assert group is None or (group / 'cgroup.procs').read_text() == ''


async def test_stopping_what_is_not_there_is_no_error(pods: Pods) -> None:
    await pods.client.stop_container('none', 1)
    ended = await pods.run('true')
    await pods.client.stop_container(ended.id, 1)
    await pods.client.remove_container('none')
    await pods.client.stop_pod_sandbox('none')
    await pods.client.remove_pod_sandbox('none')


async def test_removing_a_container_removes_its_files_and_kills_it(pods: Pods) -> None:
    started = await pods.start('sh', '-c', 'echo much > /opt/file; exec sleep 1000')
    pid = started.pid
    await pods.client.remove_container(started.id)
    assert [status.id for status in await pods.client.list_containers()] == []
    assert not Path(f'/proc/{pid}').exists()
    directory = pods.server.root / 'containers' / started.id
    while directory.exists():  # in the background
        await pods.client.version()


async def test_a_stopped_sandbox_takes_no_more_containers(pods: Pods) -> None:
    started = await pods.start('sleep', '1000')
    await pods.client.stop_pod_sandbox('pod')
    assert (await pods.exit_of(started.id)).exit_code == 137
    (sandbox,) = await pods.client.list_pod_sandboxes()
    assert (sandbox.id, sandbox.state) == ('pod', 'notready')


async def test_removing_a_sandbox_removes_all_of_it(pods: Pods) -> None:
    netns = Path('/run/netns') / f'{pods.server.name}-pod'
    started = await pods.start('sleep', '1000')
    assert netns.exists()
    await pods.client.remove_pod_sandbox('pod')
    assert not netns.exists() and not Path(f'/proc/{started.pid}').exists()
    assert await pods.client.list_pod_sandboxes() == await pods.client.list_containers() == []
    assert pods.server.cgroup is None or not (pods.server.cgroup / 'pod').exists()
