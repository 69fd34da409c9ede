"""Connection tracking of the current network namespace: forgetting flows whose translation has become wrong.

For TCP a connection ends with its endpoint. A UDP flow has no end: as long as packets come, the kernel sends
them where the first one went.

References: linux/netfilter/nfnetlink_conntrack.h; the filter of a dump came with Linux 5.8.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection, Mapping

from netkube.network.netfilter import HEADER_SIZE, NLA_F_NESTED, SUBSYSTEM_CONNTRACK, Netfilter, message
from netkube.network.netlink import Message, attribute, nested, number, parse_attributes

Address = tuple[str, int]
"""An IPv4 or IPv6 address and a port; the address '' is any."""

DELETED_AT_ONCE = 100  # so that the kernel's answers fit in the socket

CT_GET, CT_DELETE = 1, 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_FILTER = 1, 2, 25
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
CTA_FILTER_ORIG_FLAGS = 1
# The attributes of the source and of the destination: CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC, CTA_IP_V6_DST.
ADDRESSES: dict[int, tuple[int, int]] = {socket.AF_INET: (1, 2), socket.AF_INET6: (3, 4)}
FILTER_IP_DST, FILTER_PROTO_NUM, FILTER_DST_PORT = 1 << 1, 1 << 3, 1 << 5


class Conntrack:
    """Belongs to the thread, and so to the network namespace, that first uses it, as ``Nft`` does."""

    def __init__(self) -> None:
        self._netfilter: Netfilter | None = None

    def delete_udp_flows(self, destinations: Mapping[Address, Collection[Address]]) -> int:
        """Forget each UDP flow to one of ``destinations`` that does not end at one of the addresses given for it.

        That includes flows that were not translated at all. The number of flows forgotten is returned; OSError.
        """
        deleted = 0
        for family in ADDRESSES:
            of_family = {to: ends for to, ends in destinations.items() if not to[0] or _family(to[0]) == family}
            if of_family:
                deleted += self._delete_of_family(family, of_family)
        return deleted

    def _delete_of_family(self, family: int, destinations: Mapping[Address, Collection[Address]]) -> int:
        if self._netfilter is None:  # kept: the kernel takes milliseconds to close such a socket
            self._netfilter = Netfilter()
        flows = self._netfilter.iterate(_list_flows(family, destinations))
        parsed = (parse_attributes(body[HEADER_SIZE:]) for body in flows)
        stale = [flow[CTA_TUPLE_ORIG] for flow in parsed if _is_stale(family, flow, destinations)]
        for start in range(0, len(stale), DELETED_AT_ONCE):
            part = stale[start : start + DELETED_AT_ONCE]
            self._netfilter.request(*(_delete_flow(family, original) for original in part))
        return len(stale)


def _family(address: str) -> int:
    return socket.AF_INET6 if ':' in address else socket.AF_INET


def _is_stale(family: int, flow: Mapping[int, bytes], destinations: Mapping[Address, Collection[Address]]) -> bool:
    source, destination = ADDRESSES[family]
    to = _address(family, flow[CTA_TUPLE_ORIG], destination, CTA_PROTO_DST_PORT)
    endpoints = destinations.get(to, destinations.get(('', to[1])))
    if endpoints is None:
        return False
    return _address(family, flow[CTA_TUPLE_REPLY], source, CTA_PROTO_SRC_PORT) not in endpoints


def _list_flows(family: int, destinations: Collection[Address]) -> Message:
    """The UDP flows to these destinations and maybe others. (One dump, as each walks the kernel's whole table.)"""
    udp = attribute(CTA_PROTO_NUM, bytes([socket.IPPROTO_UDP]))
    if len(destinations) > 1:
        return _list_filtered(family, b'', udp, FILTER_PROTO_NUM)
    [(address, port)] = destinations
    to_port = udp + attribute(CTA_PROTO_DST_PORT, struct.pack('>H', port))
    if not address:
        return _list_filtered(family, b'', to_port, FILTER_PROTO_NUM | FILTER_DST_PORT)
    to_address = attribute(ADDRESSES[family][1], socket.inet_pton(family, address))
    return _list_filtered(family, to_address, to_port, FILTER_IP_DST | FILTER_PROTO_NUM | FILTER_DST_PORT)


def _list_filtered(family: int, addresses: bytes, protocol: bytes, flags: int) -> Message:
    parts = _nested(CTA_TUPLE_IP, addresses), _nested(CTA_TUPLE_PROTO, protocol)
    wanted = _nested(CTA_TUPLE_ORIG, *parts) + _nested(CTA_FILTER, number(CTA_FILTER_ORIG_FLAGS, flags))
    return message(SUBSYSTEM_CONNTRACK, CT_GET, family, wanted, 'list UDP flows')


def _delete_flow(family: int, original: bytes) -> Message:
    """``original`` is the flow's tuple as the kernel encoded it. One that has expired meanwhile is fine."""
    which = _nested(CTA_TUPLE_ORIG, original)
    return message(SUBSYSTEM_CONNTRACK, CT_DELETE, family, which, 'delete UDP flow', (errno.ENOENT,))


def _address(family: int, part: bytes, ip: int, port: int) -> Address:
    both = parse_attributes(part)
    addresses, ports = parse_attributes(both[CTA_TUPLE_IP]), parse_attributes(both[CTA_TUPLE_PROTO])
    return socket.inet_ntop(family, addresses[ip]), int.from_bytes(ports[port], 'big')


def _nested(kind: int, *attributes: bytes) -> bytes:
    return nested(kind | NLA_F_NESTED, *attributes)
