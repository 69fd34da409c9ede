"""What a cluster is called, which addresses it has, and where its files are."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import asdict, replace

if TYPE_CHECKING:
    from netkube.cluster.addressing import AddressPlans

RUN_ROOT = Path('/run/netkube')
STATE_ROOT = Path('/var/lib/netkube')
NAME = re.compile(r'[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?')

CHANGEABLE = ('host_access', 'api_port', 'hide', 'pod_pids_limit')


class ConfigError(ValueError):
    """The user asked for something that cannot be; the text says what."""


class ClusterConfig(msgspec.Struct, frozen=True):
    """One cluster. ``state_dir`` outlives ``down``.

    CIDRs are strings such as ``10.244.0.0/16``, or with both families, the primary one first,
    ``10.244.0.0/16,fd00:10:244::/56``. ``ip_family`` is ipv4, ipv6 or dual.
    """

    name: str
    state_dir: str
    domain: str = 'cluster.local'
    ip_family: str = ''
    pod_cidr: str = ''
    service_cidr: str = ''
    api_port: int = 0
    host_access: bool = True
    hide: Sequence[str] = ()  # patterns of paths that no container may see, beside the usual ones
    pod_pids_limit: int = 0  # processes and threads that a Pod may have; 0 is no limit

    @property
    def plans(self) -> AddressPlans:
        """Its addresses, once the CIDRs are known."""
        from netkube.cluster.addressing import plans_of  # most commands do not ask

        return plans_of(self.pod_cidr, self.service_cidr)

    @property
    def dns_vips(self) -> str:
        """Where the resolver listens, with commas between."""
        return ','.join(str(plan.dns_vip) for plan in self.plans)

    @property
    def state(self) -> Path:
        return Path(self.state_dir)

    @property
    def run_dir(self) -> Path:
        return RUN_ROOT / self.name

    @property
    def api_socket(self) -> Path:
        return self.run_dir / 'api.sock'

    @property
    def runtime_socket(self) -> Path:
        return self.run_dir / 'runtime.sock'

    @property
    def database(self) -> Path:
        return self.state / 'state.db'

    @property
    def pki(self) -> Path:
        return self.state / 'pki'

    @property
    def containers(self) -> Path:
        """Where the runtime keeps each container's private layer."""
        return self.state / 'containers'

    @property
    def log_file(self) -> Path:
        return self.state / 'netkube.log'

    @property
    def machine_record(self) -> Path:
        """What ``down`` needs to put the machine's settings back; it must outlive a kill -9, not a reboot."""
        return RUN_ROOT / 'machine.json'

    @property
    def file(self) -> Path:
        return self.state / 'cluster.json'

    @property
    def cgroup(self) -> str:
        return f'netkube-{self.name}'

    @property
    def node_name(self) -> str:
        return f'{self.name}-node-1'

    @property
    def node_netns(self) -> str:
        return f'{self.netns_prefix}node-1'

    @property
    def pod_netns_prefix(self) -> str:
        return f'{self.netns_prefix}pod-'

    @property
    def netns_prefix(self) -> str:
        """Starts the name of every network namespace of this cluster, and of no other."""
        return f'netkube-{self.name}--'

    @property
    def state_link(self) -> Path:
        """Where the state would be, if it were not elsewhere: a link to it, then."""
        return STATE_ROOT / self.name

    def save(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        if load(self.name, self.state_dir) != self:  # which needs no room on a disk that may be full
            temporary = self.file.with_suffix('.tmp')
            temporary.write_text(json.dumps(asdict(self), indent=2) + '\n')
            os.replace(temporary, self.file)
        if self.state_link.is_symlink():  # of an earlier cluster of that name
            self.state_link.unlink()
        if not self.state_link.exists():
            STATE_ROOT.mkdir(parents=True, exist_ok=True)
            self.state_link.symlink_to(self.state_dir)

    def forget(self) -> None:
        """Remove the state, and the link to it."""
        shutil.rmtree(self.state)
        if self.state_link.is_symlink() and os.readlink(self.state_link) == self.state_dir:
            self.state_link.unlink()


def default_state_dir(name: str) -> str:
    """Where the cluster of that name keeps its state, or where a new one would.

    A link remembers what ``--state-dir`` said: while it runs, and between ``down`` and ``up``.
    """
    for link in (RUN_ROOT / name / 'state', STATE_ROOT / name):
        if link.is_symlink():
            return os.readlink(link)
    return str(STATE_ROOT / name)


def load(name: str, state_dir: str = '') -> ClusterConfig | None:
    """The cluster's configuration, or None when there is no such cluster."""
    file = Path(state_dir or default_state_dir(name)) / 'cluster.json'
    try:
        return ClusterConfig(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None


def check_name(name: str) -> str:
    if not NAME.fullmatch(name) or '--' in name:
        raise ConfigError(
            f'invalid cluster name "{name}": at most 32 lower-case letters, digits and single hyphens, '
            'beginning and ending with a letter or digit'
        )
    return name


def merged(existing: ClusterConfig, wanted: dict[str, object]) -> ClusterConfig:
    """The existing cluster, if every option that was given agrees with it.

    Those that are CHANGEABLE may change at each start; anything else is part of what the cluster's objects hold.
    """
    given = {key: value for key, value in wanted.items() if value is not None}
    fixed = {key: value for key, value in given.items() if key not in CHANGEABLE}
    for key, value in fixed.items():
        if getattr(existing, key) != value:
            option = '--' + ('cluster-domain' if key == 'domain' else key.replace('_', '-'))
            raise ConfigError(
                f'cluster "{existing.name}" exists with {option} {getattr(existing, key)}; '
                f'to change it, remove the cluster and its state first: netkube --cluster {existing.name} down --purge'
            )
    return replace(existing, **given)  # type: ignore[arg-type]


def all_names() -> list[str]:
    """Every cluster that runs, or that a kill -9 left something of."""
    return sorted(entry.name for entry in RUN_ROOT.iterdir() if entry.is_dir()) if RUN_ROOT.is_dir() else []
