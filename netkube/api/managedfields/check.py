"""Whether a configuration fits the shape of its kind. (structured-merge-diff/typed/{validate,helpers}.go)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.managedfields.paths import field_step, path_text
from netkube.api.managedfields.shape import ItemError, Shape

_NUMBERS = ('int32', 'int64', 'float64')
_TEXTS = ('string', 'bytes', 'time', 'microtime')
_Path = tuple[str, ...]


class ShapeError(ValueError):
    """A configuration that does not fit; the message is structured-merge-diff's."""


def check(value: Any, shape: Shape) -> None:
    """ShapeError with all that is wrong."""
    faults = list(_faults(value, shape, ()))
    if faults:
        raise ShapeError(faults[0] if len(faults) == 1 else '\n'.join(('errors:', *(f'  {one}' for one in faults))))


def _faults(value: Any, shape: Shape, path: _Path) -> Iterator[str]:
    kind = shape.of(value)
    if value is None:
        return
    if kind == 'scalar':
        yield from _scalar_fault(value, shape.scalar, path)
    elif kind in ('struct', 'map') or (kind == 'atom' and shape.closed):
        yield from _member_faults(value, shape, path)
    elif kind in ('keyed', 'set'):
        yield from _item_faults(value, shape, path)


def _scalar_fault(value: Any, wanted: str, path: _Path) -> Iterator[str]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if wanted in _NUMBERS and not is_number:
        yield f'{path_text(path)}: expected numeric (int or float), got {_go_type(value)}'
    elif wanted in _TEXTS and not isinstance(value, str):
        yield f'{path_text(path)}: expected string, got &value.valueUnstructured{{Value:{_go(value)}}}'
    elif wanted == 'bool' and not isinstance(value, bool):
        yield f'{path_text(path)}: expected boolean, got &{{{_go(value)}}}'
    elif isinstance(value, dict | list):
        yield f'{path_text(path)}: expected scalar, got &{{{_go(value)}}}'


def _member_faults(value: Any, shape: Shape, path: _Path) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f'{path_text(path)}: expected map, got &{{{_go(value)}}}'
        return
    for name, child in value.items():
        here = (*path, field_step(name))
        if shape.closed and name not in shape.names:
            yield f'{path_text(here)}: field not declared in schema'
        else:
            yield from _faults(child, shape.member(name), here)


def _item_faults(value: Any, shape: Shape, path: _Path) -> Iterator[str]:
    if not isinstance(value, list):
        yield f'{path_text(path)}: expected list, got &{{{_go(value)}}}'
        return
    seen = set()
    for index, item in enumerate(value):
        try:
            step = shape.step(item)
        except ItemError as error:
            yield f'{path_text(path)}: element {index}: {error}'
            continue
        if step in seen:
            yield f'{path_text(path)}: duplicate entries for key {path_text((step,))}'
        seen.add(step)
        yield from _faults(item, shape.element, (*path, step))


def _go_type(value: Any) -> str:
    types = {str: 'string', bool: 'bool', dict: 'map[string]interface {}', list: '[]interface {}'}
    return types.get(type(value), type(value).__name__)


def _go(value: Any) -> str:
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, dict):
        return 'map[' + ' '.join(f'{key}:{_go(child)}' for key, child in sorted(value.items())) + ']'
    if isinstance(value, list):
        return '[' + ' '.join(map(_go, value)) + ']'
    return str(value)
