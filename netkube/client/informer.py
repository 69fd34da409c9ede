"""A local copy of a collection, kept up to date by list and watch.

Events only tell *that* something changed; whoever subscribes decides from the cache. The objects in it are
shared: copy before changing one. Source: client-go's Reflector and SharedInformer.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, key_of
from netkube.api.resources import Resource
from netkube.client.interface import Client, ObjectList, WatchEvent

log = logging.getLogger(__name__)

Handler = Callable[[Object | None, Object | None], None]
IndexFunction = Callable[[Object], Iterable[Hashable]]
PAGE = 500  # objects listed at a time: those of one page are all that is held before they are stripped
RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class Index:
    """Objects by a value derived from them."""

    def __init__(self, function: IndexFunction) -> None:
        self._function = function
        self._keys: dict[Hashable, set[Key]] = defaultdict(set)

    def change(self, key: Key, old: Object | None, new: Object | None) -> None:
        before = set(self._function(old)) if old is not None else set()
        after = set(self._function(new)) if new is not None else set()
        for value in before - after:
            self._keys[value].discard(key)
            if not self._keys[value]:
                del self._keys[value]
        for value in after - before:
            self._keys[value].add(key)

    def keys(self, value: Hashable) -> frozenset[Key]:
        return frozenset(self._keys.get(value, ()))


class Informer:
    """The cache of one resource. ``synced`` is set once the first list is in it."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        namespace: str = '',
        label_selector: str = '',
        field_selector: str = '',
        transform: Callable[[Object], Object] | None = None,
    ) -> None:
        """``transform`` strips an object, before it is kept, to what its readers need (metadata must stay)."""
        self.resource = resource
        self.synced = asyncio.Event()
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._transform = transform
        self._objects: dict[Key, Object] = {}
        self._indices: dict[str, Index] = {}
        self._handlers: list[Handler] = []

    def get(self, key: Key) -> Object | None:
        return self._objects.get(key)

    def list(self, namespace: str = '') -> builtins.list[Object]:
        """All objects, or those of one namespace."""
        if not namespace:
            return list(self._objects.values())
        return self.by_index('namespace', namespace)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Make ``by_index(name, value)`` possible; a name that exists already is kept as it is."""
        if name in self._indices:
            return
        index = self._indices[name] = Index(function)
        for key, obj in self._objects.items():
            index.change(key, None, obj)

    def by_index(self, name: str, value: Hashable) -> builtins.list[Object]:
        if name == 'namespace' and name not in self._indices:
            self.add_index(name, lambda obj: (obj['metadata'].get('namespace', ''),))
        return [self._objects[key] for key in self._indices[name].keys(value)]

    def subscribe(self, handler: Handler) -> None:
        """``handler(old, new)`` is called after each change of the cache; with what is in it already, at once."""
        self._handlers.append(handler)
        for obj in list(self._objects.values()):
            handler(None, obj)

    async def run(self) -> None:
        """List and watch for ever; what fails or expires is listed again."""
        failures = 0
        while True:
            try:
                version = await self._relist()
                failures = 0
                while True:
                    version = await self._follow(version)
            except (ApiError, OSError, EOFError) as error:
                if not (isinstance(error, ApiError) and error.code == 410):
                    level = logging.WARNING if self.synced.is_set() else logging.DEBUG  # the server may be starting
                    log.log(level, 'watch of %s: %s; listing again', self.resource, error)
                    await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                    failures += 1

    async def _relist(self) -> str:
        """Pages are applied as they come; what is gone goes before the last of them."""
        present: set[Key] = set()
        page = await self._list_page('')
        while page.continue_token:
            present |= self._apply_page(page)
            page = await self._list_page(page.continue_token)
        present.update(map(key_of, page.items))
        for key in self._objects.keys() - present:
            self._change(key, None)
        self._apply_page(page)
        self.synced.set()
        return page.resource_version

    async def _list_page(self, continue_token: str) -> ObjectList:
        return await self._client.list(
            self.resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            limit=PAGE,
            continue_token=continue_token,
        )

    def _apply_page(self, page: ObjectList) -> set[Key]:
        for obj in page.items:
            known = self._objects.get(key_of(obj))
            if known is None or known['metadata']['resourceVersion'] != obj['metadata']['resourceVersion']:
                self._change(key_of(obj), self._with_type(obj))
        return {key_of(obj) for obj in page.items}

    async def _follow(self, version: str) -> str:
        """Apply one watch until the server ends it; the resourceVersion to go on from."""
        watch = self._client.watch(
            self.resource,
            self._namespace,
            resource_version=version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        )
        async for event in watch:
            version = event.object['metadata']['resourceVersion']
            self._apply(event)
        return version

    def _apply(self, event: WatchEvent) -> None:
        """A watch after several pages starts at the first: what a later page has shown already is passed over."""
        if event.type == 'BOOKMARK':
            return
        key = key_of(event.object)
        known = self._objects.get(key)
        if known is None or _version(known) < _version(event.object):
            self._change(key, None if event.type == 'DELETED' else self._with_type(event.object))

    def _with_type(self, obj: Object) -> Object:
        """Items of a list carry no kind (Kubernetes omits it); readers want it on each object."""
        if 'kind' not in obj:
            obj = {'apiVersion': self.resource.api_version, 'kind': self.resource.kind, **obj}
        return self._transform(obj) if self._transform else obj

    def _change(self, key: Key, new: Object | None) -> None:
        old = self._objects.get(key)
        if new is None:
            if old is None:
                return
            del self._objects[key]
        else:
            self._objects[key] = new
        for index in self._indices.values():
            index.change(key, old, new)
        for handler in self._handlers:
            handler(old, new)


def _version(obj: Object) -> int:
    return int(obj['metadata']['resourceVersion'])


class Informers:
    """The informers that the components of one process share, one for each resource."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[Resource, Informer] = {}
        self._running: dict[Resource, asyncio.Task[None]] = {}
        self._asked_for = asyncio.Event()

    def __getitem__(self, resource: Resource) -> Informer:
        if resource not in self._informers:
            self.add(Informer(self.client, resource))
        return self._informers[resource]

    def add(self, informer: Informer) -> Informer:
        """Share an informer with options of its own, before anyone asks for its resource."""
        if informer.resource in self._informers:
            raise ValueError(f'there is an informer for {informer.resource} already')
        self._informers[informer.resource] = informer
        self._asked_for.set()
        return informer

    def remove(self, resource: Resource) -> None:
        """Stop following a resource that is not served any more; its cache goes with it."""
        if self._informers.pop(resource, None) is not None and resource in self._running:
            self._running.pop(resource).cancel()

    async def synced(self) -> None:
        """Wait until every informer asked for so far holds its first list."""
        for informer in list(self._informers.values()):
            await informer.synced.wait()

    async def run(self) -> None:
        """Run every informer, also those that are asked for later."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._asked_for.clear()
                for resource, informer in self._informers.items():
                    if resource not in self._running:
                        task = tasks.create_task(informer.run(), name=f'informer {resource}')
                        self._running[resource] = task
                await self._asked_for.wait()
