"""PodDisruptionBudgets: how many of the Pods that one selects are healthy, and how many may be evicted now.

The eviction subresource counts down ``disruptionsAllowed`` and notes the Pod in ``disruptedPods``; this controller
counts anew. Source: pkg/controller/disruption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from netkube.api.meta import Key, Object, controller_of, is_deleting, key_of, parse_timestamp, utc_now
from netkube.api.resources import (
    DEPLOYMENTS,
    PODDISRUPTIONBUDGETS,
    PODS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    STATEFULSETS,
)
from netkube.api.selectors import from_label_selector
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.controllers.conditions import condition, find_condition, with_condition
from netkube.controllers.pods import is_ready
from netkube.controllers.rollout import scaled_value

DISRUPTION_ALLOWED = 'DisruptionAllowed'
EVICTION_SECONDS = 120  # an evicted Pod that still lives then counts again
OWNERS = {one.kind: one for one in (DEPLOYMENTS, REPLICASETS, REPLICATIONCONTROLLERS, STATEFULSETS)}


class UnknownScaleError(Exception):
    """A Pod of the budget has no controller that says how many there are to be."""


class Health(msgspec.Struct, frozen=True):
    expected: int
    desired: int
    healthy: int

    @property
    def allowed(self) -> int:
        return max(self.healthy - self.desired, 0) if self.expected else 0


def plan_health(spec: Object, pods: Sequence[Object], scale: Callable[[], int], disrupted: Iterable[str]) -> Health:
    """``scale`` sums the replicas of the Pods' controllers; a number in minAvailable needs no controller."""
    gone = frozenset(disrupted)
    healthy = sum(is_ready(pod) and not is_deleting(pod) and pod['metadata']['name'] not in gone for pod in pods)
    if spec.get('maxUnavailable') is not None:
        expected = scale()
        most = scaled_value(spec['maxUnavailable'], expected, round_up=True)
        return Health(expected, max(expected - most, 0), healthy)
    least = spec.get('minAvailable')
    if isinstance(least, str):
        expected = scale()
        return Health(expected, scaled_value(least, expected, round_up=True), healthy)
    return Health(len(pods), least or 0, healthy) if least is not None else Health(0, 0, healthy)


def still_disrupted(before: Mapping[str, str], pods: Iterable[Object], now: datetime) -> dict[str, str]:
    """The Pods whose eviction was granted and has not begun yet."""
    names = {pod['metadata']['name'] for pod in pods if not is_deleting(pod)}
    oldest = now - timedelta(seconds=EVICTION_SECONDS)
    return {name: at for name, at in before.items() if name in names and parse_timestamp(at) > oldest}


class DisruptionController:
    component = 'controllermanager'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client, self._recorder, self._now = informers.client, recorder, now
        self._pods, self._budgets = informers[PODS], informers[PODDISRUPTIONBUDGETS]
        self._owners = {kind: informers[resource] for kind, resource in OWNERS.items()}
        self._controller = Controller('disruption', informers, self._sync)
        self._controller.watch(PODDISRUPTIONBUDGETS)
        self._controller.watch(PODS, self._budgets_of)
        for resource in OWNERS.values():
            self._controller.watch(resource, self._budgets_beside)

    async def run(self) -> None:
        await self._controller.run()

    def _budgets_beside(self, obj: Object) -> Iterable[Key]:
        return map(key_of, self._budgets.list(obj['metadata']['namespace']))

    def _budgets_of(self, pod: Object) -> Iterable[Key]:
        labels = pod['metadata'].get('labels') or {}
        beside = self._budgets.list(pod['metadata']['namespace'])
        return [key_of(one) for one in beside if from_label_selector(one['spec'].get('selector')).matches(labels)]

    async def _sync(self, key: Key) -> None:
        budget = self._budgets.get(key)
        if budget is None:
            return
        selector = from_label_selector(budget['spec'].get('selector'))
        pods = [pod for pod in self._pods.list(key[0]) if selector.matches(pod['metadata'].get('labels') or {})]
        before = budget.get('status') or {}
        disrupted = still_disrupted(before.get('disruptedPods') or {}, pods, self._now())
        if disrupted:
            self._controller.queue.add_after(key, EVICTION_SECONDS)
        try:
            health = plan_health(budget['spec'], pods, lambda: self._scale(pods), disrupted)
        except UnknownScaleError as error:
            self._recorder.event(budget, 'Warning', 'CalculateExpectedPodCountFailed',
                                 f'Failed to calculate the number of expected pods: {error}')  # fmt: skip
            await self._write(budget, {**before, 'disruptionsAllowed': 0}, 'SyncFailed', str(error))
            return
        status = {
            'disruptionsAllowed': health.allowed, 'currentHealthy': health.healthy, 'desiredHealthy': health.desired,
            'expectedPods': health.expected, **({'disruptedPods': disrupted} if disrupted else {}),
        }  # fmt: skip
        await self._write(budget, status, 'SufficientPods' if health.allowed else 'InsufficientPods', '')

    def _scale(self, pods: Iterable[Object]) -> int:
        """The replicas of all controllers of these Pods, each once."""
        return sum(dict(self._controller_scale(pod) for pod in pods).values())

    def _controller_scale(self, pod: Object) -> tuple[str, int]:
        """The uid and the replicas of a Pod's controller: of its Deployment, where a ReplicaSet belongs to one."""
        owner, reference = pod, controller_of(pod)
        while reference is not None and reference['kind'] in self._owners:
            found = self._owners[reference['kind']].get((pod['metadata']['namespace'], reference['name']))
            if found is None or found['metadata']['uid'] != reference['uid']:
                break
            owner, reference = found, controller_of(found)
        if owner is pod:
            raise UnknownScaleError(f'found no controllers for pod "{pod["metadata"]["name"]}"')
        return owner['metadata']['uid'], owner['spec'].get('replicas', 1)

    async def _write(self, budget: Object, status: Object, reason: str, message: str) -> None:
        before = budget.get('status') or {}
        allowed = condition(DISRUPTION_ALLOWED, str(reason == 'SufficientPods'), reason, message, self._now())
        generation = budget['metadata'].get('generation', 1)
        if find_condition(before.get('conditions'), DISRUPTION_ALLOWED) is None or reason == 'SyncFailed':
            conditions: Sequence[Object] = [allowed | {'observedGeneration': generation}]
        else:
            conditions = with_condition(before['conditions'], allowed | {'observedGeneration': generation})
        status = {**status, 'observedGeneration': generation, 'conditions': list(conditions)}
        if status != before:
            await self._client.update(PODDISRUPTIONBUDGETS, {**budget, 'status': status}, 'status')
