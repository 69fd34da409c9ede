"""A Node's side of the Pod network: its namespace, its bridges, and a port for each Pod.

Everything is derived from the configuration and asked of the kernel again at each start, so ``start`` over a running
network, or over half of one, ends in the same state and disturbs no connection.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import Collection, Mapping
from contextlib import closing
from ipaddress import ip_address

import msgspec

from netkube.api.families import IPV6, Address, Network, family_of
from netkube.network import namespaces, sysctl
from netkube.network.addresses import ensure_address, mac_of
from netkube.network.links import (
    NAME_LENGTH,
    add_bridge,
    delete_dying,
    delete_link,
    find_link,
    list_links,
    list_names,
    mark_dying,
    set_up,
    without_ipv6_addresses,
)
from netkube.network.namespaces import NamespaceThread
from netkube.network.neighbours import list_neighbours
from netkube.network.netlink import Message, Netlink
from netkube.network.nft import Nft
from netkube.network.plan import AddressPlan, AddressPlans
from netkube.network.ports import Bridge, Port, ensure_port, forget_address
from netkube.network.routes import PROTOCOL, delete_route, ensure_route, ensure_unreachable, list_routes
from netkube.node.bridges import Plugged, Ports
from netkube.node.hostports import HostPort, HostPorts

PORT_PREFIX = 'nk'
BRIDGE_PREFIX = 'netkube'

SETTINGS = (
    # Before any link is up: each port would flood multicast to all. Where the cluster has IPv6 the bridge and the
    # link to the machine have it, and the ports still do not: what comes in there is the bridge's.
    ('net/ipv6/conf/default/disable_ipv6', 1),
    ('net/ipv4/ip_forward', 1),
    # A namespace inherits the machine's values of the following, and a link its namespace's default.
    ('net/ipv4/conf/all/rp_filter', 1),  # a Pod cannot send as somebody outside; every path here is symmetric
    ('net/ipv4/conf/default/rp_filter', 1),
    ('net/ipv4/conf/all/send_redirects', 0),  # Pods share one bridge but cannot talk past the Node
    ('net/ipv4/conf/default/send_redirects', 0),
    # With these on, br_netfilter answers a Service's address by bridging, which the port's isolation drops. They
    # exist only where that module is loaded, and are on in every namespace from that moment.
    ('net/bridge/bridge-nf-call-iptables', 0),
    ('net/bridge/bridge-nf-call-ip6tables', 0),
    ('net/bridge/bridge-nf-call-arptables', 0),
)
IPV6_SETTINGS = (('net/ipv6/conf/all/forwarding', 1),)
# IPv6 has no rp_filter: a Pod cannot send as somebody outside.
IPV6_TABLE = """
add table ip6 netkube-node
delete table ip6 netkube-node
table ip6 netkube-node {
  chain strangers { type filter hook prerouting priority raw; fib saddr . iif oif missing drop; }
}
"""
KEEP_SECONDS = 1.0


class NodeNetworkConfig(msgspec.Struct, frozen=True):
    """``netns`` is the Node's namespace, ``plans`` the cluster's.

    The Node's addresses are all on the first bridge: ``gateway`` of its Pods, ``node_address`` (its InternalIP), and
    ``dns_vip``, where the resolver listens.
    """

    netns: str
    plans: AddressPlans

    @property
    def gateways(self) -> tuple[Address, ...]:
        return tuple(plan.gateway for plan in self.plans)

    @property
    def settings(self) -> tuple[tuple[str, int], ...]:
        return SETTINGS + (IPV6_SETTINGS if any(plan.family == IPV6 for plan in self.plans) else ())


def link_name(pod_uid: str) -> str:
    """The name of the Pod's port in the Node's namespace."""
    digest = hashlib.sha256(pod_uid.encode()).hexdigest()
    return PORT_PREFIX + digest[: NAME_LENGTH - len(PORT_PREFIX)]


def bridge_name(number: int) -> str:
    return f'{BRIDGE_PREFIX}{number}'


def write_settings(config: NodeNetworkConfig) -> None:
    for name, value in config.settings:
        sysctl.ensure_if_present(name, value)


def delete_unplugged() -> None:
    """For a thread of its own: all links marked so far are deleted at once."""
    with closing(Netlink()) as netlink:
        netlink.request(delete_dying())


class NodeNetwork:
    """Every method is idempotent. The work is done in a thread that lives in the Node's namespace."""

    def __init__(self, config: NodeNetworkConfig) -> None:
        self.config = config
        self._thread = NamespaceThread(config.netns)
        self._deleting = NamespaceThread(config.netns)  # which waits 20 ms each time; no Pod's start waits for that
        self._plane = Plane(config)
        self._host_ports = HostPorts([each for plan in config.plans for each in (plan.node_address, plan.gateway)])
        self._has_host_ports: set[str] = set()  # the uids of their Pods

    async def start(self) -> None:
        """The Node's namespace, settings, bridges and routes are there; ports of Pods that have gone are not."""
        await asyncio.to_thread(namespaces.ensure, self.config.netns)
        await self._thread.run(self._plane.ensure)

    async def run(self) -> None:
        """Keeps the settings as they are to be: Docker, for one, loads br_netfilter at its start."""
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            await self._thread.run(write_settings, self.config)
            if self._has_host_ports:
                await self._thread.run(self._host_ports.guard)

    async def open_ports(self, pod_uid: str, name: str, ports: tuple[HostPort, ...]) -> None:
        """These ports of the Node lead to the Pod; those that another Pod has, when it has gone. NftError."""
        if ports:
            await self._thread.run(self._host_ports.put, pod_uid, name, ports)
            self._has_host_ports.add(pod_uid)

    async def close_ports(self, pod_uid: str) -> None:
        """No port of the Node leads to the Pod any more."""
        if pod_uid in self._has_host_ports:
            self._has_host_ports.discard(pod_uid)
            await self._thread.run(self._host_ports.remove, pod_uid)

    async def adopt_ports(self, of_pods: Mapping[str, tuple[str, tuple[HostPort, ...]]]) -> None:
        """Those of Pods that live already, by uid; no other port leads anywhere."""
        for uid, (name, ports) in of_pods.items():
            self._host_ports.adopt(uid, name, ports)
        self._has_host_ports |= of_pods.keys()
        await self._thread.run(self._host_ports.reset)

    async def plug(self, pod_uid: str, netns: str, *addresses: Address) -> None:
        """The namespace (a name under /run/netns) has ``eth0`` with the addresses, and is reached by them.

        There is one address of each of the Node's families, in their order.

        FileNotFoundError if the namespace does not exist; OSError as the kernel has it. Nothing is left of a failure.
        """
        alias = ' '.join((pod_uid, *map(str, addresses)))
        port = Port(link_name(pod_uid), netns, addresses, alias)
        await self._thread.run(self._plane.plug, port)

    async def unplug(self, pod_uid: str) -> None:
        """The Pod has no link, and the Node does not know its address any more."""
        await self.unplug_link(link_name(pod_uid))

    async def unplug_link(self, link: str) -> None:
        """As ``unplug``, for one of ``ports`` whose Pod nobody remembers."""
        await self._thread.run(self._plane.unplug, link)
        await self._deleting.run(delete_unplugged)

    async def route_services(self, ranges: Collection[Network]) -> None:
        """The ranges of Services are these, besides the cluster's own."""
        await self._thread.run(self._plane.route_services, ranges)

    async def ports(self) -> set[str]:
        """The names (see ``link_name``) of the ports that exist."""
        return await self._thread.run(list_names, PORT_PREFIX)

    async def stop(self) -> None:
        """The Node's namespace is gone, with all that is in it and with the Pods' links."""
        await self.close()
        await asyncio.to_thread(namespaces.delete, self.config.netns)

    async def close(self) -> None:
        """Let go of the namespace and leave everything running."""
        await self._deleting.closed()
        await self._thread.closed()
        self._plane.close()


