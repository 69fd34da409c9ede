"""Sets of field paths, kept as the JSON of FieldsV1 is: a tree of nested dictionaries.

A key is one step of a path (``f:spec``, ``k:{"name":"web"}``, ``v:"a"``). A node is ``{}`` when its path is a member
and nothing below is; it has the key ``.`` when its path is a member besides what is below; without ``.`` only what is
below are members. The root stands for no path, so the empty set is ``{}``. Sets are never changed once made: they
share their branches. (structured-merge-diff/fieldpath/set.go; KEP-555 for the form.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Fields = dict[str, Any]
SELF = '.'
MEMBER: Fields = {}


def is_member(node: Fields) -> bool:
    """Whether the path of a node (not the root) is in the set."""
    return not node or SELF in node


def node_of(member: bool, below: Fields) -> Fields | None:
    """The node whose path is a member or not, with what is below it; None for nothing at all."""
    if not below:
        return MEMBER if member else None
    return {SELF: {}, **below} if member else below


def below(node: Fields) -> Fields:
    return {key: child for key, child in node.items() if key != SELF} if SELF in node else node


def union(left: Fields, right: Fields) -> Fields:
    if not left or not right or left is right:
        return left or right
    result = dict(left)
    for key, child in right.items():
        result[key] = _joined(result[key], child) if key in result else child
    return result


def _joined(left: Fields, right: Fields) -> Fields:
    member = is_member(left) or is_member(right)
    return node_of(member, union(below(left), below(right))) or MEMBER


def intersection(left: Fields, right: Fields) -> Fields:
    result: Fields = {}
    for key in left.keys() & right.keys():
        mine, other = left[key], right[key]
        node = node_of(is_member(mine) and is_member(other), intersection(below(mine), below(other)))
        if node is not None:
            result[key] = node
    return result


def difference(left: Fields, right: Fields) -> Fields:
    """The members of ``left`` that are no members of ``right``; what is below a member of ``right`` stays."""
    result: Fields = {}
    for key, mine in left.items():
        other = right.get(key)
        if other is None:
            result[key] = mine
            continue
        node = node_of(is_member(mine) and not is_member(other), difference(below(mine), below(other)))
        if node is not None:
            result[key] = node
    return result


def without_branches(left: Fields, right: Fields) -> Fields:
    """The members of ``left`` that are neither members of ``right`` nor below one."""
    result: Fields = {}
    for key, mine in left.items():
        other = right.get(key)
        if other is None:
            result[key] = mine
        elif not is_member(other):
            node = node_of(is_member(mine), without_branches(below(mine), other))
            if node is not None:
                result[key] = node
    return result


def leaves(fields: Fields) -> Fields:
    """The members with no member below."""
    return {key: leaves(below(node)) if below(node) else MEMBER for key, node in fields.items()}


def with_path(fields: Fields, path: tuple[str, ...], node: Fields = MEMBER) -> Fields:
    """``fields`` and ``path`` (and what ``node`` has below it)."""
    for step in reversed(path):
        node = {step: node}
    return union(fields, node)


def paths(fields: Fields) -> Iterator[tuple[str, ...]]:
    """All members, in the order of their keys, a parent before what is below it."""
    for key in sorted(fields):
        if key == SELF:
            continue
        node = fields[key]
        if is_member(node):
            yield (key,)
        for path in paths(below(node)):
            yield (key, *path)


def ordered(fields: Fields) -> Fields:
    """The same set with its keys in order, as it is stored: equal sets have equal bytes."""
    return {key: ordered(child) if (child := fields[key]) else MEMBER for key in sorted(fields)}
