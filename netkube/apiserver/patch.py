"""Patch: apply it to the current object, then update. k8s.io/apiserver endpoints/handlers/patch.go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netkube.api import schema
from netkube.api.errors import bad_request, unsupported_media_type
from netkube.api.meta import Object
from netkube.api.patch import json_patch, merge_patch, strategic_merge_patch
from netkube.api.resources import CustomResource, Resource
from netkube.apiserver.nesting import check_depth
from netkube.client.interface import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH

Apply = Callable[[Resource, Object, Any], Any]


def _strategic(resource: Resource, obj: Object, patch: Any) -> Any:
    return strategic_merge_patch(obj, patch, schema.load(), resource)


PATCHES: dict[str, Apply] = {
    JSON_PATCH: lambda resource, obj, patch: json_patch(obj, patch),
    MERGE_PATCH: lambda resource, obj, patch: merge_patch(obj, patch),
    STRATEGIC_MERGE_PATCH: _strategic,
}
_OF_CUSTOM = (JSON_PATCH, MERGE_PATCH)  # a schema of a user's own has no merge keys


def check_patch_type(resource: Resource, content_type: str) -> None:
    """ApiError 415."""
    types = _OF_CUSTOM if isinstance(resource, CustomResource) else tuple(PATCHES)
    if content_type not in types:
        accepted = ', '.join((*types, 'application/apply-patch+yaml'))
        raise unsupported_media_type(
            f'the body of the request was in an unknown format - accepted media types include: {accepted}'
        )


def patched(resource: Resource, obj: Object, patch: Any, content_type: str) -> Object:
    """The object after the patch, a new one. ApiError 400, 415, 422."""
    check_patch_type(resource, content_type)
    result = PATCHES[content_type](resource, obj, patch)
    if content_type == JSON_PATCH:  # its paths may lead deeper than it is itself
        check_depth(result)
    if not isinstance(result, dict) or not isinstance(result.get('metadata'), dict):
        raise bad_request(f'cannot restore struct from: {type(result).__name__}')
    check_identity(resource, obj, result)
    return result


def check_identity(resource: Resource, old: Object, new: Object) -> None:
    """A patch may not make another object of it."""
    name, wanted = new['metadata'].get('name'), old['metadata']['name']
    if name != wanted:
        raise bad_request(f'the name of the object ({name or ""}) does not match the name on the URL ({wanted})')
    if new['metadata'].get('namespace') != old['metadata'].get('namespace'):
        raise bad_request('the namespace of the provided object does not match the namespace sent on the request')
    if (new.get('apiVersion'), new.get('kind')) != (old['apiVersion'], old['kind']):
        given = f'{new.get("kind", "")} in version "{new.get("apiVersion", "")}"'
        raise bad_request(f'{given} cannot be handled as a {resource.kind}')
