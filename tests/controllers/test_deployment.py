"""Deployment and ReplicaSet against the real API: rollouts as a user sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from workload_cluster import Cluster, deployment, replica_set

from netkube.api.meta import Object, key_of
from netkube.api.resources import DEPLOYMENTS, PODS, REPLICASETS
from netkube.controllers.deployment import DeploymentController
from netkube.controllers.replicaset import ReplicaSetController
from netkube.testing import eventually


@pytest.fixture
async def rollouts(cluster: Cluster) -> AsyncIterator[Cluster]:
    await cluster.start(DeploymentController, ReplicaSetController)
    yield cluster


async def current(cluster: Cluster) -> Object:
    return await cluster.get(DEPLOYMENTS, 'web')


def conditions(obj: Object) -> dict[str, tuple[str, str, str]]:
    found = obj['status'].get('conditions') or []
    return {each['type']: (each['status'], each['reason'], each['message']) for each in found}


async def complete(cluster: Cluster) -> Object | None:
    """Plays the kubelet; the Deployment once its rollout is complete."""
    await cluster.make_all_ready()
    obj = await current(cluster)
    status, replicas = obj['status'], obj['spec']['replicas']
    numbers = [status.get(name, 0) for name in ('replicas', 'updatedReplicas', 'availableReplicas')]
    observed = status.get('observedGeneration') == obj['metadata']['generation']
    done = conditions(obj).get('Progressing', ('', '', ''))[1] == 'NewReplicaSetAvailable'
    return obj if numbers == [replicas] * 3 and observed and done else None


async def roll_out(cluster: Cluster, **options: Any) -> Object:
    await cluster.api.create(DEPLOYMENTS, deployment(**options))
    return await eventually(lambda: complete(cluster))


async def set_image(cluster: Cluster, image: str) -> None:
    containers = [{'op': 'replace', 'path': '/spec/template/spec/containers/0/image', 'value': image}]
    await cluster.api.patch(DEPLOYMENTS, 'default', 'web', containers, 'application/json-patch+json')


async def test_becomes_available(rollouts: Cluster) -> None:
    obj = await roll_out(rollouts)
    (only,) = await rollouts.list(REPLICASETS)
    name, hash = only['metadata']['name'], only['metadata']['labels']['pod-template-hash']
    assert name == f'web-{hash}'
    assert set(hash) <= set('bcdfghjklmnpqrstvwxz2456789')
    assert only['spec']['selector'] == {'matchLabels': {'app': 'web', 'pod-template-hash': hash}}
    assert only['metadata']['annotations'] == {
        'deployment.kubernetes.io/revision': '1',
        'deployment.kubernetes.io/desired-replicas': '3',
        'deployment.kubernetes.io/max-replicas': '4',
    }
    assert obj['metadata']['annotations'] == {'deployment.kubernetes.io/revision': '1'}
    assert {key: value for key, value in obj['status'].items() if key != 'conditions'} == {
        'observedGeneration': 1, 'replicas': 3, 'updatedReplicas': 3, 'readyReplicas': 3, 'availableReplicas': 3,
        'terminatingReplicas': 0,
    }  # fmt: skip
    assert conditions(obj) == {
        'Available': ('True', 'MinimumReplicasAvailable', 'Deployment has minimum availability.'),
        'Progressing': ('True', 'NewReplicaSetAvailable', f'ReplicaSet "{name}" has successfully progressed.'),
    }
    assert await rollouts.events('ScalingReplicaSet') == [f'Scaled up replica set {name} from 0 to 3']


async def test_says_that_it_is_not_available_yet(rollouts: Cluster) -> None:
    await rollouts.api.create(DEPLOYMENTS, deployment())

    async def unavailable() -> Object | None:
        obj = await current(rollouts)
        return obj if obj['status'].get('unavailableReplicas') == 3 else None

    obj = await eventually(unavailable)
    assert conditions(obj)['Available'] == (
        'False', 'MinimumReplicasUnavailable', 'Deployment does not have minimum availability.',
    )  # fmt: skip
    assert conditions(obj)['Progressing'][0] == 'True'


async def test_a_new_template_rolls_out_within_surge_and_unavailable(rollouts: Cluster) -> None:
    await roll_out(rollouts, replicas=4)
    await set_image(rollouts, 'two')
    await eventually(lambda: two_replica_sets(rollouts))
    seen_total, seen_available = [], []

    async def step() -> Object | None:
        pods = [pod for pod in await rollouts.list(PODS) if 'deletionTimestamp' not in pod['metadata']]
        seen_total.append(len(pods))
        seen_available.append(sum(pod['status'].get('phase') == 'Running' for pod in pods))
        return await complete(rollouts)

    obj = await eventually(step)
    assert max(seen_total) <= 5
    assert min(seen_available) >= 3
    old, new = sorted(await rollouts.list(REPLICASETS), key=lambda each: each['spec']['replicas'])
    assert (old['spec']['replicas'], new['spec']['replicas']) == (0, 4)
    assert obj['metadata']['annotations']['deployment.kubernetes.io/revision'] == '2'
    assert {pod['spec']['containers'][0]['image'] for pod in await rollouts.list(PODS)} == {'two'}


async def two_replica_sets(cluster: Cluster) -> bool:
    return len(await cluster.list(REPLICASETS)) == 2


async def test_going_back_takes_the_old_replica_set_as_a_new_revision(rollouts: Cluster) -> None:
    await roll_out(rollouts)
    (first,) = await rollouts.list(REPLICASETS)
    for image in ('two', 'one'):
        await set_image(rollouts, image)
        await eventually(lambda: complete(rollouts))
    back = await rollouts.get(REPLICASETS, first['metadata']['name'])
    assert back['spec']['replicas'] == 3
    assert back['metadata']['annotations']['deployment.kubernetes.io/revision'] == '3'
    assert back['metadata']['annotations']['deployment.kubernetes.io/revision-history'] == '1'
    assert len(await rollouts.list(REPLICASETS)) == 2


async def test_scales_without_a_rollout(rollouts: Cluster) -> None:
    await roll_out(rollouts)
    (only,) = await rollouts.list(REPLICASETS)
    name = only['metadata']['name']
    for replicas in (5, 1):
        await rollouts.api.patch(DEPLOYMENTS, 'default', 'web', {'spec': {'replicas': replicas}})
        await eventually(lambda: complete(rollouts))
    expected = [f'Scaled {how} replica set {name} from {a} to {b}' for how, a, b in
                (('up', 0, 3), ('up', 3, 5), ('down', 5, 1))]  # fmt: skip
    assert await rollouts.events('ScalingReplicaSet') == expected
    (only,) = await rollouts.list(REPLICASETS)
    assert only['metadata']['annotations']['deployment.kubernetes.io/desired-replicas'] == '1'


async def test_recreate_has_no_two_revisions_at_once(rollouts: Cluster) -> None:
    wanted = deployment(strategy={'type': 'Recreate'})
    wanted['spec']['template']['spec']['nodeName'] = 'node'  # so that Pods take their time to go
    await rollouts.api.create(DEPLOYMENTS, wanted)
    await eventually(lambda: complete(rollouts))
    await set_image(rollouts, 'two')

    async def all_terminating() -> list[Object]:
        pods = await rollouts.list(PODS)
        return pods if all('deletionTimestamp' in pod['metadata'] for pod in pods) else []

    for each in await eventually(all_terminating):
        assert len(await rollouts.list(REPLICASETS)) == 1
        await rollouts.api.delete(PODS, *key_of(each), grace_period_seconds=0)
    await eventually(lambda: complete(rollouts))
    assert {pod['spec']['containers'][0]['image'] for pod in await rollouts.list(PODS)} == {'two'}


async def test_paused_scales_but_does_not_roll(rollouts: Cluster) -> None:
    await roll_out(rollouts)
    await rollouts.api.patch(DEPLOYMENTS, 'default', 'web', {'spec': {'paused': True, 'replicas': 2}})
    await set_image(rollouts, 'two')

    async def resized() -> bool:
        obj = await current(rollouts)
        return obj['status']['replicas'] == 2 and obj['status']['observedGeneration'] == obj['metadata']['generation']

    await eventually(resized)
    assert conditions(await current(rollouts))['Progressing'] == ('Unknown', 'DeploymentPaused', 'Deployment is paused')
    assert len(await rollouts.list(REPLICASETS)) == 1
    await rollouts.api.patch(DEPLOYMENTS, 'default', 'web', {'spec': {'paused': False}})
    await eventually(lambda: complete(rollouts))
    assert len(await rollouts.list(REPLICASETS)) == 2


async def test_keeps_as_many_old_replica_sets_as_asked(rollouts: Cluster) -> None:
    await roll_out(rollouts, replicas=1, revisionHistoryLimit=1)
    for image in ('two', 'three', 'four'):
        await set_image(rollouts, image)
        await eventually(lambda: complete(rollouts))

    async def revisions() -> bool:
        found = [each['metadata']['annotations']['deployment.kubernetes.io/revision']
                 for each in await rollouts.list(REPLICASETS)]  # fmt: skip
        return sorted(found) == ['3', '4']

    await eventually(revisions)


async def test_calls_a_rollout_stuck_after_its_deadline(rollouts: Cluster) -> None:
    await rollouts.api.create(DEPLOYMENTS, deployment(progressDeadlineSeconds=1))

    async def stuck() -> bool:
        return conditions(await current(rollouts)).get('Progressing', ('', '', ''))[1] == 'ProgressDeadlineExceeded'

    await eventually(stuck)
    (only,) = await rollouts.list(REPLICASETS)
    message = f'ReplicaSet "{only["metadata"]["name"]}" has timed out progressing.'
    assert conditions(await current(rollouts))['Progressing'] == ('False', 'ProgressDeadlineExceeded', message)


async def test_tells_what_its_replica_set_cannot_create(rollouts: Cluster) -> None:
    wanted = deployment(replicas=1)
    wanted['spec']['template']['spec']['serviceAccountName'] = 'nobody'
    await rollouts.api.create(DEPLOYMENTS, wanted)

    async def failed() -> tuple[str, str, str] | None:
        return conditions(await current(rollouts)).get('ReplicaFailure')

    status, reason, message = await eventually(failed)
    assert (status, reason) == ('True', 'FailedCreate')
    assert 'serviceaccount "nobody" not found' in message


async def test_a_hash_that_is_taken_is_counted_and_avoided(rollouts: Cluster) -> None:
    from netkube.controllers.template import template_hash

    name = await _name_of_first_replica_set(rollouts)
    await rollouts.api.delete(DEPLOYMENTS, 'default', 'web')
    await rollouts.api.delete(REPLICASETS, 'default', name)
    taken = replica_set(name, replicas=0)
    taken['spec']['selector'] = taken['spec']['template']['metadata'] = {}
    taken['spec']['selector'] = {'matchLabels': {'app': 'other'}}
    taken['spec']['template']['metadata'] = {'labels': {'app': 'other'}}
    await rollouts.api.create(REPLICASETS, taken)
    obj = await roll_out(rollouts, replicas=1)
    assert obj['status']['collisionCount'] == 1
    assert f'web-{template_hash(obj["spec"]["template"], 1)}' in [
        each['metadata']['name'] for each in await rollouts.list(REPLICASETS)
    ]


async def _name_of_first_replica_set(cluster: Cluster) -> str:
    await roll_out(cluster, replicas=1)
    (only,) = await cluster.list(REPLICASETS)
    return only['metadata']['name']
