"""Rows of Services, Endpoints, EndpointSlices, ServiceCIDRs and IPAddresses."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from netkube.api.durations import age
from netkube.api.meta import Object
from netkube.api.selectors import from_label_selector

_SHOWN = 3  # endpoints and ports in a cell, before '+ N more...'


def print_service(service: Object, now: datetime) -> list[Any]:
    spec = service['spec']
    addresses = spec.get('clusterIPs') or [spec.get('clusterIP')]
    return [
        service['metadata']['name'],
        spec.get('type', ''),
        addresses[0] or '<none>',
        _external_ip(service),
        ','.join(_port(port) for port in spec.get('ports') or ()) or '<none>',
        age(service['metadata'].get('creationTimestamp'), now),
        ','.join(f'{key}={value}' for key, value in sorted((spec.get('selector') or {}).items())) or '<none>',
    ]


def _port(port: dict[str, Any]) -> str:
    node_port = f':{port["nodePort"]}' if port.get('nodePort') else ''
    return f'{port.get("port", 0)}{node_port}/{port.get("protocol", "TCP")}'


def _external_ip(service: Object) -> str:
    spec = service['spec']
    external = list(spec.get('externalIPs') or ())
    match spec.get('type'):
        case 'ClusterIP' | 'NodePort':
            return ','.join(external) or '<none>'
        case 'LoadBalancer':
            balancers = _load_balancers(service)
            return ','.join(([balancers] if balancers else []) + external) or '<pending>'
        case 'ExternalName':
            return spec.get('externalName', '')
    return '<unknown>'


def _load_balancers(service: Object) -> str:
    """In full: kube-apiserver renders every table as for ``-o wide``."""
    ingresses = service.get('status', {}).get('loadBalancer', {}).get('ingress') or ()
    names = {one.get('ip') or one.get('hostname') or '' for one in ingresses} - {''}
    return ','.join(sorted(names))


def print_endpoints(endpoints: Object, now: datetime) -> list[Any]:
    subsets = endpoints.get('subsets') or ()
    shown = [text for subset in subsets for text in _subset(subset)]
    return [
        endpoints['metadata']['name'],
        _first(shown) if subsets else '<none>',
        age(endpoints['metadata'].get('creationTimestamp'), now),
    ]


def _subset(subset: dict[str, Any]) -> Iterable[str]:
    """Every address with every port, ready ones only; addresses alone when there are no ports."""
    addresses = [address['ip'] for address in subset.get('addresses') or ()]
    ports = [port['port'] for port in subset.get('ports') or ()]
    if not ports:
        return addresses
    return [_host_port(address, port) for port in ports for address in addresses]


def _host_port(address: str, port: int) -> str:
    return f'[{address}]:{port}' if ':' in address else f'{address}:{port}'


def _first(texts: list[str]) -> str:
    text = ','.join(texts[:_SHOWN])
    return text if len(texts) <= _SHOWN else f'{text} + {len(texts) - _SHOWN} more...'


def print_endpointslice(endpointslice: Object, now: datetime) -> list[Any]:
    ports = ['*' if port.get('port') is None else str(port['port']) for port in endpointslice.get('ports') or ()]
    addresses = [address for one in endpointslice.get('endpoints') or () for address in one.get('addresses') or ()]
    return [
        endpointslice['metadata']['name'],
        endpointslice.get('addressType', ''),
        _first(ports) or '<unset>',
        _first(addresses) or '<unset>',
        age(endpointslice['metadata'].get('creationTimestamp'), now),
    ]


def print_servicecidr(service_cidr: Object, now: datetime) -> list[Any]:
    metadata = service_cidr['metadata']
    cidrs = ','.join((service_cidr.get('spec') or {}).get('cidrs') or ())
    return [metadata['name'], cidrs, age(metadata.get('creationTimestamp'), now)]


def print_ipaddress(ip_address: Object, now: datetime) -> list[Any]:
    metadata, parent = ip_address['metadata'], (ip_address.get('spec') or {}).get('parentRef') or {}
    words = (parent.get('group'), parent.get('resource'), parent.get('namespace'), parent.get('name'))
    return [metadata['name'], '/'.join(filter(None, words)), age(metadata.get('creationTimestamp'), now)]


def print_networkpolicy(policy: Object, now: datetime) -> list[Any]:
    """The selector as metav1.FormatLabelSelector writes it; an empty one, which selects all Pods, is ``<none>``."""
    return [
        policy['metadata']['name'],
        str(from_label_selector(policy.get('spec', {}).get('podSelector') or {})) or '<none>',
        age(policy['metadata'].get('creationTimestamp'), now),
    ]
