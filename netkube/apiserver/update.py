"""Update: the version is checked, what belongs to the system is kept, then as create.

k8s.io/apiserver registry/rest/update.go and registry/generic/registry/store.go.
"""

from __future__ import annotations

from collections.abc import Callable

from netkube.api.defaults import apply_defaults
from netkube.api.errors import FieldError, conflict, invalid
from netkube.api.meta import Object, copy_object
from netkube.api.resources import (
    CUSTOMRESOURCEDEFINITIONS,
    ENDPOINTS,
    EVENTS,
    LEASES,
    NAMESPACES,
    RBAC_KINDS,
    SERVICES,
    Resource,
)
from netkube.api.strategies import prepare_status_update, prepare_update
from netkube.api.validation import validate_status_update, validate_update
from netkube.apiserver import definitions
from netkube.apiserver.authorization import authorize_creation
from netkube.apiserver.create import create
from netkube.apiserver.escalation import check_escalation
from netkube.apiserver.fieldmanager import Track, in_process, in_process_status
from netkube.apiserver.storage import Storage
from netkube.store.store import Entry

CREATE_ON_UPDATE = (ENDPOINTS, EVENTS, LEASES, SERVICES, *RBAC_KINDS)

Validate = Callable[[Resource, Object, Object], list[FieldError]]


def update(
    storage: Storage, resource: Resource, obj: Object, *, dry_run: bool = False, by: Track = in_process
) -> Entry:
    """Replace the object of that name; ``obj`` is the caller's to give away. ApiError 404, 409, 422."""
    metadata = obj['metadata']
    current = storage.find(resource, metadata.get('namespace'), metadata['name'])
    if current is None and resource in CREATE_ON_UPDATE and not metadata.get('resourceVersion'):
        authorize_creation(storage.roles, resource, metadata)
        return create(storage, resource, obj, dry_run=dry_run, by=by)
    current = current or storage.get(resource, metadata.get('namespace'), metadata['name'])
    old = storage.shown(resource, current)
    check_version(resource, obj, old)
    apply_defaults(resource, obj)
    by(resource, obj, old)
    prepare_update(resource, obj, old)
    if resource is SERVICES:
        storage.services.fill(obj, old)
    check(resource, obj, old, validate_update)
    check_escalation(storage.roles, resource, obj, old)
    if resource is CUSTOMRESOURCEDEFINITIONS:
        obj['status'] = copy_object(obj['status'])
        definitions.accept(storage, obj)
    return store_update(storage, resource, obj, current, dry_run=dry_run)


def update_status(
    storage: Storage, resource: Resource, obj: Object, *, dry_run: bool = False, by: Track = in_process_status
) -> Entry:
    """Replace the status of the object of that name, and nothing else of it."""
    current = storage.get(resource, obj['metadata'].get('namespace'), obj['metadata']['name'])
    old = storage.shown(resource, current)
    check_version(resource, obj, old)
    by(resource, obj, old)
    prepare_status_update(resource, obj, old)
    check(resource, obj, old, validate_status_update)
    return store_update(storage, resource, obj, current, dry_run=dry_run)


def check_version(resource: Resource, new: Object, old: Object) -> None:
    """ApiError 409 when ``new`` was made from another version, or for another object of the same name."""
    metadata, stored = new['metadata'], old['metadata']
    if metadata.get('uid') not in (None, '', stored['uid']):
        uids = f'UID in precondition: {metadata["uid"]}, UID in object meta: {stored["uid"]}'
        raise conflict(resource, stored['name'], f'Precondition failed: {uids}')
    if metadata.get('resourceVersion') not in (None, '', stored['resourceVersion']):
        raise conflict(resource, stored['name'])
    metadata['resourceVersion'] = stored['resourceVersion']
    new['apiVersion'], new['kind'] = old['apiVersion'], old['kind']


def check(resource: Resource, new: Object, old: Object, validate: Validate) -> None:
    errors = validate(resource, new, old)
    if errors:
        raise invalid(resource, new['metadata']['name'], errors)


def store_update(storage: Storage, resource: Resource, new: Object, current: Entry, *, dry_run: bool = False) -> Entry:
    """An object that was only waiting for its finalizers goes with the update that removes the last one."""
    if is_finished(resource, new):
        return storage.remove(resource, new, current, dry_run=dry_run)
    return storage.replace(resource, new, current, dry_run=dry_run)


def is_finished(resource: Resource, obj: Object) -> bool:
    """Nothing holds a deleted object back any more: no finalizer, no grace period."""
    metadata = obj['metadata']
    if 'deletionTimestamp' not in metadata or metadata.get('finalizers'):
        return False
    if resource is NAMESPACES:
        return not obj.get('spec', {}).get('finalizers')
    return not metadata.get('deletionGracePeriodSeconds')
