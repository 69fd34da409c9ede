"""API errors: raised at the cause, turned into a Kubernetes ``Status`` once, at the edge.

Reasons, codes and messages are those of k8s.io/apimachinery/pkg/api/errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from netkube.api.resources import Resource


class FieldError(msgspec.Struct, frozen=True):
    """One fault of one field, as k8s.io/apimachinery/pkg/util/validation/field prints it."""

    reason: str  # FieldValueRequired, FieldValueInvalid, FieldValueNotSupported, FieldValueDuplicate, ...
    field: str  # spec.ports[0].port
    detail: str  # the whole text after the path, for example 'Invalid value: 0: must be between 1 and 65535, inclusive'

    def __str__(self) -> str:
        return f'{self.field}: {self.detail}'


class ApiError(Exception):
    """An answer that is not a success. ``status()`` is its Kubernetes ``Status`` object."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details
        self.metadata: dict[str, Any] = {}  # a ListMeta

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = {
            'kind': 'Status', 'apiVersion': 'v1', 'metadata': self.metadata, 'status': 'Failure',
            'message': self.message, 'reason': self.reason,
        }  # fmt: skip
        if self.details is not None:
            status['details'] = self.details
        status['code'] = self.code
        return status

    @classmethod
    def from_status(cls, status: dict[str, Any]) -> ApiError:
        return cls(status.get('code', 500), status.get('reason', ''), status.get('message', ''), status.get('details'))


def _details(resource: Resource, name: str) -> dict[str, Any]:
    details = {'name': name, 'kind': resource.plural}
    if resource.group:
        details['group'] = resource.group
    return details


def bad_request(message: str) -> ApiError:
    return ApiError(400, 'BadRequest', message)


def unauthorized() -> ApiError:
    return ApiError(401, 'Unauthorized', 'Unauthorized')


def forbidden(resource: Resource, name: str, why: str) -> ApiError:
    message = f'{resource.group_resource} "{name}" is forbidden: {why}'
    return ApiError(403, 'Forbidden', message, _details(resource, name))


def not_found(resource: Resource, name: str) -> ApiError:
    return ApiError(404, 'NotFound', f'{resource.group_resource} "{name}" not found', _details(resource, name))


def no_such_path() -> ApiError:
    return ApiError(404, 'NotFound', 'the server could not find the requested resource', {})


def method_not_allowed(resource: str, verb: str) -> ApiError:
    return ApiError(405, 'MethodNotAllowed', f'{verb} is not supported on resources of kind "{resource}"')


def already_exists(resource: Resource, name: str) -> ApiError:
    message = f'{resource.group_resource} "{name}" already exists'
    return ApiError(409, 'AlreadyExists', message, _details(resource, name))


def conflict(resource: Resource, name: str, why: str = '') -> ApiError:
    why = why or 'the object has been modified; please apply your changes to the latest version and try again'
    message = f'Operation cannot be fulfilled on {resource.group_resource} "{name}": {why}'
    return ApiError(409, 'Conflict', message, _details(resource, name))


def gone(message: str) -> ApiError:
    """The resourceVersion asked for has been compacted away: list again (410, reason Expired)."""
    return ApiError(410, 'Expired', message)


def invalid(resource: Resource, name: str, errors: Sequence[FieldError]) -> ApiError:
    texts = list(dict.fromkeys(str(error) for error in errors))
    summary = texts[0] if len(texts) == 1 else '[' + ', '.join(texts) + ']'
    kind = f'{resource.kind}.{resource.group}' if resource.group else resource.kind
    details: dict[str, Any] = {'name': name, 'kind': resource.kind}
    if resource.group:
        details['group'] = resource.group
    details['causes'] = [{'reason': e.reason, 'message': e.detail, 'field': e.field} for e in errors]
    return ApiError(422, 'Invalid', f'{kind} "{name}" is invalid: {summary}', details)


def unsupported_media_type(message: str) -> ApiError:
    return ApiError(415, 'UnsupportedMediaType', message)


def no_space() -> ApiError:
    """What kube-apiserver passes on of an etcd that has no room; it has no reason."""
    return ApiError(500, '', 'etcdserver: mvcc: database space exceeded')


def internal(message: str) -> ApiError:
    return ApiError(500, 'InternalError', f'Internal error occurred: {message}')
