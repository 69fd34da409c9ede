"""Permanent neighbour entries, and a bridge's forwarding entries.

Who is where is known here, so nobody has to ask: no ARP, no neighbour discovery, no flooding, and no entry in the
neighbour table's limit (net.ipv4.neigh.default.gc_thresh3, and ipv6's; 1,024 for *all* namespaces of the machine
together, and settable only in the first one): permanent entries are not counted.
"""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import ip_address

from netkube.api.families import Address, socket_family
from netkube.network.netlink import NLM_F_CREATE, NLM_F_REPLACE, Message, Netlink, attribute, parse_attributes

RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
NDA_DST, NDA_LLADDR = 1, 2
NUD_NOARP, NUD_PERMANENT = 0x40, 0x80
NTF_MASTER = 0x04
NDMSG = struct.Struct('=BBHiHBB')  # family, padding, padding, link index, state, flags, type


def ensure_neighbour(index: int, address: Address, mac: bytes) -> Message:
    """On this link the address is at that MAC, for good."""
    return Message(
        RTM_NEWNEIGH,
        NLM_F_CREATE | NLM_F_REPLACE,
        NDMSG.pack(socket_family(address), 0, 0, index, NUD_PERMANENT, 0, 0)
        + attribute(NDA_DST, address.packed)
        + attribute(NDA_LLADDR, mac),
        f'add neighbour {address} to link {index}',
    )


def delete_neighbour(index: int, address: Address) -> Message:
    return Message(
        RTM_DELNEIGH,
        0,
        NDMSG.pack(socket_family(address), 0, 0, index, 0, 0, 0) + attribute(NDA_DST, address.packed),
        f'delete neighbour {address} of link {index}',
        already=(errno.ENOENT,),
    )


def ensure_forwarding(port: int, mac: bytes) -> Message:
    """The port's bridge sends frames for the MAC there.

    A bridge calls such an entry *static*, which is the neighbour state NOARP; PERMANENT would make the MAC the
    bridge's own.
    """
    return Message(
        RTM_NEWNEIGH,
        NLM_F_CREATE | NLM_F_REPLACE,
        NDMSG.pack(socket.AF_BRIDGE, 0, 0, port, NUD_NOARP, NTF_MASTER, 0) + attribute(NDA_LLADDR, mac),
        f'add forwarding entry {mac.hex(":")} to port {port}',
    )


def list_neighbours(netlink: Netlink, index: int) -> list[Address]:
    """The addresses of both families with a permanent entry on the link."""
    dump = netlink.dump(Message(RTM_GETNEIGH, 0, NDMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0), 'list neighbours'))
    found = []
    for body in dump:
        _, _, _, link, state, _, _ = NDMSG.unpack_from(body)
        if link == index and state & NUD_PERMANENT:
            found.append(ip_address(parse_attributes(body[NDMSG.size :])[NDA_DST]))
    return found
