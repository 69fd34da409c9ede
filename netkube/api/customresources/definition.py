"""One version of a defined kind: everything the API server asks about it, derived from the CRD when first asked."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from netkube.api.customresources import columns
from netkube.api.customresources.pruning import default, has_defaults, prune
from netkube.api.customresources.values import validate_value
from netkube.api.errors import FieldError, bad_request
from netkube.api.jsonpath import find_all
from netkube.api.meta import Object
from netkube.api.resources import CustomResource

CLEANUP = 'customresourcecleanup.apiextensions.k8s.io'
_UNCHECKED: dict[str, Any] = {'type': 'object', 'x-kubernetes-preserve-unknown-fields': True}


def is_established(crd: Object) -> bool:
    conditions = (crd.get('status') or {}).get('conditions') or ()
    return any(one['type'] == 'Established' and one['status'] == 'True' for one in conditions)


def custom_resources(crd: Object) -> list[CustomResource]:
    """One for each served version, the preferred first; none before the CRD is established."""
    if not is_established(crd):
        return []
    spec, names = crd['spec'], (crd.get('status') or {}).get('acceptedNames') or crd['spec']['names']
    served = sorted((one for one in spec['versions'] if one['served']), key=lambda one: version_rank(one['name']))
    return [_custom_resource(crd, spec, names, version) for version in served]


def _custom_resource(crd: Object, spec: Object, names: Object, version: Object) -> CustomResource:
    subresources = version.get('subresources') or {}
    return CustomResource(
        spec['group'], version['name'], names['plural'], names['kind'], spec['scope'] == 'Namespaced',
        tuple(names.get('shortNames') or ()), tuple(names.get('categories') or ()),
        tuple(name for name in ('status', 'scale') if name in subresources),
        definition=Definition(crd, version),
    )  # fmt: skip


def version_rank(name: str) -> tuple[int, ...]:
    """Kubernetes' order of versions: GA before beta before alpha, newer before older, other names last."""
    found = re.fullmatch(r'v(\d+)(?:(alpha|beta)(\d+))?', name)
    if not found:
        return (1, *map(ord, name))
    stage = {None: 0, 'beta': 1, 'alpha': 2}[found[2]]
    return (0, stage, -int(found[1]), -int(found[3] or 0))


class Definition(msgspec.Struct, eq=False, dict=True):
    """``version`` is an element of the CRD's spec.versions."""

    crd: Object
    version: Object

    @property
    def names(self) -> Object:
        names: Object = (self.crd.get('status') or {}).get('acceptedNames') or self.crd['spec']['names']
        return names

    @property
    def terminating(self) -> bool:
        return 'deletionTimestamp' in self.crd['metadata']

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """The structural schema of the whole object."""
        written = (self.version.get('schema') or {}).get('openAPIV3Schema') or _UNCHECKED
        if self.crd['spec'].get('preserveUnknownFields'):
            written = {**written, 'x-kubernetes-preserve-unknown-fields': True}
        return written

    @functools.cached_property
    def has_defaults(self) -> bool:
        return has_defaults(self.schema)

    @property
    def api_version(self) -> str:
        return f'{self.crd["spec"]["group"]}/{self.version["name"]}'

    @functools.cached_property
    def storage(self) -> Definition:
        """The version that objects are kept in."""
        stored = next(one for one in self.crd['spec']['versions'] if one['storage'])
        return self if stored['name'] == self.version['name'] else Definition(self.crd, stored)

    @property
    def has_status(self) -> bool:
        return 'status' in (self.version.get('subresources') or {})

    @property
    def scale(self) -> Object:
        """The three paths of the scale subresource."""
        paths: Object = self.version['subresources']['scale']
        return paths

    @property
    def deprecation(self) -> str:
        """What to tell whoever asks for a deprecated version."""
        if not self.version.get('deprecated'):
            return ''
        words = f'{self.api_version} {self.names["kind"]} is deprecated'
        return self.version.get('deprecationWarning') or words

    def decode(self, value: Any) -> Object:
        """A new object: metadata in canonical form, what the schema does not know dropped. ApiError 400."""
        from netkube.api.decode import decode_metadata

        kind = self.names['kind']
        if not isinstance(value, dict):
            raise bad_request(f'{kind} in version "{self.version["name"]}" cannot be handled as a {kind}')
        metadata = decode_metadata(kind, self.version['name'], value.get('metadata') or {})
        content = msgspec.to_builtins({key: child for key, child in value.items() if key != 'metadata'})
        obj: Object = {'apiVersion': self.api_version, 'kind': kind, 'metadata': metadata}
        obj |= {key: child for key, child in content.items() if key not in obj}
        prune(self.schema, obj)
        return obj

    def unknown_fields(self, value: Object) -> list[str]:
        from netkube.api.schema import unknown_metadata

        content = msgspec.to_builtins({key: child for key, child in value.items() if key != 'metadata'})
        return unknown_metadata(value.get('metadata')) + prune(self.schema, content)

    def default(self, obj: Object) -> None:
        default(self.schema, obj)

    def validate(self, obj: Object) -> Iterator[FieldError]:
        yield from validate_value(self.schema, {key: obj[key] for key in obj if key != 'metadata'}, '')
        metadata = (self.schema.get('properties') or {}).get('metadata')
        if metadata:  # may restrict the name
            yield from validate_value(metadata, obj['metadata'], 'metadata')

    def stored(self, obj: Object) -> Object:
        """The object in the storage version: conversion strategy None changes the apiVersion and nothing else."""
        storage = self.storage
        if obj['apiVersion'] == storage.api_version:
            return obj
        converted: Object = {**msgspec.to_builtins(obj), 'apiVersion': storage.api_version}
        prune(storage.schema, converted)
        return converted

    def shown(self, stored: Object) -> Object:
        """The stored object as this version shows it, with the defaults that the schema has by now."""
        if stored['apiVersion'] == self.api_version and not self.has_defaults:
            return stored
        obj: Object = {**msgspec.to_builtins(stored), 'apiVersion': self.api_version}
        if stored['apiVersion'] != self.api_version:
            prune(self.schema, obj)
        default(self.schema, obj)
        return stored if obj == stored else obj

    def columns(self) -> list[dict[str, Any]]:
        return columns.table_columns(self.version.get('additionalPrinterColumns'))

    def row(self, obj: Object, now: datetime) -> list[Any]:
        return columns.table_row(self.version.get('additionalPrinterColumns'), obj, now)

    def selectable(self, field: str) -> bool:
        wanted = f'.{field}'
        return any(one['jsonPath'] == wanted for one in self.version.get('selectableFields') or ())

    def content(self, obj: Mapping[str, Any]) -> Any:
        """What counts as another generation."""
        without = {'metadata', 'status'} if self.has_status else {'metadata'}
        return {key: value for key, value in obj.items() if key not in without}

    def selector_of(self, obj: Object) -> str:
        """The label selector of the scale subresource, '' when there is none."""
        found = find_all(self.scale.get('labelSelectorPath') or '.none', obj)
        return str(found[0]) if found else ''
