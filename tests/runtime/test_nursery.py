"""Who forks the containers: not the server itself, and nobody notices."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from conftest import Pods, RunningServer

from netkube.cluster.processes import family


def nursery_of(server: RunningServer) -> int:
    pid, nursery = family(server.process.pid)
    assert pid == server.process.pid
    return nursery


async def test_a_container_is_a_child_of_the_server(pods: Pods) -> None:
    started = await pods.start('sleep', '1000')
    assert parent_of(started.pid) == parent_of(nursery_of(pods.server)) == pods.server.process.pid


async def test_a_container_has_its_standard_streams_and_no_other_descriptor(pods: Pods) -> None:
    """However many containers there are: the server has some for each."""
    await pods.start('sleep', '1000')
    started = await pods.start('sleep', '1000')
    assert sorted(os.listdir(f'/proc/{started.pid}/fd')) == ['0', '1', '2']


async def test_a_nursery_that_was_killed_is_replaced(pods: Pods) -> None:
    before = await pods.start('sleep', '1000')
    files = await pods.sh('ulimit -n')
    killed = nursery_of(pods.server)
    os.kill(killed, signal.SIGKILL)
    assert await pods.sh('ulimit -n') == files
    assert nursery_of(pods.server) != killed
    states = {status.id: status.state for status in await pods.client.list_containers()}
    assert states[before.id] == 'running'


async def test_a_container_may_have_a_large_environment(pods: Pods) -> None:
    """Larger than what a socket takes at once."""
    variables = {f'V{number}': 'x' * 100_000 for number in range(10)}
    assert await pods.sh('echo ${#V0} ${#V9}', env=variables) == '100000 100000\n'


def parent_of(pid: int) -> int:
    return int(Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[1])
