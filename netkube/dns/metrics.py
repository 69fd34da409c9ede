"""What the resolver counts, in Prometheus' text format.

The names are CoreDNS's where they mean the same. Its ``type`` and ``family`` labels and its histogram of answering
times are left out: each would cost the hot path more than the answer itself.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec

BUCKETS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0, 4.0)
RCODES = {0: 'NOERROR', 1: 'FORMERR', 2: 'SERVFAIL', 3: 'NXDOMAIN', 4: 'NOTIMP', 5: 'REFUSED'}
SERVER = 'server="dns://:53",zone="."'
STARTED = time.time()

Sample = tuple[str, float]  # labels, value


class Histogram:
    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds


class ForwardMetrics:
    """Of the other nameservers, by their addresses."""

    def __init__(self) -> None:
        self.durations: defaultdict[tuple[str, int], Histogram] = defaultdict(Histogram)
        self.failed_probes: Counter[str] = Counter()
        self.rejected = 0

    def observe(self, nameserver: str, rcode: int, seconds: float) -> None:
        self.durations[nameserver, rcode].observe(seconds)


class TransportCounts(msgspec.Struct, frozen=True):
    """Answers over UDP or TCP by the fourth byte of the message, which has the rcode.

    ``hits`` came from the cache, ``built`` did not.
    """

    hits: list[int] = msgspec.field(default_factory=lambda: [0] * 256)
    built: list[int] = msgspec.field(default_factory=lambda: [0] * 256)


def render(counts: Mapping[str, TransportCounts], entries: int, forward: ForwardMetrics) -> str:
    """``counts`` by protocol; ``entries``: answers in the caches."""
    rcodes: Counter[str] = Counter()
    for each in counts.values():
        for byte, (hits, built) in enumerate(zip(each.hits, each.built, strict=True)):
            if hits or built:
                rcodes[RCODES.get(byte & 15, str(byte & 15))] += hits + built
    requests = [(f'{SERVER},proto="{p}"', sum(each.hits) + sum(each.built)) for p, each in counts.items()]
    server = SERVER.partition(',')[0]
    lines = [
        *_family('coredns_dns_requests_total', 'counter', requests),
        *_family('coredns_dns_responses_total', 'counter', [(f'{SERVER},rcode="{r}"', n) for r, n in rcodes.items()]),
        *_family('coredns_cache_entries', 'gauge', [(server, entries)]),
        *_family('coredns_cache_hits_total', 'counter', [(server, sum(sum(c.hits) for c in counts.values()))]),
        *_family('coredns_cache_misses_total', 'counter', [(server, sum(sum(c.built) for c in counts.values()))]),
        *_forward(forward),
        *_process(),
    ]
    return ''.join(f'{line}\n' for line in lines)


def _forward(forward: ForwardMetrics) -> Iterator[str]:
    name = 'coredns_proxy_request_duration_seconds'
    if forward.durations:
        yield f'# TYPE {name} histogram'
    for (nameserver, rcode), histogram in forward.durations.items():
        labels = f'proxy_name="forward",to="{nameserver}",rcode="{RCODES.get(rcode, rcode)}"'
        total = 0
        for bound, count in zip((*BUCKETS, '+Inf'), histogram.counts, strict=True):
            total += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {total}'
        yield f'{name}_sum{{{labels}}} {histogram.sum}'
        yield f'{name}_count{{{labels}}} {total}'
    failed = [(f'proxy_name="forward",to="{to}"', count) for to, count in forward.failed_probes.items()]
    yield from _family('coredns_proxy_healthcheck_failures_total', 'counter', failed)
    yield from _family('coredns_forward_max_concurrent_rejects_total', 'counter', [('', forward.rejected)])


def _process() -> Iterator[str]:
    """As every exporter of Prometheus' own libraries has them."""
    with open('/proc/self/statm', encoding='ascii') as statm:
        resident = int(statm.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    yield from _family('process_cpu_seconds_total', 'counter', [('', time.process_time())])
    yield from _family('process_resident_memory_bytes', 'gauge', [('', resident)])
    yield from _family('process_open_fds', 'gauge', [('', len(os.listdir('/proc/self/fd')))])
    yield from _family('process_start_time_seconds', 'gauge', [('', STARTED)])


def _family(name: str, kind: str, samples: Iterable[Sample]) -> Iterator[str]:
    listed = list(samples)
    if listed:
        yield f'# TYPE {name} {kind}'
    for labels, value in listed:
        yield f'{name}{{{labels}}} {value}' if labels else f'{name} {value}'
