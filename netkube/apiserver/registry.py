"""The API without HTTP: the one path that every read and write takes, in process and over the network.

It implements ``netkube.client.interface.Client``. Objects it is given are copied, objects it returns are shared:
read-only. In-process writes do not wait for the disk; HTTP answers do (``netkube.apiserver.http``).
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from netkube.api.conversion import is_converted, to_stored
from netkube.api.decode import decode, decode_definition
from netkube.api.errors import bad_request, gone
from netkube.api.meta import Object, utc_now
from netkube.api.resources import Resource
from netkube.apiserver import subresources
from netkube.apiserver.allocation import NODE_PORTS, ServiceAllocator
from netkube.apiserver.create import create
from netkube.apiserver.delete import DeleteOptions, delete
from netkube.apiserver.eviction import evict
from netkube.apiserver.fieldmanager import Track, in_process, in_process_status, untracked
from netkube.apiserver.patch import check_patch_type, patched
from netkube.apiserver.selection import Selection
from netkube.apiserver.serviceaccounts import ServiceAccountTokens
from netkube.apiserver.signing import SigningKey
from netkube.apiserver.storage import Storage, prefix
from netkube.apiserver.update import update, update_status
from netkube.apiserver.watch import decode_event
from netkube.client.interface import MERGE_PATCH, ObjectList, WatchEvent
from netkube.store.store import Compacted, Entry, Store

DEFAULT_SERVICE_CIDR = '10.96.0.0/16'
DEFAULT_ISSUER = 'https://kubernetes.default.svc.cluster.local'


class Registry:
    """``service_cidr``: where ClusterIPs come from; ``node_ports``: first and last.

    ``issuer`` and ``signing_key``, a PEM file, make the tokens of ServiceAccounts.
    """

    def __init__(
        self,
        store: Store,
        *,
        service_cidr: str = DEFAULT_SERVICE_CIDR,
        node_ports: tuple[int, int] = NODE_PORTS,
        issuer: str = DEFAULT_ISSUER,
        signing_key: Path | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.store = store
        self.storage = Storage(store, ServiceAllocator(service_cidr, node_ports), now)
        self.tokens = ServiceAccountTokens(self.storage, SigningKey(signing_key), issuer)

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        resource = self.resolve(resource)
        return self.storage.shown(resource, self.storage.get(resource, namespace, name))

    def resolve(self, resource: Resource) -> Resource:
        """A defined kind with its present definition. ApiError 404."""
        return self.storage.served.resolve(resource)

    async def list(
        self,
        resource: Resource,
        namespace: str = '',
        *,
        label_selector: str = '',
        field_selector: str = '',
        limit: int = 0,
        continue_token: str = '',
    ) -> ObjectList:
        resource = self.resolve(resource)
        selection = Selection.parse(resource, label_selector, field_selector)
        objects = [self.storage.shown(resource, entry) for entry in self.select(resource, namespace, selection)]
        return ObjectList(objects, str(self.store.revision))

    def select(self, resource: Resource, namespace: str, selection: Selection) -> builtins.list[Entry]:
        """The entries of a collection, in order of namespace and name."""
        if selection.everything:
            return self.store.list(prefix(resource, namespace))
        return list(self._matching(resource, namespace, selection))

    def select_at(
        self, resource: Resource, namespace: str, selection: Selection, revision: int
    ) -> builtins.list[Entry]:
        """The same at an older revision. Compacted."""
        entries = self.store.list_at(prefix(resource, namespace), revision)
        if selection.everything:
            return entries
        return [entry for entry in entries if selection.matches(self.storage.shown(resource, entry))]

    def _matching(self, resource: Resource, namespace: str, selection: Selection) -> Iterator[Entry]:
        name = selection.fields.exact('metadata.name')
        if name and (namespace or not resource.namespaced):
            found = self.storage.find(resource, namespace, name)
            candidates = iter([found] if found else [])
        else:
            candidates = self.store.scan(prefix(resource, namespace))
        for entry in candidates:
            if selection.matches(self.storage.shown(resource, entry)):
                yield entry

    async def watch(
        self,
        resource: Resource,
        namespace: str = '',
        *,
        resource_version: str = '',
        label_selector: str = '',
        field_selector: str = '',
        allow_bookmarks: bool = True,
    ) -> AsyncIterator[WatchEvent]:
        """Without a resourceVersion, or from '0', it begins with an ADDED for each object there is.

        In process there are no bookmarks: a watch does not end while its reader keeps up.
        """
        resource = self.resolve(resource)
        selection = Selection.parse(resource, label_selector, field_selector)
        since = parse_resource_version(resource_version)
        initial = [] if since else self.select(resource, namespace, selection)
        try:
            watch = self.store.watch(prefix(resource, namespace), since or self.store.revision)
        except Compacted as error:
            raise gone(str(error)) from None
        try:
            for entry in initial:
                yield WatchEvent('ADDED', self.storage.shown(resource, entry))
            async for event in watch:
                shown = decode_event(self.storage, resource, event, selection)
                if shown is not None:
                    yield shown
        except Compacted as error:
            raise gone(str(error)) from None
        finally:
            self.store.unwatch(watch)

    async def create(self, resource: Resource, obj: Object, subresource: str = '') -> Object:
        if subresource == 'token':
            metadata = obj['metadata']
            asked = decode_body(resource, {key: obj[key] for key in obj if key != 'metadata'}, subresource)
            return await self.tokens.request(metadata['namespace'], metadata['name'], asked)
        resource = self.resolve(resource)
        entry = self.write_new(resource, decode_body(resource, obj, subresource), subresource)
        return self.storage.shown(resource, entry)

    def write_new(
        self, resource: Resource, obj: Object, subresource: str = '', options: DeleteOptions | None = None,
        *, dry_run: bool = False, by: Track = untracked,
    ) -> Entry:  # fmt: skip
        """Create, or post to a subresource; ``obj`` is given away."""
        match subresource:
            case '':
                resource, obj = to_stored(resource, obj)
                return create(self.storage, resource, obj, dry_run=dry_run, by=by)
            case 'binding':
                return subresources.bind(self.storage, obj, dry_run=dry_run)
            case 'eviction':
                return evict(self.storage, obj, options or DeleteOptions(dry_run=dry_run))
        raise unknown_subresource(resource, subresource)

    async def update(self, resource: Resource, obj: Object, subresource: str = '') -> Object:
        resource = self.resolve(resource)
        if subresource == 'status' and not is_converted(resource):  # the rest stays as it is stored
            obj = {'metadata': obj['metadata'], 'status': obj.get('status')}
        entry = self.write(resource, decode_body(resource, obj, subresource), subresource)
        return self.storage.shown(resource, entry)

    def write(
        self, resource: Resource, obj: Object, subresource: str = '', *, dry_run: bool = False, by: Track | None = None
    ) -> Entry:
        """Replace an object, or what a subresource shows of it; ``obj`` is given away."""
        if subresource in ('', 'status', 'approval'):
            resource, obj = to_stored(resource, obj)
        match subresource:
            case '':
                return update(self.storage, resource, obj, dry_run=dry_run, by=by or in_process)
            case 'status' | 'approval':
                return update_status(self.storage, resource, obj, dry_run=dry_run, by=by or in_process_status)
            case 'scale':
                return subresources.update_scale(self.storage, resource, obj, dry_run=dry_run, by=by or in_process)
            case 'finalize':
                return subresources.finalize(self.storage, obj, dry_run=dry_run)
        raise unknown_subresource(resource, subresource)

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Any,
        content_type: str = MERGE_PATCH,
        subresource: str = '',
    ) -> Object:
        resource = self.resolve(resource)
        entry = self.write_patch(resource, namespace, name, patch, content_type, subresource)
        return self.storage.shown(resource, entry)

    def write_patch(
        self, resource: Resource, namespace: str, name: str, patch: Any, content_type: str, subresource: str = '',
        *, dry_run: bool = False, check: Callable[[Resource, Object], None] = lambda resource, obj: None,
        by: Track | None = None,
    ) -> Entry:  # fmt: skip
        """Nothing else is written between the read and the write, so there is no conflict to try again after.

        ``check`` may refuse the object that comes out, before fields that are unknown are dropped from it.
        """
        check_patch_type(resource, content_type)
        current = self.storage.shown(resource, self.storage.get(resource, namespace, name))
        shown_as = resource
        if subresource == 'scale':
            current, shown_as = subresources.scale_of(resource, current), subresources.SCALE
        new = patched(shown_as, current, patch, content_type)
        check(shown_as, new)
        new = decode_body(resource, new, subresource)
        return self.write(resource, new, subresource, dry_run=dry_run, by=by)

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = '',
        grace_period_seconds: int | None = None,
        propagation_policy: str = '',
    ) -> Object:
        options = DeleteOptions(grace_period_seconds, propagation_policy, uid)
        resource = self.resolve(resource)
        return self.storage.shown(resource, self.remove(resource, namespace, name, options)[0])

    def remove(self, resource: Resource, namespace: str, name: str, options: DeleteOptions) -> tuple[Entry, bool]:
        """The last or new state of the object, and whether it is gone."""
        return delete(self.storage, resource, self.storage.get(resource, namespace, name), options)


def decode_body(resource: Resource, obj: Object, subresource: str = '') -> Object:
    """The canonical form of what a request carries, a new object. ApiError 400 when a value has the wrong type."""
    definition = subresources.DEFINITIONS.get(subresource)
    decoded = decode_definition(definition, obj) if definition else decode(resource, obj)
    return {'apiVersion': resource.api_version, 'kind': resource.kind} | decoded


def parse_resource_version(text: str) -> int:
    """'' and '0' are 0. ApiError 400."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise bad_request(f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def unknown_subresource(resource: Resource, subresource: str) -> Exception:
    return bad_request(f'{resource.group_resource} has no subresource {subresource} that can be written')
