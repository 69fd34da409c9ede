"""All that a cluster could leave behind on its machine, as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from network.packets import network_state, run

from netkube.testing import Cluster

NETNS = Path('/run/netns')  # a system folder, which stays
MARK = 'NETKUBE_TEST_CLUSTER'  # in the environment of every process that the command line starts


def machine_state(cluster: Cluster) -> str:
    """Links, routes, rules, settings, namespaces, mounts, cgroups, processes, files: same text, same state."""
    return '\n'.join(
        [
            network_state(),
            run('ip netns'),
            Path('/proc/self/mounts').read_text(),
            Path('/proc/sys/net/ipv4/ip_forward').read_text(),
            *cgroups(cluster),
            *processes(cluster),
            *sorted(str(path) for path in Path('/run').rglob('*') if path != NETNS),
        ]
    )


def marked(cluster: Cluster) -> Cluster:
    """Its processes can be told from all others."""
    cluster.environment = {**cluster.environment, MARK: cluster.name}
    return cluster


def cgroups(cluster: Cluster) -> list[str]:
    """Its own, of both versions, which all begin at the top; other clusters' come and go meanwhile."""
    return [str(found) for tree in cgroup_trees() for found in tree.glob(f'netkube-{cluster.name}*')]


def cgroup_trees() -> list[Path]:
    mounts = (line.split() for line in Path('/proc/self/mounts').read_text().splitlines())
    return [Path(mount[1]) for mount in mounts if mount[2] in ('cgroup', 'cgroup2')]


def processes(cluster: Cluster) -> list[str]:
    """The cluster's own, by their environment, and those of its Pods, by their cgroup."""
    return [f'{pid} {words}' for pid, words in _all_processes(cluster)]


def _all_processes(cluster: Cluster) -> Iterator[tuple[str, str]]:
    mark, group = f'{MARK}={cluster.name}'.encode(), f'/netkube-{cluster.name}/'.encode()
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            environment, membership = (folder / 'environ').read_bytes(), (folder / 'cgroup').read_bytes()
            words = (folder / 'cmdline').read_bytes().replace(b'\0', b' ').decode(errors='replace')
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has just ended, or is none that root may look into
        if words and (mark in environment.split(b'\0') or group in membership + b'/'):
            yield folder.name, words
