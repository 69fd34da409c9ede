"""What the machine itself gets of a cluster: one veth, and of each IP family routes, an nftables table, forwarding.

```
   machine                                             Node's namespace
   nk-CLUSTER  10.244.240.1  ======================  machine      (10.244.240.2 is on the bridge)
   10.244.0.0/16 via 10.244.240.2  (Pods)              default via 10.244.240.1
   10.96.0.0/16  via 10.244.240.2  (Services)
   table ip netkube-CLUSTER: masquerade what comes from Pods and leaves elsewhere
```

With IPv6 the same link has ``fd00:10:244:f0::1``, the routes are ``fd00:10:244::/56`` and ``fd00:10:96::/112``, and the
table is ``ip6 netkube-CLUSTER``. The link has IPv6 only then, and nothing on it is found out by multicast.

So the machine's processes reach Pods and Services, and Pods reach what the machine reaches, with the machine's
address. A cluster without host access has no ``MachineLink`` at all: nothing of it is on the machine, and its Pods
have no way out either.

A machine whose own firewall drops forwarded packets (Docker and firewalld do) drops those of Pods, too; no table of
ours can overrule it, and other people's tables are not touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from netkube.api.families import IPV4, IPV6, Network, host_network
from netkube.network import forwarding, sysctl
from netkube.network.addresses import ensure_address, mac_of
from netkube.network.links import (
    NAME_LENGTH,
    Link,
    Peer,
    add_veth,
    delete_link,
    find_link,
    find_pair,
    get_link,
    list_links,
    set_up,
    without_ipv6_addresses,
)
from netkube.network.namespaces import NamespaceThread, inside, opened
from netkube.network.neighbours import ensure_neighbour
from netkube.network.netlink import Message, Netlink, netlink_in
from netkube.network.nft import Nft
from netkube.network.plan import AddressPlan, AddressPlans
from netkube.network.routes import PROTOCOL, add_route, delete_route, ensure_default_route, ensure_route, list_routes

LINK_PREFIX = 'nk-'
NODE_LINK = 'machine'
ALIAS = 'netkube cluster '

KEYWORD = {IPV4: 'ip', IPV6: 'ip6'}  # nftables' word for the family
NO_TABLE = """
add table {family} {table}
delete table {family} {table}
"""
TABLE = (
    NO_TABLE
    + """
table {family} {table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    {family} saddr {pod_cidr} oifname != "{link}" masquerade fully-random
  }}
}}
"""
)
IPV6_OF_LINK = ('accept_ra', 0), ('disable_ipv6', 0)  # in this order


class RouteConflict(Exception):
    """The machine already has a route to one of the cluster's networks; the text says which."""


class MachineLinkConfig(msgspec.Struct, frozen=True):
    """``node_netns`` is the Node's namespace, where the node addresses are; ``record`` the file by which all clusters
    of the machine together remember its forwarding."""

    cluster: str
    node_netns: str
    plans: AddressPlans
    record: Path

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(plan.family for plan in self.plans)

    @property
    def link(self) -> str:
        return link_name(self.cluster)

    @property
    def table(self) -> str:
        return table_name(self.cluster)


def link_name(cluster: str) -> str:
    """The machine's end: the cluster's name if it fits, else its beginning and six digits of a hash."""
    name = LINK_PREFIX + cluster
    if len(name) <= NAME_LENGTH:
        return name
    digest = hashlib.sha256(cluster.encode()).hexdigest()[:6]
    return f'{name[: NAME_LENGTH - 7]}-{digest}'


def table_name(cluster: str) -> str:
    return f'netkube-{cluster}'


def used_networks(clusters_link: str = '') -> list[Network]:
    """What the machine has routes to, of both families, but for the default ones and those through ``clusters_link``:
    see ``free_plan``. Link-local addresses are every link's own."""
    with closing(Netlink()) as machine:
        own = find_link(machine, clusters_link) if clusters_link else None
        return [
            route.destination
            for route in list_routes(machine)
            if route.destination.prefixlen
            and not route.destination.is_link_local
            and not (own and route.link == own.index)
        ]


class MachineLink:
    """The machine's link to one cluster. Its methods are idempotent; what ``ensure`` made, ``remove`` undoes, also
    after a crash half-way and in another process."""

    def __init__(self, config: MachineLinkConfig) -> None:
        self.config = config
        self._thread = NamespaceThread(None)
        self._nft = Nft()

    async def ensure(self) -> None:
        """Machine and cluster reach each other, and Pods the world. Call it when the Node's network has started.

        RouteConflict, OSError or NftError, and then nothing is left of what was not there before.
        """
        await self._thread.run(_ensure, self.config, self._nft)

    async def route_services(self, ranges: Collection[Network]) -> dict[Network, str]:
        """The machine's routes to Services are to these ranges, besides the cluster's own; why not, for those that
        would take packets away from another network of the machine."""
        return await self._thread.run(_route_services, self.config, ranges)

    async def remove(self) -> None:
        """The machine is as it was, but for forwarding if another cluster still needs it."""
        await self._thread.run(_remove, self.config, self._nft)

    async def close(self) -> None:
        """End the thread and leave everything running."""
        await self._thread.closed()


