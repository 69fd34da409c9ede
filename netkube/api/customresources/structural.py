"""Which schemas are structural: each field's type is said outside of allOf, anyOf, oneOf and not.

k8s.io/apiextensions-apiserver/pkg/apiserver/schema/validation.go, and pkg/apis/apiextensions/validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from netkube.api.customresources.pruning import EMBEDDED, PRESERVE
from netkube.api.customresources.values import INT_OR_STRING, LIST_TYPE, MAP_KEYS, compiled, validate_value
from netkube.api.errors import FieldError
from netkube.api.fielderrors import forbidden, invalid, not_supported, required

Schema = dict[str, Any]
_TYPES = ('array', 'boolean', 'integer', 'number', 'object', 'string')
_FORBIDDEN = ('definitions', 'dependencies', 'deprecated', 'discriminator', 'id', 'patternProperties', 'readOnly',
              'writeOnly', 'xml', '$ref')  # fmt: skip
_STRUCTURE = ('type', 'title', 'description', 'default', 'nullable', 'additionalProperties', PRESERVE, EMBEDDED,
              INT_OR_STRING)  # fmt: skip
_DEEP = 128


def validate_structural(schema: Schema, path: str) -> Iterator[FieldError]:
    if schema.get('type') != 'object':
        shown = schema.get('type', '')
        yield invalid(f'{path}.type', shown, 'must be object at the root') if shown else required(
            f'{path}.type', 'must not be empty at the root'
        )
    if schema.get('nullable'):
        yield forbidden(f'{path}.nullable', 'nullable cannot be true at the root')
    yield from _validate(schema, path, 0)


def _validate(schema: Any, path: str, depth: int) -> Iterator[FieldError]:
    if not isinstance(schema, dict):
        yield invalid(path, schema, 'must be a schema')
        return
    if depth > _DEEP:
        yield invalid(path, '', f'must not be nested deeper than {_DEEP}')
        return
    yield from _validate_type(schema, path, depth)
    for name in _FORBIDDEN:
        if schema.get(name):
            yield forbidden(f'{path}.{name}', f'{name} is not supported')
    if schema.get('uniqueItems'):
        yield forbidden(f'{path}.uniqueItems', 'uniqueItems cannot be set to true since the runtime complexity '
                                               'becomes quadratic')  # fmt: skip
    yield from _validate_children(schema, path, depth)
    yield from _validate_lists(schema, path)
    yield from _validate_pattern(schema, path)
    yield from _validate_default(schema, path)
    yield from _validate_logic(schema, path)


def _validate_type(schema: Schema, path: str, depth: int) -> Iterator[FieldError]:
    kind = schema.get('type', '')
    if schema.get(INT_OR_STRING):
        if kind:
            yield forbidden(f'{path}.type', f'must be empty if {INT_OR_STRING} is true')
    elif not kind and depth and not schema.get(PRESERVE):
        yield required(f'{path}.type', 'must not be empty for specified object fields')
    elif kind and kind not in _TYPES:
        yield not_supported(f'{path}.type', kind, _TYPES)
    if schema.get(EMBEDDED) and kind != 'object':
        yield invalid(f'{path}.type', kind, f'must be object if {EMBEDDED} is true')
    if schema.get(EMBEDDED) and not schema.get(PRESERVE) and not schema.get('properties'):
        yield required(f'{path}.properties', f'must not be empty if {EMBEDDED} is true without {PRESERVE}')
    if PRESERVE in schema and schema[PRESERVE] is not True:
        yield invalid(f'{path}.{PRESERVE}', schema[PRESERVE], 'must be true or undefined')


def _validate_children(schema: Schema, path: str, depth: int) -> Iterator[FieldError]:
    properties, additional = schema.get('properties') or {}, schema.get('additionalProperties')
    if properties and additional:
        yield forbidden(f'{path}.additionalProperties', 'additionalProperties and properties are mutual exclusive')
    if isinstance(additional, dict):
        yield from _validate(additional, f'{path}.additionalProperties', depth + 1)
    for name, child in properties.items():
        yield from _validate(child, f'{path}.properties[{name}]', depth + 1)
    items = schema.get('items')
    if items is not None:
        yield from _validate(items, f'{path}.items', depth + 1)
    elif schema.get('type') == 'array' and not schema.get(PRESERVE):
        yield required(f'{path}.items', 'must be specified')
    metadata = properties.get('metadata') if not depth else None
    if isinstance(metadata, dict):
        extra = set(metadata.get('properties') or {}) - {'name', 'generateName'}
        if extra or metadata.get('additionalProperties'):
            message = 'must not specify anything other than name and generateName, but metadata is implicitly specified'
            yield forbidden(f'{path}.properties[metadata]', message)


def _validate_lists(schema: Schema, path: str) -> Iterator[FieldError]:
    kind, keys, items = schema.get(LIST_TYPE), schema.get(MAP_KEYS) or [], schema.get('items') or {}
    if kind is not None and schema.get('type') != 'array':
        yield invalid(f'{path}.type', schema.get('type', ''), f'must be array if {LIST_TYPE} is set')
    if kind not in (None, 'atomic', 'set', 'map'):
        yield not_supported(f'{path}.{LIST_TYPE}', kind, ('atomic', 'map', 'set'))
    if keys and kind != 'map':
        shown = 'map' if kind is None else kind
        yield invalid(f'{path}.{LIST_TYPE}', shown, f'must be map if {MAP_KEYS} is non-empty')
    if kind != 'map':
        return
    if not keys:
        yield required(f'{path}.{MAP_KEYS}', f'must not be empty if {LIST_TYPE} is map')
    if items.get('type') != 'object':
        message = f"must be object if parent array's {LIST_TYPE} is map"
        yield invalid(f'{path}.items.type', items.get('type', ''), message)
    for key in keys:
        child = (items.get('properties') or {}).get(key)
        if child is None:
            yield invalid(f'{path}.{MAP_KEYS}', keys, 'entries must all be names of item properties')
        elif key not in (items.get('required') or ()) and 'default' not in child:
            message = f'this property is in {MAP_KEYS}, so it must have a default or be a required property'
            yield required(f'{path}.items.properties[{key}].default', message)


def _validate_pattern(schema: Schema, path: str) -> Iterator[FieldError]:
    pattern = schema.get('pattern')
    if not pattern:
        return
    try:
        compiled(pattern)
    except re.error as error:
        message = f'must be a valid regular expression, but isn\'t: error parsing regexp: {error}'
        yield invalid(f'{path}.pattern', pattern, message)


def _validate_default(schema: Schema, path: str) -> Iterator[FieldError]:
    if 'default' in schema:
        yield from validate_value(schema, schema['default'], f'{path}.default')


def _validate_logic(schema: Schema, path: str) -> Iterator[FieldError]:
    """Inside of value validation nothing may say what is there."""
    for word in ('allOf', 'anyOf', 'oneOf'):
        for index, each in enumerate(schema.get(word) or ()):
            int_or_string = schema.get(INT_OR_STRING) and word in ('anyOf', 'allOf')
            yield from _validate_nested(each, f'{path}.{word}[{index}]', bool(int_or_string))
    if schema.get('not'):
        yield from _validate_nested(schema['not'], f'{path}.not', False)


def _validate_nested(schema: Schema, path: str, may_have_type: bool) -> Iterator[FieldError]:
    for name in _STRUCTURE:
        if schema.get(name) and not (name == 'type' and may_have_type):
            yield forbidden(f'{path}.{name}', 'must be empty to be structural' if name == 'type' else
                            'must be undefined to be structural')  # fmt: skip
    for name, child in (schema.get('properties') or {}).items():
        yield from _validate_nested(child, f'{path}.properties[{name}]', False)
    if isinstance(schema.get('items'), dict):
        yield from _validate_nested(schema['items'], f'{path}.items', False)
    for word in ('allOf', 'anyOf', 'oneOf'):
        for index, each in enumerate(schema.get(word) or ()):
            yield from _validate_nested(each, f'{path}.{word}[{index}]', may_have_type)
