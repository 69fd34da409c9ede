"""Links: bridges, and veths whose other end is in another namespace."""

from __future__ import annotations

import errno
import socket
import struct
from sys import byteorder

import msgspec

from netkube.network.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Message,
    Netlink,
    attribute,
    nested,
    number,
    parse_attributes,
    text,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO = 1, 3, 5, 10, 18
IFLA_IFALIAS, IFLA_AF_SPEC, IFLA_GROUP, IFLA_NET_NS_FD, IFLA_EXT_MASK = 20, 26, 27, 28, 29
IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE = 8, 1
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
VETH_INFO_PEER = 1
IFLA_BR_FORWARD_DELAY, IFLA_BR_STP_STATE, IFLA_BR_MCAST_SNOOPING = 1, 5, 23
IFLA_BRPORT_LEARNING, IFLA_BRPORT_UNICAST_FLOOD, IFLA_BRPORT_MCAST_FLOOD = 8, 9, 27
IFLA_BRPORT_BCAST_FLOOD, IFLA_BRPORT_ISOLATED = 30, 33
RTEXT_FILTER_SKIP_STATS = 8
IFF_UP = 1
IFINFOMSG = struct.Struct('=BxHiII')  # family, hardware type, index, flags, changed flags

NAME_LENGTH = 15
"""The kernel's IFNAMSIZ without the closing zero."""

NO_GROUP, DYING_GROUP = 0, 107
"""Deleting a link takes some 20 ms, most of it waiting for RCU, however many are deleted by one request. A request
can name a group, so links that are to go are put into one."""


class Link(msgspec.Struct, frozen=True):
    """``peer`` is the index, in its own namespace, of a veth's other end; 0 for other links."""

    index: int
    name: str
    peer: int
    master: int
    alias: str


class Peer(msgspec.Struct, frozen=True):
    """The other end of a veth that is to be made; ``namespace`` is a file descriptor."""

    name: str
    namespace: int
    mac: bytes


def add_bridge(name: str, mac: bytes) -> Message:
    """A bridge that is up at once: no spanning tree, no waiting, and no multicast snooping."""
    options = nested(
        IFLA_INFO_DATA,
        number(IFLA_BR_FORWARD_DELAY, 0),
        number(IFLA_BR_STP_STATE, 0),
        attribute(IFLA_BR_MCAST_SNOOPING, b'\0'),
    )
    return Message(
        RTM_NEWLINK,
        NLM_F_CREATE | NLM_F_EXCL,
        IFINFOMSG.pack(0, 0, 0, IFF_UP, IFF_UP)
        + text(IFLA_IFNAME, name)
        + attribute(IFLA_ADDRESS, mac)
        + nested(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, b'bridge'), options),
        f'add bridge {name}',
    )


def add_veth(name: str, mac: bytes, peer: Peer, master: int = 0) -> Message:
    """A veth here, as a port of the bridge ``master`` if that is not 0, and its peer in the other namespace.

    Both are down: the kernel answers ENOTCONN if a peer is to come up before it has its other end.
    """
    other = IFINFOMSG.pack(0, 0, 0, 0, 0)
    other += text(IFLA_IFNAME, peer.name) + attribute(IFLA_ADDRESS, peer.mac) + number(IFLA_NET_NS_FD, peer.namespace)
    info = nested(
        IFLA_LINKINFO,
        attribute(IFLA_INFO_KIND, b'veth'),
        nested(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, other)),
    )
    return Message(
        RTM_NEWLINK,
        NLM_F_CREATE | NLM_F_EXCL,
        IFINFOMSG.pack(0, 0, 0, 0, 0)
        + text(IFLA_IFNAME, name)
        + attribute(IFLA_ADDRESS, mac)
        + (number(IFLA_MASTER, master) if master else b'')
        + info,
        f'add veth {name} with {peer.name}',
    )


def isolate_port(name: str, alias: str) -> Message:
    """The bridge port is up; it exchanges frames with the bridge itself only, and nothing is flooded or learnt."""
    options = (
        (IFLA_BRPORT_ISOLATED, b'\1'),
        (IFLA_BRPORT_LEARNING, b'\0'),
        (IFLA_BRPORT_UNICAST_FLOOD, b'\0'),
        (IFLA_BRPORT_MCAST_FLOOD, b'\0'),
        (IFLA_BRPORT_BCAST_FLOOD, b'\0'),
    )
    info = nested(
        IFLA_LINKINFO,
        attribute(IFLA_INFO_SLAVE_KIND, b'bridge'),
        nested(IFLA_INFO_SLAVE_DATA, *(attribute(kind, value) for kind, value in options)),
    )
    return _change(name, text(IFLA_IFALIAS, alias) + number(IFLA_GROUP, NO_GROUP) + info, f'isolate bridge port {name}')


