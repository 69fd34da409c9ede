"""/metrics: what the API server counts, under kube-apiserver's names, in Prometheus' text format.

https://prometheus.io/docs/instrumenting/exposition_formats/, k8s.io/apiserver/pkg/endpoints/metrics
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netkube.apiserver.request import CONNECT, Request
from netkube.apiserver.storage import Storage, prefix

CONTENT_TYPE = b'text/plain; version=0.0.4; charset=utf-8'
BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
Labels = tuple[str, ...]  # verb, group, version, resource, subresource, scope
NAMES = ('verb', 'group', 'version', 'resource', 'subresource', 'scope')


class Metrics:
    """Counts requests. ``started`` is the time of the process' start in seconds since 1970."""

    def __init__(self, started: float | None = None) -> None:
        self._started = time.time() if started is None else started
        self._requests: Counter[tuple[Labels, int]] = Counter()
        self._buckets: dict[Labels, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))
        self._seconds: dict[Labels, float] = defaultdict(float)
        self._running: Counter[Labels] = Counter()
        self._inflight = 0

    def answered(self, labels: Labels, code: int, seconds: float) -> None:
        self._requests[labels, code] += 1
        if labels[0] != 'WATCH':
            self._buckets[labels][bisect_left(BUCKETS, seconds)] += 1
            self._seconds[labels] += seconds

    @contextmanager
    def running(self, labels: Labels) -> Iterator[None]:
        """While a watch, a log or a stream goes on."""
        self._running[labels] += 1
        try:
            yield
        finally:
            self._running[labels] -= 1

    def text(self, storage: Storage) -> bytes:
        """The whole document."""
        return '\n'.join([*self._request_lines(), *_storage_lines(storage), *self._process_lines(), '']).encode()

    def _request_lines(self) -> Iterator[str]:
        yield from _head('apiserver_request_total', 'counter', 'Requests by verb, resource and answer.')
        for (labels, code), count in self._requests.items():
            yield f'apiserver_request_total{{code="{code}",{_shown(labels)}}} {count}'
        name = 'apiserver_request_duration_seconds'
        yield from _head(name, 'histogram', 'Time from request to answer, watches left out.')
        for labels, counts in self._buckets.items():
            total = 0
            for bound, count in zip((*BUCKETS, '+Inf'), counts, strict=True):
                total += count
                yield f'{name}_bucket{{{_shown(labels)},le="{bound}"}} {total}'
            yield f'{name}_sum{{{_shown(labels)}}} {self._seconds[labels]:.6f}'
            yield f'{name}_count{{{_shown(labels)}}} {total}'
        yield from _head('apiserver_longrunning_requests', 'gauge', 'Watches and streams that go on now.')
        for labels, count in self._running.items():
            yield f'apiserver_longrunning_requests{{{_shown(labels)}}} {count}'

    def _process_lines(self) -> Iterator[str]:
        ticks = os.sysconf('SC_CLK_TCK')
        fields = Path('/proc/self/stat').read_text().rpartition(')')[2].split()
        pages = int(Path('/proc/self/statm').read_text().split()[1])
        for name, kind, value, help in (
            ('process_cpu_seconds_total', 'counter', (int(fields[11]) + int(fields[12])) / ticks, 'CPU time.'),
            ('process_resident_memory_bytes', 'gauge', pages * os.sysconf('SC_PAGE_SIZE'), 'Resident memory.'),
            ('process_virtual_memory_bytes', 'gauge', int(fields[20]), 'Virtual memory.'),
            ('process_open_fds', 'gauge', len(os.listdir('/proc/self/fd')), 'Open file descriptors.'),
            ('process_start_time_seconds', 'gauge', self._started, 'Start, in seconds since 1970.'),
        ):
            yield from _head(name, kind, help)
            yield f'{name} {value}'


def _storage_lines(storage: Storage) -> Iterator[str]:
    yield from _head('apiserver_storage_objects', 'gauge', 'Objects stored by resource.')
    stored = {prefix(resource): resource.group_resource for resource in storage.served.all()}
    for start, name in stored.items():
        yield f'apiserver_storage_objects{{resource="{name}"}} {storage.store.count(start)}'
    yield from _head('apiserver_storage_revision', 'gauge', 'The last revision: netkube\'s own.')
    yield f'apiserver_storage_revision {storage.store.revision}'


def labels_of(request: Request | None, method: str) -> Labels:
    target = request.target if request is not None else None
    if request is None or target is None:
        return method, '', '', '', '', ''
    resource = target.resource
    scope = 'resource' if target.name else 'namespace' if target.namespace else 'cluster'
    verb = method
    if method == 'GET' and not target.subresource and not target.name:
        verb = 'WATCH' if request.flag('watch') else 'LIST'
    elif method == 'DELETE' and not target.name:
        verb = 'DELETECOLLECTION'
    elif target.subresource in CONNECT:
        verb = 'CONNECT'
    return verb, resource.group, resource.version, resource.plural, target.subresource, scope


def _head(name: str, kind: str, help: str) -> tuple[str, str]:
    return f'# HELP {name} {help}', f'# TYPE {name} {kind}'


def _shown(labels: Labels) -> str:
    return ','.join(f'{name}="{value}"' for name, value in zip(NAMES, labels, strict=True))
