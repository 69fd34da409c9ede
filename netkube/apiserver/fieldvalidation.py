"""fieldValidation: what is said of fields that a kind does not have, and of keys that a body has twice.

Strict refuses them, Warn (the default) names them in a header, Ignore drops them.
https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
"""

from __future__ import annotations

from typing import Any

from netkube.api import fielderrors, protobuf
from netkube.api.decode import strict_error
from netkube.api.duplicates import duplicate_fields, duplicate_yaml_keys, loses_keys
from netkube.api.errors import ApiError, bad_request
from netkube.api.resources import Resource
from netkube.api.schema import unknown_fields
from netkube.apiserver import subresources
from netkube.apiserver.request import Request

YAML_TYPES = ('application/yaml', 'application/x-yaml', 'text/yaml')


def duplicates(body: bytes, media_type: str, value: Any) -> list[str]:
    """What is to be said of keys that the body has twice."""
    if media_type in YAML_TYPES:
        fault = duplicate_yaml_keys(body)
        return [fault] if fault else []
    if media_type == protobuf.MEDIA_TYPE or not loses_keys(body, value):
        return []
    return [f'duplicate field "{path}"' for path in duplicate_fields(body)]


def check_fields(request: Request, resource: Resource, value: Any, repeated: list[str]) -> None:
    """fieldValidation: Strict refuses fields that the kind does not have or the body has twice; Warn names them."""
    faults = unwanted_fields(request, resource, value, repeated)
    if faults:
        raise strict_error(resource, faults)


def check_patched_fields(request: Request, resource: Resource, value: Any, patch: Any, repeated: list[str]) -> None:
    """The same for the object that a patch makes (endpoints/handlers/patch.go)."""
    faults = unwanted_fields(request, resource, value, repeated)
    if faults:
        fault = fielderrors.invalid('patch', patch, f'strict decoding error: {", ".join(faults)}')
        raise ApiError(422, 'Invalid', f' "" is invalid: {fault}')


def check_configuration(request: Request, body: bytes, config: Any) -> None:
    """The same for what is applied; unknown fields are refused in any case (patch.go applyPatcher)."""
    wanted = field_validation(request)
    if wanted == 'Ignore' or (body[:1] == b'{' and not loses_keys(body, config)):
        return
    fault = duplicate_yaml_keys(body)
    if fault and wanted == 'Strict':
        raise bad_request(f'error strict decoding YAML: error converting YAML to JSON: {fault}')
    if fault:
        request.warnings += (f'error converting YAML to JSON: {fault}',)


def field_validation(request: Request) -> str:
    """ApiError 400."""
    wanted = request.value('fieldValidation') or 'Warn'
    if wanted not in ('Strict', 'Warn', 'Ignore'):
        supported = 'supported values: "Ignore", "Strict", "Warn"'
        raise bad_request(f'fieldValidation: Unsupported value: "{wanted}": {supported}')
    return wanted


def unwanted_fields(request: Request, resource: Resource, value: Any, repeated: list[str]) -> list[str]:
    """What is to be refused; what is only to be said becomes warnings of the answer."""
    wanted = field_validation(request)
    if wanted == 'Ignore' or resource in subresources.RESOURCES.values():
        return []
    faults = [f'unknown field "{path}"' for path in unknown_fields(resource, value)]
    faults += [fault for fault in repeated if fault.replace('duplicate', 'unknown', 1) not in faults]
    if wanted == 'Strict':
        return faults
    request.warnings += tuple(faults)
    return []
