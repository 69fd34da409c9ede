"""Containers held to their limits, on whichever cgroup tree this machine has the controllers."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Pods

from netkube.runtime.cri import LinuxContainerResources as Resources
from netkube.runtime.limits import find_controllers

pytestmark = pytest.mark.vm
EAT = 'x = bytearray(); [x.extend(bytes(1 << 20)) for _ in range(300)]; print("full")'


@pytest.fixture(autouse=True)
async def controllers(pods: Pods) -> None:
    missing = {'cpu', 'memory', 'pids'} - set((await pods.client.version())['controllers'])
    if missing:
        pytest.skip(f'this machine has no cgroup controller {missing}')


async def test_too_much_memory_is_an_oom_kill(pods: Pods) -> None:
    limits = Resources(memory_limit=64 << 20)
    status = await pods.run('python3', '-c', EAT, resources=limits)
    assert (status.exit_code, status.signal, status.reason) == (137, 9, 'OOMKilled')
    status = await pods.run('sh', '-c', f"python3 -c '{EAT}'", resources=limits)  # a child of the first process
    assert (status.exit_code, status.reason) == (137, 'OOMKilled')
    status = await pods.run('python3', '-c', EAT)
    assert (status.exit_code, status.reason) == (0, 'Completed')


async def test_an_exit_of_its_own_is_no_oom_kill(pods: Pods) -> None:
    status = await pods.run('sh', '-c', 'exit 137', resources=Resources(memory_limit=64 << 20))
    assert (status.exit_code, status.reason) == (137, 'Error')


async def test_a_command_beside_it_counts(pods: Pods) -> None:
    started = await pods.start('sleep', '1000', resources=Resources(memory_limit=64 << 20))
    code, stdout, _ = await pods.client.exec_sync(started.id, ['python3', '-c', EAT])
    assert (code, stdout) == (137, b'')


async def test_cpu_time_is_rationed(pods: Pods) -> None:
    """5 ms in every 100: who spins is throttled."""
    spin = (
        'import time; started, end = time.process_time(), time.monotonic() + 0.5\n'
        'while time.monotonic() < end: pass\nprint(time.process_time() - started)'
    )
    used = float(await pods.sh(f"python3 -c '{spin}'", resources=Resources(cpu_quota=5000)))
    assert used < 0.4


async def test_a_fork_bomb_ends_at_its_limit(pods: Pods) -> None:
    script = 'import os, signal\nfor n in range(50): os.fork() or signal.pause()'
    status = await pods.run('python3', '-c', f'{script}', resources=Resources(pids_limit=20))
    assert status.exit_code == 1
    assert 'BlockingIOError' in pods.output(status.id)


async def test_nothing_is_left_behind(pods: Pods) -> None:
    limits = Resources(cpu_quota=50_000, memory_limit=64 << 20, pids_limit=50)
    first, second = [await pods.start('sleep', '1000', resources=limits) for _ in range(2)]
    trees = [Path(one.root) / pods.server.cgroup_name for one in find_controllers('').values() if one.version == 1]
    await pods.client.remove_container(first.id)
    assert not any((tree / first.id).exists() for tree in trees)
    assert all((tree / second.id).is_dir() for tree in trees)
    pods.server.kill()
    pods.server.tear_down()
    assert not any(tree.exists() for tree in trees)
