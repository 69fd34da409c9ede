"""The managers of a stored object after a write: the schema, the stored entries and the pure rules brought together."""

from __future__ import annotations

import functools
import logging

from netkube.api import schema
from netkube.api.errors import ApiError, bad_request
from netkube.api.managedfields.check import ShapeError, check
from netkube.api.managedfields.conflicts import ApplyConflict
from netkube.api.managedfields.entries import (
    EntryError,
    Manager,
    Managers,
    Owned,
    all_fields,
    applier,
    parse_managers,
    render_managers,
    stored_managers,
    updater,
)
from netkube.api.managedfields.extract import field_set
from netkube.api.managedfields.fieldset import MEMBER, Fields, difference
from netkube.api.managedfields.lastapplied import KUBECTL, allowed_conflicts, keep_record
from netkube.api.managedfields.ownership import BEFORE_FIRST_APPLY, Scope, apply, update
from netkube.api.managedfields.shape import ItemError, Shape, empty, struct_shape
from netkube.api.managedfields.structural import StructuralShape
from netkube.api.meta import Object
from netkube.api.resources import CustomResource, Resource
from netkube.apiserver.fieldmanager import IN_PROCESS

OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'

log = logging.getLogger(__name__)


@functools.lru_cache(256)
def scope_of(resource: Resource, subresource: str) -> Scope:
    """The status is its subresource's, all the rest is not (ResetFieldsStrategy)."""
    shape = shape_of(resource)
    if subresource == 'status':
        names = set(shape.names) - {'apiVersion', 'kind', 'metadata', 'status'}
    else:
        names = {'status'} if 'status' in resource.subresources else set()
    return Scope(shape, resource.api_version, {f'f:{name}': MEMBER for name in names})


def shape_of(resource: Resource) -> Shape:
    if isinstance(resource, CustomResource):
        return StructuralShape(resource.definition.schema, schema.load().named(OBJECT_META))
    return struct_shape(schema.definition(resource))


def zero_object(resource: Resource) -> Object:
    """What a create is compared with."""
    return {} if isinstance(resource, CustomResource) else empty(schema.definition(resource))


def updated_entries(
    resource: Resource, new: Object, old: Object | None, name: str, subresource: str, now: str
) -> list[Object]:
    """After a create or update to ``new`` by the manager ``name``."""
    scope = scope_of(resource, subresource)
    managers = given_managers(new, old, subresource)
    live = old if old is not None else zero_object(resource)
    manager = updater(name, scope.api_version, subresource)
    try:
        return render_managers(update(_bare(live), _bare(new), managers, manager, scope, now))
    except ItemError as error:  # validation refuses such an object; what was stored before stays as it is
        log.debug('managedFields of %s are not kept: %s', new['metadata'].get('name'), error)
        return render_managers(managers)


def given_managers(new: Object, old: Object | None, subresource: str) -> Managers:
    """Those the request sets itself, unless they cannot be read or it is for a subresource; else the stored ones.

    ``[{}]`` is the way to have none (fieldmanager.go decodeLiveOrNew).
    """
    stored = (old['metadata'].get('managedFields') if old else None) or []
    given = new['metadata'].get('managedFields')
    if subresource or not given or given == stored:
        return stored_managers(stored)
    if given == [{}]:
        return {}
    try:
        return parse_managers(given)
    except EntryError:
        return stored_managers(stored)


def _bare(obj: Object) -> Object:
    """Without the managers themselves."""
    metadata = obj.get('metadata') or {}
    if 'managedFields' not in metadata:
        return obj
    return {**obj, 'metadata': {key: value for key, value in metadata.items() if key != 'managedFields'}}


def applied(
    resource: Resource, config: Object, old: Object | None, name: str, subresource: str, now: str, *, force: bool
) -> tuple[Object, list[Object]]:
    """The object with ``config`` applied by ``name``, and its managers' entries. ApiError 400, 409, 500."""
    scope = scope_of(resource, subresource)
    check_config(resource, config, scope)
    live = _bare(old) if old is not None else {'metadata': {}}
    managers = live_managers(old, live, subresource, scope, now)
    manager = applier(name, subresource)
    try:
        obj, after = apply(live, config, managers, manager, scope, now, force=force)
    except ApplyConflict as conflict:
        obj, after = _take_own(conflict, live, config, managers, manager, scope, now)
    except ItemError as error:
        raise ApiError(500, '', f'failed to create typed live object: {error}') from None
    if name == KUBECTL:
        keep_record(obj, config)
    return obj, render_managers(after)


def _take_own(
    conflict: ApplyConflict, live: Object, config: Object, managers: Managers, manager: Manager, scope: Scope, now: str
) -> tuple[Object, Managers]:
    """kubectl may take from itself what it owned by client-side apply. ApplyConflict for all the rest."""
    if manager.name != KUBECTL:
        raise conflict
    left = conflict.without(allowed_conflicts(live, scope.shape))
    if left is not None:
        raise left
    return apply(live, config, managers, manager, scope, now, force=True)


def check_config(resource: Resource, config: Object, scope: Scope) -> None:
    """ApiError 400 for what may not be applied, 500 (as Kubernetes has it) for what does not fit the schema."""
    if config.get('apiVersion') != resource.api_version:
        versions = f'Specified patch version: {config.get("apiVersion") or ""}, expected: {resource.api_version}'
        raise bad_request(f'Incorrect version specified in apply patch. {versions}')
    metadata = config.get('metadata') or {}
    if isinstance(metadata, dict) and metadata.get('managedFields') is not None:
        raise bad_request('metadata.managedFields must be nil')
    try:
        check(config, scope.shape)
    except ShapeError as error:
        kind = f'{resource.api_version}, Kind={resource.kind}' if resource.group else f'/v1, Kind={resource.kind}'
        where = f'{metadata.get("namespace") or ""}/{metadata.get("name") or ""}; {kind}'
        raise ApiError(500, '', f'failed to create typed patch object ({where}): {error}') from None


def live_managers(old: Object | None, live: Object, subresource: str, scope: Scope, now: str) -> Managers:
    """The stored managers, and those that were not recorded when they wrote."""
    if old is None:
        return {}
    managers = stored_managers(old['metadata'].get('managedFields') or [])
    if not managers:
        before = updater(BEFORE_FIRST_APPLY, scope.api_version)
        return update({'metadata': {}}, live, {}, before, scope, now)
    if subresource == 'status':
        unowned = difference(_status_fields(live, scope), all_fields(managers.values()))
        if unowned:
            managers[updater(IN_PROCESS, scope.api_version, 'status')] = Owned(unowned, scope.api_version, now)
    return managers


def _status_fields(live: Object, scope: Scope) -> Fields:
    return field_set({'status': live.get('status') or {}}, scope.shape)
