"""Stopping a cluster: everything it made on this machine is found by name and removed, whoever still runs."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

from netkube.cluster import processes
from netkube.cluster.config import RUN_ROOT, STATE_ROOT, ClusterConfig, load
from netkube.cluster.machine import MachineLink
from netkube.cluster.networks import machine_link_config
from netkube.cluster.start import locked
from netkube.network import namespaces
from netkube.node.emptydir import unmount_volumes
from netkube.runtime.teardown import teardown

PATIENCE = {processes.DAEMON: 5.0, processes.DNS: 1.0, processes.RUNTIME: 10.0}  # seconds after SIGTERM


def stop(name: str, purge: bool, say: Callable[[str], None]) -> bool:
    """Stop the cluster and undo, in reverse, what ``up`` did; True if there was anything to stop. Idempotent."""
    config = load(name)
    if config is None:
        return False
    config.state.mkdir(parents=True, exist_ok=True)
    with locked(config.state):
        running = config.run_dir.is_dir()
        for role in (processes.DAEMON, processes.DNS, processes.RUNTIME):
            say(f'stopping: {role}')
            processes.stop(config, role, PATIENCE[role])
        say('removing links, routes, rules and namespaces')
        asyncio.run(_remove_network(config))
        if config.run_dir.is_dir():
            unmount_volumes(config.run_dir)
            shutil.rmtree(config.run_dir)
        _remove_if_empty(RUN_ROOT)
    if purge:
        config.forget()
        _remove_if_empty(STATE_ROOT)
    return running


async def _remove_network(config: ClusterConfig) -> None:
    """The Pods' namespaces and processes, the link to the machine, the Node's namespace: in that order."""
    await asyncio.to_thread(teardown, config.cgroup, str(config.containers), config.netns_prefix)
    link = MachineLink(machine_link_config(config, config.plans))
    try:
        await link.remove()
    finally:
        await link.close()
    for name in namespaces.list_names(config.netns_prefix):
        namespaces.delete(name)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another cluster's, somebody else's, or a mount point: it stays
        folder.rmdir()
