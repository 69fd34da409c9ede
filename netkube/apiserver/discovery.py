"""What is served: versions, groups, resources, health, OpenAPI. All of it follows from the table of resources.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from netkube.api.customresources.definition import version_rank
from netkube.api.errors import method_not_allowed, no_such_path
from netkube.api.resources import CustomResource, Resource
from netkube.apiserver import health
from netkube.apiserver.request import Request
from netkube.apiserver.response import JSON, Response
from netkube.apiserver.served import Served
from netkube.apiserver.storage import encode

GIT_VERSION = 'v1.37.0+netkube'
AGGREGATED = b'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
IMMUTABLE = ((b'cache-control', b'public, immutable'), (b'expires', b'Thu, 31 Dec 2099 23:59:59 GMT'))
# subresource -> (group, version, kind, verbs); an empty kind is the resource's own, {} the resource's.
SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    'status': ('', '', '', ('get', 'patch', 'update')),
    'approval': ('', '', '', ('get', 'patch', 'update')),
    'scale': ('autoscaling', 'v1', 'Scale', ('get', 'patch', 'update')),
    'finalize': ('', '', '', ('update',)),
    'binding': ('', 'v1', 'Binding', ('create',)),
    'eviction': ('policy', 'v1', 'Eviction', ('create',)),
    'token': ('authentication.k8s.io', 'v1', 'TokenRequest', ('create',)),
    'log': ('', '', '', ('get',)),
    'exec': ('', 'v1', 'PodExecOptions', ('create', 'get')),
    'attach': ('', 'v1', 'PodAttachOptions', ('create', 'get')),
    'portforward': ('', 'v1', 'PodPortForwardOptions', ('create', 'get')),
    'proxy': ('', 'v1', '{}ProxyOptions', ('create', 'delete', 'get', 'patch', 'update')),
}


Discover = Callable[[Request, Served], Response]


def discover(request: Request, served: Served) -> Response:
    """ApiError 404 for a path that is not served, 405 for anything but GET."""
    path = request.path.rstrip('/') or '/'
    found = DISCOVERY.get(path) or _find_group(path, served) or _find_openapi(path, served)
    if found is None:
        raise no_such_path()
    if request.method not in ('GET', 'HEAD'):
        raise method_not_allowed(path, request.method)
    return found(request, served)


def _find_group(path: str, served: Served) -> Discover | None:
    """/apis/GROUP and /apis/GROUP/VERSION."""
    parts = path.split('/')[1:]
    if parts[0] == 'apis' and len(parts) == 2 and parts[1] in groups(served):
        return lambda request, served: _json(api_group(served, parts[1]))
    if parts[0] == 'apis' and len(parts) == 3 and _of_version(served, f'{parts[1]}/{parts[2]}'):
        return lambda request, served: _json(resource_list(served, f'{parts[1]}/{parts[2]}'))
    return None


def _find_openapi(path: str, served: Served) -> Discover | None:
    """/openapi/v3/api/v1 and /openapi/v3/apis/GROUP/VERSION."""
    for prefix in ('/openapi/v3/apis/', '/openapi/v3/api/'):
        version = path.removeprefix(prefix)
        if version != path and _of_version(served, version):
            return functools.partial(_openapi_v3, version)
    return None


def _of_version(served: Served, api_version: str) -> list[Resource]:
    return [resource for resource in served.all() if resource.api_version == api_version]


def groups(served: Served) -> dict[str, list[str]]:
    """Versions by group, the preferred first; the core group left out."""
    found: dict[str, list[str]] = {}
    for resource in served.all():
        if resource.group and resource.version not in found.setdefault(resource.group, []):
            found[resource.group].append(resource.version)
    return {group: sorted(versions, key=version_rank) for group, versions in found.items()}


def version() -> dict[str, str]:
    python = f'python{sys.version_info.major}.{sys.version_info.minor}'
    return {
        'major': '1', 'minor': '37', 'gitVersion': GIT_VERSION, 'gitCommit': '', 'gitTreeState': 'clean',
        'buildDate': '1970-01-01T00:00:00Z', 'goVersion': 'none', 'compiler': python,
        'platform': f'linux/{_architecture()}',
    }  # fmt: skip


def _architecture() -> str:
    machine = os.uname().machine
    return {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine)


def api_versions() -> dict[str, Any]:
    return {'kind': 'APIVersions', 'versions': ['v1'], 'serverAddressByClientCIDRs': []}


def api_group_list(served: Served) -> dict[str, Any]:
    found = [_group(name, versions) for name, versions in groups(served).items()]
    return {'kind': 'APIGroupList', 'apiVersion': 'v1', 'groups': found}


def api_group(served: Served, name: str) -> dict[str, Any]:
    return {'kind': 'APIGroup', 'apiVersion': 'v1', **_group(name, groups(served)[name])}


def _group(name: str, served_versions: list[str]) -> dict[str, Any]:
    versions = [{'groupVersion': f'{name}/{version}', 'version': version} for version in served_versions]
    return {'name': name, 'versions': versions, 'preferredVersion': versions[0]}


def resource_list(served: Served, api_version: str) -> dict[str, Any]:
    """The legacy form: a subresource is a row of its own."""
    rows: list[dict[str, Any]] = []
    for resource in _of_version(served, api_version):
        row: dict[str, Any] = {
            'name': resource.plural, 'singularName': resource.singular, 'namespaced': resource.namespaced,
            'kind': resource.kind, 'verbs': resource.verbs,
        }  # fmt: skip
        rows.append(row | _names(resource))
        for name in resource.subresources:
            rows.append(_subresource_row(resource, name))
    return {'kind': 'APIResourceList', 'apiVersion': 'v1', 'groupVersion': api_version, 'resources': rows}


def _subresource_row(resource: Resource, name: str) -> dict[str, Any]:
    group, version, kind, verbs = SUBRESOURCES[name]
    row = {
        'name': f'{resource.plural}/{name}', 'singularName': '', 'namespaced': resource.namespaced,
        'kind': kind.format(resource.kind) or resource.kind, 'verbs': verbs,
    }  # fmt: skip
    return row | ({'group': group, 'version': version} if group else {})


def _names(resource: Resource) -> dict[str, Any]:
    named = {'shortNames': resource.short_names, 'categories': resource.categories}
    return {key: value for key, value in named.items() if value}


def aggregated(served: Served, in_group: Callable[[str], bool]) -> dict[str, Any]:
    """``apidiscovery.k8s.io/v2``: all groups for which ``in_group`` holds, in one document."""
    items = []
    for name, versions in ({'': ['v1']} | groups(served)).items():
        if in_group(name):
            documents = [_aggregated_version(served, name, version) for version in versions]
            items.append({'metadata': {'name': name, 'creationTimestamp': None}, 'versions': documents})
    return {'kind': 'APIGroupDiscoveryList', 'apiVersion': 'apidiscovery.k8s.io/v2', 'metadata': {}, 'items': items}


def _aggregated_version(served: Served, group: str, version: str) -> dict[str, Any]:
    api_version = f'{group}/{version}' if group else version
    resources = [_aggregated_resource(resource) for resource in _of_version(served, api_version)]
    return {'version': version, 'freshness': 'Current', 'resources': resources}


def _aggregated_resource(resource: Resource) -> dict[str, Any]:
    own = {'group': resource.group, 'version': resource.version, 'kind': resource.kind}
    row: dict[str, Any] = {
        'resource': resource.plural, 'responseKind': own, 'scope': 'Namespaced' if resource.namespaced else 'Cluster',
        'singularResource': resource.singular, 'verbs': resource.verbs,
    }  # fmt: skip
    subresources = []
    for name in resource.subresources:
        group, version, kind, verbs = SUBRESOURCES[name]
        shown = {'group': group, 'version': version, 'kind': kind.format(resource.kind)} if kind else own
        subresources.append({'subresource': name, 'responseKind': shown, 'verbs': verbs})
    if subresources:
        row['subresources'] = subresources
    return row | _names(resource)


def _wants_aggregated(request: Request) -> bool:
    accept = request.headers.get(b'accept', b'').replace(b' ', b'')
    clauses = (set(clause.split(b';')) for clause in accept.split(b','))
    return any({b'g=apidiscovery.k8s.io', b'v=v2', b'as=APIGroupDiscoveryList'} <= clause for clause in clauses)


def _api(request: Request, served: Served) -> Response:
    if _wants_aggregated(request):
        return _aggregated_response(request, aggregated(served, lambda group: not group))
    return _json(api_versions())


def _apis(request: Request, served: Served) -> Response:
    if _wants_aggregated(request):
        return _aggregated_response(request, aggregated(served, bool))
    return _json(api_group_list(served))


def _aggregated_response(request: Request, document: dict[str, Any]) -> Response:
    body = encode(document)
    return tagged(request, Response(body, content_type=AGGREGATED), content_tag(body))


def _json(value: Any) -> Response:
    return Response(encode(value))


def _paths(request: Request, served: Served) -> Response:
    versions = {'/api/v1'} | {f'/apis/{resource.api_version}' for resource in served.all() if resource.group}
    names = (f'/apis/{name}' for name in groups(served))
    return _json({'paths': sorted({*DISCOVERY, *health.PATHS, *versions, *names, '/metrics'})})


def content_tag(body: bytes) -> str:
    import hashlib

    return hashlib.sha256(body).hexdigest()[:32].upper()


def tagged(request: Request, response: Response, tag: str) -> Response:
    """With an ETag; 304 for a client that has it already."""
    headers = (*response.headers, (b'etag', b'"%b"' % tag.encode()), (b'vary', b'Accept'))
    if request.headers.get(b'if-none-match') == b'"%b"' % tag.encode():
        return Response(b'', 304, response.content_type, headers=headers)
    return Response(response.body, response.code, response.content_type, headers=headers)


def openapi_v3_index(served: Served) -> dict[str, Any]:
    """Each document's address carries a hash of what the document is made from, so that clients may keep it."""
    paths = {}
    for api_version in sorted({resource.api_version for resource in served.all()}):
        path = f'apis/{api_version}' if '/' in api_version else f'api/{api_version}'
        tag = _version_tag(served, api_version)
        paths[path] = {'serverRelativeURL': f'/openapi/v3/{path}?hash={tag}'}
    return {'paths': paths}


