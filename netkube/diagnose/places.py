"""Where things are on this machine: a Pod's namespace and processes, and who has an address."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address, ip_network
from pathlib import Path

import msgspec

from netkube.diagnose.finding import TraceError
from netkube.diagnose.objects import Cluster, Pod
from netkube.network import namespaces
from netkube.network.listeners import Listener, list_listeners, list_processes, processes_in
from netkube.network.namespaces import inside, opened


class Setting(msgspec.Struct, frozen=True):
    """Of a cluster on this machine; the ranges of each of its families."""

    domain: str
    node_netns: str
    pod_netns_prefix: str
    pod_cidrs: tuple[str, ...]
    load_balancer_cidrs: tuple[str, ...]


class Place(msgspec.Struct, frozen=True):
    """Who has an address. ``netns`` is where its sockets are: a name, None the machine's own; ``known`` if it is one
    that can be looked into."""

    whose: str
    netns: str | None = None
    known: bool = False
    pod: Pod | None = None


def netns_of(setting: Setting, pod: Pod) -> str:
    """TraceError if the Pod has no network here."""
    name = f'{setting.pod_netns_prefix}{pod.uid}'
    if not namespaces.exists(name):
        why = pod.why or 'it has no network'
        raise TraceError(f'pod "{pod.name}" in namespace {pod.namespace} is not running: {why}')
    return name


def find_place(setting: Setting, cluster: Cluster, address: str) -> Place:
    if pod := cluster.find_pod_at(address):
        name = f'{setting.pod_netns_prefix}{pod.uid}'
        return Place(f'Pod {pod.label}', name, namespaces.exists(name), pod)
    if is_local(setting.node_netns, address):
        return Place('the Node', setting.node_netns, True)
    if is_local(None, address):
        return Place('this machine', None, True)
    ranges = (
        ('the Service range', cluster.service_cidrs()),
        ("the load balancers' range", setting.load_balancer_cidrs),
        ('the Pod range', setting.pod_cidrs),
    )
    for whose, cidrs in ranges:
        if any(_contains(cidr, address) for cidr in cidrs):
            return Place(f'unused address of {whose}')
    return Place('outside of the cluster')


def is_local(netns: str | None, address: str) -> bool:
    """The namespace has the address: only then it can be bound."""
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with opened(netns) as namespace, inside(namespace), socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def listeners_at(place: Place, protocol: str) -> tuple[Listener, ...]:
    with opened(place.netns) as namespace:
        # The daemon has sockets in the Node's namespace, and lives in another.
        pids = processes_in(os.fstat(namespace).st_ino) if place.pod else list_processes()
        with inside(namespace):
            return tuple(list_listeners(protocol, pids))


def process_of(netns: str, container_id: str) -> int:
    """A process of a container; any of the Pod if none of that one is found.

    The last part of a container's cgroup is its id; a machine without cgroups has but the Pod's. TraceError: no
    process runs.
    """
    with opened(netns) as namespace:
        pids = processes_in(os.fstat(namespace).st_ino)
    if not pids:
        raise TraceError('no process runs in the Pod')
    own = [pid for pid in pids if container_id and container_id in _cgroup(pid)]
    return min(own or pids)


def _cgroup(pid: int) -> str:
    try:
        return Path(f'/proc/{pid}/cgroup').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ''  # it has ended


def _contains(cidr: str, address: str) -> bool:
    return ip_address(address) in ip_network(cidr)
