"""A small classic BPF filter for Ethernet frames: interfaces, hosts, ports and protocols, IPv4 and IPv6.

The kernel runs it before it copies a packet to us, so what is not wanted costs next to nothing. References:
linux/filter.h (SKF_AD_*), Documentation/networking/filter.rst; tcpdump -d shows the like.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

import msgspec

INSTRUCTION = struct.Struct('=HBBI')  # struct sock_filter: code, jump if true, jump if false, k
LOAD_WORD, LOAD_HALF, LOAD_BYTE, LOAD_HALF_INDEXED, HEADER_LENGTH = 0x20, 0x28, 0x30, 0x48, 0xB1
JUMP_EQUAL, JUMP_SET, JUMP, RETURN = 0x15, 0x45, 0x05, 0x06
INTERFACE = 0xFFFFF000 + 8  # SKF_AD_OFF + SKF_AD_IFINDEX
ETHERTYPE, PAYLOAD = 12, 14
IPV4, IPV6 = 0x0800, 0x86DD
FRAGMENT_OFFSET = 0x1FFF
WHOLE_PACKET = 0x40000
PROTOCOLS = {'tcp': 6, 'udp': 17, 'sctp': 132, 'icmp': 1}
ICMPV6 = 58
WITH_PORTS = (6, 17, 132)
MOST = 40  # of each kind: a conditional jump reaches 255 instructions
NOTHING = INSTRUCTION.pack(RETURN, 0, 0, 0)

Row = tuple[int, int | str, str, str]
"""Code, operand, where to go if true and if false: a label, or '' for the next row. A row ('label',) marks a place."""


class PacketFilter(msgspec.Struct, frozen=True):
    """All that are given must hold; each may be of either end of a packet, and nothing given is no restriction."""

    interfaces: tuple[int, ...] = ()
    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    protocol: str = ''

    @property
    def everything(self) -> bool:
        return not (self.hosts or self.ports or self.protocol)


def assemble(wanted: PacketFilter) -> bytes:
    """The program. ValueError if it wants more than MOST of one kind."""
    if max(len(wanted.interfaces), len(wanted.hosts), len(wanted.ports)) > MOST:
        raise ValueError(f'at most {MOST} interfaces, hosts or ports')
    rows: list[Row | str] = []
    if wanted.interfaces:
        rows += [(LOAD_WORD, INTERFACE, '', ''), *_any_of(wanted.interfaces, 'network')]
        rows += [(JUMP, 'drop', '', ''), 'network']
    if not wanted.everything:
        rows += [(LOAD_HALF, ETHERTYPE, '', ''), (JUMP_EQUAL, IPV4, 'ipv4', '')]
        rows += [(JUMP_EQUAL, IPV6, '', 'not-ip'), (JUMP, 'ipv6', '', ''), 'not-ip', (JUMP, 'drop', '', '')]
        rows += ['ipv4', *_network(wanted, socket.AF_INET, 'ports4')]
        rows += [*_ports(wanted, (LOAD_HALF, PAYLOAD + 6), (HEADER_LENGTH, PAYLOAD), LOAD_HALF_INDEXED, PAYLOAD)]
        rows += ['ipv6', *_network(wanted, socket.AF_INET6, 'ports6')]
        rows += [*_ports(wanted, None, None, LOAD_HALF, PAYLOAD + 40)]
    rows += ['accept', (RETURN, WHOLE_PACKET, '', ''), 'drop', (RETURN, 0, '', '')]
    return _resolve(rows)


def _network(wanted: PacketFilter, family: int, ports: str) -> list[Row | str]:
    """Addresses and protocol of one family; on to its ports, or to drop."""
    v6 = family == socket.AF_INET6
    hosts = [socket.inet_pton(family, host) for host in wanted.hosts if (':' in host) == v6]
    source, length, protocol_at = (PAYLOAD + 8, 16, PAYLOAD + 6) if v6 else (PAYLOAD + 12, 4, PAYLOAD + 9)
    rows: list[Row | str] = []
    checked = f'{ports}-protocol'
    for number, host in enumerate(hosts):
        for side in (source, source + length):
            otherwise = f'{ports}-{number}-{side}'
            for at in range(0, length, 4):
                word = int.from_bytes(host[at : at + 4], 'big')
                rows += [(LOAD_WORD, side + at, '', ''), (JUMP_EQUAL, word, '', otherwise)]
            rows += [(JUMP, checked, '', ''), otherwise]
    if wanted.hosts:
        rows += [(JUMP, 'drop', '', '')]
    rows += [checked, (LOAD_BYTE, protocol_at, '', '')]
    if wanted.protocol:
        number = ICMPV6 if v6 and wanted.protocol == 'icmp' else PROTOCOLS[wanted.protocol]
        rows += [*_any_of((number,), f'{ports}-wanted'), (JUMP, 'drop', '', ''), f'{ports}-wanted']
    return rows


def _ports(
    wanted: PacketFilter, fragment: tuple[int, int] | None, header: tuple[int, int] | None, load: int, start: int
) -> list[Row | str]:
    """The protocol is loaded. Only the first fragment of a packet has ports."""
    if not wanted.ports:
        return [(JUMP, 'accept', '', '')]
    mark = f'with-ports-{start}'
    rows: list[Row | str] = [*_any_of(WITH_PORTS, mark), (JUMP, 'drop', '', ''), mark]
    if fragment and header:
        first = f'first-{start}'
        rows += [(*fragment, '', ''), (JUMP_SET, FRAGMENT_OFFSET, '', first), (JUMP, 'drop', '', ''), first]
        rows += [(*header, '', '')]
    for offset in (0, 2):
        rows += [(load, start + offset, '', '')]
        for number, port in enumerate(wanted.ports):
            next_one = f'port-{start}-{offset}-{number}'
            rows += [(JUMP_EQUAL, port, '', next_one), (JUMP, 'accept', '', ''), next_one]
    return [*rows, (JUMP, 'drop', '', '')]


def _any_of(values: Sequence[int], found: str) -> list[Row | str]:
    """On to ``found`` with one of the values, else to the next row."""
    return [(JUMP_EQUAL, value, found, '') for value in values]


def _resolve(rows: Sequence[Row | str]) -> bytes:
    """Labels become distances: of 32 bits in a JUMP, of 8 in the conditional ones."""
    places: dict[str, int] = {}
    code: list[Row] = []
    for row in rows:
        if isinstance(row, str):
            places[row] = len(code)
        else:
            code.append(row)

    def distance(label: str, at: int) -> int:
        return places[label] - at - 1 if label else 0

    return b''.join(
        INSTRUCTION.pack(op, distance(true, at), distance(false, at), distance(k, at) if isinstance(k, str) else k)
        for at, (op, k, true, false) in enumerate(code)
    )
