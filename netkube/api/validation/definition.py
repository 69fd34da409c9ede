"""What a kind's OpenAPI definition alone says: the fields that must be there.

For the kinds without checks of their own. A required number or boolean that is missing is its zero value, as in Go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import required
from netkube.api.meta import Object
from netkube.api.resources import Resource
from netkube.api.schema import Struct, Type, definition

_MUST_BE_SAID = ('string', 'struct', 'list', 'map', 'quantity', 'intstr', 'any')
_NOT_ITS_OWN = ('apiVersion', 'kind', 'metadata', 'status')


def validate_definition(resource: Resource, obj: Object) -> Iterator[FieldError]:
    """A fault for each required field below the object that is missing or empty."""
    struct = definition(resource)
    for name, field in struct.fields.items():
        if name in _NOT_ITS_OWN:
            continue
        if name in obj:
            yield from _value(field.type, obj[name], name)
        elif field.required and field.type.kind in _MUST_BE_SAID:
            yield required(name)


def _struct(struct: Struct, value: dict[str, Any], path: str) -> Iterator[FieldError]:
    for name, field in struct.fields.items():
        here = f'{path}.{name}'
        if field.required and field.type.kind in _MUST_BE_SAID and value.get(name) in (None, '', [], {}):
            yield required(here)
        elif name in value:
            yield from _value(field.type, value[name], here)


def _value(type_: Type, value: Any, path: str) -> Iterator[FieldError]:
    if type_.kind == 'struct' and type_.struct and type_.struct.name not in _CHECKED_ELSEWHERE:
        yield from _struct(type_.struct, value, path)
    elif type_.kind == 'list' and type_.element:
        for index, item in enumerate(value):
            yield from _value(type_.element, item, f'{path}[{index}]')
    elif type_.kind == 'map' and type_.element:
        for key, item in value.items():
            yield from _value(type_.element, item, f'{path}[{key}]')


_CHECKED_ELSEWHERE = ('PodTemplateSpec', 'LabelSelector', 'ObjectMeta', 'JSONSchemaProps')