def _ensure(config: MachineLinkConfig, nft: Nft) -> None:
    with (
        forwarding.exclusively(config.record),
        closing(Netlink()) as machine,
        opened(config.node_netns) as namespace,
        netlink_in(namespace) as node,
        _undone_on_failure(config, machine, nft, is_new=not find_pair(machine, config.link, node, NODE_LINK)),
    ):
        _ensure_link(config, machine, node, namespace)
        forwarding.enable(config.record, config.families)
        nft.run(_tables(config, TABLE))


def _remove(config: MachineLinkConfig, nft: Nft) -> None:
    with forwarding.exclusively(config.record), closing(Netlink()) as machine:
        _undo(config, machine, nft)


def _undo(config: MachineLinkConfig, machine: Netlink, nft: Nft) -> None:
    try:
        nft.run(_tables(config, NO_TABLE))
    finally:
        machine.request(delete_link(config.link))
        if not any(link.alias.startswith(ALIAS) for link in list_links(machine)):
            forwarding.restore(config.record)


@contextmanager
def _undone_on_failure(config: MachineLinkConfig, machine: Netlink, nft: Nft, is_new: bool) -> Iterator[None]:
    """A link that was there before, and may carry traffic, is not torn down because it could not be checked."""
    try:
        yield
    except Exception:
        if is_new:
            _undo(config, machine, nft)
        raise


def _tables(config: MachineLinkConfig, template: str) -> str:
    return '\n'.join(
        template.format(family=KEYWORD[plan.family], table=config.table, pod_cidr=plan.pod_cidr, link=config.link)
        for plan in config.plans
    )


def _ensure_link(config: MachineLinkConfig, machine: Netlink, node: Netlink, namespace: int) -> None:
    pair = find_pair(machine, config.link, node, NODE_LINK) or _add_link(config, machine, node, namespace)
    machine.request(without_ipv6_addresses(config.link), set_up(config.link, alias=ALIAS + config.cluster))
    node.request(without_ipv6_addresses(NODE_LINK), set_up(NODE_LINK))
    if IPV6 in config.families:
        _enable_ipv6(config.link)
        with inside(namespace):
            _enable_ipv6(NODE_LINK)
    primary = config.plans[0]
    for plan in config.plans:
        machine.request(*_machine_side(plan, pair[0], mac_of(primary.node_address)))
        node.request(*_node_side(plan, pair[1], mac_of(primary.machine_address)))
    _ensure_routes(config, machine, pair[0])


def _enable_ipv6(link: str) -> None:
    for name, value in IPV6_OF_LINK:
        sysctl.ensure(f'net/ipv6/conf/{link}/{name}', value)


def _add_link(config: MachineLinkConfig, machine: Netlink, node: Netlink, namespace: int) -> tuple[Link, Link]:
    """A new veth in place of whatever carries one of the two names, which are ours."""
    primary = config.plans[0]
    peer = Peer(NODE_LINK, namespace, mac_of(primary.node_address))
    machine.request(delete_link(config.link))
    node.request(delete_link(NODE_LINK))
    machine.request(add_veth(config.link, mac_of(primary.machine_address), peer))
    return get_link(machine, config.link), get_link(node, NODE_LINK)


def _machine_side(plan: AddressPlan, link: Link, peer: bytes) -> list[Message]:
    return [
        ensure_address(link.index, plan.machine_address, peer=plan.node_address),
        ensure_neighbour(link.index, plan.node_address, peer),
    ]


def _node_side(plan: AddressPlan, link: Link, peer: bytes) -> list[Message]:
    machine = plan.machine_address
    return [
        ensure_neighbour(link.index, machine, peer),
        ensure_route(host_network(machine), link.index, source=plan.node_address),
        ensure_default_route(link.index, machine, source=plan.node_address),
    ]


def _ensure_routes(config: MachineLinkConfig, machine: Netlink, link: Link) -> None:
    """The machine's other routes are not ours to replace."""
    ours = {route.destination for route in list_routes(machine) if route.link == link.index}
    for plan in config.plans:
        for destination in (plan.pod_cidr, plan.service_cidr):
            if destination not in ours:
                try:
                    machine.request(add_route(destination, link.index, plan.node_address, plan.machine_address))
                except FileExistsError as error:
                    raise RouteConflict(
                        f'the machine already has a route to {destination}; choose another CIDR'
                    ) from error


def _route_services(config: MachineLinkConfig, ranges: Collection[Network]) -> dict[Network, str]:
    plans = {plan.service_cidr.version: plan for plan in config.plans}
    own = {network for plan in config.plans for network in (plan.pod_cidr, plan.service_cidr)}
    others = used_networks(config.link)
    refused: dict[Network, str] = {}
    with closing(Netlink()) as machine:
        link = get_link(machine, config.link)
        found = {r.destination for r in list_routes(machine) if r.link == link.index and r.protocol == PROTOCOL}
        for network in set(ranges) - found:
            if taken := [other for other in others if other.version == network.version and other.overlaps(network)]:
                refused[network] = f'no route from the machine to {network}: it overlaps {taken[0]}'
                continue
            plan = plans[network.version]
            machine.request(add_route(network, link.index, plan.node_address, plan.machine_address))
        machine.request(*(delete_route(network, link.index) for network in found - own - set(ranges)))
    return refused
