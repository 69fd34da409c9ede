"""What is served: versions, groups, resources, health, OpenAPI. All of it follows from the table of resources.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from netkube.api.errors import method_not_allowed, no_such_path
from netkube.api.resources import SERVED, Resource
from netkube.apiserver.request import Request
from netkube.apiserver.response import JSON, TEXT, Response
from netkube.apiserver.storage import encode

GIT_VERSION = 'v1.37.0+netkube'
AGGREGATED = b'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
IMMUTABLE = ((b'cache-control', b'public, immutable'), (b'expires', b'Thu, 31 Dec 2099 23:59:59 GMT'))
# subresource -> (group, version, kind, verbs); an empty kind is the resource's own, {} the resource's.
SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    'status': ('', '', '', ('get', 'patch', 'update')),
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


def discover(request: Request) -> Response:
    """ApiError 404 for a path that is not served, 405 for anything but GET."""
    path = request.path.rstrip('/') or '/'
    found = DISCOVERY.get(path) or _find_group(path) or _find_openapi(path)
    if found is None:
        raise no_such_path()
    if request.method not in ('GET', 'HEAD'):
        raise method_not_allowed(path, request.method)
    return found(request)


def _find_group(path: str) -> Callable[[Request], Response] | None:
    """/apis/GROUP and /apis/GROUP/VERSION."""
    parts = path.split('/')[1:]
    if parts[0] == 'apis' and len(parts) == 2 and parts[1] in groups():
        return lambda request: _json(api_group(parts[1]))
    if parts[0] == 'apis' and len(parts) == 3 and _of_version(f'{parts[1]}/{parts[2]}'):
        return lambda request: _json(resource_list(f'{parts[1]}/{parts[2]}'))
    return None


def _find_openapi(path: str) -> Callable[[Request], Response] | None:
    """/openapi/v3/api/v1 and /openapi/v3/apis/GROUP/VERSION."""
    for prefix in ('/openapi/v3/apis/', '/openapi/v3/api/'):
        version = path.removeprefix(prefix)
        if version != path and _of_version(version):
            return lambda request: Response(openapi_v3_bytes(version), headers=IMMUTABLE)
    return None


def _of_version(api_version: str) -> list[Resource]:
    return [resource for resource in SERVED if resource.api_version == api_version]


def groups() -> dict[str, list[str]]:
    """Versions by group, the core group left out."""
    found: dict[str, list[str]] = {}
    for resource in SERVED:
        if resource.group and resource.version not in found.setdefault(resource.group, []):
            found[resource.group].append(resource.version)
    return found


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


def api_group_list() -> dict[str, Any]:
    return {'kind': 'APIGroupList', 'apiVersion': 'v1', 'groups': [_group(name) for name in groups()]}


def api_group(name: str) -> dict[str, Any]:
    return {'kind': 'APIGroup', 'apiVersion': 'v1', **_group(name)}


def _group(name: str) -> dict[str, Any]:
    versions = [{'groupVersion': f'{name}/{version}', 'version': version} for version in groups()[name]]
    return {'name': name, 'versions': versions, 'preferredVersion': versions[0]}


def resource_list(api_version: str) -> dict[str, Any]:
    """The legacy form: a subresource is a row of its own."""
    rows: list[dict[str, Any]] = []
    for resource in _of_version(api_version):
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


def aggregated(in_group: Callable[[str], bool]) -> dict[str, Any]:
    """``apidiscovery.k8s.io/v2``: all groups for which ``in_group`` holds, in one document."""
    items = []
    for name, versions in ({'': ['v1']} | groups()).items():
        if in_group(name):
            documents = [_aggregated_version(name, version) for version in versions]
            items.append({'metadata': {'name': name, 'creationTimestamp': None}, 'versions': documents})
    return {'kind': 'APIGroupDiscoveryList', 'apiVersion': 'apidiscovery.k8s.io/v2', 'metadata': {}, 'items': items}


def _aggregated_version(group: str, version: str) -> dict[str, Any]:
    api_version = f'{group}/{version}' if group else version
    resources = [_aggregated_resource(resource) for resource in _of_version(api_version)]
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


def _api(request: Request) -> Response:
    if _wants_aggregated(request):
        return Response(encode(aggregated(lambda group: not group)), content_type=AGGREGATED)
    return _json(api_versions())


def _apis(request: Request) -> Response:
    if _wants_aggregated(request):
        return Response(encode(aggregated(bool)), content_type=AGGREGATED)
    return _json(api_group_list())


def _healthy(request: Request) -> Response:
    return Response(b'ok', content_type=TEXT)


def _json(value: Any) -> Response:
    return Response(encode(value))


def _paths(request: Request) -> Response:
    versions = sorted({'/api/v1'} | {f'/apis/{r.api_version}' for r in SERVED if r.group})
    return _json({'paths': sorted([*DISCOVERY, *versions, *(f'/apis/{name}' for name in groups())])})


def openapi_v3_index() -> dict[str, Any]:
    """Each document's address carries a hash of what the document is made from, so that clients may keep it."""
    paths = {}
    for api_version in sorted({resource.api_version for resource in SERVED}):
        path = f'apis/{api_version}' if '/' in api_version else f'api/{api_version}'
        paths[path] = {'serverRelativeURL': f'/openapi/v3/{path}?hash={_content_hash()}'}
    return {'paths': paths}


@functools.cache
def _content_hash() -> str:
    import hashlib

    return hashlib.sha256(repr((GIT_VERSION, SERVED)).encode()).hexdigest()[:32].upper()


@functools.cache
def openapi_v3_bytes(api_version: str) -> bytes:
    from netkube.api.openapi import openapi_v3

    return encode(openapi_v3(api_version))


def openapi_v2_bytes() -> bytes:
    from netkube.api.openapi import openapi_v2

    return encode(openapi_v2())


def _openapi_v2(request: Request) -> Response:
    """Always JSON: kubectl asks for protobuf as well, and reads what the answer says it is."""
    return Response(openapi_v2_bytes(), content_type=JSON)


DISCOVERY: dict[str, Callable[[Request], Response]] = {
    '/': _paths,
    '/api': _api,
    '/api/v1': lambda request: _json(resource_list('v1')),
    '/apis': _apis,
    '/version': lambda request: _json(version()),
    '/healthz': _healthy,
    '/livez': _healthy,
    '/readyz': _healthy,
    '/openapi/v2': _openapi_v2,
    '/openapi/v3': lambda request: _json(openapi_v3_index()),
}
