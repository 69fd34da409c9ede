"""Objects in the store: which key an object has, and the one place where it gets its resourceVersion.

The bytes that are stored are those that HTTP answers with: complete JSON, with kind and resourceVersion in it.
Not a method here awaits, so what a verb reads and writes in one go is one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from netkube.api.conversion import from_stored, is_converted
from netkube.api.errors import ApiError, already_exists, not_found
from netkube.api.managedfields.times import differ_in_times_only
from netkube.api.meta import Object, utc_now
from netkube.api.resources import (
    CUSTOMRESOURCEDEFINITIONS,
    EVENTS,
    IPADDRESSES,
    RBAC_KINDS,
    SERVICECIDRS,
    SERVICES,
    STORED_AS,
    CustomResource,
    Resource,
)
from netkube.apiserver.allocation import ServiceAllocator
from netkube.apiserver.ipaddresses import IPAddresses
from netkube.apiserver.rbac import RoleIndex
from netkube.apiserver.served import Served
from netkube.store.store import Entry, KeyExists, Store

MAX_OBJECT = 3 << 19  # bytes, etcd's --max-request-bytes

encode = msgspec.json.Encoder().encode
decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode


def prefix(resource: Resource, namespace: str | None = '') -> str:
    """The prefix of the keys of a collection."""
    resource = STORED_AS.get(resource, resource)
    return f'{resource.group_resource}/{namespace}/' if namespace else f'{resource.group_resource}/'


RARELY_READ = prefix(EVENTS, None)  # by far the most objects of a busy cluster: not kept in memory


def key(resource: Resource, namespace: str | None, name: str) -> str:
    return f'{prefix(resource, namespace if resource.namespaced else None)}{name}'


class Storage:
    """Typed access to the store for the verbs."""

    def __init__(self, store: Store, services: ServiceAllocator, now: Callable[[], datetime] = utc_now) -> None:
        self.store, self.services, self.now, self.served = store, services, now, Served()
        self.roles = RoleIndex(self.find_object, self.objects)
        self._ip_addresses = IPAddresses(self)
        for resource, learn in (
            (CUSTOMRESOURCEDEFINITIONS, self.served.change),
            (SERVICECIDRS, services.cidr_changed),
            (SERVICES, services.changed),
        ):
            for entry in store.list(prefix(resource)):
                learn(None, self.object(entry))
        self._ip_addresses.start()

    def find(self, resource: Resource, namespace: str | None, name: str) -> Entry | None:
        return self.store.get(key(resource, namespace, name))

    def find_object(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        entry = self.find(resource, namespace, name)
        return self.object(entry) if entry is not None else None

    def objects(self, resource: Resource) -> list[Object]:
        """All of a kind: shared, read-only."""
        return [self.object(entry) for entry in self.store.list(prefix(resource))]

    def get(self, resource: Resource, namespace: str | None, name: str) -> Entry:
        """ApiError 404 when there is none."""
        entry = self.find(resource, namespace, name)
        if entry is None:
            raise not_found(resource, name)
        return entry

    def object(self, entry: Entry) -> Object:
        """The entry's object: shared, read-only."""
        if entry.decoded is not None:
            return entry.decoded  # type: ignore[no-any-return]
        obj: Object = decode(entry.value)
        if not entry.key.startswith(RARELY_READ) and self.store.get(entry.key) is entry:
            entry.decoded = obj
        return obj

    def shown(self, resource: Resource, entry: Entry) -> Object:
        """The entry's object as ``resource``, one of its kind's versions, shows it: read-only."""
        return from_stored(resource, self.object(entry))

    def values(self, resource: Resource, entries: Sequence[Entry]) -> Iterable[bytes]:
        """The JSON of the entries as ``resource`` shows them: as a rule the bytes that are stored."""
        if not is_converted(resource):
            return (entry.value for entry in entries)
        return (self._value(resource, entry) for entry in entries)

    def _value(self, resource: Resource, entry: Entry) -> bytes:
        shown = self.shown(resource, entry)
        return entry.value if shown is self.object(entry) else encode(shown)

    def create(self, resource: Resource, obj: Object, *, dry_run: bool = False) -> Entry:
        """ApiError 409 when the name is taken."""
        metadata = obj['metadata']
        where = key(resource, metadata.get('namespace'), metadata['name'])
        obj = _in_stored_version(resource, obj)
        kept = None if where.startswith(RARELY_READ) else obj
        try:
            if dry_run:
                self.store.check_free(where)
                return Entry(where, 0, encode(obj), obj)
            entry = self.store.create(where, _fitting(self._stamped(obj)), kept)
        except KeyExists:
            raise already_exists(resource, metadata['name']) from None
        self._changed(resource, None, obj)
        return entry

    def replace(self, resource: Resource, obj: Object, current: Entry, *, dry_run: bool = False) -> Entry:
        """Store ``obj`` over ``current``; an object that did not change keeps its revision."""
        old, obj = self.object(current), _in_stored_version(resource, obj)
        if obj == old or differ_in_times_only(obj, old):
            return current
        if dry_run:
            return Entry(current.key, 0, encode(obj), obj)
        entry = self.store.update(current.key, _fitting(self._stamped(obj)), current.revision, obj)
        self._changed(resource, old, obj)
        return entry

    def remove(self, resource: Resource, obj: Object, current: Entry, *, dry_run: bool = False) -> Entry:
        """Remove ``current``; ``obj`` is the last state that watches are told."""
        obj = _in_stored_version(resource, obj)
        if dry_run:
            return Entry(current.key, 0, encode(obj), obj)
        old = self.object(current)
        entry = self.store.delete(current.key, self._stamped(obj), current.revision)
        self._changed(resource, old, None)
        return entry

    def _stamped(self, obj: Object) -> bytes:
        obj['metadata']['resourceVersion'] = str(self.store.revision + 1)
        return encode(obj)

    def _changed(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        if resource is SERVICES:
            self.services.changed(old, new)
            self._ip_addresses.service_changed(old, new)
        elif resource is SERVICECIDRS:
            self.services.cidr_changed(old, new)
        elif resource is IPADDRESSES:
            self._ip_addresses.address_changed(old, new)
        elif resource in RBAC_KINDS:
            self.roles.changed(resource, old, new)
        elif resource is CUSTOMRESOURCEDEFINITIONS:
            self.served.change(old, new)
            if new is None and old is not None:
                self.store.end_watches(f'{old["metadata"]["name"]}/')


def _in_stored_version(resource: Resource, obj: Object) -> Object:
    if isinstance(resource, CustomResource):
        stored: Object = resource.definition.stored(obj)
        return stored
    return obj


def _fitting(value: bytes) -> bytes:
    """``value``; ApiError 413 when etcd would not take it."""
    if len(value) > MAX_OBJECT:
        raise ApiError(413, 'RequestEntityTooLarge', f'etcdserver: request is too large: limit is {MAX_OBJECT}')
    return value
