"""ReplicaSet: as many Pods of the template as ``spec.replicas`` says. Source: pkg/controller/replicaset."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from netkube.api.errors import ApiError
from netkube.api.meta import (
    Key,
    Object,
    controller_of,
    copy_object,
    is_deleting,
    key_of,
    owner_reference,
    utc_now,
)
from netkube.api.resources import PODS, REPLICASETS
from netkube.api.selectors import Selector, from_label_selector
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.controllers.conditions import condition, find_condition, with_condition, without_condition
from netkube.controllers.expectations import Expectations
from netkube.controllers.namespace import namespace_is_terminating
from netkube.controllers.ownership import Claimer
from netkube.controllers.pace import Pace
from netkube.controllers.pods import (
    available_in,
    controller_uid,
    is_active,
    is_ready,
    is_terminating,
    orphan_namespace,
)
from netkube.controllers.scaledown import pods_to_delete

BURST = 500  # Pods created or deleted in one sync
REST_SECONDS = 0.0002  # for each Pod that was looked at

T = TypeVar('T')


class PodCounts(msgspec.Struct, frozen=True):
    """What the status says about the Pods that a ReplicaSet owns."""

    replicas: int = 0
    fully_labeled: int = 0
    ready: int = 0
    available: int = 0
    terminating: int = 0
    next_available_in: float | None = None  # seconds until a ready Pod becomes available


def count_pods(replica_set: Object, active: Sequence[Object], terminating: int, now: datetime) -> PodCounts:
    spec = replica_set['spec']
    template_labels = ((spec['template'].get('metadata') or {}).get('labels') or {}).items()
    labeled = len([pod for pod in active if template_labels <= (pod['metadata'].get('labels') or {}).items()])
    min_ready, ready = spec.get('minReadySeconds', 0), [pod for pod in active if is_ready(pod)]
    waits = [available_in(pod, min_ready, now) for pod in ready] if min_ready else [0] * len(ready)
    next_available_in = min((seconds for seconds in waits if seconds), default=None)
    return PodCounts(len(active), labeled, len(waits), waits.count(0), terminating, next_available_in)


def plan_status(replica_set: Object, counts: PodCounts, failure: Object | None) -> Object:
    """The next status; ``failure`` is the ReplicaFailure condition of this sync, None if it went well."""
    conditions = tuple(replica_set.get('status', {}).get('conditions') or ())
    if failure is None:
        conditions = without_condition(conditions, 'ReplicaFailure')
    elif find_condition(conditions, 'ReplicaFailure') is None:
        conditions = with_condition(conditions, failure)
    numbers = {
        'fullyLabeledReplicas': counts.fully_labeled,
        'readyReplicas': counts.ready,
        'availableReplicas': counts.available,
        'observedGeneration': replica_set['metadata'].get('generation', 0),
    }
    status: Object = {'replicas': counts.replicas, 'terminatingReplicas': counts.terminating}
    status |= {name: number for name, number in numbers.items() if number}
    return status | ({'conditions': list(conditions)} if conditions else {})


def pod_from_template(replica_set: Object) -> Object:
    """The Pod to create: the template's metadata and spec, owned by the ReplicaSet."""
    template = copy_object(replica_set['spec']['template'])
    metadata: Object = {
        'namespace': replica_set['metadata']['namespace'],
        'generateName': replica_set['metadata']['name'] + '-',
        'ownerReferences': [owner_reference(REPLICASETS.api_version, REPLICASETS.kind, replica_set)],
    }
    for field in ('labels', 'annotations', 'finalizers'):
        value = (template.get('metadata') or {}).get(field)
        if value:
            metadata[field] = value
    return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': metadata, 'spec': template['spec']}


async def slow_start(count: int, act: Callable[[], Awaitable[T]]) -> ApiError | None:
    """Do it ``count`` times at once, in batches of 1, 2, 4, ...; stop after a batch with a failure, and give that."""
    batch = 1
    while count > 0:
        results = await asyncio.gather(*(act() for _ in range(min(batch, count))), return_exceptions=True)
        failed = first_failure(results)
        if failed is not None:
            return failed
        count -= len(results)
        batch *= 2
    return None


def first_failure(results: Sequence[object]) -> ApiError | None:
    """The first ApiError among gathered results; any other exception is raised."""
    failures = [result for result in results if isinstance(result, BaseException)]
    for failure in failures:
        if not isinstance(failure, ApiError):
            raise failure
    return failures[0] if failures else None  # type: ignore[return-value]


