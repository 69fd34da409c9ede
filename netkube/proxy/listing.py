"""What the kernel's maps hold, in the form in which the ruleset writes it.

Pure: bytes of a dump to text. 200,000 elements pass here when somebody else has changed nftables.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from sys import byteorder

from netkube.network.nftdump import Element
from netkube.proxy.families import Family
from netkube.proxy.ruleset import NODE

PROTOCOLS = {6: 'tcp', 17: 'udp', 132: 'sctp'}

Read = Callable[[Element], tuple[str, str]]
"""An element's key and value; the value is '' in a set."""


def texts_of(family: Family, name: str, elements: Iterable[Element]) -> Iterator[tuple[str, str]]:
    """The keys and values of the map or set ``name``."""
    return map(_reader(family, name), elements)


def _reader(family: Family, name: str) -> Read:
    if name == 'cluster-ips':
        return lambda element: (socket.inet_ntop(family.socket, element.key), '')
    if name == 'sources':
        return lambda element: _read_source(family, element)
    with_address = NODE not in name
    port = _port_of_address(family) if with_address else _port_of_node
    size = (family.bits // 8 if with_address else 0) + 8
    if name == 'guarded':
        return lambda element: (port(element.key), '')
    if name.endswith('services'):
        return lambda element: (port(element.key), _mark(element.value))
    value = _read_endpoint(family) if name.endswith('endpoints') else _mark
    return lambda element: (f'{port(element.key)} . {_mark(element.key[size:])}', value(element.value))


def _port_of_address(family: Family) -> Callable[[bytes], str]:
    unpack, ntop, af = struct.Struct(f'>{family.bits // 8}sB3xH').unpack_from, socket.inet_ntop, family.socket

    def read(key: bytes) -> str:
        address, protocol, port = unpack(key)
        return f'{ntop(af, address)} . {PROTOCOLS.get(protocol, protocol)} . {port}'

    return read


def _port_of_node(key: bytes) -> str:
    protocol, port = struct.unpack_from('>B3xH', key)
    return f'{PROTOCOLS.get(protocol, protocol)} . {port}'


def _read_endpoint(family: Family) -> Callable[[bytes], str]:
    unpack, ntop, af = struct.Struct(f'>{family.bits // 8}sH').unpack_from, socket.inet_ntop, family.socket

    def read(value: bytes) -> str:
        address, port = unpack(value)
        return f'{ntop(af, address)} . {port}'

    return read


def _mark(data: bytes) -> str:
    return str(int.from_bytes(data[:4], byteorder))


def _read_source(family: Family, element: Element) -> tuple[str, str]:
    """A prefix is kept as its first and its last address."""
    size = family.bits // 8
    first, last = element.key[-size:], element.end[-size:]
    host_bits = (int.from_bytes(first, 'big') ^ int.from_bytes(last, 'big')).bit_length()
    prefix = f'{socket.inet_ntop(family.socket, first)}/{family.bits - host_bits}'
    return f'{_port_of_address(family)(element.key)} . {prefix}', ''
