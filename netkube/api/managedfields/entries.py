"""metadata.managedFields, read and written. (apimachinery managedfields/internal/managedfields.go)"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from netkube.api.managedfields.fieldset import Fields, ordered, union
from netkube.api.managedfields.paths import FieldsError, canonical, parse_fields
from netkube.api.meta import Object

APPLY, UPDATE = 'Apply', 'Update'


class Manager(msgspec.Struct, frozen=True):
    """Who manages: an applier by its name, whatever version it speaks; an updater in each version apart."""

    name: str
    operation: str
    api_version: str  # '' of an applier
    subresource: str = ''

    def __str__(self) -> str:
        """As conflicts name it."""
        shown = f'"{self.name}"'
        if self.subresource:
            shown += f' with subresource "{self.subresource}"'
        return f'{shown} using {self.api_version}' if self.operation == UPDATE else shown


class Owned(msgspec.Struct, frozen=True):
    """What a manager owns, in which version it was last written, and when."""

    fields: Fields
    api_version: str
    time: str = ''
    entry: Object | None = None  # as it is stored, of one that did not change


Managers = dict[Manager, Owned]


class EntryError(ValueError):
    """managedFields that cannot be read."""


def applier(name: str, subresource: str = '') -> Manager:
    return Manager(name, APPLY, '', subresource)


def updater(name: str, api_version: str, subresource: str = '') -> Manager:
    return Manager(name, UPDATE, api_version, subresource)


def stored_managers(entries: Iterable[Object]) -> Managers:
    """From entries that ``render_managers`` made."""
    managers: Managers = {}
    for entry in entries:
        owned = Owned(entry['fieldsV1'], entry['apiVersion'], entry.get('time', ''), entry)
        version = owned.api_version if entry['operation'] == UPDATE else ''
        manager = Manager(entry.get('manager', ''), entry['operation'], version, entry.get('subresource', ''))
        managers[manager] = owned
    return managers


def parse_managers(entries: Iterable[Object]) -> Managers:
    """From entries that a client sent. EntryError."""
    managers: Managers = {}
    for index, entry in enumerate(entries):
        operation, version, form = (entry.get(key) or '' for key in ('operation', 'apiVersion', 'fieldsType'))
        if operation not in (APPLY, UPDATE):
            raise EntryError('operation must be `Apply` or `Update`')
        if not version:
            raise EntryError('apiVersion must not be empty')
        if form != 'FieldsV1':
            raise EntryError(
                f'invalid fieldsType "{form}" in managed fields entry {index}' if form
                else f'missing fieldsType in managed fields entry {index}'
            )  # fmt: skip
        name, subresource = entry.get('manager') or '', entry.get('subresource') or ''
        manager = Manager(name, operation, version if operation == UPDATE else '', subresource)
        managers[manager] = Owned(_fields(entry.get('fieldsV1')), version, entry.get('time') or '')
    return managers


def _fields(value: Any) -> Fields:
    try:
        return canonical(parse_fields(value))
    except FieldsError as error:
        raise EntryError(f'error decoding set: {error}') from None


def render_managers(managers: Managers) -> list[Object]:
    """Appliers first, the oldest first."""
    order = sorted(managers.items(), key=lambda item: _order(*item))
    return [_entry(manager, owned) for manager, owned in order]


def _order(manager: Manager, owned: Owned) -> tuple[str, ...]:
    return manager.operation, owned.time, manager.name, owned.api_version, manager.subresource


def _entry(manager: Manager, owned: Owned) -> Object:
    if owned.entry is not None:
        return owned.entry
    entry: Object = {'manager': manager.name} if manager.name else {}
    entry |= {'operation': manager.operation, 'apiVersion': owned.api_version}
    if owned.time:
        entry['time'] = owned.time
    entry |= {'fieldsType': 'FieldsV1', 'fieldsV1': ordered(owned.fields)}
    if manager.subresource:
        entry['subresource'] = manager.subresource
    return entry


def all_fields(managers: Iterable[Owned]) -> Fields:
    """What any of them owns."""
    fields: Fields = {}
    for owned in managers:
        fields = union(fields, owned.fields)
    return fields
