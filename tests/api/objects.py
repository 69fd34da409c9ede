"""Objects as a user would write them, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from netkube.api.decode import decode
from netkube.api.defaults import apply_defaults
from netkube.api.meta import Object
from netkube.api.resources import Resource
from netkube.api.strategies import prepare_create
from netkube.api.validation import validate_create


def named(name: str = 'x', **rest: Any) -> Object:
    return {'metadata': {'name': name, 'namespace': 'default', **rest}}


def pod(**spec: Any) -> Object:
    return named() | {'spec': {'containers': [{'name': 'main', 'image': 'host', 'command': ['true']}], **spec}}


def pod_with(**container: Any) -> Object:
    return pod(containers=[{'name': 'main', 'image': 'host', **container}])


def service(**spec: Any) -> Object:
    return named() | {'spec': {'ports': [{'port': 80}], **spec}}


def deployment(**spec: Any) -> Object:
    template = {'metadata': {'labels': {'app': 'a'}}, 'spec': {'containers': [{'name': 'main', 'image': 'host'}]}}
    return named() | {'spec': {'selector': {'matchLabels': {'app': 'a'}}, 'template': template, **spec}}


def created(resource: Resource, manifest: Object) -> Object:
    """The object as it is before validation and storing."""
    obj = decode(resource, manifest)
    apply_defaults(resource, obj)
    prepare_create(resource, obj)
    return obj


def stored(resource: Resource, manifest: Object) -> Object:
    """The same with what the registry adds."""
    obj = created(resource, manifest)
    obj['metadata'] |= {'uid': 'u', 'resourceVersion': '1', 'creationTimestamp': '2026-01-01T00:00:00Z'}
    return obj


def faults(resource: Resource, manifest: Object) -> list[str]:
    return [str(error) for error in validate_create(resource, created(resource, manifest))]
