"""Strategic merge patch: a merge patch that knows which lists are sets keyed by a field.

k8s.io/apimachinery/pkg/util/strategicpatch, with its directives: ``$patch: delete|replace|merge``, ``$retainKeys``,
``$setElementOrder/<list>`` and ``$deleteFromPrimitiveList/<list>``.
"""

from __future__ import annotations

import copy
from typing import Any

from netkube.api.errors import bad_request
from netkube.api.resources import Resource
from netkube.api.schema import Field, Schema, Struct, Type

_DIRECTIVE = '$patch'
_RETAIN_KEYS = '$retainKeys'
_ORDER = '$setElementOrder/'
_DELETE_PRIMITIVES = '$deleteFromPrimitiveList/'


def strategic_merge_patch(document: dict[str, Any], patch: Any, schema: Schema, kind: Resource) -> dict[str, Any]:
    """A new document. ApiError 400 on a patch that is malformed."""
    if not isinstance(patch, dict):
        raise bad_request('Invalid JSON document')
    return _merge_map(document, patch, schema.struct(kind))


def _merge_map(original: dict[str, Any], patch: dict[str, Any], struct: Struct | None) -> dict[str, Any]:
    directive = patch.get(_DIRECTIVE)
    if directive == 'replace':
        return _strip({key: value for key, value in patch.items() if key != _DIRECTIVE})
    if directive == 'delete':
        return {}
    if directive not in (None, 'merge'):
        raise bad_request(f'unknown patch type: {_go(directive)}')
    merged = _retain(original, patch)
    for key, value in patch.items():
        if not _is_directive(key):
            _merge_field(merged, key, value, struct.fields.get(key) if struct else None, patch)
    _apply_lone_directives(merged, patch, struct)
    return merged


def _merge_field(merged: dict[str, Any], key: str, value: Any, field: Field | None, patch: dict[str, Any]) -> None:
    if value is None:
        merged.pop(key, None)
        return
    present = merged.get(key)
    if isinstance(value, dict):
        base = present if isinstance(present, dict) and not _replaces(field) else {}
        merged[key] = _merge_map(base, value, _struct_of(field))
    elif isinstance(value, list) and _merges(field):
        items = present if isinstance(present, list) else []
        merged[key] = _merge_list(items, value, key, field, patch)
    else:
        merged[key] = _strip(value)


def _apply_lone_directives(merged: dict[str, Any], patch: dict[str, Any], struct: Struct | None) -> None:
    """List directives whose list the patch does not also name."""
    for directive in patch:
        for prefix in (_ORDER, _DELETE_PRIMITIVES):
            key = directive.removeprefix(prefix)
            if not directive.startswith(prefix) or key in patch or not isinstance(merged.get(key), list):
                continue
            merged[key] = _merge_list(merged[key], [], key, struct.fields.get(key) if struct else None, patch)


