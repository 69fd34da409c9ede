"""A Pod's link: ``eth0`` in its namespace, and at the other end a port of the Node's bridge.

```
   Pod's namespace                    Node's namespace
   eth0  10.244.0.7/32  =========  nk1f0c... (isolated port)   netkube0  10.244.0.1
   default via 10.244.0.1 onlink                               10.244.0.7 dev netkube0
```

All that goes from Pod to Pod is routed by the Node, never bridged: ports are isolated, each Pod's /32 is a route of
the Node, and both sides know each other's MAC for good, so nothing is ever broadcast. IPv6 is the same with a /128:
there are no link-local addresses, no router advertisements and no neighbour discovery. A Pod of both families has
one MAC, that of its primary address.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from netkube.api.families import Address, host_network
from netkube.network.addresses import ensure_address, mac_of
from netkube.network.links import (
    Peer,
    add_veth,
    delete_link,
    find_pair,
    isolate_port,
    set_master,
    set_up,
    without_ipv6_addresses,
)
from netkube.network.namespaces import opened
from netkube.network.neighbours import delete_neighbour, ensure_forwarding, ensure_neighbour
from netkube.network.netlink import Message, Netlink, netlink_in
from netkube.network.routes import delete_route, ensure_default_route, ensure_route

POD_LINK = 'eth0'
MAX_PORTS = 1023  # of one bridge: BR_MAX_PORTS of the kernel, and port 0 is not used


class Bridge(msgspec.Struct, frozen=True):
    """The Node's bridge: its link's index, and of each family the address that is the Pods' gateway."""

    index: int
    gateways: tuple[Address, ...]

    @property
    def mac(self) -> bytes:
        return mac_of(self.gateways[0])


class Port(msgspec.Struct, frozen=True):
    """``link`` names the Node's end, ``namespace`` (under /run/netns) holds the Pod's; ``alias`` says whose it is.

    ``addresses``: the Pod's, one of each of the bridge's families, in the same order.
    """

    link: str
    namespace: str
    addresses: tuple[Address, ...]
    alias: str

    @property
    def mac(self) -> bytes:
        return mac_of(self.addresses[0])


def ensure_port(node: Netlink, bridge: Bridge, port: Port) -> None:
    """The Pod's namespace is plugged in. If that fails nothing is left of it.

    Call it in the Node's namespace. FileNotFoundError: the Pod's namespace does not exist.
    """
    with (
        opened(port.namespace) as namespace,
        netlink_in(namespace) as pod,
        _undone_on_failure(node, bridge, port),
    ):
        _connect(node, bridge, port, pod, namespace)
        node.request(*node_side(bridge, port, node.index_of(port.link)))
        pod.request(*pod_side(pod.index_of(POD_LINK), bridge, port.addresses))


def forget_address(bridge: Bridge, address: Address) -> tuple[Message, Message]:
    return delete_route(host_network(address), bridge.index), delete_neighbour(bridge.index, address)


def node_side(bridge: Bridge, port: Port, index: int) -> list[Message]:
    messages = [ensure_forwarding(index, port.mac)]
    for address in port.addresses:
        messages.append(ensure_neighbour(bridge.index, address, port.mac))
        messages.append(ensure_route(host_network(address), bridge.index))
    return messages


def pod_side(eth0: int, bridge: Bridge, addresses: tuple[Address, ...]) -> list[Message]:
    """``lo`` is up since the namespace was made."""
    messages = [without_ipv6_addresses(POD_LINK), set_up(POD_LINK)]
    for address, gateway in zip(addresses, bridge.gateways, strict=True):
        messages.append(ensure_address(eth0, address))
        messages.append(ensure_neighbour(eth0, gateway, bridge.mac))
        messages.append(ensure_default_route(eth0, gateway))
    return messages


def _connect(node: Netlink, bridge: Bridge, port: Port, pod: Netlink, namespace: int) -> None:
    """The veth exists; one that is there already, between these two, stays."""
    add = add_veth(port.link, bridge.mac, Peer(POD_LINK, namespace, port.mac), bridge.index)
    isolate = isolate_port(port.link, port.alias)
    try:
        node.request(add, isolate)
    except FileExistsError:
        if find_pair(node, port.link, pod, POD_LINK):
            node.request(set_master(port.link, bridge.index), isolate)
        else:
            node.request(delete_link(port.link))
            pod.request(delete_link(POD_LINK))
            node.request(add, isolate)
    except OSError as error:
        if error.errno == errno.EXFULL:
            raise OSError(error.errno, f'the bridge has {MAX_PORTS} ports, the most that Linux allows') from error
        raise


@contextmanager
def _undone_on_failure(node: Netlink, bridge: Bridge, port: Port) -> Iterator[None]:
    try:
        yield
    except OSError:
        forgotten = (message for address in port.addresses for message in forget_address(bridge, address))
        node.request(delete_link(port.link), *forgotten)
        raise
