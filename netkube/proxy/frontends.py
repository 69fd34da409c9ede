"""What Services and their EndpointSlices ask of the Node: which address and port leads to which endpoints.

Pure. The rules are those of kube-proxy (pkg/proxy: servicechangetracker, endpointslicecache, topology).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from netkube.api.meta import Object

PROTOCOLS = {'TCP': 'tcp', 'UDP': 'udp', 'SCTP': 'sctp'}
DEFAULT_AFFINITY_SECONDS = 10800  # core/v1 DefaultClientIPServiceAffinitySeconds
PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name'  # somebody else serves this Service
HEADLESS_LABEL = 'service.kubernetes.io/headless'
SERVICE_NAME_LABEL = 'kubernetes.io/service-name'


class Frontend(msgspec.Struct, frozen=True):
    """Where clients connect to: an IPv4 address, 'tcp', 'udp' or 'sctp', and a port."""

    ip: str
    protocol: str
    port: int


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """Where a connection ends up: an IPv4 address and a port."""

    ip: str
    port: int


class Backends(msgspec.Struct, frozen=True):
    """The endpoints of a frontend, sorted.

    Without any, connections are refused; or dropped when ``elsewhere`` is set, that is when only endpoints on
    other Nodes are left and internalTrafficPolicy Local forbids those.
    """

    endpoints: tuple[Endpoint, ...] = ()
    affinity_seconds: int = 0  # how long a client stays with its endpoint; 0: each connection is free
    elsewhere: bool = False


class ServiceRules(msgspec.Struct, frozen=True):
    """All that one Service asks of the Node. Ports of ``addresses`` that are no frontend refuse connections."""

    addresses: frozenset[str]
    frontends: Mapping[Frontend, Backends]


NOTHING = ServiceRules(frozenset(), {})


class _Candidate(msgspec.Struct, frozen=True):
    endpoint: Endpoint
    ready: bool
    serving_last: bool  # terminates, but still answers: better than nobody
    local: bool


def service_rules(service: Object, slices: Iterable[Object], node_name: str = '') -> ServiceRules:
    """The rules of one Service on the Node ``node_name``; NOTHING for one that is not ours to serve."""
    addresses = cluster_addresses(service)
    if not addresses:
        return NOTHING
    usable = [s for s in slices if s['addressType'] == 'IPv4' and HEADLESS_LABEL not in _labels(s)]
    frontends = {}
    for port in service['spec'].get('ports') or ():
        protocol = port.get('protocol', 'TCP')
        candidates = list(_candidates(usable, port.get('name', ''), protocol, node_name))
        backends = choose_backends(service['spec'], candidates)
        for address in addresses:
            frontends[Frontend(address, PROTOCOLS[protocol], port['port'])] = backends
    return ServiceRules(frozenset(addresses), frontends)


def cluster_addresses(service: Object) -> list[str]:
    """The IPv4 cluster IPs; none for a headless or ExternalName Service, or one with a proxy of its own."""
    spec, labels = service['spec'], _labels(service)
    if spec.get('type') == 'ExternalName' or PROXY_NAME_LABEL in labels or HEADLESS_LABEL in labels:
        return []
    addresses = spec.get('clusterIPs') or [spec.get('clusterIP') or 'None']
    return [address for address in addresses if is_ipv4(address)]


def is_ipv4(text: str) -> bool:
    """Whatever passed the API's validation, nothing but an address becomes part of a command to the kernel."""
    try:
        socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):  # ValueError: a NUL inside
        return False
    return True


def choose_backends(spec: Object, candidates: list[_Candidate]) -> Backends:
    """Ready endpoints; where nobody is ready, those that still serve while they terminate (KEP-1669)."""
    affinity = affinity_seconds(spec)
    local_only = spec.get('internalTrafficPolicy') == 'Local'
    allowed = [c for c in candidates if c.local] if local_only else candidates
    chosen = {c.endpoint for c in allowed if c.ready} or {c.endpoint for c in allowed if c.serving_last}
    elsewhere = local_only and not chosen and any(c.ready or c.serving_last for c in candidates)
    return Backends(tuple(sorted(chosen)), affinity, elsewhere)


def affinity_seconds(spec: Object) -> int:
    if spec.get('sessionAffinity') != 'ClientIP':
        return 0
    client_ip = (spec.get('sessionAffinityConfig') or {}).get('clientIP') or {}
    return client_ip.get('timeoutSeconds') or DEFAULT_AFFINITY_SECONDS


def _candidates(slices: Iterable[Object], name: str, protocol: str, node_name: str) -> Iterator[_Candidate]:
    """Everyone behind the port of that name. The name decides, so each slice may carry another number."""
    for endpoint_slice in slices:
        for number in _port_numbers(endpoint_slice, name, protocol):
            for endpoint in endpoint_slice.get('endpoints') or ():
                if is_ipv4(endpoint['addresses'][0]):
                    yield _candidate(endpoint, number, node_name)


def _port_numbers(endpoint_slice: Object, name: str, protocol: str) -> Iterator[int]:
    for port in endpoint_slice.get('ports') or ():
        if (port.get('name') or '') == name and (port.get('protocol') or 'TCP') == protocol and port.get('port'):
            yield port['port']


def _candidate(endpoint: Object, port: int, node_name: str) -> _Candidate:
    """The addresses of one endpoint are fungible: like kube-proxy, take the first. Absent conditions mean yes."""
    conditions = endpoint.get('conditions') or {}
    ready = conditions.get('ready') is not False
    serving = conditions['serving'] if conditions.get('serving') is not None else ready
    return _Candidate(
        Endpoint(endpoint['addresses'][0], port),
        ready,
        serving and bool(conditions.get('terminating')),
        bool(node_name) and endpoint.get('nodeName') == node_name,
    )


def service_key_of_slice(endpoint_slice: Object) -> list[tuple[str, str]]:
    """The key of the Service that an EndpointSlice belongs to, by its label; none if it has none."""
    name = _labels(endpoint_slice).get(SERVICE_NAME_LABEL)
    return [(endpoint_slice['metadata']['namespace'], name)] if name else []


def _labels(obj: Object) -> Mapping[str, str]:
    return obj['metadata'].get('labels') or {}