class Plane:
    """What ``NodeNetwork`` does in its thread. Remembers bridge and addresses of each port, which the kernel may not: a
    veth goes with the Pod's namespace, its route and its neighbour entry stay."""

    def __init__(self, config: NodeNetworkConfig) -> None:
        self._config = config
        self._netlink: Netlink | None = None
        self._ports = Ports()

    def ensure(self) -> None:
        config = self._config
        write_settings(config)
        netlink = self._opened()
        netlink.request(delete_dying(), set_up('lo'))
        bridge = self._ensure_bridge(0)
        for plan in config.plans:
            if plan.family == IPV6:
                Nft().run(IPV6_TABLE)
            netlink.request(*_bridge_side(plan, bridge.index))
        self._find_ports(netlink)

    def plug(self, port: Port) -> None:
        known = self._ports.get(port.link)
        if known is not None and known.addresses != port.addresses:
            self.unplug(port.link)
            delete_unplugged()
        for number in self._ports.bridges_for(port.link):
            try:
                self._plug(port, number)
                return
            except OSError as error:
                if error.errno != errno.EXFULL:  # ports that are still to be deleted count, too
                    raise

    def unplug(self, link: str) -> None:
        """The addresses are unknown; the link is marked for ``delete_unplugged``."""
        self._opened().request(mark_dying(link), *self._forget(self._ports.get(link)))
        empty = self._ports.remove(link)
        if empty:
            self._opened().request(delete_link(bridge_name(empty)))

    def route_services(self, ranges: Collection[Network]) -> None:
        netlink, bridge = self._opened(), self._bridge(0).index
        found = service_routes(netlink, bridge)
        wanted = {cidr for plan in self._config.plans for cidr in (plan.service_cidr, plan.load_balancer_cidr)}
        wanted |= set(ranges)
        sources = {plan.family: plan.node_address for plan in self._config.plans}
        netlink.request(*(ensure_route(one, bridge, source=sources[family_of(one)]) for one in wanted - found))
        netlink.request(*(delete_route(one, bridge) for one in found - wanted))

    def close(self) -> None:
        if self._netlink:
            self._netlink.close()

    def _plug(self, port: Port, number: int) -> None:
        try:
            bridge = self._bridge(number)
        except OSError:  # there is none of that name yet
            bridge = self._ensure_bridge(number)
        self._ports.add(port.link, Plugged(port.addresses, number))
        ensure_port(self._opened(), bridge, port)

    def _forget(self, port: Plugged | None) -> list[Message]:
        if port is None:
            return []
        try:
            bridge = self._bridge(port.bridge)
        except OSError:  # it is gone, and all that was known of it
            return []
        return [message for address in port.addresses for message in forget_address(bridge, address)]

    def _find_ports(self, netlink: Netlink) -> None:
        """Learns what is there, and forgets the addresses of ports that have gone, and bridges that are empty."""
        links = list_links(netlink)
        bridges = {link.index: number for link in links if (number := bridge_number(link.name)) is not None}
        for link in links:
            if link.name.startswith(PORT_PREFIX) and link.alias:
                addresses = tuple(ip_address(word) for word in link.alias.split()[1:])
                self._ports.add(link.name, Plugged(addresses, bridges.get(link.master, 0)))
        for index, number in bridges.items():
            known = self._ports.addresses_on(number)
            if number and not known:
                netlink.request(delete_link(bridge_name(number)))
                continue
            for address in set(list_neighbours(netlink, index)) - known:
                netlink.request(*forget_address(Bridge(index, self._config.gateways), address))

    def _ensure_bridge(self, number: int) -> Bridge:
        netlink, name = self._opened(), bridge_name(number)
        if not find_link(netlink, name):
            netlink.request(add_bridge(name, mac_of(self._config.gateways[0])))
        netlink.request(without_ipv6_addresses(name), set_up(name))
        if any(plan.family == IPV6 for plan in self._config.plans):
            sysctl.ensure(f'net/ipv6/conf/{name}/disable_ipv6', 0)
        return self._bridge(number)

    def _bridge(self, number: int) -> Bridge:
        return Bridge(self._opened().index_of(bridge_name(number)), self._config.gateways)

    def _opened(self) -> Netlink:
        """Opened by the first call in the thread: a socket belongs to the namespace in which it was made."""
        if self._netlink is None:
            self._netlink = Netlink()
        return self._netlink


