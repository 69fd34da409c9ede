"""The types of the served kinds, from the OpenAPI definitions of Kubernetes that kubernetes-validate carries.

The definitions file (1.8 MB) is read at first use, only what the served kinds reach is decoded, and of that only
names, types and patch rules are kept. Everything that depends on a field's type is asked here: decoding a request's
body, unknown fields, strategic merge, the OpenAPI documents (``netkube.api.openapi``).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from netkube.api.gotypes import POINTERS
from netkube.api.resources import FIRST, CustomResource, Resource

DEFINITIONS = 'kubernetes-json-schema/v1.37.0-local/_definitions.json'
REF = '#/$defs/'
# Where the package is not io.k8s.api. and the first word of the group.
_GROUP_PACKAGES = {
    '': 'io.k8s.api.core.',
    'apiextensions.k8s.io': 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.',
    'apiregistration.k8s.io': 'io.k8s.kube-aggregator.pkg.apis.apiregistration.',
}
_APIEXTENSIONS = _GROUP_PACKAGES['apiextensions.k8s.io'] + 'v1.'
_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.'
# What kubectl and clients send besides the served kinds themselves.
_ALSO_SERVED = (
    'io.k8s.api.autoscaling.v1.Scale', 'io.k8s.api.core.v1.Binding', 'io.k8s.api.policy.v1.Eviction',
    'io.k8s.api.authentication.v1.TokenRequest', _META + 'DeleteOptions', _META + 'Status',
)  # fmt: skip
_SCALAR_DEFINITIONS = {
    'io.k8s.apimachinery.pkg.api.resource.Quantity': 'quantity',
    'io.k8s.apimachinery.pkg.util.intstr.IntOrString': 'intstr',
    _META + 'Time': 'time',
    _META + 'MicroTime': 'microtime',
    _META + 'FieldsV1': 'any',
    'io.k8s.apimachinery.pkg.runtime.RawExtension': 'any',
    _APIEXTENSIONS + 'JSON': 'any',
    _APIEXTENSIONS + 'JSONSchemaPropsOrBool': 'any',
    _APIEXTENSIONS + 'JSONSchemaPropsOrStringArray': 'any',
}
# Unions of which one member is all that may be stored.
_UNIONS = {_APIEXTENSIONS + 'JSONSchemaPropsOrArray': _APIEXTENSIONS + 'JSONSchemaProps'}


class Raw(msgspec.Struct):
    """One definition or property as the file has it, without its description."""

    ref: str = msgspec.field(default='', name='$ref')
    type: str | list[str] = ''
    format: str = ''
    items: Raw | None = None
    additional: Raw | bool | None = msgspec.field(default=None, name='additionalProperties')
    properties: dict[str, Raw] | None = None
    required: list[str] = []
    merge_key: str = msgspec.field(default='', name='x-kubernetes-patch-merge-key')
    strategy: str = msgspec.field(default='', name='x-kubernetes-patch-strategy')
    list_type: str = msgspec.field(default='', name='x-kubernetes-list-type')
    list_map_keys: list[str] = msgspec.field(default=[], name='x-kubernetes-list-map-keys')
    map_type: str = msgspec.field(default='', name='x-kubernetes-map-type')


class _File(msgspec.Struct):
    definitions: dict[str, msgspec.Raw] = msgspec.field(name='$defs')


class Type(msgspec.Struct, frozen=True):
    """``kind`` is struct, list, map, any, string, bool, int32, int64, float64, bytes, quantity, intstr, time or
    microtime."""

    kind: str
    element: Type | None = None  # of a list or a map
    struct: Struct | None = None

    @property
    def go_name(self) -> str:
        """The Go type, as json.UnmarshalTypeError prints it."""
        match self.kind:
            case 'struct':
                return f'v1.{self.struct.name}' if self.struct else ''
            case 'list':
                return f'[]{self.element.go_name}' if self.element else '[]interface {}'
            case 'map':
                return f'map[string]{self.element.go_name}' if self.element else 'map[string]interface {}'
            case 'bytes':
                return '[]uint8'
            case 'quantity':
                return 'resource.Quantity'
            case 'intstr':
                return 'intstr.IntOrString'
        return self.kind


class Field(msgspec.Struct, frozen=True):
    """A property of a struct, with how strategic merge and server-side apply treat it."""

    type: Type
    required: bool
    omits_zero: bool  # a plain optional Go field: '', 0 and false are left out
    merge_key: str = ''
    strategies: frozenset[str] = frozenset()  # of merge, replace, retainKeys
    list_map_keys: tuple[str, ...] = ()
    list_type: str = ''  # atomic, set or map
    atomic: bool = False  # a map or a struct that has one owner


class Struct(msgspec.Struct, eq=False):
    """A definition. Structs may refer to one another in cycles, hence filled after creation."""

    name: str  # PodSpec
    definition: str  # io.k8s.api.core.v1.PodSpec
    fields: dict[str, Field] = msgspec.field(default_factory=dict)
    atomic: bool = False  # wherever it is used, it has one owner


def definition_name(resource: Resource) -> str:
    """``io.k8s.api.core.v1.Pod``."""
    group = resource.group
    package = _GROUP_PACKAGES.get(group) or f'io.k8s.api.{group.partition(".")[0]}.'
    return f'{package}{resource.version}.{resource.kind}'


def definitions_of(resources: Iterable[Resource]) -> list[str]:
    """Of the objects and of their lists."""
    resources = tuple(resources)
    lists = [definition_name(resource) + 'List' for resource in resources if 'list' in resource.verbs]
    return [definition_name(resource) for resource in resources] + lists


def also_served() -> tuple[str, ...]:
    """Definitions of what is sent and answered besides the served kinds."""
    return _ALSO_SERVED


def _first_definitions() -> list[str]:
    return [*map(definition_name, FIRST), *_ALSO_SERVED]


def read_definitions() -> bytes:
    """The definitions file as it is on disk."""
    import importlib.util

    found = importlib.util.find_spec('kubernetes_validate')
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError('kubernetes-validate is not installed')
    return (Path(next(iter(found.submodule_search_locations))) / DEFINITIONS).read_bytes()


def raw_definitions() -> dict[str, msgspec.Raw]:
    """All definitions, undecoded."""
    return msgspec.json.decode(read_definitions(), type=_File).definitions


def reachable(roots: Iterable[str], raws: dict[str, msgspec.Raw]) -> Iterator[tuple[str, Raw]]:
    """The definitions that ``roots`` refer to, directly or not, each once."""
    decoder = msgspec.json.Decoder(Raw)
    waiting, seen = list(roots), set(roots)
    while waiting:
        name = waiting.pop()
        raw = decoder.decode(raws[name])
        yield name, raw
        for target in set(_references(raw)) - seen:
            seen.add(target)
            waiting.append(target)


def _references(raw: Raw) -> Iterator[str]:
    if raw.ref:
        yield raw.ref.removeprefix(REF)
    for child in (raw.items, raw.additional, *(raw.properties or {}).values()):
        if isinstance(child, Raw):
            yield from _references(child)


class Schema:
    """The structs of the served kinds by definition name.

    The kinds that every cluster uses are read together; another one when it is first asked for (about 10 ms).
    """

    def __init__(self) -> None:
        self._builder = _Builder()
        self._structs = self._builder.build(reachable(_first_definitions(), raw_definitions()))

    def struct(self, resource: Resource) -> Struct:
        return self.named(definition_name(resource))

    def named(self, definition: str) -> Struct:
        if definition not in self._structs:
            self._builder.build(reachable([definition], raw_definitions()))
        return self._structs[definition]

    def __len__(self) -> int:
        return len(self._structs)


class _Builder:
    """Turns raw definitions into shared, compact types."""

    def __init__(self) -> None:
        self._structs: dict[str, Struct] = {}
        self._filled: set[str] = set()
        self._types: dict[tuple[Any, ...], Type] = {}

    def build(self, definitions: Iterable[tuple[str, Raw]]) -> dict[str, Struct]:
        """All structs built so far by definition name, always the same dictionary."""
        for name, raw in definitions:
            if name not in _SCALAR_DEFINITIONS and name not in self._filled:
                self._filled.add(name)
                self._fill(self._struct(name), raw)
        return self._structs

    def _struct(self, name: str) -> Struct:
        if name not in self._structs:
            self._structs[name] = Struct(name.rpartition('.')[2], name)
        return self._structs[name]

    def _fill(self, struct: Struct, raw: Raw) -> None:
        struct.atomic = raw.map_type == 'atomic'
        for name, prop in (raw.properties or {}).items():
            strategies = frozenset(prop.strategy.split(',')) if prop.strategy else frozenset()
            keys = tuple(prop.list_map_keys)
            required, type_ = name in raw.required, self._type(prop)
            omits = not required and not _is_pointer(struct, name)
            atomic = prop.map_type == 'atomic'
            struct.fields[name] = Field(
                type_, required, omits, prop.merge_key, strategies, keys, prop.list_type, atomic
            )

    def _type(self, raw: Raw) -> Type:
        if raw.ref:
            name = raw.ref.removeprefix(REF)
            name = _UNIONS.get(name, name)
            scalar = _SCALAR_DEFINITIONS.get(name)
            return self._shared(scalar) if scalar else self._shared('struct', struct=self._struct(name))
        kind = raw.type if isinstance(raw.type, str) else next(one for one in raw.type if one != 'null')
        if kind == 'array':
            return self._shared('list', self._type(raw.items) if raw.items else None)
        if kind == 'object':
            inner = raw.additional
            return self._shared('map', self._type(inner)) if isinstance(inner, Raw) else self._shared('any')
        return self._shared(_scalar_kind(kind, raw.format))

    def _shared(self, kind: str, element: Type | None = None, struct: Struct | None = None) -> Type:
        key = (kind, id(element), id(struct))
        if key not in self._types:
            self._types[key] = Type(kind, element, struct)
        return self._types[key]


def _is_pointer(struct: Struct, field: str) -> bool:
    group = struct.definition.split('.')[-3]
    return f'{struct.name}.{field}' in POINTERS or f'{group}.{struct.name}.{field}' in POINTERS


def _scalar_kind(kind: str, format: str) -> str:
    match kind:
        case 'integer':
            return format or 'int32'
        case 'number':
            return 'float64'
        case 'boolean':
            return 'bool'
        case 'string':
            return 'bytes' if format == 'byte' else 'string'
    return 'any'


@functools.cache
def load() -> Schema:
    """The schema; decoded at the first call (about 20 ms)."""
    return Schema()


def definition(resource: Resource) -> Struct:
    """The struct of a served kind."""
    return load().struct(resource)


def unknown_fields(resource: Resource, obj: Any) -> list[str]:
    """The paths of the fields the kind does not have, in the object's order: ``spec.containers[0].nam``."""
    if isinstance(resource, CustomResource):
        found: list[str] = resource.definition.unknown_fields(obj)
        return found
    return list(_unknown(definition(resource), obj, ''))


