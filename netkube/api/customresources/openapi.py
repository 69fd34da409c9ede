"""The OpenAPI schemas of a defined kind: its own, with what every object has, and its list's.

k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder and v2.
"""

from __future__ import annotations

from typing import Any

from netkube.api.customresources.pruning import EMBEDDED, PRESERVE
from netkube.api.customresources.values import INT_OR_STRING
from netkube.api.resources import CustomResource

_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.'
OBJECT_META, LIST_META = _META + 'ObjectMeta', _META + 'ListMeta'
_API_VERSION = 'APIVersion defines the versioned schema of this representation of an object.'
_KIND = 'Kind is a string value representing the REST resource this object represents.'
# What OpenAPI v2 cannot say (ToStructuralOpenAPIV2).
_NOT_IN_V2 = ('oneOf', 'anyOf', 'allOf', 'not', 'nullable', 'x-kubernetes-validations')


def model_name(resource: CustomResource) -> str:
    """``com.example.v1.Widget``."""
    return '.'.join([*reversed(resource.group.split('.')), resource.version, resource.kind])


def custom_schemas(resource: CustomResource, ref_prefix: str, *, for_v2: bool) -> dict[str, Any]:
    """Of the kind and of its list, by name."""
    schema = dict(resource.definition.schema)
    if for_v2:
        schema = _as_v2(schema)
    metadata = {'$ref': ref_prefix + OBJECT_META} if for_v2 else {'allOf': [{'$ref': ref_prefix + OBJECT_META}]}
    described = {'description': 'Standard object\'s metadata.', **metadata}
    own = {'apiVersion': _text(_API_VERSION), 'kind': _text(_KIND), 'metadata': described}
    item = {**schema, **_kind(resource, resource.kind)}
    if schema.get('properties') or not schema.get(PRESERVE):
        item['properties'] = {**(schema.get('properties') or {}), **own}
    name = model_name(resource)
    items = {'type': 'array', 'items': {'$ref': ref_prefix + name}}
    list_metadata = {'$ref': ref_prefix + LIST_META} if for_v2 else {'allOf': [{'$ref': ref_prefix + LIST_META}]}
    listed = {
        'description': f'{resource.list_kind} is a list of {resource.kind}', 'type': 'object', 'required': ['items'],
        'properties': {'apiVersion': _text(_API_VERSION), 'kind': _text(_KIND), 'items': items,
                       'metadata': list_metadata},
        **_kind(resource, resource.list_kind),
    }  # fmt: skip
    return {name: item, f'{name.rpartition(".")[0]}.{resource.list_kind}': listed}


def _text(description: str) -> dict[str, str]:
    return {'type': 'string', 'description': description}


def _kind(resource: CustomResource, kind: str) -> dict[str, Any]:
    own = {'group': resource.group, 'version': resource.version, 'kind': kind}
    return {'x-kubernetes-group-version-kind': [own]}


def _as_v2(schema: dict[str, Any]) -> dict[str, Any]:
    result = {key: value for key, value in schema.items() if key not in _NOT_IN_V2}
    if schema.get(PRESERVE) or schema.get(INT_OR_STRING) or schema.get('nullable') or schema.get(EMBEDDED):
        # kubectl's client-side validation would refuse what the server takes.
        for key in ('type', 'properties', 'items', 'additionalProperties'):
            if schema.get(PRESERVE) and key != 'type' or key == 'type':
                result.pop(key, None)
    if 'properties' in result:
        result['properties'] = {name: _as_v2(child) for name, child in result['properties'].items()}
    for key in ('items', 'additionalProperties'):
        if isinstance(result.get(key), dict):
            result[key] = _as_v2(result[key])
    return result
