"""Validation of ServiceCIDRs and IPAddresses (pkg/apis/networking/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import invalid, invalid_each, quoted, required
from netkube.api.meta import Object
from netkube.api.names import is_dns_subdomain, is_ip
from netkube.api.validation.values import cidr

IMMUTABLE = 'field is immutable'
_CIDRS = 'spec.cidrs'


def ip_address_name(name: str) -> list[str]:
    """An IPAddress is named by the address, in the one way to write it."""
    if errors := is_ip(name):
        return errors
    canonical = str(ip_address(name))
    return [] if name == canonical else [f'must be in canonical form ({quoted(canonical)})']


def validate_ip_address(obj: Object) -> Iterator[FieldError]:
    parent, path = (obj.get('spec') or {}).get('parentRef'), 'spec.parentRef'
    if parent is None:
        yield required(path)
        return
    if parent.get('group'):
        yield from invalid_each(f'{path}.group', parent['group'], is_dns_subdomain(parent['group']))
    for field in ('resource', 'name'):
        if not parent.get(field):
            yield required(f'{path}.{field}')
    for field in ('resource', 'name', 'namespace'):
        if parent.get(field):
            yield from invalid_each(f'{path}.{field}', parent[field], _path_segment(parent[field]))


def validate_ip_address_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from _unchanged(new, old, 'parentRef')


def validate_service_cidr(obj: Object) -> Iterator[FieldError]:
    spec = obj.get('spec') or {}
    cidrs = spec.get('cidrs') or []
    if not cidrs:
        yield required(_CIDRS, 'at least one CIDR required')
        return
    if len(cidrs) > 2:
        yield invalid(_CIDRS, spec, 'may only hold up to 2 values')
        return
    faults = [list(_validate_cidr(one, f'{_CIDRS}[{index}]')) for index, one in enumerate(cidrs)]
    if len(cidrs) == 2 and (any(faults) or len({':' in one for one in cidrs}) == 1):
        example = 'i.e 192.168.0.0/24 and 2001:db8::/64'
        yield invalid(_CIDRS, spec, f'may specify no more than one IP for each IP family, {example}')
        return
    for errors in faults:
        yield from errors


def validate_service_cidr_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from _unchanged(new, old, 'cidrs')


def _validate_cidr(value: str, path: str) -> Iterator[FieldError]:
    """IsValidCIDR: a network, and in the one way to write it."""
    if errors := cidr(value, path):
        yield from errors
        return
    interface = ip_interface(value)
    if interface.ip != interface.network.network_address:
        yield invalid(path, value, 'must not have bits set beyond the prefix length')
    elif value != str(interface.network):
        yield invalid(path, value, f'must be in canonical form ({quoted(str(interface.network))})')


def _unchanged(new: Object, old: Object, field: str) -> Iterator[FieldError]:
    value: Any = (new.get('spec') or {}).get(field)
    if value != (old.get('spec') or {}).get(field):
        yield invalid(f'spec.{field}', value, IMMUTABLE)


def _path_segment(name: str) -> list[str]:
    """IsValidPathSegmentName."""
    if name in ('.', '..'):
        return [f"may not be '{name}'"]
    return [f"may not contain '{letter}'" for letter in '/%' if letter in name]
