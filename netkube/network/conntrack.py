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

Address = tuple[str, int]  # IPv4 address, port

DELETED_AT_ONCE = 100  # so that the kernel's answers fit in the socket

CT_GET, CT_DELETE = 1, 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_FILTER = 1, 2, 25
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC, CTA_IP_V4_DST = 1, 2
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
CTA_FILTER_ORIG_FLAGS = 1
FILTER_IP_DST, FILTER_PROTO_NUM, FILTER_DST_PORT = 1 << 1, 1 << 3, 1 << 5


class Conntrack:
    """Belongs to the thread, and so to the network namespace, that first uses it, as ``Nft`` does."""

    def __init__(self) -> None:
        self._netfilter: Netfilter | None = None

    def delete_udp_flows(self, destinations: Mapping[Address, Collection[Address]]) -> int:
        """Forget each UDP flow to one of ``destinations`` that does not end at one of the addresses given for it.

        That includes flows that were not translated at all. The number of flows forgotten is returned; OSError.
        """
        if not destinations:
            return 0
        if self._netfilter is None:  # kept: the kernel takes milliseconds to close such a socket
            self._netfilter = Netfilter()
        flows = [parse_attributes(body[HEADER_SIZE:]) for body in self._netfilter.dump(_list_flows(destinations))]
        stale = [flow[CTA_TUPLE_ORIG] for flow in flows if _is_stale(flow, destinations)]
        for start in range(0, len(stale), DELETED_AT_ONCE):
            self._netfilter.request(*map(_delete_flow, stale[start : start + DELETED_AT_ONCE]))
        return len(stale)


def _is_stale(flow: Mapping[int, bytes], destinations: Mapping[Address, Collection[Address]]) -> bool:
    endpoints = destinations.get(_address(flow[CTA_TUPLE_ORIG], CTA_IP_V4_DST, CTA_PROTO_DST_PORT))
    return endpoints is not None and _address(flow[CTA_TUPLE_REPLY], CTA_IP_V4_SRC, CTA_PROTO_SRC_PORT) not in endpoints


def _list_flows(destinations: Collection[Address]) -> Message:
    """The UDP flows to these destinations and maybe others. (One dump, as each walks the kernel's whole table.)"""
    udp = attribute(CTA_PROTO_NUM, bytes([socket.IPPROTO_UDP]))
    if len(destinations) > 1:
        return _list_filtered(b'', udp, FILTER_PROTO_NUM)
    [(address, port)] = destinations
    to_address = attribute(CTA_IP_V4_DST, socket.inet_aton(address))
    to_port = attribute(CTA_PROTO_DST_PORT, struct.pack('>H', port))
    return _list_filtered(to_address, udp + to_port, FILTER_IP_DST | FILTER_PROTO_NUM | FILTER_DST_PORT)


def _list_filtered(addresses: bytes, protocol: bytes, flags: int) -> Message:
    parts = _nested(CTA_TUPLE_IP, addresses), _nested(CTA_TUPLE_PROTO, protocol)
    wanted = _nested(CTA_TUPLE_ORIG, *parts) + _nested(CTA_FILTER, number(CTA_FILTER_ORIG_FLAGS, flags))
    return message(SUBSYSTEM_CONNTRACK, CT_GET, socket.AF_INET, wanted, 'list UDP flows')


def _delete_flow(original: bytes) -> Message:
    """``original`` is the flow's tuple as the kernel encoded it. One that has expired meanwhile is fine."""
    which = _nested(CTA_TUPLE_ORIG, original)
    return message(SUBSYSTEM_CONNTRACK, CT_DELETE, socket.AF_INET, which, 'delete UDP flow', (errno.ENOENT,))


def _address(part: bytes, ip: int, port: int) -> Address:
    both = parse_attributes(part)
    addresses, ports = parse_attributes(both[CTA_TUPLE_IP]), parse_attributes(both[CTA_TUPLE_PROTO])
    return socket.inet_ntoa(addresses[ip]), int.from_bytes(ports[port], 'big')


def _nested(kind: int, *attributes: bytes) -> bytes:
    return nested(kind | NLA_F_NESTED, *attributes)
