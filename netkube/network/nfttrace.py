"""One flow's first packets through the nftables of a network namespace, as the kernel itself reports them.

A table of our own marks just that flow (``meta nftrace set 1``); from there on the kernel tells every rule, chain and
table that the packet meets, whoever's they are, and shows the packet at each hook: so what a translation has made of
it is read off the packet.

The table has the flag *owner* (Linux 5.12): it belongs to our netlink socket, and the kernel removes it when that is
closed, be it by kill -9.

References: linux/netfilter/nf_tables.h (enum nft_trace_attributes), net/netfilter/nf_tables_trace.c.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from netkube.network.netfilter import HEADER_SIZE, NETLINK_NETFILTER, SUBSYSTEM_NFTABLES
from netkube.network.netlink import HEADER, RECEIVE_SIZE, SOL_NETLINK, parse_attributes
from netkube.network.nft import Nft

NETLINK_ADD_MEMBERSHIP, NETLINK_NO_ENOBUFS, NFNLGRP_NFTRACE = 1, 5, 9
NFT_MSG_TRACE = 17
TABLE, CHAIN, RULE_HANDLE, TYPE, VERDICT, ID, NETWORK_HEADER, TRANSPORT_HEADER = 1, 2, 3, 4, 5, 6, 8, 9
IIF, OIF, POLICY = 10, 12, 16
VERDICT_CODE, VERDICT_CHAIN = 1, 2
TYPES = {1: 'policy', 2: 'return', 3: 'rule'}
VERDICTS = {
    -5: 'return', -4: 'goto', -3: 'jump', -2: 'break', -1: 'continue', 0: 'drop', 1: 'accept', 2: 'stolen', 3: 'queue',
}  # fmt: skip
TABLE_FAMILIES = {1: 'inet', 2: 'ip', 3: 'arp', 5: 'netdev', 7: 'bridge', 10: 'ip6'}
PROTOCOLS = {6: 'tcp', 17: 'udp', 132: 'sctp'}
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

PREFIX = 'netkube-trace-'  # the table's name goes on with our process id
FIRST, LAST = ('prerouting', 'output'), ('postrouting', 'input')
BEFORE_CONNTRACK, AFTER_NAT = -400, 300


class Flow(msgspec.Struct, frozen=True):
    """From ``source`` and its port to an address and port; addresses are text of one family, ``protocol`` is tcp..."""

    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int

    @property
    def reversed(self) -> Flow:
        return Flow(self.protocol, self.destination, self.destination_port, self.source, self.source_port)


class Packet(msgspec.Struct, frozen=True):
    """What a packet looked like at one hook; ``flags`` are TCP's."""

    flow: Flow
    flags: int = 0


class Hop(msgspec.Struct, frozen=True):
    """One report. ``target`` is the chain of a jump or goto; ``packet`` comes with the first report of each hook."""

    id: int
    family: str
    table: str
    chain: str
    kind: str
    verdict: str
    handle: int = 0
    target: str = ''
    packet: Packet | None = None


class Tracer:
    """Belongs to the namespace of the thread that makes it. ``hops`` gives what has come since it was last asked."""

    def __init__(self, flow: Flow) -> None:
        self._nft = Nft()
        self._rules: dict[tuple[str, str, int], str] = {}
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        try:
            self._socket.bind((0, 0))  # a multicast passes over who has no address
            self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTRACE)
            self._socket.setblocking(False)
            self._nft.run(render_table(f'{PREFIX}{os.getpid()}', flow))
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def hops(self) -> list[Hop]:
        found: list[Hop] = []
        while True:
            try:
                data = self._socket.recv(RECEIVE_SIZE)
            except BlockingIOError:
                return found
            found += parse_hops(data)

    def rule(self, hop: Hop) -> str:
        """The text of the rule that a report names; '' if it has gone, or names none (a chain's policy)."""
        if not hop.handle:
            return ''
        key = hop.table, hop.chain, hop.handle
        if key not in self._rules:  # libnftables reads the table's sets, too: at 50,000 Services it takes seconds
            self._rules[key] = self._read_rule(hop)
        return self._rules[key]

    def _read_rule(self, hop: Hop) -> str:
        listing = self._nft.list_text(f'list chain {hop.family} {hop.table} {hop.chain}')
        rules = (line.strip().rpartition(' # handle ') for line in listing.splitlines())
        return next((text for text, _, handle in rules if handle == str(hop.handle)), '')

    def close(self) -> None:
        self._socket.close()
        self._nft.close()


