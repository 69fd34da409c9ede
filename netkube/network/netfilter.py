"""Netlink to netfilter: the same messages as rtnetlink's, on a socket of another protocol.

Reference: linux/netfilter/nfnetlink.h.
"""

from __future__ import annotations

import socket
import struct

from netkube.network.netlink import Message, Netlink

NETLINK_NETFILTER = 12
SUBSYSTEM_CONNTRACK, SUBSYSTEM_NFTABLES = 1, 10
NLA_F_NESTED = 0x8000
HEADER_SIZE = 4  # struct nfgenmsg


class Netfilter(Netlink):
    """A netfilter socket; it belongs to the network namespace the calling thread is in when it is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._sequence = 0


def message(
    subsystem: int, kind: int, family: int, attributes: bytes, meaning: str, already: tuple[int, ...] = ()
) -> Message:
    """One request to a subsystem of netfilter; ``family`` is socket.AF_INET or AF_UNSPEC."""
    return Message(subsystem << 8 | kind, 0, struct.pack('=BBH', family, 0, 0) + attributes, meaning, already)
