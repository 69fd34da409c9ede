"""Namespace: empties one that is being deleted, then lets it go. Source: pkg/controller/namespace/deletion."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, is_deleting, key_of, utc_now
from netkube.api.resources import EVENTS, NAMESPACES, PODS, STORED, Resource
from netkube.client.controller import Controller
from netkube.client.customresources import CustomResources
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.controllers.conditions import condition, with_condition

FINALIZER = 'kubernetes'
# Pods go before what they use (OrderedNamespaceDeletion).
STAGES: tuple[tuple[Resource, ...], ...] = (
    (PODS,),
    tuple(resource for resource in STORED if resource.namespaced and resource != PODS),
)


class Remaining(msgspec.Struct, frozen=True):
    """What a namespace still holds of one resource."""

    resource: Resource
    objects: tuple[Object, ...]

    @property
    def finalizers(self) -> list[str]:
        return [name for obj in self.objects for name in obj['metadata'].get('finalizers') or ()]


def plan_conditions(namespace: Object, remaining: Sequence[Remaining], error: str, now: datetime) -> list[Object]:
    """The namespace's conditions: what went well, what is left, and whose finalizers hold it. ``error`` may be ''."""
    conditions = tuple((namespace.get('status') or {}).get('conditions') or ())
    for type, status, reason, message in (
        ('NamespaceDeletionDiscoveryFailure', 'False', 'ResourcesDiscovered', 'All resources successfully discovered'),
        ('NamespaceDeletionGroupVersionParsingFailure', 'False', 'ParsedGroupVersions',
         'All legacy kube types successfully parsed'),
        _content_failure(error),
        _content_remaining(remaining),
        _finalizers_remaining(remaining),
    ):  # fmt: skip
        old = next((each for each in conditions if each['type'] == type), None)
        if old is not None and old['status'] == status and old.get('message') != message:
            conditions = tuple(each for each in conditions if each['type'] != type)
        conditions = with_condition(conditions, condition(type, status, reason, message, now))
    return list(conditions)


def _content_failure(error: str) -> tuple[str, str, str, str]:
    type = 'NamespaceDeletionContentFailure'
    if error:
        return type, 'True', 'ContentDeletionFailed', f'Failed to delete all resource types, 1 remaining: {error}'
    return type, 'False', 'ContentDeleted', 'All content successfully deleted, may be waiting on finalization'


def _content_remaining(remaining: Sequence[Remaining]) -> tuple[str, str, str, str]:
    type = 'NamespaceContentRemaining'
    if not remaining:
        return type, 'False', 'ContentRemoved', 'All content successfully removed'
    counts = sorted(f'{each.resource.group_resource} has {len(each.objects)} resource instances' for each in remaining)
    return type, 'True', 'SomeResourcesRemain', f'Some resources are remaining: {", ".join(counts)}'


def _finalizers_remaining(remaining: Sequence[Remaining]) -> tuple[str, str, str, str]:
    type = 'NamespaceFinalizersRemaining'
    held = [name for each in remaining for name in each.finalizers]
    if not held:
        return type, 'False', 'ContentHasNoFinalizers', 'All content-preserving finalizers finished'
    counts = sorted(f'{name} in {held.count(name)} resource instances' for name in set(held))
    text = f'Some content in the namespace has finalizers remaining: {", ".join(counts)}'
    return type, 'True', 'SomeFinalizersRemain', text


def namespace_is_terminating(error: ApiError) -> bool:
    """The create was refused because its namespace is on its way out: nothing is left to do."""
    causes = (error.details or {}).get('causes') or ()
    return any(cause.get('reason') == 'NamespaceTerminating' for cause in causes)


# Whoever deletes a namespace and then, by name, what is in it (``kubectl delete -f`` does) shall find it. Upstream
# waits 5 s, for other API servers to notice.
GRACE = timedelta(seconds=0.5)


