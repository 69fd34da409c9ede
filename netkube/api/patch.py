"""The three patches of the API: JSON patch (RFC 6902), JSON merge patch (RFC 7386), strategic merge patch.

Each takes a document and returns a new one; neither input is changed. The faults are those that
k8s.io/apiserver/pkg/endpoints/handlers/patch.go answers with.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from netkube.api.errors import ApiError, bad_request
from netkube.api.strategicmerge import strategic_merge_patch

__all__ = ['json_patch', 'merge_patch', 'strategic_merge_patch']

_MAX_OPERATIONS = 10_000
_ABSENT = object()


def merge_patch(document: Any, patch: Any) -> Any:
    """RFC 7386: objects merge, null deletes, everything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(document: Any, operations: Any) -> Any:
    """RFC 6902, all operations or none. ApiError 400 when it is no JSON patch, 422 when it cannot be applied."""
    if not isinstance(operations, list):
        raise bad_request('json: cannot unmarshal object into Go value of type jsonpatch.Patch')
    if len(operations) > _MAX_OPERATIONS:
        message = f'The allowed maximum operations in a JSON patch is {_MAX_OPERATIONS}, got {len(operations)}'
        raise ApiError(413, 'RequestEntityTooLarge', message)
    root = {'': copy.deepcopy(document)}
    for operation in operations:
        if not isinstance(operation, dict):
            raise bad_request('json: cannot unmarshal JSON patch operation: it is not an object')
        apply = _OPERATIONS.get(operation.get('op', ''))
        if apply is None:
            raise unprocessable()
        apply(root, operation)
    return root['']


def unprocessable() -> ApiError:
    """The answer to a patch that is well formed but cannot be applied (errors.NewGenericServerResponse 422)."""
    return ApiError(422, 'Invalid', 'the server rejected our request due to an error in our request', {})


def _pointer(operation: dict[str, Any], key: str) -> list[str]:
    pointer = operation.get(key)
    if not isinstance(pointer, str) or (pointer and not pointer.startswith('/')):
        raise unprocessable()
    return [''] + [part.replace('~1', '/').replace('~0', '~') for part in pointer.split('/')[1:]]


def _index(items: list[Any], key: str, *, limit: int) -> int:
    """Negative indices count from the end, as evanphx/json-patch allows."""
    try:
        index = int(key)
    except ValueError:
        raise unprocessable() from None
    if index < 0:
        index += limit
    if not 0 <= index < limit:
        raise unprocessable()
    return index


def _get(container: Any, key: str) -> Any:
    """The member, or _ABSENT when an object has none of that name."""
    if isinstance(container, dict):
        return container.get(key, _ABSENT)
    if isinstance(container, list):
        return container[_index(container, key, limit=len(container))]
    raise unprocessable()


def _container(root: Any, keys: list[str]) -> Any:
    node = root
    for key in keys[:-1]:
        node = _get(node, key)
    if not isinstance(node, dict | list):
        raise unprocessable()
    return node


def _add_at(root: Any, keys: list[str], value: Any) -> None:
    container, key = _container(root, keys), keys[-1]
    if isinstance(container, dict):
        container[key] = value
    elif key == '-':
        container.append(value)
    else:
        container.insert(_index(container, key, limit=len(container) + 1), value)


def _take(root: Any, keys: list[str]) -> Any:
    container, key = _container(root, keys), keys[-1]
    value = _get(container, key)
    if value is _ABSENT:
        raise unprocessable()
    if isinstance(container, dict):
        del container[key]
    else:
        del container[_index(container, key, limit=len(container))]
    return value


def _value(operation: dict[str, Any]) -> Any:
    return copy.deepcopy(operation.get('value'))


def _add(root: Any, operation: dict[str, Any]) -> None:
    _add_at(root, _pointer(operation, 'path'), _value(operation))


def _remove(root: Any, operation: dict[str, Any]) -> None:
    _take(root, _pointer(operation, 'path'))


def _replace(root: Any, operation: dict[str, Any]) -> None:
    keys = _pointer(operation, 'path')
    container, key = _container(root, keys), keys[-1]
    if _get(container, key) is _ABSENT:
        raise unprocessable()
    if isinstance(container, dict):
        container[key] = _value(operation)
    else:
        container[_index(container, key, limit=len(container))] = _value(operation)


def _move(root: Any, operation: dict[str, Any]) -> None:
    source = _pointer(operation, 'from')
    _add_at(root, _pointer(operation, 'path'), _take(root, source))


def _copy(root: Any, operation: dict[str, Any]) -> None:
    source = _pointer(operation, 'from')
    value = _get(_container(root, source), source[-1])
    if value is _ABSENT:
        raise unprocessable()
    _add_at(root, _pointer(operation, 'path'), copy.deepcopy(value))


def _test(root: Any, operation: dict[str, Any]) -> None:
    keys = _pointer(operation, 'path')
    value = _get(_container(root, keys), keys[-1])
    wanted = operation.get('value')
    if value is _ABSENT:
        value = None
    if not _equal(value, wanted):
        raise unprocessable()


def _equal(left: Any, right: Any) -> bool:
    """JSON equality: unlike in Python, true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


_OPERATIONS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    'add': _add, 'remove': _remove, 'replace': _replace, 'move': _move, 'copy': _copy, 'test': _test,
}  # fmt: skip
