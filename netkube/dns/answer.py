"""A question and the zone -> an answer, as dnspython messages.

This is the slow path: what it says is kept as bytes by the wire cache, and is what the cache is tested against.
Nothing here does I/O; names that are not the cluster's come back as what to ask elsewhere.
"""

from __future__ import annotations

import bisect
import copy
import random
from collections.abc import Callable, Iterable

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import msgspec
from dns.rdata import Rdata
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.NS import NS
from dns.rdtypes.ANY.PTR import PTR
from dns.rdtypes.ANY.SOA import SOA
from dns.rdtypes.ANY.TXT import TXT
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.SRV import SRV

from netkube.dns.records import Labels, Record
from netkube.dns.zone import TTL, Cell, Zone, parse_reverse_name

HEADER = 12  # bytes
RESPONSE, OPCODE, RECURSION_DESIRED = 0x80, 0x78, 0x01  # in the header's third byte
EDNS_PAYLOAD = 1232  # bytes we ask others to send at most (DNS flag day 2020)
UDP_LIMIT = 4096  # bytes we send at most, if the client says that it takes as much
CLASSIC_LIMIT = 512  # without EDNS (RFC 1035)
CNAME_DEPTH = 8
IN = dns.rdataclass.IN
ANY = dns.rdatatype.ANY
TRANSFERS = (dns.rdatatype.AXFR, dns.rdatatype.IXFR)
WITH_ADDITIONAL = (dns.rdatatype.SRV, dns.rdatatype.NS)

_absolute = dns.name.from_text
RDATA: dict[str, Callable[..., Rdata]] = {
    'A': lambda address: A(IN, dns.rdatatype.A, address),
    'AAAA': lambda address: AAAA(IN, dns.rdatatype.AAAA, address),
    'CNAME': lambda target: CNAME(IN, dns.rdatatype.CNAME, _absolute(target)),
    'NS': lambda target: NS(IN, dns.rdatatype.NS, _absolute(target)),
    'PTR': lambda target: PTR(IN, dns.rdatatype.PTR, _absolute(target)),
    'TXT': lambda text: TXT(IN, dns.rdatatype.TXT, [text.encode()]),
    'SOA': lambda mname, rname, *numbers: SOA(IN, dns.rdatatype.SOA, _absolute(mname), _absolute(rname), *numbers),
    'SRV': lambda priority, weight, port, target: SRV(IN, dns.rdatatype.SRV, priority, weight, port, _absolute(target)),
}


class Answer(msgspec.Struct, frozen=True):
    """A finished message. It may be given again while ``lasting``, until one of ``cells`` changes."""

    message: dns.message.Message
    cells: tuple[Cell, ...] = ()
    lasting: bool = False

    @property
    def unordered(self) -> bool:
        """Whether records may come in another order the next time: dnspython shuffles them as it encodes."""
        return any(len(rrset) > 1 for rrset in self.message.answer)


class Elsewhere(msgspec.Struct, frozen=True):
    """Not ours: to be asked of other nameservers, as it is.

    What they say may be kept while ``lasting``; not of an address, which may be the cluster's in the next moment.
    """

    lasting: bool = False


class Continue(msgspec.Struct, frozen=True):
    """An ExternalName Service: ``message`` is complete once the answers for ``target`` are appended."""

    message: dns.message.Message
    target: dns.name.Name
    rdtype: dns.rdatatype.RdataType


def answer(query: dns.message.Message, zone: Zone, *, synced: bool) -> Answer | Elsewhere | Continue:
    """``synced`` is whether the zone is known; until then every name that may be the cluster's is a SERVFAIL."""
    if refusal := _refusal(query):
        return Answer(_response(query, refusal))
    question = query.question[0]
    name = labels_of(question.name)
    address = parse_reverse_name(name)
    if not zone.contains(name) and address is None:
        return Elsewhere(_is_repeatable(query))
    if not synced:
        return Answer(_response(query, dns.rcode.SERVFAIL))
    if address is None:
        return _Finder(zone, query).answer(name)
    records = zone.find_address(address)
    if not records or question.rdtype not in (dns.rdatatype.PTR, ANY):
        return Elsewhere()
    response = _response(query)
    response.answer = rrsets(question.name, records)
    return Answer(response, (address,), _is_repeatable(query))


def _refusal(query: dns.message.Message) -> dns.rcode.Rcode | None:
    """What we do not do at all."""
    if query.edns > 0:
        return dns.rcode.BADVERS
    if len(query.question) != 1:
        return dns.rcode.FORMERR
    if query.question[0].rdclass != IN or query.question[0].rdtype in TRANSFERS:
        return dns.rcode.REFUSED
    return None


