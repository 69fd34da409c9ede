"""Server-side apply: a PATCH with what its manager wants of an object, and of nothing else.

https://kubernetes.io/docs/reference/using-api/server-side-apply/; endpoints/handlers/patch.go applyPatcher.
"""

from __future__ import annotations

from typing import Any

import msgspec

from netkube.api.conversion import to_stored
from netkube.api.decode import decode
from netkube.api.errors import ApiError, FieldError, bad_request, conflict
from netkube.api.fielderrors import invalid, required, too_long
from netkube.api.meta import Object, timestamp
from netkube.api.resources import Resource
from netkube.apiserver import subresources
from netkube.apiserver.authorization import authorize_creation
from netkube.apiserver.create import create
from netkube.apiserver.fieldmanager import MAX_NAME, fixed
from netkube.apiserver.patch import check_identity
from netkube.apiserver.storage import Storage
from netkube.apiserver.update import update, update_status
from netkube.store.store import Entry

APPLY_PATCH = 'application/apply-patch+yaml'
SCALE_METADATA = ('name', 'namespace', 'uid', 'resourceVersion')  # a Scale has no labels of its own to apply


class Applier(msgspec.Struct, frozen=True):
    """Who applies, and whether it takes what others own."""

    name: str
    force: bool = False
    dry_run: bool = False


def apply(
    storage: Storage, resource: Resource, target: tuple[str, str], config: Any, subresource: str, by: Applier
) -> Entry:
    """Apply ``config`` to the object ``target`` (namespace, name); without a subresource it is made if need be."""
    from netkube.apiserver.ownership import applied

    namespace, name = target
    config = fit_config(resource, config, namespace, name, subresource)
    found = storage.find(resource, namespace, name) if not subresource else storage.get(resource, namespace, name)
    old = storage.shown(resource, found) if found else None
    now = timestamp(storage.now())
    obj, entries = applied(resource, config, old, by.name, subresource, now, force=by.force)
    obj = decode(resource, obj)
    track = fixed(entries)
    if old is None:
        if uid := config['metadata'].get('uid'):
            found_none = 'and no existing object was found'
            raise conflict(resource, name, f'uid mismatch: the provided object specified uid {uid}, {found_none}')
        authorize_creation(storage.roles, resource, obj['metadata'])
        resource, obj = to_stored(resource, obj)
        return create(storage, resource, obj, dry_run=by.dry_run, by=track)
    check_identity(resource, old, obj)
    resource, obj = to_stored(resource, obj)
    write = update_status if subresource == 'status' else update
    return write(storage, resource, obj, dry_run=by.dry_run, by=track)


def fit_config(resource: Resource, config: Any, namespace: str, name: str, subresource: str) -> Object:
    """The configuration of that object, in the form of its kind. ApiError 400 when it is another's."""
    if not isinstance(config, dict):
        raise bad_request('error decoding YAML: the configuration is not an object')
    carried = subresources.SCALE if subresource == 'scale' else resource
    if config.get('kind') != carried.kind:
        raise bad_request(f'{config.get("kind") or "an object without kind"} cannot be applied as a {carried.kind}')
    metadata = config.get('metadata') or {}
    if not isinstance(metadata, dict) or not metadata.get('name'):
        raise bad_request('the name of the object ( based on URL) was undeterminable: name must be provided')
    if metadata['name'] != name:
        raise bad_request(
            f'the name of the object ({metadata["name"]} based on URL) does not match the name on the URL ({name})'
        )
    if metadata.get('namespace', namespace) != namespace:
        raise bad_request(
            f'the namespace of the object ({metadata["namespace"]}) does not match the namespace on the URL '
            f'({namespace})'
        )
    if namespace:
        config = {**config, 'metadata': {**metadata, 'namespace': namespace}}
    return config if subresource != 'scale' else of_scale(resource, config)


def of_scale(resource: Resource, scale: Object) -> Object:
    """What a Scale says of its object. ApiError 400 for another version of Scale."""
    if scale.get('apiVersion') != subresources.SCALE.api_version:
        versions = f'Specified patch version: {scale.get("apiVersion") or ""}, expected: autoscaling/v1'
        raise bad_request(f'Incorrect version specified in apply patch. {versions}')
    spec = {'replicas': (scale.get('spec') or {}).get('replicas', 0)}
    kind = {'apiVersion': resource.api_version, 'kind': resource.kind}
    metadata = {key: value for key, value in scale['metadata'].items() if key in SCALE_METADATA}
    return {**kind, 'metadata': metadata, 'spec': spec}


def check_patch_options(kind: str, manager: str, forced: bool, *, applying: bool) -> None:
    """``kind``: PatchOptions, UpdateOptions or CreateOptions. ApiError 422 (metav1/validation)."""
    errors: list[FieldError] = []
    if applying and not manager:
        errors.append(required('fieldManager', 'is required for apply patch'))
    if forced and not applying:
        errors.append(FieldError('FieldValueForbidden', 'force', 'Forbidden: may not be specified for non-apply patch'))
    if len(manager) > MAX_NAME:
        errors.append(too_long('fieldManager', MAX_NAME))
    for position, character in enumerate(manager):
        if not character.isprintable():
            shown = f'invalid character U+{ord(character):04X} (at position {position})'
            errors.append(invalid('fieldManager', manager, shown))
    if errors:
        texts = [str(error) for error in errors]
        summary = texts[0] if len(texts) == 1 else f'[{", ".join(texts)}]'
        causes = [{'reason': e.reason, 'message': e.detail, 'field': e.field} for e in errors]
        details = {'group': 'meta.k8s.io', 'kind': kind, 'causes': causes}
        raise ApiError(422, 'Invalid', f'{kind}.meta.k8s.io "" is invalid: {summary}', details)