def _retain(original: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """$retainKeys: what it does not name goes, and the patch may set nothing else (discriminated unions)."""
    if _RETAIN_KEYS not in patch:
        return dict(original)
    retained = patch[_RETAIN_KEYS]
    if not isinstance(retained, list):
        raise bad_request(f'invalid patch format of {_RETAIN_KEYS}')
    if any(key not in retained for key, value in patch.items() if value is not None and not _is_directive(key)):
        raise bad_request(f'invalid patch format of {_RETAIN_KEYS}')
    return {key: value for key, value in original.items() if key in retained}


def _merge_list(
    original: list[Any], patch: list[Any], key: str, field: Field | None, directives: dict[str, Any]
) -> list[Any]:
    order = directives.get(_ORDER + key)
    if order is not None and not isinstance(order, list):
        raise bad_request(f'invalid patch format of {_ORDER[:-1]} list')
    if field is None or not field.merge_key:
        dropped = directives.get(_DELETE_PRIMITIVES + key) or []
        kept = [item for item in original if item not in dropped]
        return _ordered(kept + [item for item in patch if item not in kept], order, patch, lambda item: item)
    return _merge_objects(original, patch, field, order)


def _merge_objects(original: list[Any], patch: list[Any], field: Field, order: list[Any] | None) -> list[Any]:
    merge_key = field.merge_key
    struct = _element_struct(field.type)
    if any(_is_replace(item) for item in patch):
        return [_strip(item) for item in patch if not _is_replace(item)]
    items = list(original)
    for item in patch:
        value = _key_value(item, merge_key)
        at = next((i for i, old in enumerate(items) if _value_of(old, merge_key) == value), None)
        if item.get(_DIRECTIVE) == 'delete':
            items = [old for old in items if _value_of(old, merge_key) != value]
        elif at is not None:
            items[at] = _merge_map(items[at], item, struct)
        else:
            items.append(_merge_map({}, item, struct))
    names = None if order is None else [_value_of(entry, merge_key) for entry in order]
    return _ordered(items, names, patch, lambda item: _value_of(item, merge_key))


def _ordered(items: list[Any], order: list[Any] | None, patch: list[Any], name: Any) -> list[Any]:
    """Items the order names come in that order; the others keep their place after their live predecessors."""
    if order is None:
        return items
    patched = [name(item) for item in patch if not (isinstance(item, dict) and item.get(_DIRECTIVE) == 'delete')]
    if any(one not in order for one in patched):
        raise bad_request(f'invalid patch format of {_ORDER[:-1]} list')
    ranked = sorted((item for item in items if name(item) in order), key=lambda item: order.index(name(item)))
    server_only = [item for item in items if name(item) not in order]
    return _interleave(ranked, server_only, items)


def _interleave(ranked: list[Any], server_only: list[Any], live: list[Any]) -> list[Any]:
    """Merge both sequences; a server-only item goes before a ranked one it precedes in the live list."""
    place = {id(item): index for index, item in enumerate(live)}
    result, left, right = [], list(ranked), list(server_only)
    while left and right:
        take = right if place[id(right[0])] < place[id(left[0])] else left
        result.append(take.pop(0))
    return result + left + right


def _is_directive(key: str) -> bool:
    return key in (_DIRECTIVE, _RETAIN_KEYS) or key.startswith((_ORDER, _DELETE_PRIMITIVES))


def _is_replace(item: Any) -> bool:
    return isinstance(item, dict) and item.get(_DIRECTIVE) == 'replace'


def _key_value(item: Any, merge_key: str) -> Any:
    if not isinstance(item, dict):
        raise bad_request('invalid patch format of primitive list')
    if merge_key not in item:
        raise bad_request(f'map: {_go(item)} does not contain declared merge key: {merge_key}')
    return item[merge_key]


def _value_of(item: Any, merge_key: str) -> Any:
    return item.get(merge_key) if isinstance(item, dict) else item


def _merges(field: Field | None) -> bool:
    return field is not None and 'merge' in field.strategies


def _replaces(field: Field | None) -> bool:
    return field is not None and 'replace' in field.strategies


def _struct_of(field: Field | None) -> Struct | None:
    """The struct of an object field; the element of a map of structs is not patched by schema, as upstream."""
    return field.type.struct if field else None


def _element_struct(type_: Type) -> Struct | None:
    return type_.element.struct if type_.element else None


def _strip(value: Any) -> Any:
    """A copy without directives and nulls: what a patch adds where there was nothing."""
    if isinstance(value, dict):
        return {key: _strip(item) for key, item in value.items() if item is not None and not _is_directive(key)}
    if isinstance(value, list):
        return [_strip(item) for item in value]
    return copy.copy(value)


def _go(value: Any) -> str:
    """Go's %v of a decoded JSON value, as far as messages print one."""
    if isinstance(value, dict):
        return 'map[' + ' '.join(f'{key}:{_go(value[key])}' for key in sorted(value)) + ']'
    if isinstance(value, list):
        return '[' + ' '.join(_go(item) for item in value) + ']'
    if isinstance(value, bool):
        return 'true' if value else 'false'
    return str(value)