class _Finder:
    """One question about the cluster domain, and the answer in the making."""

    def __init__(self, zone: Zone, query: dns.message.Message) -> None:
        self._zone = zone
        self._query = query
        self._rdtype = query.question[0].rdtype
        self._response = _response(query)
        self._cells: tuple[Cell, ...] = ()

    def answer(self, name: Labels) -> Answer | Continue:
        owner = self._query.question[0].name
        for _ in range(CNAME_DEPTH):
            self._cells += self._zone.cells(name)
            found = self._zone.find(name)
            alias = next((record for record in found or () if record.type == 'CNAME'), None)
            if alias is None or self._rdtype in (dns.rdatatype.CNAME, ANY):
                return self._finish(owner, found)
            self._response.answer += rrsets(owner, [alias])
            owner = _absolute(str(alias.data[0]))
            name = labels_of(owner)
            if not self._zone.contains(name):
                return Continue(self._response, owner, self._rdtype)
        self._response.set_rcode(dns.rcode.SERVFAIL)
        return self._done()

    def _finish(self, owner: dns.name.Name, found: tuple[Record, ...] | None) -> Answer:
        """NXDOMAIN: no such name; NODATA: the name is there, records of that type are not. Both show the SOA."""
        asked = [record for record in found or () if self._rdtype in (ANY, dns.rdatatype.from_text(record.type))]
        self._response.answer += rrsets(owner, asked)
        if asked:
            self._add_additional(asked)
            return self._done()
        if found is None:
            self._response.set_rcode(dns.rcode.NXDOMAIN)
        self._response.authority = rrsets(_absolute(self._zone.origin), [self._zone.soa])
        return self._done()

    def _add_additional(self, records: list[Record]) -> None:
        """The addresses of the targets of SRV and NS records."""
        targets = dict.fromkeys(str(r.data[-1]) for r in records if dns.rdatatype.from_text(r.type) in WITH_ADDITIONAL)
        for target in targets:
            owner = _absolute(target)
            found = self._zone.find(labels_of(owner)) or ()
            self._response.additional += rrsets(owner, [record for record in found if record.type in ('A', 'AAAA')])

    def _done(self) -> Answer:
        return Answer(self._response, self._cells, _is_repeatable(self._query))


def labels_of(name: dns.name.Name) -> Labels:
    """Lower-case labels without the root; DNS compares names without regard to (ASCII) case."""
    return tuple(label.lower().decode('latin-1') for label in name.labels if label)


def rrsets(owner: dns.name.Name, records: Iterable[Record]) -> list[dns.rrset.RRset]:
    by_type: dict[str, list[Rdata]] = {}
    for record in records:
        by_type.setdefault(record.type, []).append(RDATA[record.type](*record.data))
    return [dns.rrset.from_rdata_list(owner, TTL, rdatas) for rdatas in by_type.values()]


def _response(query: dns.message.Message, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> dns.message.Message:
    response = dns.message.make_response(query, recursion_available=True, our_payload=EDNS_PAYLOAD)
    if rcode == dns.rcode.NOERROR:
        response.flags |= dns.flags.AA
    response.set_rcode(rcode)
    return response


def _is_repeatable(query: dns.message.Message) -> bool:
    """A query with EDNS options (cookies) hardly ever comes twice; it would only push others out of the cache."""
    return not query.options


def parse(wire: bytes) -> dns.message.Message | bytes | None:
    """A query; or the answer to one that cannot be read; None for what must not be answered: no query at all."""
    if len(wire) < HEADER or wire[2] & RESPONSE:
        return None
    if wire[2] & OPCODE:
        return _bare_answer(wire, dns.rcode.NOTIMP)
    try:
        query = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return _bare_answer(wire, dns.rcode.FORMERR)
    names = b''.join(question.name.to_wire() or b'' for question in query.question)
    if wire[HEADER : HEADER + len(names)] != names:  # compressed: legal nowhere but for a second question
        return _bare_answer(wire, dns.rcode.FORMERR)
    return query


def _bare_answer(wire: bytes, rcode: dns.rcode.Rcode) -> bytes:
    """A header only: the query's id, opcode and RD."""
    return wire[:2] + bytes((RESPONSE | wire[2] & (OPCODE | RECURSION_DESIRED), rcode)) + bytes(8)


def failure(query: dns.message.Message, rcode: dns.rcode.Rcode) -> dns.message.Message:
    return _response(query, rcode)


def truncated(query: dns.message.Message) -> dns.message.Message:
    """Says no more than: ask again over TCP."""
    response = _response(query)
    response.flags |= dns.flags.TC
    return response


def udp_limit(query: dns.message.Message) -> int:
    """The bytes that the client takes in one datagram (RFC 6891: a payload below 512 means 512)."""
    return CLASSIC_LIMIT if query.edns < 0 else min(max(query.payload, CLASSIC_LIMIT), UDP_LIMIT)


def encode(message: dns.message.Message, limit: int = 65535) -> bytes:
    """The wire form in at most ``limit`` bytes: additional records go silently, answers go with TC set."""
    wire = _fitting(message, limit)
    if wire is None:
        message = copy.copy(message)
        message.sections = list(message.sections)
        message.additional = []
        wire = _fitting(message, limit)
    return wire if wire is not None else _truncated(message, limit)


def _truncated(message: dns.message.Message, limit: int) -> bytes:
    """With as many records of the answer as there is room for; ``message`` is changed."""
    message.flags |= dns.flags.TC
    records = [(rrset.name, rrset.ttl, rdata) for rrset in message.answer for rdata in _shuffled(rrset)]

    def wire_of(count: int) -> bytes | None:
        message.answer = [dns.rrset.from_rdata(name, ttl, rdata) for name, ttl, rdata in records[:count]]
        return _fitting(message, limit)

    too_many = bisect.bisect_left(range(1, len(records)), True, key=lambda count: wire_of(count) is None) + 1
    wire = wire_of(too_many - 1)
    if wire is None:
        raise dns.exception.TooBig
    return wire


def _shuffled(rrset: dns.rrset.RRset) -> list[Rdata]:
    return random.sample(list(rrset), len(rrset))


def _fitting(message: dns.message.Message, limit: int) -> bytes | None:
    try:
        return message.to_wire(max_size=limit)
    except dns.exception.TooBig:
        return None
