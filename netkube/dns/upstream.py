"""Names that are not the cluster's: who is asked, in which order, and how long.

A nameserver that does not answer is asked last from then on, and looked after in the background until it answers
again; so one that is dead costs one question its patience, not each of them.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable

from netkube.dns.exchange import Nameserver, exchange, exchange_udp, question_labels
from netkube.dns.forwarding import Forwarding
from netkube.dns.metrics import ForwardMetrics
from netkube.dns.records import Labels
from netkube.dns.resolvconf import ResolvConf

log = logging.getLogger(__name__)

BUDGET_SECONDS = 4.0  # for one question; stub resolvers give up after 5
MIN_TRIES = 2
MAX_IN_FLIGHT = 400  # each is one file descriptor
MAX_IN_FLIGHT_EACH = 200  # of one domain: a dead nameserver must not keep the others from being asked
UNHELPFUL = (2, 4, 5)  # SERVFAIL, NOTIMP, REFUSED: another nameserver may do better
PROBE = b'\1\0\0\1\0\0\0\0\0\0\0\0\2\0\1'  # . IN NS, without its id
PROBE_SECONDS = 1.0  # patience with a probe, and the time between two of them

Exchange = Callable[[Nameserver, bytes], Awaitable[bytes]]


class UpstreamError(Exception):
    """No nameserver gave an answer."""


class Overloaded(UpstreamError):
    """Too many questions are waiting already."""


class Health:
    """Which nameservers have not answered lately."""

    def __init__(self, metrics: ForwardMetrics, clock: Callable[[], float]) -> None:
        self._metrics, self._clock = metrics, clock
        self._probe_at: dict[Nameserver, float] = {}  # of those that are down
        self._probes: set[asyncio.Task[None]] = set()

    def in_order(self, nameservers: tuple[Nameserver, ...]) -> list[Nameserver]:
        """As configured, those that are down behind the others. Looks after them, if it is time."""
        for nameserver in nameservers:
            if self._clock() >= self._probe_at.get(nameserver, float('inf')):
                self._start_probe(nameserver)
        return sorted(nameservers, key=self._probe_at.__contains__)

    def answered(self, nameserver: Nameserver) -> None:
        if self._probe_at.pop(nameserver, None) is not None:
            log.info('nameserver %s answers again', nameserver)

    def failed(self, nameserver: Nameserver, error: BaseException) -> None:
        if nameserver not in self._probe_at:
            log.warning('nameserver %s does not answer: %r', nameserver, error)
        self._probe_at[nameserver] = self._clock() + PROBE_SECONDS

    def _start_probe(self, nameserver: Nameserver) -> None:
        self._probe_at[nameserver] = self._clock() + 2 * PROBE_SECONDS
        probe = asyncio.create_task(self._probe(nameserver))
        self._probes.add(probe)
        probe.add_done_callback(self._probes.discard)

    async def _probe(self, nameserver: Nameserver) -> None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await exchange_udp(nameserver, secrets.token_bytes(2) + PROBE)
        except OSError as error:
            self._metrics.failed_probes[str(nameserver)] += 1
            self.failed(nameserver, error)
        else:
            self.answered(nameserver)


class Upstream:
    """``ask`` forwards one query: to the nameservers of the longest stub domain it is in, or to those for all."""

    def __init__(
        self,
        resolv_conf: ResolvConf,
        budget_seconds: float = BUDGET_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.forwarding = Forwarding()
        self.metrics = ForwardMetrics()
        self._resolv_conf = resolv_conf
        self._budget = budget_seconds
        self._health = Health(self.metrics, clock)
        self._in_flight: dict[Labels, int] = {}  # by stub domain, () for all others

    @property
    def own_addresses(self) -> frozenset[str]:
        return self._resolv_conf.excluded

    async def ask_udp(self, query: bytes) -> bytes:
        """The answer, perhaps with TC set. UpstreamError within the budget."""
        return await self._ask(query, exchange_udp)

    async def ask(self, query: bytes) -> bytes:
        """The whole answer: over TCP if a datagram cannot hold it."""
        return await self._ask(query, exchange)

    async def _ask(self, query: bytes, exchange: Exchange) -> bytes:
        domain = self._stub_domain(question_labels(query))
        waiting = self._in_flight.get(domain, 0)
        if waiting >= MAX_IN_FLIGHT_EACH or sum(self._in_flight.values()) >= MAX_IN_FLIGHT:
            self.metrics.rejected += 1
            raise Overloaded(f'{waiting} questions are waiting already')
        self._in_flight[domain] = waiting + 1
        try:
            own_id = secrets.token_bytes(2)
            answer = await self._try_all(self.nameservers_in_order(domain), own_id + query[2:], exchange)
            return query[:2] + answer[2:]
        finally:
            self._in_flight[domain] -= 1
            if not self._in_flight[domain]:
                del self._in_flight[domain]

    def _stub_domain(self, name: Labels) -> Labels:
        """The longest one that the name is in; () if it is in none."""
        stubs = self.forwarding.stub_domains
        return next((name[i:] for i in range(len(name)) if name[i:] in stubs), ()) if stubs else ()

    def nameservers_in_order(self, domain: Labels = ()) -> list[Nameserver]:
        """Of a stub domain, or of all others; those that do not answer come last."""
        stubs, upstreams = self.forwarding.stub_domains, self.forwarding.upstreams
        return self._health.in_order(stubs.get(domain) or upstreams or self._resolv_conf.nameservers())

    async def _try_all(self, ordered: list[Nameserver], query: bytes, exchange: Exchange) -> bytes:
        tries = max(len(ordered), MIN_TRIES)
        unhelpful: bytes | None = None
        for nameserver in (ordered * MIN_TRIES)[:tries]:
            answer = await self._try(nameserver, query, exchange, self._budget / tries)
            if answer is None:
                continue
            if answer[3] & 15 not in UNHELPFUL:
                return answer
            unhelpful = answer
            if len(ordered) == 1:
                break
        if unhelpful is None:
            names = ', '.join(map(str, ordered)) or 'any nameserver: there is none'
            raise UpstreamError(f'no answer from {names}')
        return unhelpful

    async def _try(self, nameserver: Nameserver, query: bytes, exchange: Exchange, seconds: float) -> bytes | None:
        """None when there is no answer in time."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                answer = await exchange(nameserver, query)
        except (OSError, EOFError) as error:  # TimeoutError is an OSError
            self._health.failed(nameserver, error)
            return None
        self._health.answered(nameserver)
        self.metrics.observe(str(nameserver), answer[3] & 15, time.monotonic() - began)
        return answer
