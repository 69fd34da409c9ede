"""The fields an object has. (structured-merge-diff/typed/tofieldset.go)"""

from __future__ import annotations

from typing import Any

from netkube.api.managedfields.fieldset import MEMBER, Fields, node_of, union
from netkube.api.managedfields.paths import field_step
from netkube.api.managedfields.shape import Shape


def field_set(value: dict[str, Any], shape: Shape) -> Fields:
    """What an applier of ``value`` owns: leaves, list items, and members of maps; a struct only through its members."""
    return _members(value, shape, every=False)


def every_field(value: Any, shape: Shape) -> Fields:
    """The node of a value that is all new: each path down to the leaves is a member."""
    return _node(value, shape, every=True) or MEMBER


def _node(value: Any, shape: Shape, *, every: bool) -> Fields | None:
    kind = shape.of(value)
    if kind in ('scalar', 'atom'):
        return MEMBER
    if not value:
        return MEMBER if every else None
    if kind in ('struct', 'map'):
        return node_of(every, _members(value, shape, every=every)) if isinstance(value, dict) else MEMBER
    return node_of(every, _items(value, shape, every=every)) if isinstance(value, list) else MEMBER


def _members(value: dict[str, Any], shape: Shape, *, every: bool) -> Fields:
    result: Fields = {}
    for name, child in value.items():
        node = _node(child, shape.member(name), every=every)
        if child is None or child == {} or name not in shape.names:
            node = MEMBER if node is None else union(node, {'.': {}}) if node else node
        if node is not None:
            result[field_step(name)] = node
    return result


def _items(value: list[Any], shape: Shape, *, every: bool) -> Fields:
    """Each item is a member itself; of items that share their keys only that they are there."""
    result: Fields = {}
    element = shape.element
    for item in value:
        step = shape.step(item)
        node = _node(item, element, every=every)
        result[step] = MEMBER if step in result or not node else {'.': {}, **node}
    return result
