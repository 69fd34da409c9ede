"""One query's bytes -> the answer's bytes: from the wire cache, from the zone, or from upstream.

The zone follows the API through informers. While the API is away the last state goes on being answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import dns.exception
import dns.message
import dns.rcode
import msgspec

from netkube.api.meta import Object
from netkube.api.resources import ENDPOINTSLICES, NAMESPACES, SERVICES
from netkube.client.informer import Informer, Informers
from netkube.dns.answer import (
    EDNS_PAYLOAD,
    Answer,
    Continue,
    Elsewhere,
    answer,
    encode,
    failure,
    parse,
    truncated,
    udp_limit,
)
from netkube.dns.cache import WireCache
from netkube.dns.foreigncache import ForeignCache
from netkube.dns.forwarding import Forwarding
from netkube.dns.metrics import TransportCounts, render
from netkube.dns.objects import ServiceView, SliceView, parse_service, parse_slice, stripped
from netkube.dns.probes import OK, Page
from netkube.dns.upstream import Overloaded, Upstream, UpstreamError
from netkube.dns.zone import Cell, Zone

log = logging.getLogger(__name__)

TCP_LIMIT = 65535


class Transport(msgspec.Struct, frozen=True):
    """What differs between UDP and TCP: the room for an answer, so also the caches, and how to ask upstream."""

    cache: WireCache
    limit: Callable[[dns.message.Message], int]
    ask_upstream: Callable[[bytes], Awaitable[bytes]]
    foreign: ForeignCache = msgspec.field(default_factory=ForeignCache)
    counts: TransportCounts = msgspec.field(default_factory=TransportCounts)


class Resolver:
    """``synced`` is set once the zone holds what the API has."""

    def __init__(self, zone: Zone, upstream: Upstream) -> None:
        self.zone = zone
        self.synced = asyncio.Event()
        self.udp = Transport(WireCache(), udp_limit, upstream.ask_udp)
        self.tcp = Transport(WireCache(1024), lambda query: TCP_LIMIT, upstream.ask)
        self.upstream = upstream

    # objects

    def follow(self, informers: Informers) -> None:
        """Keep the zone as the API has it."""
        for resource, parse_view, handler in (
            (SERVICES, parse_service, self._on_service),
            (ENDPOINTSLICES, parse_slice, self._on_slice),
            (NAMESPACES, _name_of, self._on_namespace),
        ):
            informers.add(Informer(informers.client, resource, transform=stripped(parse_view))).subscribe(handler)

    def _on_service(self, old: Object | None, new: Object | None) -> None:
        self.change_service(_view_of(old), _view_of(new))

    def _on_slice(self, old: Object | None, new: Object | None) -> None:
        self.change_slice(_view_of(old), _view_of(new))

    def _on_namespace(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None:
            self.set_namespace(_view_of(new) or _view_of(old), present=new is not None)

    def change_service(self, old: ServiceView | None, new: ServiceView | None) -> None:
        self._forget(self.zone.change_service(old, new))

    def change_slice(self, old: SliceView | None, new: SliceView | None) -> None:
        self._forget(self.zone.change_slice(old, new))

    def set_namespace(self, name: str, *, present: bool) -> None:
        self.zone.set_namespace(name, present=present)
        for transport in (self.udp, self.tcp):
            transport.cache.clear()

    def configure(self, forwarding: Forwarding) -> None:
        """Who is asked from now on about names that are not the cluster's."""
        if forwarding != self.upstream.forwarding:
            self.upstream.forwarding = forwarding
            for transport in (self.udp, self.tcp):
                transport.foreign.clear()

    def _forget(self, cells: set[Cell]) -> None:
        for transport in (self.udp, self.tcp):
            transport.cache.drop(cells)

    # what others may know

    def health(self) -> Page:
        return OK

    def ready(self) -> Page:
        return OK if self.synced.is_set() else Page('503 Service Unavailable', 'kubernetes')

    def metrics(self) -> Page:
        entries = sum(len(each) for of in (self.udp, self.tcp) for each in (of.cache, of.foreign))
        counts = {'udp': self.udp.counts, 'tcp': self.tcp.counts}
        return Page('200 OK', render(counts, entries, self.upstream.metrics))

    # queries

    def resolve(self, wire: bytes, transport: Transport) -> bytes | Coroutine[Any, Any, bytes] | None:
        """The answer, a coroutine that fetches it, or None: this deserves none."""
        key = wire[2:]
        if known := transport.cache.get(key) or transport.cache.find(key) or transport.foreign.find(key):
            transport.counts.hits[known[1]] += 1
            return wire[:2] + known
        query = parse(wire)
        if isinstance(query, dns.message.Message):
            outcome = self._decide(query)
            if not isinstance(outcome, Answer):
                return self._fetch(wire, query, outcome, transport)
            made = self._encode(wire, query, outcome, transport)
        elif query is None:
            return None
        else:
            made = query
        transport.counts.built[made[3]] += 1
        return made

    def _encode(self, wire: bytes, query: dns.message.Message, outcome: Answer, transport: Transport) -> bytes:
        encoded = encode(outcome.message, transport.limit(query))
        if outcome.lasting:
            put = transport.cache.put_variant if outcome.unordered else transport.cache.put
            put(wire[2:], encoded[2:], outcome.cells)
        return encoded

    def _decide(self, query: dns.message.Message) -> Answer | Elsewhere | Continue:
        try:
            return answer(query, self.zone, synced=self.synced.is_set())
        except (dns.exception.DNSException, ValueError) as error:  # a name that the API takes and DNS does not
            log.warning('no answer for %s: %r', query.question, error)
            return Answer(failure(query, dns.rcode.SERVFAIL))

    async def _fetch(
        self, wire: bytes, query: dns.message.Message, outcome: Elsewhere | Continue, transport: Transport
    ) -> bytes:
        if isinstance(outcome, Elsewhere):
            fetched = await self._forward(wire, query, outcome, transport)
        else:
            fetched = await self._follow_alias(query, outcome, transport)
        transport.counts.built[fetched[3]] += 1
        return fetched

    async def _forward(
        self, wire: bytes, query: dns.message.Message, elsewhere: Elsewhere, transport: Transport
    ) -> bytes:
        try:
            reply = await transport.ask_upstream(wire)
        except UpstreamError as error:
            return encode(_unanswered(query, error))
        if len(reply) > transport.limit(query):
            return encode(truncated(query))
        if elsewhere.lasting:
            transport.foreign.put(wire[2:], reply)
        return reply

    async def _follow_alias(self, query: dns.message.Message, alias: Continue, transport: Transport) -> bytes:
        """The rcode is that of the last name (RFC 6604)."""
        question = dns.message.make_query(alias.target, alias.rdtype, use_edns=0, payload=EDNS_PAYLOAD)
        try:
            reply = dns.message.from_wire(await self._ask_upstream(question.to_wire()))
        except UpstreamError as error:
            return encode(_unanswered(query, error))
        except dns.exception.DNSException as error:
            log.warning('upstream on %s: %r', alias.target, error)
            return encode(failure(query, dns.rcode.SERVFAIL))
        alias.message.answer += reply.answer
        alias.message.set_rcode(reply.rcode())
        return encode(alias.message, transport.limit(query))


    async def _ask_upstream(self, wire: bytes) -> bytes:
        """The whole answer to a question of our own."""
        if known := self.tcp.foreign.find(wire[2:]):
            return wire[:2] + known
        reply = await self.upstream.ask(wire)
        self.tcp.foreign.put(wire[2:], reply)
        return reply


def _name_of(obj: Object) -> str:
    return obj['metadata']['name']


def _view_of(obj: Object | None) -> Any:
    return obj and obj['view']


def _unanswered(query: dns.message.Message, error: UpstreamError) -> dns.message.Message:
    log.info('upstream on %s: %s', query.question[0], error)
    return failure(query, dns.rcode.REFUSED if isinstance(error, Overloaded) else dns.rcode.SERVFAIL)
