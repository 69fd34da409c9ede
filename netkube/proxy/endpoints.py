"""Which endpoints of its slices serve a Service's port: from inside the cluster, and from outside.

Pure. The rules are kube-proxy's (pkg/proxy/topology.go, endpointslicecache.go).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from netkube.api.meta import Object
from netkube.proxy.families import FAMILIES, canonical

HEADLESS_LABEL = 'service.kubernetes.io/headless'


class Place(msgspec.Struct, frozen=True):
    """Where the proxy runs: a Node, and the zone of its label topology.kubernetes.io/zone."""

    node: str = ''
    zone: str = ''


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """Where a connection ends up: an address and a port."""

    ip: str
    port: int


class Candidate(msgspec.Struct, frozen=True):
    endpoint: Endpoint
    ready: bool
    serving_last: bool  # terminates, but still answers: better than nobody
    local: bool
    zones: tuple[str, ...] = ()  # the hints: whom it is meant for
    nodes: tuple[str, ...] = ()


class Backends(msgspec.Struct, frozen=True):
    """The endpoints of a frontend, sorted.

    Without any, connections are refused; or dropped when ``elsewhere`` is set, that is when only endpoints on
    other Nodes are left and a traffic policy Local forbids those.
    """

    endpoints: tuple[Endpoint, ...] = ()
    affinity_seconds: int = 0  # how long a client stays with its endpoint; 0: each connection is free
    elsewhere: bool = False


def cluster_backends(candidates: Sequence[Candidate], place: Place, affinity: int) -> Backends:
    """Traffic policy Cluster: ready endpoints, of those the hints' choice; else those that serve while terminating."""
    near = nearness(candidates, place)
    chosen = {c.endpoint for c in candidates if c.ready and near(c)}
    return Backends(tuple(sorted(chosen or _last(candidates))), affinity)


def local_backends(candidates: Sequence[Candidate], affinity: int) -> Backends:
    """Traffic policy Local: those of this Node, whatever the hints say (KEP-1669, KEP-2086)."""
    here = [c for c in candidates if c.local]
    chosen = {c.endpoint for c in here if c.ready} or _last(here)
    elsewhere = not chosen and any(c.ready or c.serving_last for c in candidates)
    return Backends(tuple(sorted(chosen)), affinity, elsewhere)


def nearness(candidates: Sequence[Candidate], place: Place) -> Callable[[Candidate], bool]:
    """Hints count when each ready endpoint has some and one of them is meant for this place (KEP-2433, KEP-3015)."""
    ready = [c for c in candidates if c.ready]
    if ready and all(c.nodes for c in ready) and any(place.node in c.nodes for c in ready):
        return lambda c: place.node in c.nodes
    if place.zone and ready and all(c.zones for c in ready) and any(place.zone in c.zones for c in ready):
        return lambda c: place.zone in c.zones
    return lambda c: True


def usable_slices(slices: Iterable[Object], family: str) -> list[Object]:
    return [s for s in slices if s['addressType'] == family and not _is_headless(s)]


def candidates_of(slices: Iterable[Object], name: str, protocol: str, place: Place) -> list[Candidate]:
    """Everyone behind the port of that name. The name decides, so each slice may carry another number."""
    return [
        candidate
        for endpoint_slice in slices
        for number in _port_numbers(endpoint_slice, name, protocol)
        for endpoint in endpoint_slice.get('endpoints') or ()
        if (candidate := _candidate(endpoint, endpoint_slice['addressType'], number, place))
    ]


def local_ready_addresses(slices: Iterable[Object], place: Place) -> int:
    """How many endpoints of this Node are ready, for a health check; of both families the one that has more."""
    found: dict[str, set[str]] = {family: set() for family in FAMILIES}
    for endpoint_slice in slices:
        for endpoint in endpoint_slice.get('endpoints') or ():
            candidate = _candidate(endpoint, endpoint_slice['addressType'], 0, place)
            if candidate and candidate.ready and candidate.local:
                found[endpoint_slice['addressType']].add(candidate.endpoint.ip)
    return max(map(len, found.values()))


def _is_headless(endpoint_slice: Object) -> bool:
    return HEADLESS_LABEL in (endpoint_slice['metadata'].get('labels') or {})


def _names(hints: Sequence[Object] | None) -> tuple[str, ...]:
    return tuple(hint['name'] for hint in hints or ())


def _last(candidates: Iterable[Candidate]) -> set[Endpoint]:
    return {c.endpoint for c in candidates if c.serving_last}


def _port_numbers(endpoint_slice: Object, name: str, protocol: str) -> Iterator[int]:
    for port in endpoint_slice.get('ports') or ():
        if (port.get('name') or '') == name and (port.get('protocol') or 'TCP') == protocol and port.get('port'):
            yield port['port']


def _candidate(endpoint: Object, address_type: str, port: int, place: Place) -> Candidate | None:
    """The addresses of one endpoint are fungible: like kube-proxy, take the first. Absent conditions mean yes."""
    address = canonical(endpoint['addresses'][0])
    if not address or (':' in address) != (address_type == 'IPv6'):
        return None
    conditions, hints = endpoint.get('conditions') or {}, endpoint.get('hints')
    ready = conditions.get('ready') is not False
    serving = conditions['serving'] if conditions.get('serving') is not None else ready
    return Candidate(
        Endpoint(address, port),
        ready,
        bool(serving and conditions.get('terminating')),
        bool(place.node) and endpoint.get('nodeName') == place.node,
        _names(hints.get('forZones')) if hints else (),
        _names(hints.get('forNodes')) if hints else (),
    )
