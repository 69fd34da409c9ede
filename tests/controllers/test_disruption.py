"""PodDisruptionBudgets are counted, and evictions ask them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from workload_cluster import Cluster, deployment, pod

from netkube.api.errors import ApiError
from netkube.api.meta import Object, timestamp, utc_now
from netkube.api.resources import DEPLOYMENTS, EVENTS, PODDISRUPTIONBUDGETS, PODS
from netkube.controllers.deployment import DeploymentController
from netkube.controllers.disruption import DisruptionController, Health, UnknownScaleError, plan_health, still_disrupted
from netkube.controllers.replicaset import ReplicaSetController
from netkube.testing import eventually

REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."


def budget(name: str = 'b', app: str = 'web', **spec: Any) -> Object:
    return {
        'apiVersion': 'policy/v1', 'kind': 'PodDisruptionBudget', 'metadata': {'name': name, 'namespace': 'default'},
        'spec': {'selector': {'matchLabels': {'app': app}}, **spec},
    }  # fmt: skip


def ready(name: str) -> Object:
    return {'metadata': {'name': name}, 'status': {'conditions': [{'type': 'Ready', 'status': 'True'}]}}


@pytest.mark.parametrize(
    ('spec', 'health', 'allowed'),
    [
        ({'minAvailable': 2}, Health(3, 2, 3), 1),
        ({'minAvailable': 5}, Health(3, 5, 3), 0),
        ({'minAvailable': '50%'}, Health(5, 3, 3), 0),
        ({'maxUnavailable': 1}, Health(5, 4, 3), 0),
        ({'maxUnavailable': '30%'}, Health(5, 3, 3), 0),
        ({'maxUnavailable': '100%'}, Health(5, 0, 3), 3),
        ({'maxUnavailable': 7}, Health(5, 0, 3), 3),
        ({}, Health(0, 0, 3), 0),
    ],
)
def test_how_many_may_go_of_three_that_are_ready_where_five_are_wanted(
    spec: Object, health: Health, allowed: int
) -> None:
    counted = plan_health(spec, [ready('a'), ready('b'), ready('c')], lambda: 5, ())
    assert (counted, counted.allowed) == (health, allowed)


def test_one_whose_eviction_was_granted_counts_no_more() -> None:
    assert plan_health({'minAvailable': 1}, [ready('a'), ready('b')], lambda: 2, ['a']) == Health(2, 1, 1)


def test_a_granted_eviction_is_forgotten_when_it_begins_or_after_two_minutes() -> None:
    now = utc_now()
    going = {'metadata': {'name': 'going', 'deletionTimestamp': timestamp(now)}}
    before = {name: timestamp(now - timedelta(seconds=age)) for name, age in
              {'stays': 1, 'going': 1, 'gone': 1, 'old': 130}.items()}  # fmt: skip
    assert list(still_disrupted(before, [ready('stays'), going, ready('old')], now)) == ['stays']


async def evict(cluster: Cluster, name: str, **options: Any) -> None:
    eviction = {'apiVersion': 'policy/v1', 'kind': 'Eviction', 'metadata': {'name': name, 'namespace': 'default'}}
    await cluster.api.create(PODS, eviction | options, 'eviction')


async def refusal(cluster: Cluster, name: str) -> tuple[int, str, str]:
    with pytest.raises(ApiError) as raised:
        await evict(cluster, name)
    error = raised.value
    return error.code, error.message, ((error.details or {}).get('causes') or [{'message': ''}])[0]['message']


async def running(cluster: Cluster, name: str, app: str = 'web') -> Object:
    made = await cluster.api.create(PODS, pod(name, labels={'app': app}, nodeName='n'))
    await cluster.make_ready(made)
    return made


async def counted(cluster: Cluster, name: str = 'b', **wanted: Any) -> Object:
    async def status() -> Object:
        seen = (await cluster.get(PODDISRUPTIONBUDGETS, name))['status']
        assert {field: seen.get(field) for field in wanted} == wanted
        return seen

    return await eventually(status)


async def test_an_eviction_takes_what_the_budget_allows_and_no_more(cluster: Cluster) -> None:
    await cluster.start(DisruptionController)
    for name in 'abc':
        await running(cluster, name)
    await cluster.api.create(PODDISRUPTIONBUDGETS, budget(minAvailable=2))
    status = await counted(cluster, disruptionsAllowed=1, currentHealthy=3, desiredHealthy=2, expectedPods=3)
    assert status['conditions'][0]['reason'] == 'SufficientPods'
    await evict(cluster, 'a')
    gone = await cluster.get(PODS, 'a')
    (target,) = [one for one in gone['status']['conditions'] if one['type'] == 'DisruptionTarget']
    assert (target['reason'], target['message']) == ('EvictionByEvictionAPI', 'Eviction API: evicting')
    assert 'deletionTimestamp' in gone['metadata']
    status = await counted(cluster, disruptionsAllowed=0, currentHealthy=2)
    assert status['conditions'][0]['reason'] == 'InsufficientPods'
    cause = 'The disruption budget b needs 2 healthy pods and has 2 currently'
    assert await refusal(cluster, 'b') == (429, REFUSED, cause)
    assert 'deletionTimestamp' not in (await cluster.get(PODS, 'b'))['metadata']


async def test_two_evictions_at_once_do_not_share_one_disruption(cluster: Cluster) -> None:
    """The second is refused before the controller has counted anew."""
    for name in 'abc':
        await running(cluster, name)
    made = await cluster.api.create(PODDISRUPTIONBUDGETS, budget(minAvailable=2))
    status = {'observedGeneration': 1, 'disruptionsAllowed': 1, 'currentHealthy': 3, 'desiredHealthy': 2,
              'expectedPods': 3}  # fmt: skip
    await cluster.api.update(PODDISRUPTIONBUDGETS, made | {'status': status}, 'status')
    await evict(cluster, 'a')
    noted = (await cluster.get(PODDISRUPTIONBUDGETS, 'b'))['status']
    assert (noted['disruptionsAllowed'], list(noted['disruptedPods'])) == (0, ['a'])
    assert (await refusal(cluster, 'b'))[0] == 429


async def test_a_budget_that_was_not_counted_yet_is_asked_again(cluster: Cluster) -> None:
    await running(cluster, 'a')
    await cluster.api.create(PODDISRUPTIONBUDGETS, budget(minAvailable=1))
    assert await refusal(cluster, 'a') == (
        429, REFUSED, 'The disruption budget b is still being processed by the server.',
    )  # fmt: skip


async def test_what_no_budget_holds_back(cluster: Cluster) -> None:
    """A Pod that has not begun; one that is not ready, where the others are enough or always; a foreign one."""
    await cluster.start(DisruptionController)
    for name in 'ab':
        await running(cluster, name)
    await cluster.make_ready(await running(cluster, 'ill'), ready=False)
    await cluster.api.create(PODS, pod('pending', labels={'app': 'web'}))
    await running(cluster, 'other', app='db')
    await cluster.api.create(PODDISRUPTIONBUDGETS, budget(minAvailable=2))
    await counted(cluster, disruptionsAllowed=0, currentHealthy=2)
    for name in ('ill', 'pending', 'other'):
        await evict(cluster, name)
    await running(cluster, 'lame', app='db')
    await cluster.make_ready(await cluster.get(PODS, 'lame'), ready=False)
    always = budget('always', 'db', minAvailable=5, unhealthyPodEvictionPolicy='AlwaysAllow')
    await cluster.api.create(PODDISRUPTIONBUDGETS, always)
    await evict(cluster, 'lame')


async def test_a_pod_with_two_budgets_is_not_evicted(cluster: Cluster) -> None:
    await running(cluster, 'a')
    for name in ('b', 'c'):
        await cluster.api.create(PODDISRUPTIONBUDGETS, budget(name, minAvailable=0))
    assert (await refusal(cluster, 'a'))[:2] == (
        500, 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    )  # fmt: skip


async def test_maxunavailable_follows_the_deployment(cluster: Cluster) -> None:
    await cluster.start(DeploymentController, ReplicaSetController, DisruptionController)
    await cluster.api.create(DEPLOYMENTS, deployment(replicas=4))
    await cluster.api.create(PODDISRUPTIONBUDGETS, budget(maxUnavailable='25%'))
    await counted(cluster, expectedPods=4, desiredHealthy=3, disruptionsAllowed=0)
    await cluster.make_all_ready()
    await counted(cluster, currentHealthy=4, disruptionsAllowed=1)
    await cluster.api.patch(DEPLOYMENTS, 'default', 'web', {'spec': {'replicas': 8}})
    await counted(cluster, expectedPods=8, desiredHealthy=6)


async def test_maxunavailable_of_pods_without_a_controller_cannot_be_counted(cluster: Cluster) -> None:
    with pytest.raises(UnknownScaleError):
        plan_health({'maxUnavailable': 1}, [], _no_scale, ())
    await cluster.start(DisruptionController)
    await running(cluster, 'alone')
    await cluster.api.create(PODDISRUPTIONBUDGETS, budget(maxUnavailable=1))
    message = 'found no controllers for pod "alone"'
    status = await counted(cluster, disruptionsAllowed=0, observedGeneration=1)
    assert (status['conditions'][0]['reason'], status['conditions'][0]['message']) == ('SyncFailed', message)
    failed = 'CalculateExpectedPodCountFailed'
    said = await eventually(lambda: cluster.events(failed))
    assert said == [f'Failed to calculate the number of expected pods: {message}']
    assert [one['type'] for one in await cluster.list(EVENTS) if one['reason'] == failed] == ['Warning']
    why = f'The disruption budget b does not allow evicting pods currently because it failed sync: {message}'
    assert await refusal(cluster, 'alone') == (429, REFUSED, why)


def _no_scale() -> int:
    raise UnknownScaleError
