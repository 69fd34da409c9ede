"""Dropping what a structural schema does not specify, and nulls where none may be.

k8s.io/apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting}.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
PRESERVE, EMBEDDED = 'x-kubernetes-preserve-unknown-fields', 'x-kubernetes-embedded-resource'
_ROOT = ('apiVersion', 'kind', 'metadata')


def prune(schema: Schema, value: Any, *, root: bool = True) -> list[str]:
    """Remove unknown fields in place; their paths. ``root``: apiVersion, kind and metadata are there anyway."""
    return list(_prune(schema, value, '', root))


def _prune(schema: Schema, value: Any, path: str, root: bool) -> Iterator[str]:
    if isinstance(value, list):
        items = schema.get('items')
        if items is not None or not schema.get(PRESERVE):
            for index, item in enumerate(value):
                yield from _prune(items or {}, item, f'{path}[{index}]', False)
    elif isinstance(value, dict):
        yield from _prune_fields(schema, value, path, root or bool(schema.get(EMBEDDED)))


def _prune_fields(schema: Schema, value: dict[str, Any], path: str, root: bool) -> Iterator[str]:
    properties, additional = schema.get('properties') or {}, schema.get('additionalProperties')
    for key in list(value):
        here = f'{path}.{key}' if path else key
        if root and key in _ROOT:
            continue
        if key in properties:
            yield from _prune(properties[key], value[key], here, False)
        elif isinstance(additional, dict):
            yield from _prune(additional, value[key], here, False)
        elif not additional and not schema.get(PRESERVE):
            del value[key]
            yield here


def default(schema: Schema, value: Any) -> None:
    """Fill in, in place, what is missing and has a default; drop nulls that may not be."""
    if isinstance(value, dict):
        properties, additional = schema.get('properties') or {}, schema.get('additionalProperties')
        for key, child in properties.items():
            _default_field(child, value, key)
            if key in value:
                default(child, value[key])
        if isinstance(additional, dict):
            for key in value.keys() - properties.keys():
                default(additional, value[key])
    elif isinstance(value, list) and isinstance(schema.get('items'), dict):
        for item in value:
            default(schema['items'], item)


def _default_field(schema: Schema, value: dict[str, Any], key: str) -> None:
    null = key in value and value[key] is None and not schema.get('nullable')
    if 'default' in schema and (null or key not in value):
        value[key] = copy.deepcopy(schema['default'])
    elif null and not schema.get(PRESERVE):
        del value[key]


def has_defaults(schema: Schema) -> bool:
    if 'default' in schema:
        return True
    children = [*(schema.get('properties') or {}).values(), schema.get('items'), schema.get('additionalProperties')]
    return any(has_defaults(child) for child in children if isinstance(child, dict))