class NamespaceController:
    component = 'namespace-controller'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client = informers.client
        self._now = now
        self._seen: dict[str, datetime] = {}  # when the deletion of a namespace was noticed, by uid
        self._namespaces = informers[NAMESPACES]
        self._controller = Controller('namespace', informers, self._sync, workers=5)
        self._controller.watch(NAMESPACES, _terminating)
        self._custom = CustomResources(informers)
        self._custom.follow(self._watch_custom)
        for resource in STORED:
            if resource.namespaced and resource != EVENTS:  # Events have no finalizers: they are gone when deleted
                self._controller.watch(resource, self._namespace_of)

    async def run(self) -> None:
        await self._controller.run()

    def _watch_custom(self, resource: Resource) -> None:
        if resource.namespaced:
            self._controller.follow(resource, self._namespace_of)

    def _stages(self) -> tuple[tuple[Resource, ...], ...]:
        custom = tuple(resource for resource in self._custom.current() if resource.namespaced)
        return *STAGES, custom

    def _namespace_of(self, obj: Object) -> Iterable[Key]:
        """The namespace of what may be the last thing in it."""
        namespace = self._namespaces.get(('', obj['metadata']['namespace']))
        return _terminating(namespace) if namespace is not None else ()

    async def _sync(self, key: Key) -> None:
        try:
            namespace = await self._client.get(NAMESPACES, *key)
        except ApiError as error:
            if error.code == 404:
                return
            raise
        if not is_deleting(namespace) or FINALIZER not in _finalizers(namespace):
            return
        uid = namespace['metadata']['uid']
        rest = self._seen.setdefault(uid, self._now()) + GRACE - self._now()
        if rest > timedelta():
            self._controller.queue.add_after(key, rest.total_seconds())
            return
        remaining, failed = await self._empty(key[1])
        if remaining or failed is not None:
            await self._write_conditions(namespace, remaining, failed.message if failed is not None else '')
            if failed is not None:
                raise failed
            return
        await self._finalize(namespace)
        del self._seen[uid]

    async def _empty(self, namespace: str) -> tuple[list[Remaining], ApiError | None]:
        """Delete what is there, stage by stage: what remains, because it takes time or is held, and the first error."""
        for stage in self._stages():
            try:
                remaining = [await self._delete_all(resource, namespace) for resource in stage]
            except ApiError as error:
                return [], error
            left = [each for each in remaining if each.objects]
            if left:
                return left, None
        return [], None

    async def _delete_all(self, resource: Resource, namespace: str) -> Remaining:
        found = (await self._client.list(resource, namespace)).items
        await asyncio.gather(*(self._delete(resource, obj) for obj in found if not is_deleting(obj)))
        left = (await self._client.list(resource, namespace)).items if found else []
        return Remaining(resource, tuple(left))

    async def _delete(self, resource: Resource, obj: Object) -> None:
        try:
            await self._client.delete(resource, *key_of(obj), propagation_policy='Background')
        except ApiError as error:
            if error.code != 404:
                raise

    async def _write_conditions(self, namespace: Object, remaining: Sequence[Remaining], error: str) -> None:
        status = namespace.get('status') or {}
        conditions = plan_conditions(namespace, remaining, error, self._now())
        if conditions != status.get('conditions'):
            await self._client.update(NAMESPACES, namespace | {'status': status | {'conditions': conditions}}, 'status')

    async def _finalize(self, namespace: Object) -> None:
        left = [name for name in _finalizers(namespace) if name != FINALIZER]
        try:
            await self._client.update(NAMESPACES, namespace | {'spec': {'finalizers': left}}, 'finalize')
        except ApiError as error:
            if error.code != 404:
                raise


def _terminating(namespace: Object) -> Iterable[Key]:
    return (key_of(namespace),) if is_deleting(namespace) else ()


def _finalizers(namespace: Object) -> list[str]:
    return (namespace.get('spec') or {}).get('finalizers') or []
