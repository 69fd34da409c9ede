"""Addresses on links, and the MAC addresses derived from them."""

from __future__ import annotations

import struct

from netkube.api.families import Address, socket_family
from netkube.network.netlink import NLM_F_CREATE, NLM_F_REPLACE, Message, attribute

RTM_NEWADDR = 20
IFA_ADDRESS, IFA_LOCAL = 1, 2
IFA_F_NODAD = 0x02  # RFC 4862 duplicate detection: a second of waiting, and multicast to every port; IPv4 ignores it
IFADDRMSG = struct.Struct('=BBBBI')  # family, prefix length, flags, scope, link index


def mac_of(address: Address) -> bytes:
    """``0a:58`` and the address's last four bytes, as CNI's bridge plugin has it for IPv4."""
    return b'\x0a\x58' + address.packed[-4:]


def ensure_address(index: int, address: Address, peer: Address | None = None) -> Message:
    """The link has just that address, usable at once; with a peer, the link is the way to that one."""
    return Message(
        RTM_NEWADDR,
        NLM_F_CREATE | NLM_F_REPLACE,
        IFADDRMSG.pack(socket_family(address), address.max_prefixlen, IFA_F_NODAD, 0, index)
        + attribute(IFA_LOCAL, address.packed)
        + attribute(IFA_ADDRESS, (peer or address).packed),
        f'add address {address} to link {index}',
    )
