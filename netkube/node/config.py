"""What a Node's agent is told once, at its start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from netkube.network.plan import AddressPlans


class NodeConfig(msgspec.Struct, frozen=True):
    node_name: str
    cluster_name: str
    cluster_domain: str  # cluster.local
    plans: AddressPlans  # of each IP family: the Pods' range and nameserver, the Node's InternalIP
    state_dir: Path  # what Pods keep on disk, by Pod uid: volumes, logs
    memory_dir: Path  # a directory on a tmpfs: files of /etc, Secrets, emptyDirs of medium Memory
    netns_of: Callable[[str], str]  # Pod uid -> name of its network namespace
    max_pods: int = 2000
    pod_pids_limit: int = 0  # processes and threads of each Pod; 0 is as many as there is room for
    hide: tuple[str, ...] = ()  # paths of the machine that no container may see
    machine_resolv_conf: Path = msgspec.field(default=Path('/etc/resolv.conf'))

    @property
    def seccomp_profiles(self) -> Path:
        """Where Localhost profiles are looked for; the kubelet's is /var/lib/kubelet/seccomp."""
        return self.state_dir / 'seccomp'

    @property
    def seccomp_filters(self) -> Path:
        """Compiled profiles."""
        return self.state_dir / 'seccomp-filters'

    @property
    def dns_vip(self) -> str:
        """The nameserver of Pods."""
        return str(self.plans[0].dns_vip)

    @property
    def node_addresses(self) -> tuple[str, ...]:
        """The Node's InternalIPs, that of the primary family first."""
        return tuple(str(plan.node_address) for plan in self.plans)

    @property
    def pod_cidrs(self) -> tuple[str, ...]:
        return tuple(str(plan.node_pod_cidr) for plan in self.plans)

    def pod_dir(self, uid: str) -> Path:
        return Path(self.state_dir, 'pods', uid)

    def pod_memory_dir(self, uid: str) -> Path:
        return self.memory_dir / uid

    def log_file(self, uid: str, container: str, attempt: int) -> Path:
        return Path(self.state_dir, 'pods', uid, 'logs', container, f'{attempt}.log')