class ReplicaSetController:
    component = 'replicaset-controller'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client = informers.client
        self._recorder = recorder
        self._now = now
        self._replica_sets = informers[REPLICASETS]
        self._replica_sets.add_index('controller-uid', controller_uid)
        self._pods = informers[PODS]
        self._pods.add_index('controller-uid', controller_uid)
        self._pods.add_index('orphan-namespace', orphan_namespace)
        self._claimer = Claimer(self._client, REPLICASETS, PODS)
        self._expectations = Expectations(self._pods)
        self._pace = Pace(REST_SECONDS)
        self._controller = Controller('replicaset', informers, self._sync, workers=5)
        self._controller.watch(REPLICASETS)
        self._controller.watch(PODS, self._owners)

    async def run(self) -> None:
        await self._controller.run()

    def _owners(self, pod: Object) -> Iterable[Key]:
        """The ReplicaSet of a Pod; those that may adopt it when it has none."""
        reference = controller_of(pod)
        namespace = pod['metadata']['namespace']
        if reference is not None:
            return ((namespace, reference['name']),) if reference['kind'] == REPLICASETS.kind else ()
        labels = pod['metadata'].get('labels')
        candidates = self._replica_sets.list(namespace) if labels else ()
        return [key_of(owner) for owner in candidates if from_label_selector(owner['spec']['selector']).matches(labels)]

    async def _sync(self, key: Key) -> None:
        replica_set = self._replica_sets.get(key)
        if replica_set is None:
            self._expectations.forget(key)
            return
        if rest := self._pace.rests(key):
            self._controller.queue.add_after(key, rest)
            return
        selector = from_label_selector(replica_set['spec']['selector'])
        pods = self._expectations.without_deleted(key, self._candidates(replica_set))
        active = await self._claimer.claim(replica_set, selector, filter(is_active, pods))
        terminating = len([pod for pod in pods if is_terminating(pod) and _owned(replica_set, selector, pod)])
        error, failure = None, None
        if not is_deleting(replica_set) and self._expectations.satisfied(key):
            error, failure = await self._replicate(key, replica_set, active)
        counts = count_pods(replica_set, active, terminating, self._now())
        await self._write_status(replica_set, plan_status(replica_set, counts, failure))
        if counts.next_available_in:
            self._controller.queue.add_after(key, counts.next_available_in)
        if error is not None:
            raise error
        self._pace.worked(key, len(pods))

    def _candidates(self, replica_set: Object) -> list[Object]:
        namespace = replica_set['metadata']['namespace']
        return [
            *self._pods.by_index('controller-uid', replica_set['metadata']['uid']),
            *self._pods.by_index('orphan-namespace', namespace),
        ]

    async def _replicate(
        self, key: Key, replica_set: Object, active: Sequence[Object]
    ) -> tuple[ApiError | None, Object | None]:
        """Create or delete the difference; what went wrong, as an error and as a ReplicaFailure condition."""
        missing = replica_set['spec'].get('replicas', 1) - len(active)
        reason = 'FailedCreate' if missing > 0 else 'FailedDelete'
        if missing > 0:
            error = await slow_start(min(missing, BURST), lambda: self._create(key, replica_set))
        else:
            error = await self._delete_pods(key, replica_set, active, min(-missing, BURST))
        if error is None:
            return None, None
        return error, condition('ReplicaFailure', 'True', reason, error.message, self._now())

    async def _create(self, key: Key, replica_set: Object) -> None:
        try:
            pod = await self._client.create(PODS, pod_from_template(replica_set))
        except ApiError as error:
            if namespace_is_terminating(error):
                return
            self._recorder.event(replica_set, 'Warning', 'FailedCreate', f'Error creating: {error.message}')
            raise
        self._expectations.wrote(key, pod)
        self._recorder.event(replica_set, 'Normal', 'SuccessfulCreate', f'Created pod: {pod["metadata"]["name"]}')

    async def _delete_pods(
        self, key: Key, replica_set: Object, active: Sequence[Object], count: int
    ) -> ApiError | None:
        going = pods_to_delete(active, self._related(replica_set), count, self._now()) if count else []
        return first_failure(
            await asyncio.gather(*(self._delete(key, replica_set, pod) for pod in going), return_exceptions=True)
        )

    def _related(self, replica_set: Object) -> list[Object]:
        """The Pods of all ReplicaSets that have the same owner, this one's included."""
        reference = controller_of(replica_set)
        siblings = self._replica_sets.by_index('controller-uid', reference['uid']) if reference else [replica_set]
        uids = [sibling['metadata']['uid'] for sibling in siblings]
        return [pod for uid in uids for pod in self._pods.by_index('controller-uid', uid)]

    async def _delete(self, key: Key, replica_set: Object, pod: Object) -> None:
        name, uid = pod['metadata']['name'], pod['metadata']['uid']
        try:
            await self._client.delete(PODS, key[0], name, uid=uid)
        except ApiError as error:
            if error.code == 404:
                self._expectations.deleted(key, uid)
                return
            self._recorder.event(replica_set, 'Warning', 'FailedDelete', f'Error deleting: {error.message}')
            raise
        self._expectations.deleted(key, uid)
        self._recorder.event(replica_set, 'Normal', 'SuccessfulDelete', f'Deleted pod: {name}')

    async def _write_status(self, replica_set: Object, status: Object) -> None:
        if status != replica_set.get('status'):
            await self._client.update(REPLICASETS, replica_set | {'status': status}, 'status')


def _owned(replica_set: Object, selector: Selector, pod: Object) -> bool:
    reference = controller_of(pod)
    return (
        reference is not None
        and reference['uid'] == replica_set['metadata']['uid']
        and selector.matches(pod['metadata'].get('labels'))
    )
