"""A Pod's sandbox and its files: made together, removed together."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

from netkube.api.families import Address
from netkube.api.meta import Object
from netkube.network.nft import NftError
from netkube.node.addresses import PodAddresses
from netkube.node.atomicwriter import Payload
from netkube.node.config import NodeConfig
from netkube.node.containers import PodFiles
from netkube.node.dnsconfig import (
    ResolverConfig,
    fitted,
    hosts_file,
    node_hosts_file,
    parse_resolv_conf,
    resolver_config,
)
from netkube.node.emptydir import unmount_volumes
from netkube.node.hostfiles import HostFiles
from netkube.node.hostpath import check_host_paths
from netkube.node.hostports import host_ports
from netkube.node.isolation import (
    SysctlForbidden,
    is_on_node_network,
    namespace_option,
    sandbox_sysctls,
    seen_hostname,
)
from netkube.node.limits import pod_resources
from netkube.node.network import NodeNetwork, link_name
from netkube.node.record import PodRecord
from netkube.node.volumes import (
    IN_MEMORY,
    MountFailed,
    VolumeContext,
    VolumeRoots,
    payloads_of,
    source_of,
    volume_directories,
    write_volumes,
)
from netkube.runtime.client import RuntimeClient
from netkube.runtime.cri import READY, CriError, PodSandboxStatus, SandboxConfig

MACHINE_HOSTS = Path('/etc/hosts')
EMPTY_DIRS = 'volumes/kubernetes.io~empty-dir'
ADDRESSES_ANNOTATION = 'netkube/addresses'


class SandboxFailed(Exception):
    """The kernel or the runtime refused: FailedCreatePodSandBox."""


class Sandboxes:
    """Addresses, network namespaces, ports on the bridge, and the directories of Pods."""

    def __init__(
        self,
        runtime: RuntimeClient,
        network: NodeNetwork,
        config: NodeConfig,
        now: Callable[[], datetime],
        host_files: HostFiles,
    ) -> None:
        self._runtime, self._network, self._config, self._now = runtime, network, config, now
        self.addresses = PodAddresses(config.plans)
        self.host_files = host_files
        self._dns_vip = config.dns_vip
        self._machine_resolver = ResolverConfig()

    async def start(self) -> None:
        await asyncio.to_thread(_make_private, self._config.memory_dir)
        self._machine_resolver = await asyncio.to_thread(_read_resolver, self._config.machine_resolv_conf)

    async def create(self, record: PodRecord, context: VolumeContext) -> None:
        """MountFailed when a volume cannot be had, AddressesExhausted, SandboxFailed: then nothing is left behind.

        ``context.facts`` has the addresses that were allocated for the Pod.
        """
        addresses = self.addresses_of(context.pod)
        payloads = payloads_of(context)
        if why := await check_host_paths(context.pod, self.host_files):
            raise MountFailed(why)
        created, written = await asyncio.gather(
            self._create_namespace(record, context.pod, addresses),
            self._write_files(context.pod, addresses, payloads),
            return_exceptions=True,
        )
        if isinstance(created, BaseException):
            raise created
        if isinstance(written, BaseException):
            await self.remove(record)
            if isinstance(written, OSError):
                raise SandboxFailed(f'Failed to create pod sandbox: {written}')
            raise written
        record.addresses, record.payloads, record.sandbox = addresses, payloads, True

    def addresses_of(self, pod: Object) -> tuple[Address, ...]:
        """The Node's, for a Pod on its network; else the Pod's own, allocated if it has none. AddressesExhausted."""
        if is_on_node_network(pod):
            return tuple(map(ip_address, self._config.node_addresses))
        return self.addresses.allocate(pod['metadata']['uid'])

    async def adopt(self, record: PodRecord, status: PodSandboxStatus, ports: set[str]) -> None:
        """Take over a sandbox of an earlier life; one that had not got its port yet gets it."""
        if status.state != READY:  # it was being removed
            await self._runtime.remove_pod_sandbox(status.id)
            return
        words = status.annotations[ADDRESSES_ANNOTATION].split(',')
        record.sandbox, record.addresses = True, tuple(map(ip_address, words))
        if status.netns == self._network.config.netns:
            return
        self.addresses.adopt(record.uid, record.addresses)
        if link_name(record.uid) not in ports:
            await self._network.plug(record.uid, status.netns, *record.addresses)

    async def adopt_ports(self, records: Iterable[PodRecord]) -> None:
        """The ports of the Node that lead to Pods of an earlier life, and no others."""
        ports = {
            record.uid: ('/'.join(record.key), found)
            for record in records
            if record.sandbox and record.pod is not None and (found := host_ports(record.pod, record.addresses))
        }
        await self._network.adopt_ports(ports)

    def dns_problems(self, pod: Object) -> list[str]:
        """What of its dnsPolicy and dnsConfig does not fit into a resolv.conf."""
        return fitted(self._resolver(pod))[1]

    async def refresh_volumes(self, record: PodRecord, context: VolumeContext) -> None:
        """Bring the files that follow API objects up to date. MountFailed: they stay as they are."""
        payloads = payloads_of(context)
        if payloads != record.payloads:
            await self._write_volumes(context.pod, payloads)
            record.payloads = payloads

    async def remove(self, record: PodRecord) -> None:
        """Whatever runs in it is killed. The Pod's directories stay: its logs can still be read.

        The namespace goes first: the kernel removes many of them, with their links, in one go.
        """
        await self._network.close_ports(record.uid)
        await self._runtime.remove_pod_sandbox(record.uid)
        await self._network.unplug(record.uid)
        self.addresses.release(record.uid)
        record.forget_sandbox()

    async def remove_files(self, uid: str) -> None:
        await asyncio.to_thread(_remove_trees, self._config.pod_dir(uid), self._config.pod_memory_dir(uid))

    async def remove_volumes(self, uid: str) -> None:
        """What a Pod that has ended may not keep, as opposed to its logs. Idempotent."""
        await asyncio.to_thread(_remove_trees, self._config.pod_dir(uid) / 'volumes', self._config.pod_memory_dir(uid))

    def known_directories(self) -> set[str]:
        """Blocking. The uids of all Pods that have files here."""
        folders = (self._config.state_dir / 'pods', self._config.memory_dir)
        return {entry.name for folder in folders if folder.is_dir() for entry in folder.iterdir()}

    def roots(self, uid: str) -> VolumeRoots:
        return VolumeRoots(self._config.pod_dir(uid), self._config.pod_memory_dir(uid))

    def files(self, pod: Object) -> PodFiles:
        uid = pod['metadata']['uid']
        etc = self._etc(uid)
        return PodFiles(etc / 'hosts', etc / 'resolv.conf', volume_directories(pod, self.roots(uid)))

    async def _create_namespace(self, record: PodRecord, pod: Object, addresses: tuple[Address, ...]) -> None:
        netns = self._network.config.netns if is_on_node_network(pod) else self._config.netns_of(record.uid)
        try:
            await self._runtime.run_pod_sandbox(_sandbox_config(pod, netns, self._config, addresses))
        except (CriError, SysctlForbidden) as error:
            self.addresses.release(record.uid)
            raise SandboxFailed(f'Failed to create pod sandbox: {error}') from error
        if is_on_node_network(pod):
            return
        try:
            await self._network.plug(record.uid, netns, *addresses)
            await self._network.open_ports(record.uid, '/'.join(record.key), host_ports(pod, addresses))
        except (OSError, NftError) as error:
            await self._runtime.remove_pod_sandbox(record.uid)
            await self._network.unplug(record.uid)
            self.addresses.release(record.uid)
            raise SandboxFailed(f'Failed to create pod sandbox: network: {error}') from error

    def _resolver(self, pod: Object) -> ResolverConfig:
        domain = self._config.cluster_domain
        return resolver_config(pod, domain=domain, dns_vip=self._dns_vip, machine=self._machine_resolver)

    def _etc(self, uid: str) -> Path:
        return Path(self._config.memory_dir, uid, 'etc')

    async def _write_files(
        self, pod: Object, addresses: tuple[Address, ...], payloads: dict[str, Payload | None]
    ) -> None:
        """The files of /etc are in memory, where no write has to wait: a thread would take longer to wake up."""
        domain, etc = self._config.cluster_domain, self._etc(pod['metadata']['uid'])
        resolver, _ = fitted(self._resolver(pod))
        os.makedirs(etc, exist_ok=True)
        hosts = node_hosts_file(pod, MACHINE_HOSTS) if is_on_node_network(pod) else None
        _write(f'{etc}/hosts', hosts or hosts_file(pod, map(str, addresses), domain))
        _write(f'{etc}/resolv.conf', str(resolver))
        if payloads:
            await self._write_volumes(pod, payloads)

    async def _write_volumes(self, pod: Object, payloads: dict[str, Payload | None]) -> None:
        """In memory, as every Pod's token is, at once; what may touch a disk is written by a thread."""
        roots = self.roots(pod['metadata']['uid'])
        if all(source_of(volume) in (*IN_MEMORY, 'hostPath') for volume in pod['spec'].get('volumes') or ()):
            write_volumes(pod, payloads, roots, self._now())
        else:
            await asyncio.to_thread(write_volumes, pod, payloads, roots, self._now())


