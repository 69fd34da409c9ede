"""Addresses on links, and the MAC addresses derived from them."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address

from netkube.network.netlink import NLM_F_CREATE, NLM_F_REPLACE, Message, attribute

RTM_NEWADDR = 20
IFA_ADDRESS, IFA_LOCAL = 1, 2
IFADDRMSG = struct.Struct('=BBBBI')  # family, prefix length, flags, scope, link index


def mac_of(address: IPv4Address) -> bytes:
    """``0a:58`` and the address's four bytes, as CNI's bridge plugin has it: who knows one knows the other."""
    return b'\x0a\x58' + address.packed


def ensure_address(index: int, address: IPv4Address, peer: IPv4Address | None = None) -> Message:
    """The link has ``address/32``; with a peer, the link is the way to that one."""
    return Message(
        RTM_NEWADDR,
        NLM_F_CREATE | NLM_F_REPLACE,
        IFADDRMSG.pack(socket.AF_INET, 32, 0, 0, index)
        + attribute(IFA_LOCAL, address.packed)
        + attribute(IFA_ADDRESS, (peer or address).packed),
        f'add address {address} to link {index}',
    )
