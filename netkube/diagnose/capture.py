"""``netkube capture``: the packets of a Pod, a Service or the Node.

A Pod's are those of its ``eth0``. A Service's are seen in the Node's namespace, on the bridge and on the link to the
machine: each packet twice, before and after its translation. Bridge ports are left out, where it would be seen again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from netkube.diagnose.finding import TraceError
from netkube.diagnose.frames import parse_frame
from netkube.diagnose.objects import Cluster, Service, parse_endpoints
from netkube.network.namespaces import inside, opened
from netkube.network.packetfilter import MOST, PacketFilter
from netkube.network.packets import Frame, PacketSocket, list_interfaces
from netkube.network.ports import POD_LINK
from netkube.node.network import PORT_PREFIX

LOOPBACK = 'lo'
SNAPLEN = 262144  # tcpdump's

Ends = frozenset[tuple[str, str, int]]


class Scope(msgspec.Struct, frozen=True):
    """Where to look: a namespace, the names of its interfaces (none: all that are no bridge ports), and the
    (protocol, address, port) of which a packet must have one, if any are given."""

    netns: str
    interfaces: tuple[str, ...] = ()
    ends: Ends = frozenset()

    def holds(self, frame: Frame) -> bool:
        if not self.ends:
            return True
        packet = parse_frame(frame.data)
        return packet is not None and any(
            (packet.protocol, *end) in self.ends for end in (packet.source, packet.destination)
        )


class Limits(msgspec.Struct, frozen=True):
    """When to stop: after so many packets, after so many seconds; 0 is never."""

    count: int = 0
    seconds: float = 0
    snaplen: int = SNAPLEN


class Counts(msgspec.Struct, frozen=True):
    captured: int
    dropped: int


def pod_scope(netns: str) -> Scope:
    return Scope(netns, (POD_LINK,))


def service_scope(cluster: Cluster, service: Service, node_netns: str) -> Scope:
    """Its addresses and those of its endpoints as they are now, each with its ports. TraceError if it has none."""
    if service.type == 'ExternalName':
        raise TraceError(f'Service {service.label} is the name of {service.external_name}: no packet is sent to it')
    fronts = (*service.cluster_ips, *service.outer_ips)
    ends = {(port.protocol, address, port.port) for port in service.ports for address in fronts}
    for port in service.ports:
        if port.node_port:
            ends |= {(port.protocol, address, port.node_port) for address in cluster.node_addresses()}
        endpoints = parse_endpoints(cluster.endpoint_slices(service), port)
        ends |= {(port.protocol, endpoint.address, endpoint.port) for endpoint in endpoints if endpoint.port}
    if not ends:
        raise TraceError(f'Service {service.label} has neither an address nor an endpoint with a port')
    return Scope(node_netns, (), frozenset(ends))


def plan_filter(scope: Scope, wanted: PacketFilter, interfaces: dict[str, int]) -> PacketFilter:
    """What the kernel is told: the ports of a Service, too, if they are not too many. TraceError: no such interface."""
    names = scope.interfaces or tuple(
        name for name in interfaces if name != LOOPBACK and not name.startswith(PORT_PREFIX)
    )
    if missing := [name for name in names if name not in interfaces]:
        raise TraceError(f'there is no interface {missing[0]} to capture on')
    ports = tuple(sorted({port for _, _, port in scope.ends}))
    return msgspec.structs.replace(
        wanted,
        interfaces=tuple(interfaces[name] for name in names),
        ports=wanted.ports or (ports if len(ports) <= MOST else ()),
    )


def capture(
    scope: Scope, wanted: PacketFilter, limits: Limits, wake: int, started: Callable[[], None],
    each: Callable[[Frame], None], pause: Callable[[], None],
) -> Counts:  # fmt: skip
    """Give each packet to ``each`` until a limit is met or ``wake`` can be read; ``pause`` is called before it waits,
    and ``started`` when from now on nothing is missed."""
    with opened(scope.netns) as namespace, inside(namespace):
        source = PacketSocket(plan_filter(scope, wanted, list_interfaces()), limits.snaplen)
    captured = 0
    try:
        deadline = time.monotonic() + limits.seconds if limits.seconds else None
        started()
        for frame in source.frames(wake, deadline, time.monotonic):
            if frame is None:
                pause()
            elif scope.holds(frame):
                each(frame)
                captured += 1
                if captured == limits.count:
                    break
        pause()
        return Counts(captured, source.dropped())
    finally:
        source.close()
