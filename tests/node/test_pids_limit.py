"""A Pod has so many processes and no more, however fast it forks."""

from __future__ import annotations

import msgspec
import pytest
from node_lab import Lab
from test_unruly_pods import another_pod_lives_and_dies

from netkube.api.resources import PODS
from netkube.runtime.limits import find_controllers

LIMIT = 64
BOMB = """
import os, time
for generation in range(8):  # 256 processes, without a limit
    while True:
        try:
            os.fork()
            break
        except BlockingIOError:
            if os.getpid() == 1:
                print('up', sum(map(str.isdigit, os.listdir('/proc'))), flush=True)
            time.sleep(0.02)
time.sleep(1000)
"""


async def test_a_fork_bomb_ends_at_the_limit(node_lab: Lab):
    if 'pids' not in find_controllers(node_lab.name):
        pytest.skip('there is no cgroup controller of pids')
    node_lab.config = msgspec.structs.replace(node_lab.config, pod_pids_limit=LIMIT)
    async with node_lab.running_agent():
        await node_lab.create_pod('python3', '-c', BOMB, wait=True)
        await node_lab.prints('up')
        assert LIMIT / 2 < int((await node_lab.logs()).split()[1]) <= LIMIT
        await another_pod_lives_and_dies(node_lab)
        await node_lab.client.delete(PODS, 'default', 'p', grace_period_seconds=1)
        await node_lab.gone()
