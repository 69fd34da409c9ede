"""Validation of Endpoints and EndpointSlices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import duplicate, invalid, invalid_each, required, too_many
from netkube.api.meta import Object
from netkube.api.names import is_dns_label, is_dns_subdomain, is_ip, is_ipv4, is_ipv6, is_port_number, is_qualified_name
from netkube.api.validation.metadata import validate_immutable
from netkube.api.validation.values import PROTOCOLS, dns_label, dns_subdomain, non_special_ip, one_of

_ADDRESS_TYPES = ('FQDN', 'IPv4', 'IPv6')
_MAX_ENDPOINTS, _MAX_ADDRESSES, _MAX_PORTS = 1000, 100, 20000


def validate_endpoints(endpoints: Object) -> Iterator[FieldError]:
    for index, subset in enumerate(endpoints.get('subsets') or ()):
        yield from _validate_subset(subset, f'subsets[{index}]')


def validate_endpoints_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_endpoints(new)


def _validate_subset(subset: dict[str, Any], path: str) -> Iterator[FieldError]:
    ready, waiting = subset.get('addresses') or [], subset.get('notReadyAddresses') or []
    if not ready and not waiting:
        yield required(path, 'must specify `addresses` or `notReadyAddresses`')
    for kind, addresses in (('addresses', ready), ('notReadyAddresses', waiting)):
        for index, address in enumerate(addresses):
            yield from _validate_address(address, f'{path}.{kind}[{index}]')
    ports = subset.get('ports') or []
    for index, port in enumerate(ports):
        yield from _validate_port(port, f'{path}.ports[{index}]', name_required=len(ports) > 1)


def _validate_address(address: dict[str, Any], path: str) -> Iterator[FieldError]:
    ip = address.get('ip', '')
    faults = invalid_each(f'{path}.ip', ip, is_ip(ip))
    yield from faults
    if address.get('hostname'):
        yield from dns_label(address['hostname'], f'{path}.hostname')
    if address.get('nodeName'):
        yield from dns_subdomain(address['nodeName'], f'{path}.nodeName')
    if not faults:
        yield from non_special_ip(ip, f'{path}.ip')


def _validate_port(port: dict[str, Any], path: str, *, name_required: bool) -> Iterator[FieldError]:
    name, number = port.get('name', ''), port.get('port', 0)
    if name:
        yield from dns_label(name, f'{path}.name')
    elif name_required:
        yield required(f'{path}.name')
    yield from invalid_each(f'{path}.port', number, is_port_number(number))
    yield from _validate_protocols(port, path)


def _validate_protocols(port: dict[str, Any], path: str) -> Iterator[FieldError]:
    yield from one_of(port.get('protocol'), PROTOCOLS, f'{path}.protocol')
    protocol = port.get('appProtocol')
    if protocol is not None:
        yield from invalid_each(f'{path}.appProtocol', protocol, is_qualified_name(protocol))


def validate_endpointslice(endpointslice: Object) -> Iterator[FieldError]:
    kind = endpointslice.get('addressType', '')
    yield from one_of(kind, _ADDRESS_TYPES, 'addressType')
    yield from _validate_slice_endpoints(endpointslice.get('endpoints') or [], kind)
    yield from _validate_slice_ports(endpointslice.get('ports') or [])


def validate_endpointslice_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_endpointslice(new)
    yield from validate_immutable(new.get('addressType', ''), old.get('addressType', ''), 'addressType')


def _validate_slice_endpoints(endpoints: Sequence[dict[str, Any]], kind: str) -> Iterator[FieldError]:
    if len(endpoints) > _MAX_ENDPOINTS:
        yield too_many('endpoints', len(endpoints), _MAX_ENDPOINTS)
        return
    for index, endpoint in enumerate(endpoints):
        yield from _validate_endpoint(endpoint, kind, f'endpoints[{index}]')


def _validate_endpoint(endpoint: dict[str, Any], kind: str, path: str) -> Iterator[FieldError]:
    addresses = endpoint.get('addresses') or []
    if not addresses:
        yield required(f'{path}.addresses', 'must contain at least 1 address')
    elif len(addresses) > _MAX_ADDRESSES:
        yield too_many(f'{path}.addresses', len(addresses), _MAX_ADDRESSES)
    for index, address in enumerate(addresses):
        yield from _validate_slice_address(address, kind, f'{path}.addresses[{index}]')
    if 'nodeName' in endpoint:
        yield from invalid_each(f'{path}.nodeName', endpoint['nodeName'], is_dns_subdomain(endpoint['nodeName']))
    if 'hostname' in endpoint:
        yield from dns_label(endpoint['hostname'], f'{path}.hostname')


def _validate_slice_address(address: str, kind: str, path: str) -> Iterator[FieldError]:
    if kind == 'FQDN':
        yield from _validate_fqdn(address, path)
    elif kind in ('IPv4', 'IPv6'):
        faults = invalid_each(path, address, is_ipv4(address) if kind == 'IPv4' else is_ipv6(address))
        yield from faults
        yield from non_special_ip(address, path)


def _validate_fqdn(name: str, path: str) -> Iterator[FieldError]:
    name = name.removesuffix('.')
    errors = is_dns_subdomain(name)
    if not name:
        yield required(path)
    elif errors:
        yield invalid(path, name, ','.join(errors))
    elif '.' not in name:
        yield invalid(path, name, 'should be a domain with at least two segments separated by dots')
    else:
        for label in name.split('.'):
            if is_dns_label(label):
                yield invalid(path, label, ','.join(is_dns_label(label)))


def _validate_slice_ports(ports: Sequence[dict[str, Any]]) -> Iterator[FieldError]:
    if len(ports) > _MAX_PORTS:
        yield too_many('ports', len(ports), _MAX_PORTS)
        return
    names: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f'ports[{index}]', port.get('name', '')
        if name:
            yield from dns_label(name, f'{path}.name')
        if name in names:
            yield duplicate(f'{path}.name', name)
        names.add(name)
        yield from _validate_protocols(port, path)
