"""Pods that nobody else ends: on a Node that has gone, or terminating without ever having had one.

Source: pkg/controller/podgc. Upstream looks every 20 s; here the events of Pods and Nodes tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, is_deleting, key_of, utc_now
from netkube.api.resources import NODES, PODS
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.client.interface import STRATEGIC_MERGE_PATCH
from netkube.controllers.conditions import condition
from netkube.controllers.pods import is_terminal, node_name

QUARANTINE = timedelta(seconds=40)  # a Node may come back under its name


def bound_node(pod: Object) -> Iterable[str]:
    """Index function: the Node a Pod is bound to."""
    return (node_name(pod),) if node_name(pod) else ()


class PodGCController:
    component = 'pod-garbage-collector'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client = informers.client
        self._now = now
        self._absent_since: dict[str, datetime] = {}
        self._nodes = informers[NODES]
        self._pods = informers[PODS]
        self._pods.add_index('node', bound_node)
        self._controller = Controller('podgc', informers, self._sync)
        self._controller.watch(PODS, self._ownerless)
        self._controller.watch(NODES, self._pods_of)

    async def run(self) -> None:
        await self._controller.run()

    def _ownerless(self, pod: Object) -> Iterable[Key]:
        """Most Pods have a Node that is there: they are not even queued."""
        name = node_name(pod)
        known = self._nodes.get(('', name)) is not None if name else not is_deleting(pod)
        return () if known else (key_of(pod),)

    def _pods_of(self, node: Object) -> Iterable[Key]:
        name = node['metadata']['name']
        if self._nodes.get(('', name)) is not None:
            self._absent_since.pop(name, None)
            return ()
        return [key_of(pod) for pod in self._pods.by_index('node', name)]

    async def _sync(self, key: Key) -> None:
        pod = self._pods.get(key)
        if pod is None:
            return
        name = node_name(pod)
        if not name:
            if is_deleting(pod):
                await self._delete(pod)
        elif await self._is_gone(name):
            waited = self._now() - self._absent_since.setdefault(name, self._now())
            if waited < QUARANTINE:
                self._controller.queue.add_after(key, (QUARANTINE - waited).total_seconds())
            else:
                await self._fail(pod)
                await self._delete(pod)

    async def _is_gone(self, node: str) -> bool:
        """The cache may lag: ask before a Pod is given up."""
        if self._nodes.get(('', node)) is not None:
            return False
        try:
            await self._client.get(NODES, '', node)
        except ApiError as error:
            if error.code == 404:
                return True
            raise
        return False

    async def _fail(self, pod: Object) -> None:
        if is_terminal(pod):
            return
        message = 'PodGC: node no longer exists'
        disrupted = condition('DisruptionTarget', 'True', 'DeletionByPodGC', message, self._now())
        status = {'phase': 'Failed', 'conditions': [disrupted]}
        await self._client.patch(PODS, *key_of(pod), {'status': status}, STRATEGIC_MERGE_PATCH, 'status')

    async def _delete(self, pod: Object) -> None:
        try:
            await self._client.delete(PODS, *key_of(pod), uid=pod['metadata']['uid'], grace_period_seconds=0)
        except ApiError as error:
            if error.code != 404:
                raise