def set_master(name: str, bridge: int) -> Message:
    return _change(name, number(IFLA_MASTER, bridge), f'make {name} a port of link {bridge}')


def set_up(name: str, alias: str = '') -> Message:
    return _change(name, text(IFLA_IFALIAS, alias) if alias else b'', f'set {name} up')


def delete_link(name: str) -> Message:
    """The link is gone, and of a veth the other end, too, with the routes and neighbours of both."""
    return Message(
        RTM_DELLINK,
        0,
        IFINFOMSG.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name),
        f'delete link {name}',
        already=(errno.ENODEV,),
    )


def without_ipv6_addresses(name: str) -> Message:
    """The link, still down, will not give itself an IPv6 address, with all the multicast that goes with it.

    The same by sysctl (disable_ipv6) slows down with each namespace of the machine: /proc/sys/net keeps a
    namespace's entries of one name in one hash chain with those of all others.
    """
    mode = attribute(IFLA_INET6_ADDR_GEN_MODE, bytes([IN6_ADDR_GEN_MODE_NONE]))
    body = IFINFOMSG.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name) + nested(IFLA_AF_SPEC, nested(socket.AF_INET6, mode))
    meaning = f'no IPv6 autoconfiguration of {name}'
    return Message(RTM_NEWLINK, 0, body, meaning, already=(errno.EAFNOSUPPORT,))  # a kernel without IPv6


def mark_dying(name: str) -> Message:
    """The link, if it exists, goes with the next ``delete_dying``."""
    body = IFINFOMSG.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name) + number(IFLA_GROUP, DYING_GROUP)
    return Message(RTM_NEWLINK, 0, body, f'mark {name} for deletion', already=(errno.ENODEV,))


def delete_dying() -> Message:
    """All marked links of the namespace are gone."""
    body = IFINFOMSG.pack(0, 0, 0, 0, 0) + number(IFLA_GROUP, DYING_GROUP)
    return Message(RTM_DELLINK, 0, body, 'delete the marked links', already=(errno.ENODEV,))


def find_link(netlink: Netlink, name: str) -> Link | None:
    body = IFINFOMSG.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name) + number(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    found = netlink.get(Message(RTM_GETLINK, 0, body, f'find link {name}', already=(errno.ENODEV,)))
    return parse_link(found) if found else None


def get_link(netlink: Netlink, name: str) -> Link:
    """OSError (ENODEV) if there is none."""
    if found := find_link(netlink, name):
        return found
    raise OSError(errno.ENODEV, f'no link {name}')


def list_links(netlink: Netlink) -> list[Link]:
    body = IFINFOMSG.pack(0, 0, 0, 0, 0) + number(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    return [parse_link(found) for found in netlink.dump(Message(RTM_GETLINK, 0, body, 'list links'))]


def list_names(prefix: str = '') -> set[str]:
    """The names of the links of the calling thread's namespace; much cheaper than ``list_links``."""
    return {name for _, name in socket.if_nameindex() if name.startswith(prefix)}


def find_pair(here: Netlink, name: str, there: Netlink, peer: str) -> tuple[Link, Link] | None:
    """The two ends of a veth if these two are the ends of one and the same.

    Each points to the other's index. One of them could point at a like-numbered stranger in a third namespace,
    but not both: an index names one link of its namespace, and that has one peer.
    """
    one, other = find_link(here, name), find_link(there, peer)
    if one and other and one.peer == other.index and other.peer == one.index:
        return one, other
    return None


def parse_link(body: bytes) -> Link:
    _, _, index, _, _ = IFINFOMSG.unpack_from(body)
    attributes = parse_attributes(body[IFINFOMSG.size :])
    return Link(
        index,
        _text(attributes, IFLA_IFNAME),
        int.from_bytes(attributes.get(IFLA_LINK, b''), byteorder),
        int.from_bytes(attributes.get(IFLA_MASTER, b''), byteorder),
        _text(attributes, IFLA_IFALIAS),
    )


def _text(attributes: dict[int, bytes], kind: int) -> str:
    return attributes.get(kind, b'').rstrip(b'\0').decode()


def _change(name: str, attributes: bytes, meaning: str) -> Message:
    body = IFINFOMSG.pack(0, 0, 0, IFF_UP, IFF_UP) + text(IFLA_IFNAME, name) + attributes
    return Message(RTM_NEWLINK, 0, body, meaning)
