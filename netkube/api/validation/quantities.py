"""Validation of resource names, quantities, requests and limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import forbidden, invalid, invalid_each, not_supported, required
from netkube.api.names import is_qualified_name
from netkube.api.podresources import aggregate_quantities
from netkube.api.quantity import parse_quantity
from netkube.api.validation.values import NOT_NEGATIVE

_CONTAINER_RESOURCES = ('cpu', 'memory', 'ephemeral-storage')
_POD_RESOURCES = ('cpu', 'memory')
_HUGE_PAGES = 'hugepages-'
_INTEGER_RESOURCES = ('pods', 'services', 'configmaps', 'secrets')


def validate_resource_requirements(resources: dict[str, Any], path: str) -> Iterator[FieldError]:
    limits, requests = resources.get('limits') or {}, resources.get('requests') or {}
    for name, quantity in limits.items():
        yield from _validate_entry(name, quantity, f'{path}.limits[{name}]')
    for name, quantity in requests.items():
        yield from _validate_entry(name, quantity, f'{path}.requests[{name}]')
        yield from _validate_request(name, quantity, limits, path)


def _validate_entry(name: str, quantity: str, path: str) -> Iterator[FieldError]:
    yield from _validate_container_resource_name(name, path)
    yield from validate_quantity(name, quantity, path)


def _validate_container_resource_name(name: str, path: str) -> Iterator[FieldError]:
    errors = invalid_each(path, name, is_qualified_name(name))
    yield from errors
    if errors:
        return
    if '/' not in name:
        if name not in _CONTAINER_RESOURCES and not name.startswith(_HUGE_PAGES):
            yield invalid(path, name, 'must be a standard resource for containers')
    elif not _is_native(name) and (name.startswith('requests.') or is_qualified_name('requests.' + name)):
        yield invalid(path, name, "doesn't follow extended resource name standard")


def _is_native(name: str) -> bool:
    return '/' not in name or 'kubernetes.io/' in name


def validate_quantity(name: str, quantity: str, path: str) -> Iterator[FieldError]:
    value = parse_quantity(quantity)
    if value < 0:
        yield invalid(path, quantity, NOT_NEGATIVE)
    if (name in _INTEGER_RESOURCES or not _is_native(name)) and value != value.to_integral_value():
        yield invalid(path, quantity, 'must be an integer')


def _validate_request(name: str, quantity: str, limits: dict[str, str], path: str) -> Iterator[FieldError]:
    overcommit = _is_native(name) and not name.startswith(_HUGE_PAGES)
    if name not in limits:
        if not overcommit:
            yield required(f'{path}.limits', 'Limit must be set for non overcommitable resources')
        return
    request, limit = parse_quantity(quantity), parse_quantity(limits[name])
    if request != limit and not overcommit:
        yield invalid(f'{path}.requests', quantity, f'must be equal to {name} limit of {limits[name]}')
    elif request > limit:
        yield invalid(f'{path}.requests', quantity, f'must be less than or equal to {name} limit of {limits[name]}')


def validate_pod_resources(spec: dict[str, Any], path: str) -> Iterator[FieldError]:
    """Pod-level resources: of cpu, memory and huge pages; they must hold what the containers ask for (KEP-2837)."""
    resources = spec.get('resources')
    if not resources:
        return
    if resources.get('claims'):
        yield forbidden(f'{path}.claims', 'claims cannot be set for Resources at pod-level')
    known: dict[str, dict[str, str]] = {'limits': {}, 'requests': {}}
    for kind, supported in known.items():
        for name, quantity in (resources.get(kind) or {}).items():
            if name in _POD_RESOURCES or name.startswith(_HUGE_PAGES):
                supported[name] = quantity
            else:
                yield not_supported(f'{path}.{kind}[{name}]', name, _POD_RESOURCES)
    yield from validate_resource_requirements(known, path)
    requests, limits = known['requests'], known['limits']
    for name, total in aggregate_quantities(spec).items():
        if name in requests and parse_quantity(total) > parse_quantity(requests[name]):
            message = f'must be greater than or equal to aggregate container requests of {total}'
            yield invalid(f'{path}.requests[{name}]', requests[name], message)
    for index, container in enumerate(spec.get('containers') or ()):
        for name, limit in (container.get('resources', {}).get('limits') or {}).items():
            if name in limits and parse_quantity(limit) > parse_quantity(limits[name]):
                message = f'must be less than or equal to pod limits of {limits[name]}'
                yield invalid(f'{path}.containers[{index}][{name}].limits', limit, message)