def _version_tag(served: Served, api_version: str) -> str:
    """Of what the document of a version is made from."""
    parts = []
    for resource in _of_version(served, api_version):
        made_from: Any = ''
        if isinstance(resource, CustomResource):
            made_from = encode((resource.definition.schema, resource.namespaced, resource.subresources))
        parts.append((resource.plural, made_from))
    return content_tag(repr((GIT_VERSION, parts)).encode())


def _openapi_v3(api_version: str, request: Request, served: Served) -> Response:
    from netkube.api.openapi import openapi_v3

    tag = _version_tag(served, api_version)
    body = encode(openapi_v3(_of_version(served, api_version)))
    headers = IMMUTABLE if request.value('hash') == tag else ()
    return tagged(request, Response(body, headers=headers), tag)


def _openapi_v2(request: Request, served: Served) -> Response:
    """JSON, or protobuf for kubectl, which reads nothing else."""
    from netkube.api import openapiproto
    from netkube.api.openapi import openapi_v2

    document = openapi_v2(served.all())
    accepted = {one.split(b';')[0].strip().decode('latin-1') for one in request.headers.get(b'accept', b'').split(b',')}
    if accepted & set(openapiproto.ASKED_FOR):
        body, media_type = openapiproto.encode_document(document), openapiproto.MEDIA_TYPE.encode()
    else:
        body, media_type = encode(document), JSON
    return tagged(request, Response(body, content_type=media_type), content_tag(body))


DISCOVERY: dict[str, Discover] = {
    '/': _paths,
    '/api': _api,
    '/api/v1': lambda request, served: _json(resource_list(served, 'v1')),
    '/apis': _apis,
    '/version': lambda request, served: _json(version()),
    '/openapi/v2': _openapi_v2,
    '/openapi/v3': lambda request, served: _json(openapi_v3_index(served)),
}
