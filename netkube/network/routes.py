"""Routes of the main table."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import IPv4Address, IPv4Network
from sys import byteorder

import msgspec

from netkube.network.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    Netlink,
    attribute,
    number,
    parse_attributes,
)

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC = 1, 4, 5, 6, 7
RT_TABLE_MAIN = 254
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_NOWHERE = 0, 253, 255
RTN_UNICAST, RTN_UNREACHABLE = 1, 7
RTNH_F_ONLINK = 4
RTMSG = struct.Struct('=BBBBBBBBI')  # family, dst len, src len, tos, table, protocol, scope, type, flags

PROTOCOL = 107
"""Who made a route, as ``ip route`` shows it (``proto 107``): netkube. Unassigned in iproute2's rt_protos; a ``k``."""

DEFAULT = IPv4Network('0.0.0.0/0')


class Route(msgspec.Struct, frozen=True):
    """A row of the main table; ``link`` is 0 for a route that names none (unreachable, several next hops)."""

    destination: IPv4Network
    link: int
    protocol: int


def ensure_route(
    destination: IPv4Network, link: int, via: IPv4Address | None = None, source: IPv4Address | None = None
) -> Message:
    """The destination is reached through the link: by the gateway ``via``, taken to be on the link, or directly.

    A route to the same destination, whoever made it, is replaced: for namespaces that are ours.
    """
    return _route(destination, link, via, source, NLM_F_CREATE | NLM_F_REPLACE)


def add_route(destination: IPv4Network, link: int, via: IPv4Address, source: IPv4Address) -> Message:
    """As ``ensure_route``, but FileExistsError if the destination has a route: for the machine, which is not ours."""
    return _route(destination, link, via, source, NLM_F_CREATE | NLM_F_EXCL)


def ensure_unreachable(destination: IPv4Network) -> Message:
    """Packets that no narrower route takes are refused with ICMP host unreachable."""
    return Message(
        RTM_NEWROUTE,
        NLM_F_CREATE | NLM_F_REPLACE,
        _header(destination, RT_SCOPE_UNIVERSE, RTN_UNREACHABLE, 0) + attribute(RTA_DST, _packed(destination)),
        f'add unreachable route {destination}',
    )


def delete_route(destination: IPv4Network, link: int) -> Message:
    return Message(
        RTM_DELROUTE,
        0,
        _header(destination, RT_SCOPE_NOWHERE, 0, 0)
        + attribute(RTA_DST, _packed(destination))
        + number(RTA_OIF, link),
        f'delete route {destination} through link {link}',
        already=(errno.ESRCH, errno.ENODEV),
    )


def list_routes(netlink: Netlink) -> list[Route]:
    """All IPv4 routes of the main table."""
    request = Message(RTM_GETROUTE, 0, RTMSG.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0), 'list routes')
    return [route for body in netlink.dump(request) if (route := parse_route(body))]


def parse_route(body: bytes) -> Route | None:
    """None if it is not in the main table."""
    _, length, _, _, table, protocol, _, _, _ = RTMSG.unpack_from(body)
    if table != RT_TABLE_MAIN:
        return None
    attributes = parse_attributes(body[RTMSG.size :])
    return Route(
        IPv4Network((attributes.get(RTA_DST, b'\0\0\0\0'), length)),
        int.from_bytes(attributes.get(RTA_OIF, b''), byteorder),
        protocol,
    )


def _route(
    destination: IPv4Network, link: int, via: IPv4Address | None, source: IPv4Address | None, flags: int
) -> Message:
    scope, onlink = (RT_SCOPE_UNIVERSE, RTNH_F_ONLINK) if via else (RT_SCOPE_LINK, 0)
    body = _header(destination, scope, RTN_UNICAST, onlink)
    body += attribute(RTA_DST, _packed(destination)) + number(RTA_OIF, link)
    if via:
        body += attribute(RTA_GATEWAY, via.packed)
    if source:
        body += attribute(RTA_PREFSRC, source.packed)
    return Message(RTM_NEWROUTE, flags, body, f'add route {destination} through link {link}')


def _header(destination: IPv4Network, scope: int, kind: int, flags: int) -> bytes:
    return RTMSG.pack(socket.AF_INET, destination.prefixlen, 0, 0, RT_TABLE_MAIN, PROTOCOL, scope, kind, flags)


def _packed(destination: IPv4Network) -> bytes:
    return destination.network_address.packed