def _sandbox_config(pod: Object, netns: str, config: NodeConfig, addresses: tuple[Address, ...]) -> SandboxConfig:
    metadata = pod['metadata']
    return SandboxConfig(
        id=metadata['uid'],
        namespace=metadata['namespace'],
        name=metadata['name'],
        netns=netns,
        hostname=seen_hostname(pod, config.cluster_domain, config.node_name),
        namespaces=namespace_option(pod),
        sysctls=sandbox_sysctls(pod, addresses),
        resources=pod_resources(pod)._replace(pids_limit=config.pod_pids_limit),
        annotations={ADDRESSES_ANNOTATION: ','.join(map(str, addresses))},
    )


def _write(path: str, text: str) -> None:
    with open(path, 'wb', buffering=0) as file:
        file.write(text.encode())


def _read_resolver(path: Path) -> ResolverConfig:
    """A machine without resolv.conf has no search domains."""
    try:
        return parse_resolv_conf(path.read_text())
    except FileNotFoundError:
        return ResolverConfig()


def _make_private(directory: Path) -> None:
    """Secrets and tokens are below it, with modes for the users of containers, not for those of the machine."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)


def _remove_trees(disk: Path, memory: Path) -> None:
    """Nothing that is mounted is gone into: what is ours is unmounted, a foreign mount is an OSError."""
    if os.path.isdir(f'{memory}/{EMPTY_DIRS}'):
        unmount_volumes(memory)
    for directory in (disk, memory):
        if directory.exists():
            shutil.rmtree(directory)