def bridge_number(name: str) -> int | None:
    """None for a link that is none of the Node's bridges."""
    number = name.removeprefix(BRIDGE_PREFIX)
    return int(number) if number != name and number.isdigit() else None


def _bridge_side(plan: AddressPlan, bridge: int) -> list[Message]:
    return [
        *(ensure_address(bridge, address) for address in (plan.gateway, plan.node_address, plan.dns_vip)),
        # What no Pod has is refused here and does not travel back and forth between Node and machine.
        ensure_unreachable(plan.pod_cidr),
        # A Service's address is rewritten before it is routed, and so is a load balancer's. What is not still has to
        # reach the forward hook, where it is refused, and a process of the Node itself needs a route to get as far as
        # the output hook. It goes with the Node's address: by itself IPv6 takes the one most like the destination,
        # the resolver's, whose packets are not tracked.
        ensure_route(plan.service_cidr, bridge, source=plan.node_address),
        ensure_route(plan.load_balancer_cidr, bridge, source=plan.node_address),
    ]


def service_routes(netlink: Netlink, bridge: int) -> set[Network]:
    """Our routes through the bridge that are not of a single Pod."""
    routes = (route for route in list_routes(netlink) if route.link == bridge and route.protocol == PROTOCOL)
    return {route.destination for route in routes if route.destination.prefixlen < route.destination.max_prefixlen}
