"""Garbage collection: what is owned goes with its owners, in the order that the owner's deletion asks for.

An object whose owners are all gone is deleted. An owner with the finalizer ``foregroundDeletion`` waits for
the dependents that block it; one with ``orphan`` lets go of its dependents first. The graph is not kept: it is two
indices of the informers' caches (by uid, by owner's uid), and an absence is confirmed by a live read before
anything is deleted. Source: pkg/controller/garbagecollector.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial

import msgspec

from netkube.api.errors import ApiError
from netkube.api.meta import Object, is_deleting, key_of, utc_now
from netkube.api.resources import BY_KIND, EVENTS, STORED, STORED_AS, Resource
from netkube.client.controller import Controller
from netkube.client.customresources import CustomResources
from netkube.client.events import EventRecorder
from netkube.client.informer import Informer, Informers
from netkube.controllers.pace import Pace

COLLECTED = tuple(resource for resource in STORED if resource != EVENTS)  # upstream ignores Events, too
FOREGROUND, ORPHAN = 'foregroundDeletion', 'orphan'

REST_SECONDS = 0.0002  # for each dependent that was looked at

Node = tuple[Resource, str]  # one object of the graph: its resource and uid


class Owners(msgspec.Struct, frozen=True):
    """The ownerReferences of one object by the state of the owner."""

    solid: tuple[Object, ...] = ()  # it is there
    dangling: tuple[Object, ...] = ()  # it has gone
    waiting: tuple[Object, ...] = ()  # it is being deleted in the foreground: it waits for this object


def owner_uids(obj: Object) -> Iterable[str]:
    return [reference['uid'] for reference in obj['metadata'].get('ownerReferences') or ()]


def own_uid(obj: Object) -> Iterable[str]:
    return (obj['metadata']['uid'],)


def finalizers(obj: Object) -> list[str]:
    return obj['metadata'].get('finalizers') or []


def deletes_dependents(obj: Object) -> bool:
    """It is being deleted in the foreground."""
    return is_deleting(obj) and FOREGROUND in finalizers(obj)


def _is_held(obj: Object) -> bool:
    """It is being deleted and waits for this controller."""
    return is_deleting(obj) and (FOREGROUND in finalizers(obj) or ORPHAN in finalizers(obj))


def blocks(dependent: Object, owner_uid: str) -> bool:
    references = dependent['metadata'].get('ownerReferences') or ()
    return any(reference['uid'] == owner_uid and reference.get('blockOwnerDeletion') for reference in references)


def propagation_of(obj: Object) -> str:
    """How an object is deleted whose owners have gone: as its own finalizers ask."""
    if ORPHAN in finalizers(obj):
        return 'Orphan'
    return 'Foreground' if FOREGROUND in finalizers(obj) else 'Background'


class GarbageCollector:
    component = 'garbage-collector-controller'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client = informers.client
        self._all = informers
        self._informers: dict[Resource, Informer] = {}
        self._pace = Pace(REST_SECONDS)
        self._controller = Controller('garbagecollector', informers, self._sync, workers=10)
        for resource in COLLECTED:
            self._informers[resource] = self._indexed(resource)
        for resource in COLLECTED:
            self._controller.watch(resource, partial(self._affected, resource))
        CustomResources(informers).follow(self._collect, self._forget)

    async def run(self) -> None:
        await self._controller.run()

    def _indexed(self, resource: Resource) -> Informer:
        informer = self._all[resource]
        informer.add_index('uid', own_uid)
        informer.add_index('owner-uid', owner_uids)
        return informer

    def _collect(self, resource: Resource) -> None:
        """A defined kind is collected from now on."""
        self._informers[resource] = self._indexed(resource)
        self._controller.follow(resource, partial(self._affected, resource))

    def _forget(self, resource: Resource) -> None:
        self._informers.pop(resource, None)

    def _resource_of(self, reference: Object) -> Resource | None:
        """What an ownerReference is to; any version of a kind will do. None when it is not served."""
        found = BY_KIND.get((reference['apiVersion'], reference['kind']))
        if found is not None:
            return STORED_AS.get(found, found)
        group = reference['apiVersion'].partition('/')[0]
        kinds = (one for one in self._informers if (one.group, one.kind) == (group, reference['kind']))
        return next(kinds, None)

    def _affected(self, resource: Resource, obj: Object) -> Iterator[Node]:
        """What a change of ``obj`` may concern: itself, owners that wait for it, dependents once it has gone."""
        uid = obj['metadata']['uid']
        if resource not in self._informers:
            return
        if not self._informers[resource].by_index('uid', uid):
            yield from ((kind, dependent['metadata']['uid']) for kind, dependent in self._dependents(uid))
        elif _is_held(obj) or not all(map(self._is_solid, obj['metadata'].get('ownerReferences') or ())):
            yield resource, uid
        for reference in obj['metadata'].get('ownerReferences') or ():
            owner = self._find_owner(reference)
            if owner is not None and is_deleting(owner[1]):
                yield owner[0], reference['uid']

    def _is_solid(self, reference: Object) -> bool:
        """The cache shows the owner, and it stays."""
        owner = self._find_owner(reference)
        return owner is not None and not is_deleting(owner[1])

    def _dependents(self, uid: str) -> Iterator[tuple[Resource, Object]]:
        for resource, informer in self._informers.items():
            for obj in informer.by_index('owner-uid', uid):
                yield resource, obj

    def _find_owner(self, reference: Object) -> tuple[Resource, Object] | None:
        """From the cache; None says nothing about whether it exists."""
        resource = self._resource_of(reference)
        if resource is None or resource not in self._informers:
            return None
        found = self._informers[resource].by_index('uid', reference['uid'])
        return (resource, found[0]) if found else None

    async def _sync(self, node: Node) -> None:
        resource, uid = node
        if resource not in self._informers:
            return
        found = self._informers[resource].by_index('uid', uid)
        if found and (rest := self._pace.rests(node)):
            self._controller.queue.add_after(node, rest)
            return
        obj = await self._read_live(resource, found[0]) if found else None
        if obj is None:
            return
        if is_deleting(obj):
            if ORPHAN in finalizers(obj):
                await self._orphan_dependents(resource, obj)
            elif FOREGROUND in finalizers(obj):
                await self._delete_dependents(resource, obj)
        elif owner_uids(obj):
            await self._judge(resource, obj)

    async def _judge(self, resource: Resource, obj: Object) -> None:
        """Keep, loosen or delete an object by what has become of its owners."""
        owners = await self._classify(obj)
        if owners.solid:
            await self._remove_references(resource, obj, (*owners.dangling, *owners.waiting))
        elif owners.waiting and (dependents := [each for _, each in self._dependents(obj['metadata']['uid'])]):
            if any(map(deletes_dependents, dependents)):
                obj = await self._unblock(resource, obj)
            await self._delete(resource, obj, 'Foreground')
        elif owners.waiting or owners.dangling:
            await self._delete(resource, obj, propagation_of(obj))

    async def _classify(self, obj: Object) -> Owners:
        states: dict[str, list[Object]] = {'solid': [], 'dangling': [], 'waiting': []}
        for reference in obj['metadata']['ownerReferences']:
            states[await self._state_of(obj, reference)].append(reference)
        return Owners(*(tuple(states[name]) for name in ('solid', 'dangling', 'waiting')))

    async def _state_of(self, obj: Object, reference: Object) -> str:
        """An owner of a kind that is not served cannot be judged: it keeps its dependents."""
        resource = self._resource_of(reference)
        if resource is None:
            return 'solid'
        cached = self._find_owner(reference)
        owner = cached[1] if cached is not None else await self._live_owner(resource, obj, reference)
        if owner is None:
            return 'dangling'
        return 'waiting' if deletes_dependents(owner) else 'solid'

    async def _live_owner(self, resource: Resource, obj: Object, reference: Object) -> Object | None:
        """An owner lives in its dependent's namespace, or in none."""
        namespace = obj['metadata'].get('namespace', '') if resource.namespaced else ''
        if resource.namespaced and not namespace:
            return None  # a cluster-scoped object cannot have a namespaced owner
        return await self._find_live(resource, namespace, reference['name'], reference['uid'])

    async def _read_live(self, resource: Resource, cached: Object) -> Object | None:
        return await self._find_live(resource, *key_of(cached), cached['metadata']['uid'])

    async def _find_live(self, resource: Resource, namespace: str, name: str, uid: str) -> Object | None:
        """None when it has gone, or another object has its name."""
        try:
            live = await self._client.get(resource, namespace, name)
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        return live if live['metadata']['uid'] == uid else None

    async def _delete_dependents(self, resource: Resource, owner: Object) -> None:
        """Foreground: each dependent is asked to go; when none is left that blocks, the owner goes."""
        uid = owner['metadata']['uid']
        dependents = list(self._dependents(uid))
        blocking = [(kind, obj) for kind, obj in dependents if blocks(obj, uid)]
        if blocking:
            self._pace.worked((resource, uid), len(dependents))
        else:
            await self._remove_finalizer(resource, owner, FOREGROUND)
        for kind, obj in dependents:
            if not is_deleting(obj):
                self._controller.queue.add((kind, obj['metadata']['uid']))

    async def _orphan_dependents(self, resource: Resource, owner: Object) -> None:
        reference = {'uid': owner['metadata']['uid']}
        dependents = list(self._dependents(owner['metadata']['uid']))
        await asyncio.gather(*(self._remove_references(kind, obj, (reference,)) for kind, obj in dependents))
        await self._remove_finalizer(resource, owner, ORPHAN)

    async def _remove_references(self, resource: Resource, obj: Object, references: Iterable[Object]) -> None:
        uids = {reference['uid'] for reference in references}
        kept = [each for each in obj['metadata'].get('ownerReferences') or () if each['uid'] not in uids]
        if uids:
            await self._write(resource, obj, {'ownerReferences': kept})

    async def _unblock(self, resource: Resource, obj: Object) -> Object:
        """It may be part of a circle of objects that all wait for one another: its owners no longer wait for it."""
        references = [{**each, 'blockOwnerDeletion': False} for each in obj['metadata']['ownerReferences']]
        metadata = obj['metadata'] | {'ownerReferences': references}
        return await self._client.update(resource, obj | {'metadata': metadata})

    async def _remove_finalizer(self, resource: Resource, obj: Object, name: str) -> None:
        await self._write(resource, obj, {'finalizers': [each for each in finalizers(obj) if each != name]})

    async def _write(self, resource: Resource, obj: Object, metadata: Object) -> None:
        """Conflict when it has changed since it was read: the key is tried again."""
        try:
            await self._client.update(resource, obj | {'metadata': obj['metadata'] | metadata})
        except ApiError as error:
            if error.code != 404:
                raise

    async def _delete(self, resource: Resource, obj: Object, propagation: str) -> None:
        try:
            uid = obj['metadata']['uid']
            await self._client.delete(resource, *key_of(obj), uid=uid, propagation_policy=propagation)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
