"""What of an object is one field: the schema as server-side apply sees it.

A ``struct`` and a ``map`` have an owner for each member, a ``keyed`` list one for each item by its keys, a ``set``
one for each value; an ``atom`` (atomic map, struct or list) and a ``scalar`` have one for all. What the schema does
not know is deduced from the value: objects are maps, lists are atoms.
(structured-merge-diff/{schema,typed}; kube-openapi schemaconv for what the extensions mean.)
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any

from netkube.api.managedfields.paths import key_step, value_step
from netkube.api.schema import Field, Struct, Type

# Keys of list items that Go's types fill in; the definitions carry no defaults.
_KEY_DEFAULTS = {
    ('ContainerPort', 'protocol'): 'TCP', ('ServicePort', 'protocol'): 'TCP', ('LocalObjectReference', 'name'): '',
}  # fmt: skip
# Struct fields of kinds that are no pointers in Go: they are there in every object, also in an empty one.
_ALWAYS_THERE = frozenset(('metadata', 'spec', 'status', 'strategy', 'updateStrategy', 'template', 'jobTemplate'))


class ItemError(ValueError):
    """A list item that has no identity."""


class Shape:
    """How one value is divided into fields."""

    __slots__ = ('kind', 'keys', '_type', '_element', '_struct', '_members')

    def __init__(
        self,
        kind: str,
        type: Type | None = None,
        *,
        keys: tuple[str, ...] = (),
        element: Type | None = None,
        struct: Struct | None = None,
    ) -> None:
        self.kind, self.keys, self._type = kind, keys, type
        self._element, self._struct = element, struct
        self._members: dict[str, Shape] = {}

    def of(self, value: Any) -> str:
        """The kind, for a value that may have to tell it."""
        if self.kind != 'any':
            return self.kind
        if isinstance(value, dict):
            return 'map'
        return 'atom' if isinstance(value, list) else 'scalar'

    @property
    def names(self) -> Collection[str]:
        """The members that the schema names: nobody need own one to own what is in it."""
        return self._struct.fields if self._struct else ()

    @property
    def closed(self) -> bool:
        """Whether it has no other members than ``names``."""
        return self._struct is not None

    @property
    def scalar(self) -> str:
        """What a scalar must be: a kind of ``netkube.api.schema.Type``, '' for anything."""
        return self._type.kind if self._type else ''

    def member(self, name: str) -> Shape:
        """The shape of a member of a struct or a map; of an unknown one it is deduced."""
        shape = self._members.get(name)
        if shape is None:
            field = self._struct.fields.get(name) if self._struct else None
            shape = self._members[name] = _field_shape(field) if field else self.element
        return shape

    def default(self, name: str) -> Any:
        """What a member of a list's keys is when it is left out, None for none."""
        return _KEY_DEFAULTS.get((self._struct.name if self._struct else '', name))

    @property
    def element(self) -> Shape:
        return _type_shape(self._element) if self._element else ANY

    def step(self, item: Any) -> str:
        """The step to an item of a ``keyed`` list or a ``set``. ItemError."""
        if self.kind == 'set':
            if isinstance(item, dict | list) or item is None:
                what = 'an explicit null' if item is None else f'a {"map" if isinstance(item, dict) else "list"} type'
                raise ItemError(f"associative list without keys has an element that's {what}")
            return value_step(item)
        if not isinstance(item, dict):
            what = 'a null element' if item is None else 'non-map elements'
            raise ItemError(f'associative list with keys may not have {what}')
        return key_step(self._item_keys(item))

    def _item_keys(self, item: dict[str, Any]) -> dict[str, Any]:
        keys = {}
        for key in self.keys:
            value = item.get(key)
            if value is None:
                value = self.element.default(key)
            if value is not None:
                keys[key] = value
            elif len(self.keys) == 1:
                why = f'omits key field "{key}" (and doesn\'t have default value)'
                raise ItemError(f'associative list with keys has an element that {why}')
        return keys


ANY = Shape('any')


@functools.cache
def struct_shape(struct: Struct) -> Shape:
    """The shape of a kind, or of any struct."""
    return Shape('atom' if struct.atomic else 'struct', Type('struct', None, struct), struct=struct)


def _field_shape(field: Field) -> Shape:
    type_ = field.type
    if field.atomic:
        return Shape('atom', type_)
    if type_.kind == 'list':
        if field.list_type == 'map' or (not field.list_type and 'merge' in field.strategies and field.merge_key):
            return Shape('keyed', type_, keys=field.list_map_keys or (field.merge_key,), element=type_.element)
        if field.list_type == 'set' or (not field.list_type and 'merge' in field.strategies):
            return Shape('set', type_, element=type_.element)
        return Shape('atom', type_)
    return _type_shape(type_)


def _type_shape(type_: Type) -> Shape:
    match type_.kind:
        case 'struct' if type_.struct is not None:
            return struct_shape(type_.struct)
        case 'map':
            return Shape('map', type_, element=type_.element)
        case 'list':
            return Shape('atom', type_)
        case 'any':
            return ANY
    return Shape('scalar', type_)


@functools.cache
def empty(struct: Struct) -> dict[str, Any]:
    """The JSON of Go's zero object of a kind, read-only: what a create is compared with."""
    result: dict[str, Any] = {}
    for name, field in struct.fields.items():
        inner = field.type.struct
        if inner is not None and name in _ALWAYS_THERE:
            result[name] = empty(inner)
        elif field.required and field.type.kind in ('list', 'map'):
            result[name] = None
    return result
