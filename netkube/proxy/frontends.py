"""What Services and their EndpointSlices ask of the Node: which address and port leads to which endpoints.

Pure. The rules are those of kube-proxy (pkg/proxy: servicechangetracker, serviceport, nftables/proxier).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

import msgspec

from netkube.api.meta import Object
from netkube.proxy.endpoints import (
    HEADLESS_LABEL,
    Backends,
    Place,
    candidates_of,
    cluster_backends,
    local_backends,
    local_ready_addresses,
    usable_slices,
)
from netkube.proxy.families import canonical, family_of

PROTOCOLS = {'TCP': 'tcp', 'UDP': 'udp', 'SCTP': 'sctp'}
DEFAULT_AFFINITY_SECONDS = 10800  # core/v1 DefaultClientIPServiceAffinitySeconds
PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name'  # somebody else serves this Service
SERVICE_NAME_LABEL = 'kubernetes.io/service-name'
RANGES_ANNOTATION = 'service.beta.kubernetes.io/load-balancer-source-ranges'  # the field's beta spelling
SERVED_TYPES = ('ClusterIP', 'NodePort', 'LoadBalancer')


class Frontend(msgspec.Struct, frozen=True, order=True):
    """Where clients connect to: an address, 'tcp', 'udp' or 'sctp', and a port.

    Without an address (''), a node port: each address of the Node, of that family (the name of a Family).
    """

    ip: str
    protocol: str
    port: int
    family: str = 'IPv4'

    def __str__(self) -> str:
        at = f'address {self.ip}, port' if self.ip else f'{self.family} node port'
        return f'{at} {self.port}/{self.protocol.upper()}'


class HealthCheck(msgspec.Struct, frozen=True):
    """What a load balancer asks the Node for, at spec.healthCheckNodePort."""

    port: int
    endpoints: int


class ServiceRules(msgspec.Struct, frozen=True):
    """All that one Service asks of the Node. Ports of ``addresses`` that are no frontend refuse connections."""

    addresses: frozenset[str]
    frontends: dict[Frontend, Backends]
    outside: dict[Frontend, Backends] = {}
    """Of these frontends, clients from beyond the Node's uplink get other endpoints than the cluster's own."""
    sources: dict[Frontend, tuple[str, ...]] = {}
    """Of these, only clients of these CIDRs are served: none, if there are none."""
    health: HealthCheck | None = None


NOTHING = ServiceRules(frozenset(), {})


def service_rules(
    service: Object, slices: Iterable[Object], place: Place, families: Sequence[str] = ('IPv4',)
) -> ServiceRules:
    """The rules of one Service at ``place``, in these families; NOTHING for one that is not ours to serve."""
    if not is_served(service):
        return NOTHING
    addresses: set[str] = set()
    rules = ServiceRules(frozenset(), {}, {}, {}, _health_check(service, slices := list(slices), place))
    for family in families:
        own = _addresses(_cluster_ips(service), family)
        addresses.update(own)
        if own or _is_external(service['spec']):
            usable = usable_slices(slices, family)
            for port in service['spec'].get('ports') or ():
                _add_port(rules, service, port, usable, place, family)
    return msgspec.structs.replace(rules, addresses=frozenset(addresses))


def is_served(service: Object) -> bool:
    """Not a headless or ExternalName Service, nor one with a proxy of its own."""
    spec, labels = service['spec'], service['metadata'].get('labels') or {}
    if spec.get('type', 'ClusterIP') not in SERVED_TYPES or PROXY_NAME_LABEL in labels or HEADLESS_LABEL in labels:
        return False
    return any(map(canonical, _cluster_ips(service)))


def _add_port(
    rules: ServiceRules, service: Object, port: Object, slices: Sequence[Object], place: Place, family: str
) -> None:
    spec, affinity, protocol = service['spec'], affinity_seconds(service['spec']), port.get('protocol', 'TCP')
    candidates = candidates_of(slices, port.get('name', ''), protocol, place)
    everywhere = cluster_backends(candidates, place, affinity)
    local = spec.get('internalTrafficPolicy') == 'Local'
    inside = local_backends(candidates, affinity) if local else everywhere

    def frontend(ip: str, number: int = port['port']) -> Frontend:
        return Frontend(ip, PROTOCOLS[protocol], number, family)

    for address in _addresses(_cluster_ips(service), family):
        rules.frontends[frontend(address)] = inside
    if not _is_external(spec):
        return
    external = list(map(frontend, _external_addresses(service, family)))
    if spec.get('type') in ('NodePort', 'LoadBalancer') and port.get('nodePort'):
        external.append(frontend('', port['nodePort']))
    rules.frontends.update(dict.fromkeys(external, everywhere))
    if spec.get('externalTrafficPolicy') == 'Local' and (here := local_backends(candidates, affinity)) != everywhere:
        rules.outside.update(dict.fromkeys(external, here))
    if (allowed := source_ranges(service, family)) is not None:
        balanced = map(frontend, _balanced_addresses(service, family))
        rules.sources.update(dict.fromkeys(balanced, allowed))


def source_ranges(service: Object, family: str) -> tuple[str, ...] | None:
    """The clients that loadBalancerSourceRanges lets in, without overlaps; None: everybody.

    Where the field is empty the annotation counts: not for kube-proxy, but for load balancers (cloud-provider's
    GetLoadBalancerSourceRanges), which this Node is, too. Ranges of the other family only let nobody of this one in.
    (kube-proxy lets everybody in then.)
    """
    annotated = (service['metadata'].get('annotations') or {}).get(RANGES_ANNOTATION, '').strip()
    texts = service['spec'].get('loadBalancerSourceRanges') or (annotated.split(',') if annotated else ())
    ranges = [ip_network(text.strip(), strict=False) for text in texts]
    if not ranges:
        return None
    own = collapse_addresses([r for r in ranges if f'IPv{r.version}' == family])  # type: ignore[type-var]
    found: list[IPv4Network | IPv6Network] = list(own)
    return None if any(r.prefixlen == 0 for r in found) else tuple(map(str, found))


def affinity_seconds(spec: Object) -> int:
    if spec.get('sessionAffinity') != 'ClientIP':
        return 0
    client_ip = (spec.get('sessionAffinityConfig') or {}).get('clientIP') or {}
    return client_ip.get('timeoutSeconds') or DEFAULT_AFFINITY_SECONDS


def service_key_of_slice(endpoint_slice: Object) -> list[tuple[str, str]]:
    """The key of the Service that an EndpointSlice belongs to, by its label; none if it has none."""
    name = (endpoint_slice['metadata'].get('labels') or {}).get(SERVICE_NAME_LABEL)
    return [(endpoint_slice['metadata']['namespace'], name)] if name else []


def _is_external(spec: Object) -> bool:
    return spec.get('type') in ('NodePort', 'LoadBalancer') or bool(spec.get('externalIPs'))


def _cluster_ips(service: Object) -> list[str]:
    spec = service['spec']
    return spec.get('clusterIPs') or [spec.get('clusterIP') or 'None']


def _external_addresses(service: Object, family: str) -> list[str]:
    """externalIPs and load balancer's addresses, each once."""
    external = _addresses(service['spec'].get('externalIPs') or (), family)
    return list(dict.fromkeys([*external, *_balanced_addresses(service, family)]))


def _balanced_addresses(service: Object, family: str) -> list[str]:
    """Those whose packets arrive here as they were sent: ipMode VIP (KEP-1860)."""
    if service['spec'].get('type') != 'LoadBalancer':
        return []
    ingress = ((service.get('status') or {}).get('loadBalancer') or {}).get('ingress') or ()
    return _addresses([each.get('ip', '') for each in ingress if each.get('ipMode', 'VIP') == 'VIP'], family)


def _addresses(texts: Iterable[str], family: str) -> list[str]:
    """The canonical addresses of that family; what is none is left out."""
    return [address for text in texts if (address := canonical(text)) and family_of(address).name == family]


def _health_check(service: Object, slices: Iterable[Object], place: Place) -> HealthCheck | None:
    spec = service['spec']
    port = spec.get('healthCheckNodePort')
    if not port or spec.get('type') != 'LoadBalancer' or spec.get('externalTrafficPolicy') != 'Local':
        return None
    return HealthCheck(port, local_ready_addresses(slices, place))
