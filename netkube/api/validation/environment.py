"""Validation of a container's env and envFrom, and of the references they share with volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import invalid, invalid_each, not_supported, required
from netkube.api.names import is_config_key, is_env_name, is_qualified_name, without_trailing_dash
from netkube.api.quantity import parse_quantity
from netkube.api.validation.values import dns_label, dns_subdomain, unreserved_path

_ENV_FIELDS = (
    'metadata.name', 'metadata.namespace', 'metadata.uid', 'spec.nodeName', 'spec.serviceAccountName',
    'status.hostIP', 'status.hostIPs', 'status.podIP', 'status.podIPs',
)  # fmt: skip
# What a field path may name at all, before it is asked whether it may be used here.
_KNOWN_FIELDS = frozenset((*_ENV_FIELDS, 'metadata.labels', 'metadata.annotations', 'spec.restartPolicy',
                           'spec.schedulerName', 'status.phase', 'spec.hostNetwork'))  # fmt: skip
_RESOURCES = (
    'limits.cpu', 'limits.ephemeral-storage', 'limits.memory',
    'requests.cpu', 'requests.ephemeral-storage', 'requests.memory',
)  # fmt: skip
_HUGE_PAGES = ('limits.hugepages-', 'requests.hugepages-')
_BYTE_DIVISORS = ('1', '1k', '1M', '1G', '1T', '1P', '1E', '1Ki', '1Mi', '1Gi', '1Ti', '1Pi', '1Ei')
_SOURCES = ('fieldRef', 'resourceFieldRef', 'configMapKeyRef', 'secretKeyRef', 'fileKeyRef')


def validate_env(variables: Sequence[dict[str, Any]], path: str) -> Iterator[FieldError]:
    for index, variable in enumerate(variables):
        here = f'{path}[{index}]'
        name = variable.get('name', '')
        yield from invalid_each(f'{here}.name', name, is_env_name(name)) if name else [required(f'{here}.name')]
        if 'valueFrom' in variable:
            yield from _validate_value_from(variable, f'{here}.valueFrom')


def _validate_value_from(variable: dict[str, Any], path: str) -> Iterator[FieldError]:
    source = variable['valueFrom']
    given = [kind for kind in _SOURCES if kind in source]
    for kind in given:
        yield from _validate_source(kind, source[kind], f'{path}.{kind}')
    if not given:
        kinds = 'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`'
        yield invalid(path, '', kinds)
    elif variable.get('value'):
        yield invalid(path, '', 'may not be specified when `value` is not empty')
    elif len(given) > 1:
        yield invalid(path, '', 'may not have more than one field specified at a time')


def _validate_source(kind: str, source: dict[str, Any], path: str) -> Iterator[FieldError]:
    if kind == 'fieldRef':
        yield from validate_field_ref(source, _ENV_FIELDS, path)
    elif kind == 'resourceFieldRef':
        yield from validate_resource_field_ref(source, path, in_volume=False)
    elif kind == 'fileKeyRef':
        yield from _validate_file_key(source, path)
    else:
        yield from _validate_key_selector(source, path)


def validate_field_ref(source: dict[str, Any], supported: Sequence[str], path: str) -> Iterator[FieldError]:
    for key in ('apiVersion', 'fieldPath'):
        if not source.get(key):
            yield required(f'{path}.{key}')
            return
    field = source['fieldPath']
    base, bracket, rest = field.partition('[')
    if base not in _KNOWN_FIELDS:
        message = f'error converting fieldPath: field label not supported: {field}'
        yield invalid(f'{path}.fieldPath', field, message)
    elif bracket and rest.endswith("']") and rest.startswith("'"):
        yield from _validate_subscript(base, rest[1:-2], path)
    elif field not in supported:
        yield not_supported(f'{path}.fieldPath', field, supported)


def _validate_subscript(base: str, subscript: str, path: str) -> Iterator[FieldError]:
    if base == 'metadata.annotations':
        yield from invalid_each(path, subscript.lower(), is_qualified_name(subscript.lower()))
    elif base == 'metadata.labels':
        yield from invalid_each(path, subscript, is_qualified_name(subscript))
    else:
        yield invalid(path, base, 'does not support subscript')


def validate_resource_field_ref(source: dict[str, Any], path: str, *, in_volume: bool) -> Iterator[FieldError]:
    resource = source.get('resource', '')
    if in_volume and not source.get('containerName'):
        yield required(f'{path}.containerName')
    elif not resource:
        yield required(f'{path}.resource')
    elif resource not in _RESOURCES and not resource.startswith(_HUGE_PAGES):
        yield not_supported(f'{path}.resource', resource, _RESOURCES)
    yield from _validate_divisor(resource, source.get('divisor', '0'), path)


def _validate_divisor(resource: str, divisor: str, path: str) -> Iterator[FieldError]:
    if parse_quantity(divisor) == 0:
        return
    what = resource.partition('.')[2]
    if what == 'cpu' and divisor not in ('1m', '1'):
        yield invalid(f'{path}.divisor', resource, "only divisor's values 1m and 1 are supported with the cpu resource")
    elif what in ('memory', 'ephemeral-storage') and divisor not in _BYTE_DIVISORS:
        named = 'memory' if what == 'memory' else 'local ephemeral storage'
        message = f"only divisor's values {', '.join(_BYTE_DIVISORS)} are supported with the {named} resource"
        yield invalid(f'{path}.divisor', resource, message)


def _validate_file_key(source: dict[str, Any], path: str) -> Iterator[FieldError]:
    key, file, volume = source.get('key', ''), source.get('path', ''), source.get('volumeName', '')
    yield from invalid_each(f'{path}.key', key, is_env_name(key)) if key else [required(f'{path}.key')]
    yield from dns_label(volume, f'{path}.volumeName') if volume else [required(f'{path}.volumeName')]
    yield from unreserved_path(file, f'{path}.path') if file else [required(f'{path}.path')]


def _validate_key_selector(source: dict[str, Any], path: str) -> Iterator[FieldError]:
    yield from dns_subdomain(source.get('name', ''), f'{path}.name')
    key = source.get('key', '')
    yield from invalid_each(f'{path}.key', key, is_config_key(key)) if key else [required(f'{path}.key')]


def validate_env_from(sources: Sequence[dict[str, Any]], path: str) -> Iterator[FieldError]:
    for index, source in enumerate(sources):
        here = f'{path}[{index}]'
        if source.get('prefix'):
            yield from invalid_each(f'{here}.prefix', source['prefix'], is_env_name(source['prefix']))
        given = [kind for kind in ('configMapRef', 'secretRef') if kind in source]
        for kind in given:
            yield from _validate_reference(source[kind], f'{here}.{kind}')
        if not given:
            yield invalid(path, '', 'must specify one of: `configMapRef` or `secretRef`')
        elif len(given) > 1:
            yield invalid(path, '', 'may not have more than one field specified at a time')


def _validate_reference(source: dict[str, Any], path: str) -> Iterator[FieldError]:
    name = source.get('name', '')
    if not name:
        yield required(f'{path}.name')
    else:
        yield from dns_subdomain(without_trailing_dash(name), f'{path}.name')
