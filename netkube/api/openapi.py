"""The OpenAPI documents of the served kinds, built when asked for and kept nowhere.

The schemas are Kubernetes' own; the paths carry what kubectl reads of them: which path is which kind, and that writes
take ``fieldValidation`` and ``dryRun``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from netkube.api.resources import SERVED, Resource
from netkube.api.schema import REF, also_served, definitions_of, raw_definitions, reachable

_INFO = {'title': 'Kubernetes', 'version': 'v1.37.0'}
_LIST_OPERATIONS = {'get': 'list', 'post': 'post', 'delete': 'deletecollection'}
_OBJECT_OPERATIONS = {'get': 'get', 'put': 'put', 'patch': 'patch', 'delete': 'delete'}
_SUBRESOURCE_OPERATIONS = {'get': 'get', 'put': 'put', 'patch': 'patch'}
_SUBRESOURCE_KINDS = {
    'scale': ('autoscaling', 'v1', 'Scale'), 'binding': ('', 'v1', 'Binding'), 'eviction': ('policy', 'v1', 'Eviction'),
    'token': ('authentication.k8s.io', 'v1', 'TokenRequest'),
}  # fmt: skip
_WRITES = ('post', 'put', 'patch')
_PARAMETERS = ('dryRun', 'fieldManager', 'fieldValidation')
_Document = dict[str, Any]


def openapi_v3(group_version: str) -> _Document:
    """The document of ``v1`` or ``apps/v1``."""
    resources = [resource for resource in SERVED if resource.api_version == group_version]
    schemas = _schemas(resources, '#/components/schemas/', _property_v3)
    return {
        'openapi': '3.0.0', 'info': _INFO, 'paths': _paths(resources, _parameter_v3),
        'components': {'schemas': schemas},
    }  # fmt: skip


def openapi_v2() -> _Document:
    """The document of all kinds."""
    definitions = _schemas(SERVED, '#/definitions/', _property_v2)
    return {'swagger': '2.0', 'info': _INFO, 'paths': _paths(SERVED, _parameter_v2), 'definitions': definitions}


def _schemas(resources: Iterable[Resource], ref_prefix: str, convert: Callable[..., Any]) -> dict[str, Any]:
    roots = [*definitions_of(resources), *also_served()]
    raws = raw_definitions()
    names = sorted(name for name, _ in reachable(roots, raws))
    return {name: _schema(name, msgspec.json.decode(raws[name]), ref_prefix, convert) for name in names}


def _schema(name: str, raw: dict[str, Any], ref_prefix: str, convert: Callable[..., Any]) -> dict[str, Any]:
    if 'oneOf' in raw:
        return _one_of(name, raw, convert)
    return _plain(raw, ref_prefix, convert)


def _one_of(name: str, raw: dict[str, Any], convert: Callable[..., Any]) -> dict[str, Any]:
    """Quantity and IntOrString."""
    described = {'description': raw['description']} if 'description' in raw else {}
    extra = {'format': 'int-or-string'} if name.endswith('IntOrString') else {}
    if convert is _property_v2:
        return {**described, 'type': 'string', **extra}
    number = 'integer' if extra else 'number'
    return {**described, 'oneOf': [{'type': number}, {'type': 'string'}], **extra}


def _plain(raw: dict[str, Any], ref_prefix: str, convert: Callable[..., Any]) -> dict[str, Any]:
    """Without the nulls and the fixed apiVersion and kind that the definitions file adds for manifests' validation."""
    result = {key: value for key, value in raw.items() if key != 'enum'}
    if isinstance(raw.get('type'), list):
        result['type'] = next(one for one in raw['type'] if one != 'null')
    if 'properties' in raw:
        result['properties'] = {key: convert(value, ref_prefix) for key, value in raw['properties'].items()}
    for key in ('items', 'additionalProperties'):
        if isinstance(raw.get(key), dict):
            result[key] = convert(raw[key], ref_prefix)
    return result


def _property_v2(raw: dict[str, Any], ref_prefix: str) -> dict[str, Any]:
    if '$ref' in raw:
        return raw | {'$ref': ref_prefix + raw['$ref'].removeprefix(REF)}
    return _plain(raw, ref_prefix, _property_v2)


def _property_v3(raw: dict[str, Any], ref_prefix: str) -> dict[str, Any]:
    """OpenAPI 3.0 allows nothing beside a $ref."""
    if '$ref' in raw:
        reference = {'$ref': ref_prefix + raw['$ref'].removeprefix(REF)}
        beside = {key: value for key, value in raw.items() if key != '$ref'}
        return {'allOf': [reference], **beside} if beside else reference
    return _plain(raw, ref_prefix, _property_v3)


def _parameter_v2(name: str) -> dict[str, Any]:
    return {'name': name, 'in': 'query', 'type': 'string', 'uniqueItems': True}


def _parameter_v3(name: str) -> dict[str, Any]:
    return {'name': name, 'in': 'query', 'schema': {'type': 'string', 'uniqueItems': True}}


def _paths(resources: Iterable[Resource], parameter: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for resource in resources:
        kind = (resource.group, resource.version, resource.kind)
        collection, item = resource.path('{namespace}'), resource.path('{namespace}', '{name}')
        if 'list' not in resource.verbs:
            paths[collection] = _operations({'post': 'post'}, kind, parameter)
            continue
        paths[collection] = _operations(_LIST_OPERATIONS, kind, parameter)
        paths[item] = _operations(_OBJECT_OPERATIONS, kind, parameter)
        for subresource in resource.subresources:
            of = _SUBRESOURCE_KINDS.get(subresource, kind)
            paths[f'{item}/{subresource}'] = _operations(_SUBRESOURCE_OPERATIONS, of, parameter)
        if resource.namespaced:
            paths[resource.path()] = _operations({'get': 'list'}, kind, parameter)
    return paths


def _operations(
    actions: dict[str, str], kind: tuple[str, str, str], parameter: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    group, version, name = kind
    operations: dict[str, Any] = {}
    for method, action in actions.items():
        operation: dict[str, Any] = {
            'x-kubernetes-action': action,
            'x-kubernetes-group-version-kind': {'group': group, 'version': version, 'kind': name},
            'responses': {'200': {'description': 'OK'}},
        }
        if method in _WRITES:
            operation['parameters'] = [parameter(one) for one in _PARAMETERS]
        operations[method] = operation
    return operations
