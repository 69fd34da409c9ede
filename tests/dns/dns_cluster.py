"""The objects that the DNS tests ask about, and a zone-file way to say what they expect."""

from __future__ import annotations

from typing import Any

import dns.message
import dns.rcode

from netkube.dns.objects import parse_service, parse_slice
from netkube.dns.resolvconf import ResolvConf
from netkube.dns.resolver import Resolver
from netkube.dns.upstream import Upstream
from netkube.dns.zone import Zone

VIP, VIP6 = '10.96.0.10', 'fd00:10:96::a'
SOA = 'cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5'


def service(name: str, *cluster_ips: str, ports: str = '', namespace: str = 'testns', **spec: Any) -> dict[str, Any]:
    """``ports`` as in ``'http/TCP/80 /UDP/53'``: name, protocol, number."""
    addresses = {'clusterIP': cluster_ips[0], 'clusterIPs': list(cluster_ips)} if cluster_ips else {}
    return {
        'apiVersion': 'v1',
        'kind': 'Service',
        'metadata': {'name': name, 'namespace': namespace, 'resourceVersion': '1'},
        'spec': {'type': 'ClusterIP', **addresses, 'ports': _ports(ports), **spec},
    }


def endpoint_slice(
    owner: str, *endpoints: dict[str, Any], ports: str = '', family: str = 'IPv4', suffix: str = '1', **metadata: Any
) -> dict[str, Any]:
    return {
        'apiVersion': 'discovery.k8s.io/v1',
        'kind': 'EndpointSlice',
        'metadata': {
            'name': f'{owner}-{family.lower()}-{suffix}',
            'namespace': 'testns',
            'labels': {'kubernetes.io/service-name': owner},
            'resourceVersion': '1',
            **metadata,
        },
        'addressType': family,
        'endpoints': list(endpoints),
        'ports': _ports(ports),
    }


def endpoint(address: str, hostname: str = '', ready: bool | None = True) -> dict[str, Any]:
    found: dict[str, Any] = {'addresses': [address], 'conditions': {} if ready is None else {'ready': ready}}
    return found | ({'hostname': hostname} if hostname else {})


def _ports(text: str) -> list[dict[str, Any]]:
    rows = [row.split('/') for row in text.split()]
    return [{'name': name, 'protocol': protocol, 'port': int(number)} for name, protocol, number in rows]


OBJECTS = (
    service('svc1', '10.0.0.1', ports='http/TCP/80'),
    service('svc6', '1234:abcd::1', ports='http/TCP/80'),
    service('dual', '10.0.0.3', '10::3', ports='http/TCP/80 dns/UDP/53'),
    service('portless', '10.0.0.4', ports='/TCP/80'),
    service('headless', 'None', ports='http/TCP/80'),
    service('nobody', 'None'),
    service('starting', 'None', publishNotReadyAddresses=True),
    service('external', type='ExternalName', externalName='ext.interwebs.test'),
    service('alias', type='ExternalName', externalName='svc1.testns.svc.cluster.local.'),
    service('dangling', type='ExternalName', externalName='absent.testns.svc.cluster.local'),
    service('loop', type='ExternalName', externalName='loop.testns.svc.cluster.local'),
    endpoint_slice('svc1', endpoint('172.0.0.1'), ports='http/TCP/8080'),
    endpoint_slice(
        'headless',
        endpoint('172.0.0.2', ready=None),
        endpoint('172.0.0.3', hostname='Pet-0'),
        endpoint('172.0.0.4', hostname='pet-1'),
        endpoint('172.0.0.5', hostname='pet-1'),
        endpoint('172.0.0.9', hostname='pet-2', ready=False),
        ports='http/TCP/8080',
    ),
    endpoint_slice('headless', endpoint('5678:abcd::1'), ports='http/TCP/8080', family='IPv6'),
    endpoint_slice('starting', endpoint('172.0.0.7', hostname='slow', ready=False)),
    endpoint_slice('nobody', endpoint('172.0.0.8', ready=False)),
)


def resolver(
    objects: Any = OBJECTS, domain: str = 'cluster.local', resolv_conf: str = '/nonexistent', budget: float = 1.0
) -> Resolver:
    """A resolver that knows ``objects`` and the Namespaces testns and empty; ``budget`` in seconds for upstream."""
    made = Resolver(Zone(domain, (VIP, VIP6)), Upstream(ResolvConf(resolv_conf, frozenset({VIP, VIP6})), budget))
    for name in ('testns', 'empty'):
        made.set_namespace(name, present=True)
    for obj in objects:
        if obj['kind'] == 'Service':
            made.change_service(None, parse_service(obj))
        else:
            made.change_slice(None, parse_slice(obj))
    made.synced.set()
    return made


def ask(to: Resolver, name: str, rdtype: str = 'A', transport: str = 'udp', **options: Any) -> dns.message.Message:
    """Ask a resolver without sockets."""
    query = dns.message.make_query(name, rdtype, **options)
    answer = to.resolve(query.to_wire(), getattr(to, transport))
    assert isinstance(answer, bytes), f'{name} {rdtype} did not have an answer at hand'
    return dns.message.from_wire(answer)


def said(message: dns.message.Message) -> tuple[str, list[str], list[str], list[str]]:
    """rcode, answer, authority, additional; records as zone-file lines, those of one name and type sorted."""
    answer, authority, additional = (
        [line for rrset in section for line in sorted(rrset.to_text().splitlines())]
        for section in (message.answer, message.authority, message.additional)
    )
    return dns.rcode.to_text(message.rcode()), answer, authority, additional