def unknown_metadata(metadata: Any) -> list[str]:
    """The same of an object's metadata alone."""
    return list(_unknown(load().named(_META + 'ObjectMeta'), metadata, 'metadata'))


def _unknown(struct: Struct, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    for key, child in value.items():
        here = f'{path}.{key}' if path else key
        known = struct.fields.get(key)
        if known is None:
            yield here
        else:
            yield from _unknown_in(known.type, child, here)


def _unknown_in(type_: Type, value: Any, path: str) -> Iterator[str]:
    if type_.kind == 'struct' and type_.struct:
        yield from _unknown(type_.struct, value, path)
    elif type_.kind == 'list' and type_.element and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown_in(type_.element, item, f'{path}[{index}]')
    elif type_.kind == 'map' and type_.element and isinstance(value, dict):
        for key, item in value.items():
            yield from _unknown_in(type_.element, item, f'{path}.{key}')


class _Described(msgspec.Struct):
    description: str = ''
    properties: dict[str, _Described] = {}


def descriptions(paths: Iterable[str]) -> dict[str, str]:
    """The description of each ``definition.property``; reads the file anew, keeps nothing."""
    raws, found = raw_definitions(), {}
    for path in paths:
        definition, _, name = path.rpartition('.')
        described = msgspec.json.decode(raws[definition], type=_Described)
        found[path] = described.properties[name].description
    return found
