"""What each verb does with a request: a table, and a few lines for each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from netkube.api.customresources.defaults import unenforced
from netkube.api.decode import decode_definition
from netkube.api.errors import bad_request
from netkube.api.resources import (
    CUSTOMRESOURCEDEFINITIONS,
    ENDPOINTS,
    PODS,
    SERVICEACCOUNTS,
    SERVICES,
    CustomResource,
    Resource,
    stored_only,
)
from netkube.apiserver import apply as applying
from netkube.apiserver import subresources
from netkube.apiserver.apply import APPLY_PATCH, Applier, check_patch_options
from netkube.apiserver.body import content_type, parse, parse_configuration, read_object
from netkube.apiserver.delete import DeleteOptions
from netkube.apiserver.fieldmanager import Track, for_update, manager_name
from netkube.apiserver.fieldvalidation import check_configuration, check_patched_fields, duplicates
from netkube.apiserver.list import list_page
from netkube.apiserver.patch import check_patch_type
from netkube.apiserver.registry import Registry
from netkube.apiserver.representation import negotiate
from netkube.apiserver.request import Request, Target
from netkube.apiserver.response import Response, Stream
from netkube.apiserver.selection import Selection
from netkube.apiserver.storage import encode
from netkube.apiserver.watchstream import WatchOptions, watch_lines
from netkube.client.interface import JSON_PATCH
from netkube.store.store import Entry

Answer = Response | Stream
Handler = Callable[[Registry, Request, Target], Awaitable[Answer]]

# The kinds whose deletion answers with the object that is gone, instead of with a Status.
RETURN_DELETED = (PODS, SERVICES, SERVICEACCOUNTS)
DELETE_OPTIONS = 'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions'
DEPRECATED = {ENDPOINTS: 'v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice'}


async def get(registry: Registry, request: Request, target: Target) -> Answer:
    entry = registry.storage.get(target.resource, target.namespace, target.name)
    return object_response(registry, request, target, entry)


async def list_(registry: Registry, request: Request, target: Target) -> Answer:
    page = list_page(registry, request, selection_of(request, target))
    form = negotiate(request)
    body = form.collection(registry.storage, target.resource, page.entries, page.metadata)
    return Response(body, 200, form.content_type, registry.store.revision)


async def watch(registry: Registry, request: Request, target: Target) -> Answer:
    selection, form, options = selection_of(request, target), negotiate(request), WatchOptions.parse(request)
    return Stream(watch_lines(registry, target.resource, target.namespace, selection, form, options))


async def create(registry: Registry, request: Request, target: Target) -> Answer:
    obj = await read_object(request)
    by = tracking(registry, request, target, 'CreateOptions')
    if target.subresource == 'eviction':
        asked = {'dryRun': ['All']} if request.dry_run else {}
        options = DeleteOptions.parse(asked | (obj.get('deleteOptions') or {}))
        entry = registry.write_new(target.resource, obj, 'eviction', options)
    else:
        entry = registry.write_new(target.resource, obj, target.subresource, dry_run=request.dry_run, by=by)
    if not target.subresource:
        warn_of_creation(request, target.resource, obj)
    if target.subresource:
        return Response(encode(subresources.SUCCESS), 201, revision=entry.revision)
    return object_response(registry, request, target, entry, 201)


async def update(registry: Registry, request: Request, target: Target) -> Answer:
    obj = await read_object(request)
    existed = registry.storage.find(target.resource, target.namespace, target.name) is not None
    by = tracking(registry, request, target, 'UpdateOptions')
    entry = registry.write(target.resource, obj, target.subresource, dry_run=request.dry_run, by=by)
    return object_response(registry, request, target, entry, 200 if existed else 201)


async def patch(registry: Registry, request: Request, target: Target) -> Answer:
    media_type = content_type(request)
    body = await request.body()
    if media_type == APPLY_PATCH:
        return apply(registry, request, target, body)
    check_patch_type(target.resource, media_type)
    by = tracking(registry, request, target, 'PatchOptions')
    document = parse(body, 'application/json', target.resource.kind)
    repeated = [] if media_type == JSON_PATCH else duplicates(body, 'application/json', document)
    entry = registry.write_patch(
        target.resource, target.namespace, target.name, document, media_type, target.subresource,
        dry_run=request.dry_run, by=by,
        check=lambda resource, value: check_patched_fields(request, resource, value, document, repeated),
    )  # fmt: skip
    return object_response(registry, request, target, entry)


def apply(registry: Registry, request: Request, target: Target, body: bytes) -> Answer:
    manager = request.value('fieldManager')
    check_patch_options('PatchOptions', manager, request.flag('force'), applying=True)
    config = parse_configuration(body)
    check_configuration(request, body, config)
    existed = registry.storage.find(target.resource, target.namespace, target.name) is not None
    by = Applier(manager, request.flag('force'), request.dry_run)
    where = (target.namespace, target.name)
    entry = applying.apply(registry.storage, target.resource, where, config, target.subresource, by)
    return object_response(registry, request, target, entry, 200 if existed else 201)


def tracking(registry: Registry, request: Request, target: Target, options: str) -> Track:
    """How the fields that this request writes are recorded. ApiError 422."""
    given, forced = request.value('fieldManager'), options == 'PatchOptions' and 'force' in request.query
    check_patch_options(options, given, forced, applying=False)
    name = manager_name(given, request.headers.get(b'user-agent', b'').decode('latin-1'))
    return for_update(name, target.subresource, registry.storage.now)


async def delete(registry: Registry, request: Request, target: Target) -> Answer:
    options = await delete_options(request)
    entry, gone = registry.remove(target.resource, target.namespace, target.name, options)
    if gone and target.resource not in RETURN_DELETED:
        return Response(encode(deleted_status(registry, target.resource, entry)), revision=entry.revision)
    return object_response(registry, request, target, entry)


async def delete_collection(registry: Registry, request: Request, target: Target) -> Answer:
    """Answers with the list of what was there."""
    selection, options = selection_of(request, target), await delete_options(request)
    entries = registry.select(target.resource, target.namespace, selection)
    for entry in entries:
        metadata = registry.storage.object(entry)['metadata']
        registry.remove(target.resource, metadata.get('namespace', ''), metadata['name'], options)
    form = negotiate(request)
    metadata = {'resourceVersion': str(registry.store.revision)}
    body = form.collection(registry.storage, target.resource, entries, metadata)
    return Response(body, 200, form.content_type, registry.store.revision)


def warn_of_deprecation(request: Request, resource: Resource) -> None:
    if isinstance(resource, CustomResource) and resource.definition.deprecation:
        request.warnings += (resource.definition.deprecation,)


def warn_of_creation(request: Request, resource: Resource, obj: Any) -> None:
    """What was stored and will not be acted upon."""
    if warning := stored_only(resource):
        request.warnings += (warning,)
    if resource is CUSTOMRESOURCEDEFINITIONS:
        request.warnings += tuple(unenforced(obj))
    warn_of_deprecation(request, resource)


HANDLERS: dict[str, Handler] = {
    'get': get, 'list': list_, 'watch': watch, 'create': create, 'update': update, 'patch': patch, 'delete': delete,
    'deletecollection': delete_collection,
}  # fmt: skip


def object_response(registry: Registry, request: Request, target: Target, entry: Entry, code: int = 200) -> Response:
    if target.subresource == 'scale':
        return _scale_response(registry, target, entry, code)
    form = negotiate(request)
    body = form.object(registry.storage, target.resource, entry)
    return Response(body, code, form.content_type, entry.revision)


def _scale_response(registry: Registry, target: Target, entry: Entry, code: int) -> Response:
    scale = subresources.scale_of(target.resource, registry.storage.shown(target.resource, entry))
    return Response(encode(scale), code, revision=entry.revision)


def selection_of(request: Request, target: Target) -> Selection:
    if target.resource in DEPRECATED:
        request.warnings += (DEPRECATED[target.resource],)
    warn_of_deprecation(request, target.resource)
    return Selection.parse(target.resource, request.value('labelSelector'), request.value('fieldSelector'))


async def delete_options(request: Request) -> DeleteOptions:
    """From the body, or from the query where there is no body."""
    body = await request.body()
    options: Any = parse(body, content_type(request), 'DeleteOptions') if body else query_options(request)
    if not isinstance(options, dict):
        raise bad_request('the object provided is unrecognized (must be of type DeleteOptions)')
    if request.dry_run:
        options['dryRun'] = ['All']
    return DeleteOptions.parse(decode_definition(DELETE_OPTIONS, options))


def query_options(request: Request) -> dict[str, Any]:
    options: dict[str, Any] = {
        'gracePeriodSeconds': request.number('gracePeriodSeconds'),
        'propagationPolicy': request.value('propagationPolicy'),
    }
    if 'orphanDependents' in request.query:
        options['orphanDependents'] = request.flag('orphanDependents')
    return options


def deleted_status(registry: Registry, resource: Resource, entry: Entry) -> dict[str, Any]:
    metadata = registry.storage.object(entry)['metadata']
    details = {'name': metadata['name'], 'group': resource.group, 'kind': resource.plural, 'uid': metadata['uid']}
    if not resource.group:
        del details['group']
    return {'kind': 'Status', 'apiVersion': 'v1', 'metadata': {}, 'status': 'Success', 'details': details}
