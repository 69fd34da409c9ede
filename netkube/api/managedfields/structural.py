"""The shape of a custom resource, from the structural schema of its CustomResourceDefinition.

(apiextensions-apiserver pkg/controller/openapi/builder, kube-openapi schemaconv/openapi.go.)
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from netkube.api.managedfields.shape import ANY, Shape, struct_shape
from netkube.api.schema import Struct

_PRESERVE, _INT_OR_STRING = 'x-kubernetes-preserve-unknown-fields', 'x-kubernetes-int-or-string'
_SCALARS = {'string': 'string', 'integer': 'int64', 'number': 'float64', 'boolean': 'bool'}
_Schema = dict[str, Any]


class StructuralShape(Shape):
    """``schema`` is an OpenAPI v3 schema; what it says nothing of is deduced."""

    __slots__ = ('_schema', '_metadata')

    def __init__(self, schema: _Schema, metadata: Struct | None = None) -> None:
        super().__init__(_kind(schema), keys=tuple(schema.get('x-kubernetes-list-map-keys') or ()))
        self._schema, self._metadata = schema, metadata

    @property
    def names(self) -> Collection[str]:
        names: _Schema = self._schema.get('properties') or {}
        return {*names, 'apiVersion', 'kind', 'metadata'} if self._metadata else names

    @property
    def closed(self) -> bool:
        return 'properties' in self._schema and not self._schema.get(_PRESERVE)

    @property
    def scalar(self) -> str:
        return '' if self._schema.get(_INT_OR_STRING) else _SCALARS.get(self._schema.get('type', ''), '')

    def member(self, name: str) -> Shape:
        shape = self._members.get(name)
        if shape is None:
            shape = self._members[name] = self._member(name)
        return shape

    def _member(self, name: str) -> Shape:
        if name == 'metadata' and self._metadata is not None:
            return struct_shape(self._metadata)
        found = (self._schema.get('properties') or {}).get(name)
        return StructuralShape(found) if found is not None else self.element

    @property
    def element(self) -> Shape:
        shape = self._members.get('')
        if shape is None:
            inner = self._schema.get('items') or self._schema.get('additionalProperties')
            shape = self._members[''] = StructuralShape(inner) if isinstance(inner, dict) else ANY
        return shape

    def default(self, name: str) -> Any:
        return ((self._schema.get('properties') or {}).get(name) or {}).get('default')


def _kind(schema: _Schema) -> str:
    if schema.get(_INT_OR_STRING):
        return 'scalar'
    match schema.get('type'):
        case 'object' if schema.get('x-kubernetes-map-type') == 'atomic':
            return 'atom'
        case 'object':
            return 'struct' if 'properties' in schema else 'map'
        case 'array':
            return {'map': 'keyed', 'set': 'set'}.get(schema.get('x-kubernetes-list-type', ''), 'atom')
        case None | '':
            return 'any'
    return 'scalar'
