"""IPv4 and IPv6 as values: all that differs between the two tables ``ip netkube`` and ``ip6 netkube``."""

from __future__ import annotations

import socket

import msgspec

TABLE = 'netkube'


class Family(msgspec.Struct, frozen=True):
    name: str
    """As Kubernetes calls it: corev1.IPFamily, and the addressType of an EndpointSlice."""
    nft: str
    """As nft calls it: the table's family, and the protocol in an expression."""
    address_type: str
    socket: socket.AddressFamily
    bits: int
    loopback: str
    unreachable: str
    """What a client of anything but TCP is refused with."""
    client: str
    """Who a client of sessionAffinity ClientIP is, and of which frontend."""
    client_type: str
    know_client: str = ''
    """The statement that must come before ``client``."""

    @property
    def table(self) -> str:
        return f'{self.nft} {TABLE}'

    @property
    def frontend(self) -> str:
        return f'{self.nft} daddr . meta l4proto . th dport'


IPV4 = Family(
    name='IPv4',
    nft='ip',
    address_type='ipv4_addr',
    socket=socket.AF_INET,
    bits=32,
    loopback='127.0.0.0/8',
    unreachable='icmp port-unreachable',
    client='ip saddr . ip daddr . meta l4proto . th dport',
    client_type='ipv4_addr . ipv4_addr . inet_proto . inet_service',
)
# The statements ``update`` and ``delete`` of a map take a key of 16 bytes at most: nft 1.0.6 reserves so many for it,
# and aborts the process at more. Two IPv6 addresses need 32. So the two are hashed; clients with the same hash, one
# pair in 4 billion, share an endpoint.
IPV6 = Family(
    name='IPv6',
    nft='ip6',
    address_type='ipv6_addr',
    socket=socket.AF_INET6,
    bits=128,
    loopback='::1',
    unreachable='icmpv6 port-unreachable',
    client='ct mark . meta l4proto . th dport',
    client_type='mark . inet_proto . inet_service',
    know_client='ct mark set jhash ip6 saddr . ip6 daddr mod 4294967295 seed 0x6e6b',
)
FAMILIES = {family.name: family for family in (IPV4, IPV6)}


def family_of(text: str) -> Family:
    """Of an address or CIDR that is known to be one."""
    return IPV6 if ':' in text else IPV4


def canonical(text: str) -> str:
    """An address as the kernel prints it; '' for what is none.

    Whatever passed the API's validation, nothing but an address becomes part of a command to the kernel.
    """
    family = socket.AF_INET6 if ':' in text else socket.AF_INET
    try:
        packed = socket.inet_pton(family, text)
        return socket.inet_ntop(family, packed) if family == socket.AF_INET6 else text
    except (OSError, ValueError):  # ValueError: a NUL inside
        return ''
