"""Create: default, admit, prepare, validate, allocate, store. k8s.io/apiserver registry/rest/create.go."""

from __future__ import annotations

import random
from uuid import uuid4

from netkube.api.defaults import apply_defaults
from netkube.api.errors import ApiError, bad_request, invalid
from netkube.api.meta import Object, timestamp
from netkube.api.resources import CUSTOMRESOURCEDEFINITIONS, SERVICES, Resource
from netkube.api.strategies import prepare_create
from netkube.api.validation import validate_create
from netkube.apiserver import admission, definitions
from netkube.apiserver.escalation import check_escalation
from netkube.apiserver.fieldmanager import Track, untracked
from netkube.apiserver.storage import Storage
from netkube.store.store import Entry

# k8s.io/apiserver storage/names: a suffix of five letters that make no words, and no longer a base than fits a label.
SUFFIX_LETTERS, SUFFIX_LENGTH, BASE_LENGTH = 'bcdfghjklmnpqrstvwxz2456789', 5, 58


def create(
    storage: Storage, resource: Resource, obj: Object, *, dry_run: bool = False, by: Track = untracked
) -> Entry:
    """Store a new object; ``obj`` is the caller's to give away, it is completed in place."""
    obj['apiVersion'], obj['kind'] = resource.api_version, resource.kind
    definitions.check_not_terminating(resource)
    fill_metadata(storage, resource, obj)
    apply_defaults(resource, obj)
    by(resource, obj, None)
    admission.check_namespace(storage, resource, obj)
    admission.admit_create(storage, resource, obj)
    prepare_create(resource, obj)
    if resource is SERVICES:  # before it is validated, as upstream: what is checked is what will be stored
        storage.services.fill(obj)
    errors = validate_create(resource, obj)
    if errors:
        raise invalid(resource, obj['metadata'].get('name', ''), errors)
    if resource is CUSTOMRESOURCEDEFINITIONS:
        obj['status'] = {}
        definitions.accept(storage, obj)
        definitions.finalize(obj)
    check_escalation(storage.roles, resource, obj, None)
    return storage.create(resource, obj, dry_run=dry_run)


def fill_metadata(storage: Storage, resource: Resource, obj: Object) -> None:
    """The fields of metadata that belong to the system."""
    metadata = obj['metadata'] = obj.get('metadata') or {}
    if metadata.get('resourceVersion'):
        raise ApiError(500, '', 'resourceVersion should not be set on objects to be created')
    for field in ('deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink', 'generation'):
        metadata.pop(field, None)
    if not resource.namespaced:
        metadata.pop('namespace', None)
    elif not metadata.get('namespace'):
        raise bad_request('an empty namespace may not be set during creation')
    if not metadata.get('name') and metadata.get('generateName'):
        metadata['name'] = generate_name(storage, resource, metadata)
    metadata['uid'] = str(uuid4())
    metadata['creationTimestamp'] = timestamp(storage.now())


def generate_name(storage: Storage, resource: Resource, metadata: Object) -> str:
    """A name that is free: generateName and a random suffix."""
    base = metadata['generateName'][:BASE_LENGTH]
    while True:
        name = base + ''.join(random.choices(SUFFIX_LETTERS, k=SUFFIX_LENGTH))
        if storage.find(resource, metadata.get('namespace'), name) is None:
            return name
