"""What a Node's agent is told once, at its start."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import msgspec


class NodeConfig(msgspec.Struct, frozen=True):
    node_name: str
    cluster_name: str
    cluster_domain: str  # cluster.local
    dns_vip: str  # the nameserver of Pods
    node_address: str  # the Node's InternalIP
    pod_cidr: IPv4Network
    gateway: IPv4Address  # the bridge's address inside pod_cidr: never given to a Pod
    state_dir: Path  # what Pods keep on disk, by Pod uid: volumes, logs
    memory_dir: Path  # a directory on a tmpfs: files of /etc, Secrets, emptyDirs of medium Memory
    netns_of: Callable[[str], str]  # Pod uid -> name of its network namespace
    max_pods: int = 2000
    hide: tuple[str, ...] = ()  # paths of the machine that no container may see
    machine_resolv_conf: Path = msgspec.field(default=Path('/etc/resolv.conf'))

    def pod_dir(self, uid: str) -> Path:
        return self.state_dir / 'pods' / uid

    def pod_memory_dir(self, uid: str) -> Path:
        return self.memory_dir / uid

    def log_file(self, uid: str, container: str, attempt: int) -> Path:
        return self.state_dir / 'pods' / uid / 'logs' / container / f'{attempt}.log'
