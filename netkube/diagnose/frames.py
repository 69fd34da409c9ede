"""What is in a frame, as far as a capture asks: its two ends, and a line for people. Pure."""

from __future__ import annotations

import socket
from datetime import datetime

import msgspec

from netkube.diagnose.destination import place
from netkube.network.packets import Frame

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
ETHERNET, IPV6_HEADER = 14, 40
PROTOCOLS = {1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmp6', 132: 'sctp'}
WITH_PORTS = ('tcp', 'udp', 'sctp')
TCP_FLAGS = ((0x02, 'S'), (0x01, 'F'), (0x04, 'R'), (0x08, 'P'), (0x10, '.'))  # tcpdump's letters


class Packet(msgspec.Struct, frozen=True):
    """``source`` and ``destination`` are (address, port), port 0 if it has none; ``note`` is about the payload."""

    protocol: str
    source: tuple[str, int]
    destination: tuple[str, int]
    note: str = ''


def parse_frame(data: bytes) -> Packet | None:
    """None for what is not IP, or too short."""
    kind = int.from_bytes(data[12:14], 'big')
    network = data[ETHERNET:]
    if kind == IPV4 and len(network) >= 20:
        header, number, at, size = (network[0] & 15) * 4, network[9], 12, 4
        length, fragment = int.from_bytes(network[2:4], 'big'), int.from_bytes(network[6:8], 'big') & 0x1FFF
    elif kind == IPV6 and len(network) >= IPV6_HEADER:
        header, number, at, size, fragment = IPV6_HEADER, network[6], 8, 16, 0
        length = IPV6_HEADER + int.from_bytes(network[4:6], 'big')
    else:
        return None
    family = socket.AF_INET if size == 4 else socket.AF_INET6
    source, destination = (socket.inet_ntop(family, network[at + i : at + i + size]) for i in (0, size))
    protocol, transport = PROTOCOLS.get(number, f'protocol {number}'), network[header:]
    if protocol not in WITH_PORTS or fragment or len(transport) < 4:
        return Packet(protocol, (source, 0), (destination, 0), f'length {length}')
    ports = int.from_bytes(transport[:2], 'big'), int.from_bytes(transport[2:4], 'big')
    note = _note(protocol, transport, length - header)
    return Packet(protocol, (source, ports[0]), (destination, ports[1]), note)


def _note(protocol: str, transport: bytes, length: int) -> str:
    if protocol == 'tcp' and len(transport) > 13:
        letters = ''.join(letter for bit, letter in TCP_FLAGS if transport[13] & bit)
        return f'[{letters}] length {max(length - (transport[12] >> 4) * 4, 0)}'
    return f'length {length - 8}' if protocol == 'udp' else f'length {length}'


def describe(frame: Frame) -> str:
    """``12:00:00.123456 eth0 10.244.0.2:4711 > 10.96.0.1:80 tcp [S] length 0``; the local time."""
    clock = datetime.fromtimestamp(frame.time // 1_000_000_000).strftime('%H:%M:%S')
    start = f'{clock}.{frame.time // 1000 % 1_000_000:06d} {frame.interface}'
    packet = parse_frame(frame.data)
    if packet is None:
        kind = int.from_bytes(frame.data[12:14], 'big')
        return f'{start} {"arp" if kind == ARP else f"ethertype 0x{kind:04x}"} length {frame.length}'
    ends = ' > '.join(place(*end) if end[1] else end[0] for end in (packet.source, packet.destination))
    return f'{start} {ends} {packet.protocol} {packet.note}'
