"""Validation of metadata (k8s.io/apimachinery/pkg/api/validation/objectmeta.go)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import forbidden, invalid, invalid_each, required, too_long
from netkube.api.names import (
    is_dns_1035_label,
    is_dns_label,
    is_dns_subdomain,
    is_path_segment,
    is_qualified_name,
    without_trailing_dash,
)
from netkube.api.resources import EVENTS, IPADDRESSES, NAMESPACES, RBAC_KINDS, SERVICES, Resource
from netkube.api.validation.labels import validate_labels
from netkube.api.validation.servicecidrs import ip_address_name

IMMUTABLE = 'field is immutable'
_ANNOTATIONS_LIMIT = 256 * 1024
_ORPHAN, _FOREGROUND = 'orphan', 'foregroundDeletion'
_NAME_FORMATS: dict[Resource, Callable[[str], list[str]]] = {
    NAMESPACES: is_dns_label,
    SERVICES: is_dns_1035_label,
    EVENTS: lambda name: [],
    IPADDRESSES: ip_address_name,
    **dict.fromkeys(RBAC_KINDS, is_path_segment),
}
_Metadata = Mapping[str, Any]


def validate_metadata(resource: Resource, metadata: _Metadata) -> list[FieldError]:
    return [*_validate_name(resource, metadata), *_validate_namespace(resource, metadata), *_validate_common(metadata)]


def _validate_name(resource: Resource, metadata: _Metadata) -> list[FieldError]:
    check = _NAME_FORMATS.get(resource, is_dns_subdomain)
    prefix, name = metadata.get('generateName', ''), metadata.get('name', '')
    errors = invalid_each('metadata.generateName', prefix, check(without_trailing_dash(prefix))) if prefix else []
    if not name:
        return [*errors, required('metadata.name', 'name or generateName is required')]
    return errors + invalid_each('metadata.name', name, check(name))


def _validate_namespace(resource: Resource, metadata: _Metadata) -> list[FieldError]:
    namespace = metadata.get('namespace', '')
    if not resource.namespaced:
        return [forbidden('metadata.namespace', 'not allowed on this type')] if namespace else []
    if not namespace:
        return [required('metadata.namespace')]
    return invalid_each('metadata.namespace', namespace, is_dns_label(namespace))


def _validate_common(metadata: _Metadata) -> list[FieldError]:
    errors = []
    if metadata.get('generation', 0) < 0:
        errors.append(invalid('metadata.generation', metadata['generation'], 'must be greater than or equal to 0'))
    return [
        *errors,
        *validate_labels(metadata.get('labels') or {}, 'metadata.labels'),
        *validate_annotations(metadata.get('annotations') or {}, 'metadata.annotations'),
        *_validate_owners(metadata.get('ownerReferences') or []),
        *_validate_finalizers(metadata.get('finalizers') or []),
    ]


def validate_annotations(annotations: Mapping[str, str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in sorted(annotations):
        errors += invalid_each(path, key, is_qualified_name(key.lower()))
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        errors.append(too_long(path, _ANNOTATIONS_LIMIT))
    return errors


def _validate_owners(references: list[dict[str, Any]]) -> list[FieldError]:
    path = 'metadata.ownerReferences'
    errors: list[FieldError] = []
    controller = ''
    for reference in references:
        errors += _validate_owner(reference, path)
        if reference.get('controller'):
            name = f'{reference.get("kind")}/{reference.get("name")}'
            if controller:
                message = ('Only one reference can have Controller set to true. Found "true" in references for '
                           f'{controller} and {name}')
                errors.append(invalid(path, references, message))
            else:
                controller = name
    return errors


def _validate_owner(reference: dict[str, Any], path: str) -> list[FieldError]:
    errors = []
    version = reference.get('apiVersion', '').rpartition('/')[2]
    if not version:
        errors.append(invalid(f'{path}.apiVersion', reference.get('apiVersion', ''), 'version must not be empty'))
    errors += [
        invalid(f'{path}.{key}', '', 'must not be empty') for key in ('kind', 'name', 'uid') if not reference.get(key)
    ]
    if (reference.get('apiVersion'), reference.get('kind')) == ('v1', 'Event'):
        errors.append(invalid(path, reference, '/v1, Kind=Event is disallowed from being an owner'))
    return errors


def _validate_finalizers(finalizers: list[str]) -> list[FieldError]:
    path = 'metadata.finalizers'
    errors: list[FieldError] = []
    for finalizer in finalizers:
        errors += invalid_each(path, finalizer, is_qualified_name(finalizer))
    if _ORPHAN in finalizers and _FOREGROUND in finalizers:
        errors.append(invalid(path, finalizers, f'finalizer {_ORPHAN} and {_FOREGROUND} cannot be both set'))
    for index, finalizer in enumerate(finalizers):
        errors += _validate_finalizer_known(finalizer, f'{path}[{index}]')
    return errors


_STANDARD_FINALIZERS = ('kubernetes', _ORPHAN, _FOREGROUND)


def _validate_finalizer_known(name: str, path: str) -> list[FieldError]:
    if '/' in name or name in _STANDARD_FINALIZERS:
        return []
    return [invalid(path, name, 'name is neither a standard finalizer name nor is it fully qualified')]


def validate_finalizer_name(name: str, path: str) -> list[FieldError]:
    """A Namespace's spec.finalizers."""
    return invalid_each(path, name, is_qualified_name(name)) + _validate_finalizer_known(name, path)


def validate_metadata_update(new: _Metadata, old: _Metadata) -> list[FieldError]:
    errors: list[FieldError] = []
    if 'deletionTimestamp' in old:
        errors += _validate_no_new_finalizers(new.get('finalizers') or [], old.get('finalizers') or [])
    if not new.get('resourceVersion'):
        errors.append(invalid('metadata.resourceVersion', '', 'must be specified for an update'))
    if new.get('generation', 0) < old.get('generation', 0):
        errors.append(invalid('metadata.generation', new.get('generation', 0), 'must not be decremented'))
    keys = ('name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds')
    for key in keys:
        errors += validate_immutable(new.get(key, _zero(key)), old.get(key, _zero(key)), f'metadata.{key}')
    return errors + [
        *validate_labels(new.get('labels') or {}, 'metadata.labels'),
        *validate_annotations(new.get('annotations') or {}, 'metadata.annotations'),
        *_validate_owners(new.get('ownerReferences') or []),
        *_validate_finalizers(new.get('finalizers') or []),
    ]


def _zero(key: str) -> str | None:
    return '' if key in ('name', 'namespace', 'uid') else None


def _validate_no_new_finalizers(new: list[str], old: list[str]) -> list[FieldError]:
    extra = sorted(set(new) - set(old))
    if not extra:
        return []
    shown = '[]string{' + ', '.join(f'"{name}"' for name in extra) + '}'
    message = f'no new finalizers can be added if the object is being deleted, found new finalizers {shown}'
    return [forbidden('metadata.finalizers', message)]


def validate_immutable(new: Any, old: Any, path: str) -> list[FieldError]:
    return [] if (new or None) == (old or None) or new == old else [invalid(path, new, IMMUTABLE)]
