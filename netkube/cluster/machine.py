"""What the machine itself gets of a cluster: one veth, two routes, one nftables table, and forwarding.

```
   machine                                             Node's namespace
   nk-CLUSTER  10.244.240.1  ======================  machine      (10.244.240.2 is on the bridge)
   10.244.0.0/16 via 10.244.240.2  (Pods)              default via 10.244.240.1
   10.96.0.0/16  via 10.244.240.2  (Services)
   table ip netkube-CLUSTER: masquerade what comes from Pods and leaves elsewhere
```

So the machine's processes reach Pods and Services, and Pods reach what the machine reaches, with the machine's
address. A cluster without host access has no ``MachineLink`` at all: nothing of it is on the machine, and its Pods
have no way out either.

A machine whose own firewall drops forwarded packets (Docker and firewalld do) drops those of Pods, too; no table of
ours can overrule it, and other people's tables are not touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import msgspec

from netkube.network import forwarding
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
from netkube.network.namespaces import NamespaceThread, opened
from netkube.network.neighbours import ensure_neighbour
from netkube.network.netlink import Message, Netlink, netlink_in
from netkube.network.nft import Nft
from netkube.network.routes import DEFAULT, add_route, ensure_route, list_routes

LINK_PREFIX = 'nk-'
NODE_LINK = 'machine'
ALIAS = 'netkube cluster '

TABLE = """
add table ip {table}
delete table ip {table}
table ip {table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {pod_cidr} oifname != "{link}" masquerade fully-random
  }}
}}
"""


class RouteConflict(Exception):
    """The machine already has a route to one of the cluster's networks; the text says which."""


class MachineLinkConfig(msgspec.Struct, frozen=True):
    """``node_netns`` is the Node's namespace, where ``node_address`` is; ``record`` the file by which all clusters of
    the machine together remember its ``ip_forward``."""

    cluster: str
    node_netns: str
    machine_address: IPv4Address
    node_address: IPv4Address
    pod_cidr: IPv4Network
    service_cidr: IPv4Network
    record: Path

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


def used_networks(clusters_link: str = '') -> list[IPv4Network]:
    """What the machine has routes to, but for the default and those through ``clusters_link``: see ``free_plan``."""
    with closing(Netlink()) as machine:
        own = find_link(machine, clusters_link) if clusters_link else None
        return [
            route.destination
            for route in list_routes(machine)
            if route.destination != DEFAULT and not (own and route.link == own.index)
        ]


class MachineLink:
    """The machine's link to one cluster. Both methods are idempotent; what ``ensure`` made, ``remove`` undoes, also
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
        forwarding.enable(config.record)
        nft.run(TABLE.format(table=config.table, pod_cidr=config.pod_cidr, link=config.link))


def _remove(config: MachineLinkConfig, nft: Nft) -> None:
    with forwarding.exclusively(config.record), closing(Netlink()) as machine:
        _undo(config, machine, nft)


def _undo(config: MachineLinkConfig, machine: Netlink, nft: Nft) -> None:
    try:
        nft.run(f'add table ip {config.table}\ndelete table ip {config.table}')
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


def _ensure_link(config: MachineLinkConfig, machine: Netlink, node: Netlink, namespace: int) -> None:
    pair = find_pair(machine, config.link, node, NODE_LINK) or _add_link(config, machine, node, namespace)
    machine.request(*_machine_side(config, pair[0]))
    node.request(*_node_side(config, pair[1]))
    _ensure_routes(config, machine, pair[0])


def _add_link(config: MachineLinkConfig, machine: Netlink, node: Netlink, namespace: int) -> tuple[Link, Link]:
    """A new veth in place of whatever carries one of the two names, which are ours."""
    peer = Peer(NODE_LINK, namespace, mac_of(config.node_address))
    machine.request(delete_link(config.link))
    node.request(delete_link(NODE_LINK))
    machine.request(add_veth(config.link, mac_of(config.machine_address), peer))
    return get_link(machine, config.link), get_link(node, NODE_LINK)


def _machine_side(config: MachineLinkConfig, link: Link) -> list[Message]:
    return [
        without_ipv6_addresses(config.link),
        set_up(config.link, alias=ALIAS + config.cluster),
        ensure_address(link.index, config.machine_address, peer=config.node_address),
        ensure_neighbour(link.index, config.node_address, mac_of(config.node_address)),
    ]


def _node_side(config: MachineLinkConfig, link: Link) -> list[Message]:
    machine = config.machine_address
    return [
        set_up(NODE_LINK),
        ensure_neighbour(link.index, machine, mac_of(machine)),
        ensure_route(IPv4Network((machine, 32)), link.index, source=config.node_address),
        ensure_route(DEFAULT, link.index, via=machine, source=config.node_address),
    ]


def _ensure_routes(config: MachineLinkConfig, machine: Netlink, link: Link) -> None:
    """The machine's other routes are not ours to replace."""
    ours = {route.destination for route in list_routes(machine) if route.link == link.index}
    for destination in (config.pod_cidr, config.service_cidr):
        if destination not in ours:
            try:
                machine.request(add_route(destination, link.index, config.node_address, config.machine_address))
            except FileExistsError as error:
                raise RouteConflict(f'the machine already has a route to {destination}; choose another CIDR') from error
