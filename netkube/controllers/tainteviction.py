"""NoExecute taints: Pods that do not tolerate one leave its Node, at once or after their ``tolerationSeconds``.

Source: pkg/controller/tainteviction. The time runs from when the taint is first seen here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, is_deleting, key_of, utc_now
from netkube.api.resources import NODES, PODS
from netkube.api.taints import Taint, no_execute_taints, tolerates
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.client.interface import STRATEGIC_MERGE_PATCH
from netkube.controllers.conditions import condition
from netkube.controllers.podgc import bound_node
from netkube.controllers.pods import is_terminal, node_name

REASON = 'TaintManagerEviction'
MESSAGE = 'Taint manager: deleting due to NoExecute taint'


def tolerated_for(taints: Sequence[Taint], tolerations: Iterable[Object]) -> timedelta | None:
    """How long a Pod may stay; None is for ever."""
    every = tuple(tolerations)
    used = [next((each for each in every if tolerates(each, taint)), None) for taint in taints]
    if None in used:
        return timedelta(0)
    limits = [each['tolerationSeconds'] for each in used if each and each.get('tolerationSeconds') is not None]
    return timedelta(seconds=max(0, min(limits))) if limits else None


class TaintEvictionController:
    component = 'taint-eviction-controller'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client = informers.client
        self._recorder, self._now = recorder, now
        self._since: dict[tuple[Key, str], datetime] = {}  # Pods (with uid) that will have to go
        self._nodes = informers[NODES]
        self._pods = informers[PODS]
        self._pods.add_index('node', bound_node)
        self._controller = Controller('tainteviction', informers, self._sync)
        self._controller.watch(PODS, self._tainted)
        self._controller.watch(NODES, self._pods_of)

    async def run(self) -> None:
        await self._controller.run()

    def _tainted(self, pod: Object) -> Iterable[Key]:
        """Most Pods are on a Node without such taints: they are not even queued, unless they were to go."""
        counted = (key_of(pod), pod['metadata']['uid']) in self._since
        return (key_of(pod),) if counted or self._taints_of(pod) else ()

    def _pods_of(self, node: Object) -> Iterable[Key]:
        if not no_execute_taints(node):
            return ()
        return [key_of(pod) for pod in self._pods.by_index('node', node['metadata']['name'])]

    def _taints_of(self, pod: Object) -> Sequence[Taint]:
        node = self._nodes.get(('', node_name(pod)))
        return no_execute_taints(node) if node is not None else ()

    async def _sync(self, key: Key) -> None:
        pod = self._pods.get(key)
        uid = pod['metadata']['uid'] if pod is not None else ''
        for identity in [each for each in self._since if each[0] == key and each[1] != uid]:
            del self._since[identity]
        if pod is None or is_deleting(pod):
            self._since.pop((key, uid), None)
            return
        taints = self._taints_of(pod)
        stay = tolerated_for(taints, pod['spec'].get('tolerations') or ()) if taints else None
        if stay is None:
            self._cancel(pod)
            return
        left = self._since.setdefault((key, uid), self._now()) + stay - self._now()
        if left > timedelta(0):
            self._controller.queue.add_after(key, left.total_seconds())
        else:
            await self._evict(pod)

    def _cancel(self, pod: Object) -> None:
        if self._since.pop((key_of(pod), pod['metadata']['uid']), None) is not None:
            self._recorder.event(pod, 'Normal', REASON, f'Cancelling deletion of Pod {_name(pod)}')

    async def _evict(self, pod: Object) -> None:
        self._recorder.event(pod, 'Normal', REASON, f'Marking for deletion Pod {_name(pod)}')
        try:
            if not is_terminal(pod):
                disrupted = condition('DisruptionTarget', 'True', 'DeletionByTaintManager', MESSAGE, self._now())
                patch = {'metadata': {'uid': pod['metadata']['uid']}, 'status': {'conditions': [disrupted]}}
                await self._client.patch(PODS, *key_of(pod), patch, STRATEGIC_MERGE_PATCH, 'status')
            await self._client.delete(PODS, *key_of(pod), uid=pod['metadata']['uid'])
        except ApiError as error:
            if error.code != 404:
                raise
        self._since.pop((key_of(pod), pod['metadata']['uid']), None)


def _name(pod: Object) -> str:
    return '/'.join(key_of(pod))
