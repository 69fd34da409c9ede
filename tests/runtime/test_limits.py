"""Containers held to their limits, on whichever cgroup tree this machine has the controllers."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Pods

from netkube.runtime.cri import ContainerStatus
from netkube.runtime.cri import LinuxContainerResources as Resources
from netkube.runtime.limits import find_controllers

EAT = 'x = bytearray(); [x.extend(bytes(1 << 20)) for _ in range(300)]; print("full")'


@pytest.fixture(autouse=True)
async def controllers(pods: Pods) -> None:
    missing = {'cpu', 'memory', 'pids'} - set((await pods.client.version())['controllers'])
    if missing:
        pytest.skip(f'this machine has no cgroup controller {missing}')


@pytest.mark.vm
async def test_too_much_memory_is_an_oom_kill(pods: Pods) -> None:
    limits = Resources(memory_limit=64 << 20)
    status = await pods.run('python3', '-c', EAT, resources=limits)
    assert (status.exit_code, status.signal, status.reason) == (137, 9, 'OOMKilled')
    status = await pods.run('sh', '-c', f"python3 -c '{EAT}'", resources=limits)  # a child of the first process
    assert (status.exit_code, status.reason) == (137, 'OOMKilled')
    status = await pods.run('python3', '-c', EAT)
    assert (status.exit_code, status.reason) == (0, 'Completed')


@pytest.mark.vm
async def test_an_exit_of_its_own_is_no_oom_kill(pods: Pods) -> None:
    status = await pods.run('sh', '-c', 'exit 137', resources=Resources(memory_limit=64 << 20))
    assert (status.exit_code, status.reason) == (137, 'Error')


@pytest.mark.vm
async def test_a_command_beside_it_counts(pods: Pods) -> None:
    started = await pods.start('sleep', '1000', resources=Resources(memory_limit=64 << 20))
    code, stdout, _ = await pods.client.exec_sync(started.id, ['python3', '-c', EAT])
    assert (code, stdout) == (137, b'')


@pytest.mark.vm
async def test_cpu_time_is_rationed(pods: Pods) -> None:
    """5 ms in every 100: who spins is throttled."""
    spin = (
        'import time; started, end = time.process_time(), time.monotonic() + 0.5\n'
        'while time.monotonic() < end: pass\nprint(time.process_time() - started)'
    )
    used = float(await pods.sh(f"python3 -c '{spin}'", resources=Resources(cpu_quota=5000)))
    assert used < 0.4


@pytest.mark.vm
async def test_a_fork_bomb_ends_at_its_limit(pods: Pods) -> None:
    script = 'import os, signal\nfor n in range(50): os.fork() or signal.pause()'
    status = await pods.run('python3', '-c', f'{script}', resources=Resources(pids_limit=20))
    assert status.exit_code == 1
    assert 'BlockingIOError' in pods.output(status.id)


@pytest.mark.vm
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


# the values of whole Pods

GUARANTEED = Resources(cpu_quota=50_000, memory_limit=64 << 20, cpu_shares=512)


def weight(pods: Pods, *below: str) -> str:
    """What the kernel has, in the tree that has the CPU."""
    cpu = find_controllers(pods.server.cgroup_name)['cpu']
    folder = Path(cpu.root, pods.server.cgroup_name, *below)
    return (folder / ('cpu.shares' if cpu.version == 1 else 'cpu.weight')).read_text().strip()


def expected(pods: Pods, shares: int, weight: int) -> str:
    return str(shares if find_controllers(pods.server.cgroup_name)['cpu'].version == 1 else weight)


def place_of(status: ContainerStatus) -> str:
    """Its cgroup below the server's, as the kernel names it, in the tree that has the CPU."""
    lines = Path(f'/proc/{status.pid}/cgroup').read_text().splitlines()
    return next((line for line in lines if ':cpu:' in line or ':cpu,' in line), lines[-1])


async def test_a_pod_and_its_containers_have_their_parts_of_the_cpu(pods: Pods) -> None:
    await pods.sandbox('weighty', resources=GUARANTEED._replace(cpu_shares=1024))
    one = await pods.start('sleep', '1000', sandbox='weighty', resources=GUARANTEED)
    none = await pods.start('sleep', '1000', sandbox='weighty', resources=Resources(cpu_shares=2))
    assert weight(pods, 'weighty') == expected(pods, 1024, 100)
    assert weight(pods, 'weighty', one.id) == expected(pods, 512, 59)
    assert weight(pods, 'weighty', none.id) == expected(pods, 2, 1)
    assert place_of(one).endswith(f'/weighty/{one.id}')


async def test_pods_that_ask_for_nothing_share_one_cgroup_where_they_would_need_their_own(pods: Pods) -> None:
    least = Resources(cpu_shares=2)
    await pods.sandbox('least', resources=least)
    started = await pods.start('sleep', '1000', sandbox='least', resources=least)
    where = 'besteffort' if find_controllers(pods.server.cgroup_name)['cpu'].version == 1 else 'least'
    assert weight(pods, where) == expected(pods, 2, 1)
    assert f'/{where}' in place_of(started)
    code, stdout, _ = await pods.client.exec_sync(started.id, ['cat', '/proc/self/cgroup'])
    assert code == 0 and 'besteffort' not in stdout.decode()  # it sees itself at the root of each tree


async def test_a_pods_memory_is_that_of_all_its_containers(pods: Pods) -> None:
    """Each alone stays within its own limit."""
    await pods.sandbox('small', resources=Resources(memory_limit=96 << 20))
    hold = 'import time; x = bytes(1) * (60 << 20); print(len(x), flush=True); time.sleep(1000)'
    limits = Resources(memory_limit=80 << 20, oom_score_adj=500)
    first = await pods.start('python3', '-c', hold, sandbox='small', resources=limits)
    second = await pods.start('python3', '-c', hold, sandbox='small', resources=limits._replace(oom_score_adj=1000))
    status = await pods.exit_of(second.id)
    assert (status.exit_code, status.reason) == (137, 'OOMKilled')
    assert [s.state for s in await pods.client.list_containers() if s.id == first.id] == ['running']


async def test_who_is_killed_first_when_memory_runs_out(pods: Pods) -> None:
    started = await pods.start('sleep', '1000', resources=Resources(oom_score_adj=912))
    assert Path(f'/proc/{started.pid}/oom_score_adj').read_text() == '912\n'
    _, stdout, _ = await pods.client.exec_sync(started.id, ['cat', '/proc/self/oom_score_adj'])
    assert stdout == b'912\n'


async def test_nothing_of_a_pod_is_left_behind(pods: Pods) -> None:
    await pods.sandbox('weighty', resources=GUARANTEED)
    started = await pods.start('sleep', '1000', sandbox='weighty', resources=GUARANTEED)
    trees = {Path(one.root) / pods.server.cgroup_name for one in find_controllers('').values()}
    assert any((tree / 'weighty').exists() for tree in trees)
    await pods.client.remove_pod_sandbox('weighty')
    left = [path for tree in trees for path in (tree / 'weighty', tree / started.id) if path.exists()]
    assert not left
    await pods.client.shutdown()
    pods.server.process.wait()
    assert not [tree for tree in trees if tree.exists()]
