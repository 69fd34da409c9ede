"""The body of a write: JSON, YAML or protobuf in, an object of the expected kind out. The faults are Kubernetes' own.

k8s.io/apiserver/pkg/endpoints/handlers (create.go, rest.go).
"""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import Any

import msgspec

from netkube.api import protobuf
from netkube.api.errors import ApiError, bad_request, unsupported_media_type
from netkube.api.meta import Object
from netkube.api.resources import Resource
from netkube.apiserver import subresources
from netkube.apiserver.fieldvalidation import YAML_TYPES, check_fields, duplicates
from netkube.apiserver.nesting import check_aliases, check_depth, too_deep
from netkube.apiserver.registry import decode_body
from netkube.apiserver.request import Request, Target
from netkube.apiserver.storage import decode

SUMMARY = 30  # bytes of a bad body that the answer quotes


def content_type(request: Request) -> str:
    """Without parameters; JSON when the client does not say."""
    return request.headers.get(b'content-type', b'application/json').split(b';')[0].strip().decode('latin-1')


async def read_object(request: Request) -> Object:
    """The object that a create or an update carries, decoded and in canonical form. ApiError 400, 413, 415."""
    assert request.target is not None
    target, body = request.target, await request.body()
    resource = carried_resource(target)
    value = parse(body, content_type(request), resource.kind)
    check_kind(value, resource, body)
    obj = decode_body(target.resource, value, target.subresource)
    check_fields(request, resource, value, duplicates(body, content_type(request), value))
    obj['apiVersion'], obj['kind'] = resource.api_version, resource.kind
    fit_to_path(obj, target)
    return obj


def carried_resource(target: Target) -> Resource:
    """The kind that a body must have."""
    return subresources.RESOURCES.get(target.subresource, target.resource)


def parse(body: bytes, media_type: str, kind: str) -> Any:
    """ApiError 400 with what the parser says, 415 for a type that is not known."""
    if media_type == 'application/json':
        try:
            value = decode(body)
        except RecursionError:
            raise too_deep() from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise unrecognized(kind, f"couldn't get version/kind; json parse error: {error}", body) from None
        check_depth(value, body)
        return value
    if media_type in YAML_TYPES:
        return parse_yaml(body, kind)
    if media_type == protobuf.MEDIA_TYPE:
        return parse_protobuf(body, kind)
    accepted = f'application/json, application/yaml, {protobuf.MEDIA_TYPE}'
    raise unsupported_media_type(
        f'the body of the request was in an unknown format - accepted media types include: {accepted}'
    )


def parse_yaml(body: bytes, kind: str) -> Any:
    """YAML is parsed late: most clients send JSON."""
    import yaml

    try:
        value = yaml.load(body, yaml_loader())
    except RecursionError:
        raise too_deep() from None
    except yaml.YAMLError as error:
        text = ' '.join(str(error).split())
        raise unrecognized(kind, f"couldn't get version/kind; json parse error: {text}", body) from None
    check_aliases(value, body)
    return value


@functools.cache
def yaml_loader() -> type:
    """YAML as JSON knows it: a date is text."""
    import yaml

    class Loader(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):  # type: ignore[misc]
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != 'tag:yaml.org,2002:timestamp']
        for first, resolvers in Loader.yaml_implicit_resolvers.items()
    }
    return Loader


def parse_configuration(body: bytes) -> Any:
    """What is applied: YAML, which most clients write as JSON. ApiError 400."""
    if body[:1] == b'{':
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            value = decode(body)
            check_depth(value, body)
            return value
    import yaml

    try:
        value = yaml.load(body, yaml_loader())
    except RecursionError:
        raise too_deep() from None
    except yaml.YAMLError as error:
        raise bad_request(f'error decoding YAML: {" ".join(str(error).split())}') from None
    check_aliases(value, body)
    return value


def parse_protobuf(body: bytes, kind: str) -> Any:
    try:
        return protobuf.decode_protobuf(body)
    except protobuf.ProtobufError as error:
        raise unrecognized(kind, str(error), body) from None


def unrecognized(kind: str, why: str, body: bytes) -> ApiError:
    return bad_request(f'the object provided is unrecognized (must be of type {kind}): {why} ({summary(body)})')


def summary(body: bytes) -> str:
    """The start of a body: as text when it looks like JSON, else in hexadecimal."""
    if not body:
        return '<empty>'
    start, more = body[:SUMMARY], ' ...' if len(body) > SUMMARY else ''
    return (start.decode(errors='replace') if body[:1] == b'{' else start.hex()) + more


def check_kind(value: Any, resource: Resource, body: bytes) -> None:
    """apiVersion and kind may be left out, but not be others."""
    if not isinstance(value, dict):
        why = f"couldn't get version/kind; json parse error: cannot unmarshal {type(value).__name__} into Go value"
        raise unrecognized(resource.kind, why, body)
    kind, version = value.get('kind') or resource.kind, value.get('apiVersion') or resource.api_version
    if kind != resource.kind:
        short = str(version).rpartition('/')[2]
        why = f'converting ({short}.{kind}) to ({resource.version}.{resource.kind}): unknown conversion'
        raise bad_request(f'{kind} in version "{short}" cannot be handled as a {resource.kind}: {why}')
    if version != resource.api_version:
        expected = f'does not match the expected API version ({resource.api_version})'
        raise bad_request(f'the API version in the data ({version}) {expected}')


def fit_to_path(obj: Object, target: Target) -> None:
    """Name and namespace come from the path where the body leaves them out. ApiError 400 when they differ."""
    metadata = obj['metadata'] = obj.get('metadata') or {}
    if target.namespace and metadata.setdefault('namespace', target.namespace) != target.namespace:
        raise bad_request('the namespace of the provided object does not match the namespace sent on the request')
    if target.name and metadata.setdefault('name', target.name) != target.name:
        raise bad_request(
            f'the name of the object ({metadata["name"]}) does not match the name on the URL ({target.name})'
        )