@contextmanager
def tracing(flow: Flow) -> Iterator[Tracer]:
    """NftError if the kernel does not take the table."""
    tracer = Tracer(flow)
    try:
        yield tracer
    finally:
        tracer.close()


def render_table(name: str, flow: Flow) -> str:
    """Of TCP: the packets that open or refuse a connection, both ways. The last chains only show what leaves us."""
    family = 'ip6' if ':' in flow.source else 'ip'
    opening, answering = ('tcp flags & (syn | ack) == syn', 'tcp flags & (syn | rst) != 0')
    request = (
        f'{family} saddr {flow.source} {family} daddr {flow.destination} '
        f'{flow.protocol} sport {flow.source_port} {flow.protocol} dport {flow.destination_port}'
    )
    answer = f'{family} daddr {flow.source} {flow.protocol} dport {flow.source_port}'
    if flow.protocol == 'tcp':
        request, answer = f'{request} {opening}', f'{answer} {answering}'
    lines = [f'table inet {name} {{', 'flags owner;']
    for hook in FIRST:
        rules = '; '.join(f'{match} meta nftrace set 1' for match in (request, answer))
        lines.append(f'chain {hook} {{ type filter hook {hook} priority {BEFORE_CONNTRACK}; {rules}; }}')
    lines += [f'chain {hook} {{ type filter hook {hook} priority {AFTER_NAT}; }}' for hook in LAST]
    return '\n'.join([*lines, '}'])


def parse_hops(data: bytes) -> Iterator[Hop]:
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, *_ = HEADER.unpack_from(data, offset)
        if kind == SUBSYSTEM_NFTABLES << 8 | NFT_MSG_TRACE:
            yield parse_hop(data[offset + HEADER.size : offset + length])
        offset += length + 3 & ~3


def parse_hop(body: bytes) -> Hop:
    found = parse_attributes(body[HEADER_SIZE:])
    verdict = parse_attributes(found.get(VERDICT, b''))
    code = verdict.get(VERDICT_CODE) or found.get(POLICY) or b'\xff\xff\xff\xff'
    number = int.from_bytes(code, 'big', signed=True)
    return Hop(
        id=int.from_bytes(found[ID], 'big'),
        family=TABLE_FAMILIES.get(body[0], str(body[0])),
        table=_text(found.get(TABLE)),
        chain=_text(found.get(CHAIN)),
        kind=TYPES.get(int.from_bytes(found[TYPE], 'big'), ''),
        verdict=VERDICTS.get(number, str(number)),
        handle=int.from_bytes(found.get(RULE_HANDLE, b''), 'big'),
        target=_text(verdict.get(VERDICT_CHAIN)),
        packet=parse_packet(found.get(NETWORK_HEADER, b''), found.get(TRANSPORT_HEADER, b'')),
    )


def parse_packet(network: bytes, transport: bytes) -> Packet | None:
    """None for a packet without addresses and ports, or when the report has none of it."""
    if not network or len(transport) < 4:
        return None
    if network[0] >> 4 == 6:
        protocol, family, addresses = network[6], socket.AF_INET6, (network[8:24], network[24:40])
    else:
        protocol, family, addresses = network[9], socket.AF_INET, (network[12:16], network[16:20])
    if protocol not in PROTOCOLS:
        return None
    source, destination = (socket.inet_ntop(family, address) for address in addresses)
    ports = int.from_bytes(transport[:2], 'big'), int.from_bytes(transport[2:4], 'big')
    flags = transport[13] if protocol == socket.IPPROTO_TCP and len(transport) > 13 else 0
    return Packet(Flow(PROTOCOLS[protocol], source, ports[0], destination, ports[1]), flags)


def _text(value: bytes | None) -> str:
    return (value or b'').rstrip(b'\0').decode()
