"""An object without some of its fields. (structured-merge-diff/typed/remove.go)"""

from __future__ import annotations

from typing import Any

from netkube.api.managedfields.fieldset import Fields, below, is_member, node_of
from netkube.api.managedfields.paths import field_step
from netkube.api.managedfields.shape import Shape


def remove(value: dict[str, Any], fields: Fields, shape: Shape) -> dict[str, Any]:
    """A new object; a member of ``fields`` goes with all that is in it."""
    return _members(value, fields, shape)


def _remove(value: Any, fields: Fields, shape: Shape) -> Any:
    if not fields or not value:
        return value
    kind = shape.of(value)
    if kind in ('struct', 'map') and isinstance(value, dict):
        return _members(value, fields, shape)
    if kind in ('keyed', 'set') and isinstance(value, list):
        return _items(value, fields, shape)
    return value


def _members(value: dict[str, Any], fields: Fields, shape: Shape) -> dict[str, Any]:
    kept = {}
    for name, child in value.items():
        node = fields.get(field_step(name))
        if node is None:
            kept[name] = child
        elif not is_member(node):
            kept[name] = _remove(child, node, shape.member(name))
    return kept


def _items(value: list[Any], fields: Fields, shape: Shape) -> list[Any]:
    kept = []
    for item in value:
        node = fields.get(shape.step(item))
        if node is None:
            kept.append(item)
        elif not is_member(node):
            kept.append(_remove(item, node, shape.element))
    return kept


def with_named(fields: Fields, shape: Shape) -> Fields:
    """``fields``, and the struct members on the way to them: they go when the last that is in them goes."""
    result: Fields = {}
    for step, node in fields.items():
        name = step[2:] if step.startswith('f:') else ''
        inner = shape.member(name) if name else shape.element
        member = is_member(node) or bool(name and name in shape.names)
        made = node_of(member, with_named(below(node), inner))
        if made is not None:
            result[step] = made
    return result
