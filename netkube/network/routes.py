"""Routes of the main table."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import ip_network
from sys import byteorder

import msgspec

from netkube.api.families import Address, Network, everywhere, socket_family
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

UNSPECIFIED = {socket.AF_INET: bytes(4), socket.AF_INET6: bytes(16)}


class Route(msgspec.Struct, frozen=True):
    """A row of the main table; ``link`` is 0 for a route that names none (unreachable, several next hops)."""

    destination: Network
    link: int
    protocol: int


def ensure_route(
    destination: Network, link: int, via: Address | None = None, source: Address | None = None
) -> Message:
    """The destination is reached through the link: by the gateway ``via``, taken to be on the link, or directly.

    A route to the same destination, whoever made it, is replaced: for namespaces that are ours.
    """
    return _route(destination, link, via, source, NLM_F_CREATE | NLM_F_REPLACE)


def ensure_default_route(link: int, via: Address, source: Address | None = None) -> Message:
    """The gateway's family goes there, but for what has a narrower route."""
    return ensure_route(everywhere(via), link, via, source)


def add_route(destination: Network, link: int, via: Address, source: Address) -> Message:
    """As ``ensure_route``, but FileExistsError if the destination has a route: for the machine, which is not ours."""
    return _route(destination, link, via, source, NLM_F_CREATE | NLM_F_EXCL)


def ensure_unreachable(destination: Network) -> Message:
    """Packets that no narrower route takes are refused with ICMP host unreachable."""
    return Message(
        RTM_NEWROUTE,
        NLM_F_CREATE | NLM_F_REPLACE,
        _header(destination, RT_SCOPE_UNIVERSE, RTN_UNREACHABLE, 0) + attribute(RTA_DST, _packed(destination)),
        f'add unreachable route {destination}',
    )


def delete_route(destination: Network, link: int) -> Message:
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
    """All routes of the main table, of both families."""
    request = Message(RTM_GETROUTE, 0, RTMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0), 'list routes')
    return [route for body in netlink.dump(request) if (route := parse_route(body))]


def parse_route(body: bytes) -> Route | None:
    """None if it is not in the main table, or of another family (MPLS, multicast)."""
    family, length, _, _, table, protocol, _, _, _ = RTMSG.unpack_from(body)
    if table != RT_TABLE_MAIN or family not in UNSPECIFIED:
        return None
    attributes = parse_attributes(body[RTMSG.size :])
    return Route(
        ip_network((attributes.get(RTA_DST, UNSPECIFIED[family]), length)),
        int.from_bytes(attributes.get(RTA_OIF, b''), byteorder),
        protocol,
    )


def _route(
    destination: Network, link: int, via: Address | None, source: Address | None, flags: int
) -> Message:
    scope, onlink = (RT_SCOPE_UNIVERSE, RTNH_F_ONLINK) if via else (RT_SCOPE_LINK, 0)
    body = _header(destination, scope, RTN_UNICAST, onlink)
    body += attribute(RTA_DST, _packed(destination)) + number(RTA_OIF, link)
    if via:
        body += attribute(RTA_GATEWAY, via.packed)
    if source:
        body += attribute(RTA_PREFSRC, source.packed)
    return Message(RTM_NEWROUTE, flags, body, f'add route {destination} through link {link}')


def _header(destination: Network, scope: int, kind: int, flags: int) -> bytes:
    family, length = socket_family(destination), destination.prefixlen
    return RTMSG.pack(family, length, 0, 0, RT_TABLE_MAIN, PROTOCOL, scope, kind, flags)


def _packed(destination: Network) -> bytes:
    return destination.network_address.packed
