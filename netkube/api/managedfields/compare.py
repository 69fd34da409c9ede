"""The fields in which two objects of a kind differ. (structured-merge-diff/typed/compare.go)"""

from __future__ import annotations

from typing import Any

import msgspec

from netkube.api.managedfields.extract import every_field
from netkube.api.managedfields.fieldset import MEMBER, Fields, union, without_branches
from netkube.api.managedfields.paths import field_step
from netkube.api.managedfields.shape import Shape

_Path = tuple[str, ...]
_ABSENT = object()


class Comparison(msgspec.Struct):
    """Seen from the old object."""

    added: Fields = msgspec.field(default_factory=dict)
    modified: Fields = msgspec.field(default_factory=dict)
    removed: Fields = msgspec.field(default_factory=dict)

    @property
    def written(self) -> Fields:
        return union(self.added, self.modified)

    def ignoring(self, branches: Fields) -> Comparison:
        """Without these fields and what is below them."""
        return Comparison(
            without_branches(self.added, branches), without_branches(self.modified, branches),
            without_branches(self.removed, branches),
        )  # fmt: skip


def compare(old: dict[str, Any], new: dict[str, Any], shape: Shape) -> Comparison:
    result = Comparison()
    _members(old, new, shape, (), result)
    return result


def _compare(old: Any, new: Any, shape: Shape, path: _Path, result: Comparison) -> None:
    if old is _ABSENT:
        _put(result.added, path, every_field(new, shape))
    elif new is _ABSENT:
        _put(result.removed, path, every_field(old, shape))
    elif old == new:
        return
    elif not old and not new:
        _put(result.modified, path)
    else:
        kinds = {shape.of(one) for one in (old, new) if one is not None}
        kind = kinds.pop() if len(kinds) == 1 else 'atom'
        if kind in ('struct', 'map') and _are(dict, old, new):
            _members(old or {}, new or {}, shape, path, result)
        elif kind in ('keyed', 'set') and _are(list, old, new):
            _items(old or [], new or [], shape, path, result)
        else:
            _put(result.modified, path)


def _put(fields: Fields, path: _Path, node: Fields = MEMBER) -> None:
    """Into a set that is still being made, of which no member is below another one's path."""
    for step in path[:-1]:
        fields = fields.setdefault(step, {})
    fields[path[-1]] = node


def _are(wanted: type, *values: Any) -> bool:
    return all(value is None or isinstance(value, wanted) for value in values)


def _members(old: dict[str, Any], new: dict[str, Any], shape: Shape, path: _Path, result: Comparison) -> None:
    for name in {**old, **new}:
        before, after = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if before is not after and before != after:
            _compare(before, after, shape.member(name), (*path, field_step(name)), result)


def _items(old: list[Any], new: list[Any], shape: Shape, path: _Path, result: Comparison) -> None:
    """Items that share their keys are compared together."""
    before, after = _by_step(old, shape), _by_step(new, shape)
    for step in {**before, **after}:
        mine, other = before.get(step, ()), after.get(step, ())
        if mine == other:
            continue
        if len(mine) > 1 or len(other) > 1:
            where = result.removed if not other else result.modified if mine else result.added
            _put(where, (*path, step))
        else:
            one, another = mine[0] if mine else _ABSENT, other[0] if other else _ABSENT
            _compare(one, another, shape.element, (*path, step), result)


def _by_step(items: list[Any], shape: Shape) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(shape.step(item), []).append(item)
    return found
