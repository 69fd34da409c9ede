"""Pods come and go in waves; afterwards nothing of them is left in the kernel, on disk or in the daemon.

``NETKUBE_CHURN`` says how many Pods (200; scripts/nightly: 10,000). The figures that are printed (-s) say how memory,
descriptors and the database behave over time.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from cluster.machinestate import cgroups, marked, processes
from network.packets import run

from netkube.api.resources import PODS
from netkube.client.http import Endpoint, HttpClient
from netkube.cluster.config import ClusterConfig
from netkube.testing import Cluster, eventually
from netkube.testing.objects import config_map, container, pod

PODS_IN_ALL = int(os.environ.get('NETKUBE_CHURN', '200'))
WAVE = min(100, PODS_IN_ALL)
PATIENCE = 300  # seconds for a wave to run, and to be gone
# KiB: the watches' history fills, and the heap has gaps. 10,000 Pods were seen to take 7,800, 2,296 and 4.
GROWTH = {'daemon': 12 << 10, 'runtime': 4 << 10, 'dns': 2 << 10}


def config_of(cluster: Cluster) -> ClusterConfig:
    return ClusterConfig(cluster.name, cluster.state_dir)


def footprint(cluster: Cluster) -> dict[str, list[str]]:
    """What Pods are made of: their namespaces, links, mounts, cgroups, processes and files."""
    config = config_of(cluster)
    return {
        'namespaces': sorted(line.split()[0] for line in run('ip netns list').splitlines()),
        'links': sorted(line.split()[1] for line in run(f'ip -n {config.node_netns} -o link').splitlines()),
        'mounts': sorted(
            f'{role} {line.split()[1]}' for role, pid in {'machine': os.getpid(), **cluster.pids()}.items()
            for line in Path(f'/proc/{pid}/mounts').read_text().splitlines()
        ),
        'cgroups': sorted(str(path) for group in cgroups(cluster) for path in Path(group).rglob('*/')),
        'processes': processes(cluster),
        'files': sorted(str(path) for folder in (config.state, config.run_dir) for path in folder.rglob('*')),
    }


def no_difference(before: dict[str, list[str]], now: dict[str, list[str]]) -> bool:
    """AssertionError names what is more or less than before."""
    for kind, things in before.items():
        assert now[kind] == things, (kind, sorted(set(now[kind]) ^ set(things))[:10])
    return True


def memory(cluster: Cluster) -> dict[str, int]:
    """KiB of each process."""
    return {role: anonymous(pid) for role, pid in cluster.pids().items()}


def anonymous(pid: int) -> int:
    """KiB of what is no file's, proc_pid_smaps(5): how many others map a library now is of no interest."""
    return int(Path(f'/proc/{pid}/smaps_rollup').read_text().split('\nAnonymous:')[1].split()[0])


def figures(cluster: Cluster) -> str:
    """One line: memory, descriptors and threads of each process, and how large the database is."""
    words = [
        f'{role} {anonymous(pid)} KiB, {len(os.listdir(f"/proc/{pid}/fd"))} files, '
        f'{len(os.listdir(f"/proc/{pid}/task"))} threads'
        for role, pid in cluster.pids().items()
    ]  # fmt: skip
    database = sum(file.stat().st_size for file in config_of(cluster).state.glob('state.db*'))
    return '; '.join([*words, f'database {database >> 10} KiB'])


def short_lived(name: str) -> dict[str, Any]:
    """Two containers, a sidecar, volumes of disk, memory and an object."""
    mounts = [{'name': volume, 'mountPath': f'/{volume}'} for volume in ('scratch', 'memory', 'settings')]
    obliging = ('sh', '-c', 'trap "exit 0" TERM; sleep 1000 & wait')
    sidecar = container(*obliging, name='side', restartPolicy='Always')
    main = container(*obliging, name='main', volumeMounts=mounts)
    made = pod(name, main, container('true', name='done'))
    made['spec'] |= {
        'terminationGracePeriodSeconds': 0, 'restartPolicy': 'OnFailure', 'initContainers': [sidecar],
        'volumes': [
            {'name': 'scratch', 'emptyDir': {}},
            {'name': 'memory', 'emptyDir': {'medium': 'Memory'}},
            {'name': 'settings', 'configMap': {'name': 'settings'}},
        ],
    }  # fmt: skip
    made['metadata']['namespace'] = 'default'
    return made


async def wave(client: HttpClient, names: list[str]) -> None:
    """All at once, until they run; then away with them, until the last is gone."""
    await asyncio.gather(*(client.create(PODS, short_lived(name)) for name in names))
    await eventually(lambda: run_all(client, names), PATIENCE)
    await asyncio.gather(*(client.delete(PODS, 'default', name, grace_period_seconds=1) for name in names))
    await eventually(lambda: none_left(client), PATIENCE)


async def run_all(client: HttpClient, names: list[str]) -> bool:
    found = (await client.list(PODS, 'default')).items
    return len(found) == len(names) and all(each['status']['phase'] == 'Running' for each in found)


async def none_left(client: HttpClient) -> bool:
    return not (await client.list(PODS, 'default')).items


async def churn(cluster: Cluster, numbers: range) -> None:
    client = HttpClient(Endpoint(socket_path=str(config_of(cluster).api_socket)))
    try:
        for begin in range(numbers.start, numbers.stop, WAVE):
            names = [f'churn-{number}' for number in range(begin, min(begin + WAVE, numbers.stop))]
            await wave(client, names)
            print(f'{names[-1]}: {figures(cluster)}', flush=True)
    finally:
        await client.close()


def test_pods_that_come_and_go_leave_nothing(own: Cluster) -> None:
    marked(own).up()
    own.apply(config_map('settings', colour='red'))
    asyncio.run(churn(own, range(-WAVE, 0)))  # whatever is imported, made or cached once
    before, then = footprint(own), memory(own)
    began = time.monotonic()
    asyncio.run(churn(own, range(PODS_IN_ALL)))
    taken = time.monotonic() - began
    asyncio.run(eventually(lambda: no_difference(before, footprint(own))))
    grown = {role: now - then[role] for role, now in memory(own).items()}
    print(f'{PODS_IN_ALL} Pods in {taken:.0f} s; KiB before: {then}, grown by {grown}; left:', {
        kind: len(things) for kind, things in footprint(own).items()
    })  # fmt: skip
    assert all(grown[role] < most for role, most in GROWTH.items())
