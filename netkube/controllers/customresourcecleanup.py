"""A CustomResourceDefinition that is deleted takes its objects with it: they go first.

k8s.io/apiextensions-apiserver/pkg/controller/finalizer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from netkube.api.customresources import CLEANUP, custom_resources
from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, is_deleting, key_of, utc_now
from netkube.api.resources import CUSTOMRESOURCEDEFINITIONS, Resource
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.controllers.conditions import condition, with_condition

AGAIN_SECONDS = 0.5  # between two looks at objects that are held by finalizers of their own


class CustomResourceCleanup:
    component = 'crd-finalizer'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client, self._now = informers.client, now
        self._definitions = informers[CUSTOMRESOURCEDEFINITIONS]
        self._controller = Controller('customresourcecleanup', informers, self._sync)
        self._controller.watch(CUSTOMRESOURCEDEFINITIONS)

    async def run(self) -> None:
        await self._controller.run()

    async def _sync(self, key: Key) -> None:
        crd = self._definitions.get(key)
        if crd is None or not is_deleting(crd) or CLEANUP not in (crd['metadata'].get('finalizers') or ()):
            return
        served = custom_resources(crd)
        left = await self._delete_objects(served[0].plain) if served else 0
        if left:
            await self._say_terminating(crd, left)
            self._controller.queue.add_after(key, AGAIN_SECONDS)
            return
        await self._let_go(key)

    async def _delete_objects(self, resource: Resource) -> int:
        """Ask each to go; how many are still there."""
        found = (await self._client.list(resource)).items
        await asyncio.gather(*(self._delete(resource, obj) for obj in found if not is_deleting(obj)))
        return len((await self._client.list(resource)).items) if found else 0

    async def _delete(self, resource: Resource, obj: Object) -> None:
        try:
            await self._client.delete(resource, *key_of(obj))
        except ApiError as error:
            if error.code != 404:
                raise

    async def _say_terminating(self, crd: Object, left: int) -> None:
        live = await self._client.get(CUSTOMRESOURCEDEFINITIONS, *key_of(crd))
        said = condition('Terminating', 'True', 'InstanceDeletionInProgress',
                         'CustomResource deletion is in progress', self._now())  # fmt: skip
        conditions = list(with_condition(tuple(live['status'].get('conditions') or ()), said))
        if conditions != live['status'].get('conditions'):
            status = {**live['status'], 'conditions': conditions}
            await self._client.update(CUSTOMRESOURCEDEFINITIONS, {**live, 'status': status}, 'status')

    async def _let_go(self, key: Key) -> None:
        try:
            live = await self._client.get(CUSTOMRESOURCEDEFINITIONS, *key)
            finalizers = [one for one in live['metadata'].get('finalizers') or () if one != CLEANUP]
            metadata = {**live['metadata'], 'finalizers': finalizers}
            await self._client.update(CUSTOMRESOURCEDEFINITIONS, {**live, 'metadata': metadata})
        except ApiError as error:
            if error.code != 404:
                raise
