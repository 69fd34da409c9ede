"""IPv4 and IPv6 as values: whoever has an address knows by it what differs."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

IPV4, IPV6 = 'IPv4', 'IPv6'
"""Kubernetes' names: corev1.IPFamily."""

FAMILIES = (IPV4, IPV6)
_SOCKET = {4: socket.AF_INET, 6: socket.AF_INET6}


def family_of(value: Address | Network) -> str:
    return f'IPv{value.version}'


def socket_family(value: Address | Network) -> socket.AddressFamily:
    return _SOCKET[value.version]


def host_network(address: Address) -> Network:
    """The network of this one address: a /32, or a /128."""
    kind = IPv4Network if address.version == 4 else IPv6Network
    return kind((int(address), address.max_prefixlen))  # from an address it would go by its text, at ten times the cost


def everywhere(value: Address | Network) -> Network:
    """The destination of the value's family's default route."""
    return IPv4Network('0.0.0.0/0') if value.version == 4 else IPv6Network('::/0')
