"""ReplicaSet against the real API: as many Pods as wanted, whatever happens to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from workload_cluster import Cluster, pod, replica_set

from netkube.api.meta import key_of
from netkube.api.resources import PODS, REPLICASETS
from netkube.controllers.replicaset import REST_SECONDS, ReplicaSetController
from netkube.testing import eventually


@pytest.fixture
async def replicas(cluster: Cluster) -> AsyncIterator[Cluster]:
    await cluster.start(ReplicaSetController)
    yield cluster


async def has_pods(cluster: Cluster, count: int) -> bool:
    return len(await cluster.list(PODS)) == count


async def status(cluster: Cluster) -> dict:
    return (await cluster.get(REPLICASETS, 'web'))['status']


async def test_creates_owned_pods_of_the_template(replicas: Cluster) -> None:
    created = await replicas.api.create(REPLICASETS, replica_set())
    await eventually(lambda: has_pods(replicas, 3))
    for each in await replicas.list(PODS):
        assert each['metadata']['name'].startswith('web-')
        assert each['metadata']['labels'] == {'app': 'web'}
        assert each['metadata']['ownerReferences'] == [{
            'apiVersion': 'apps/v1', 'kind': 'ReplicaSet', 'name': 'web', 'uid': created['metadata']['uid'],
            'controller': True, 'blockOwnerDeletion': True,
        }]  # fmt: skip
    messages = await eventually(lambda: _three(replicas, 'SuccessfulCreate'))
    assert sorted(messages) == sorted(f'Created pod: {each["metadata"]["name"]}' for each in await replicas.list(PODS))


async def _three(cluster: Cluster, reason: str) -> list[str]:
    messages = await cluster.events(reason)
    return messages if len(messages) == 3 else []


async def test_status_counts_ready_pods(replicas: Cluster) -> None:
    await replicas.api.create(REPLICASETS, replica_set())
    await eventually(lambda: has_pods(replicas, 3))
    await replicas.make_ready((await replicas.list(PODS))[0])

    async def one_ready() -> bool:
        return (await status(replicas)).get('readyReplicas') == 1

    await eventually(one_ready)
    assert await status(replicas) == {
        'replicas': 3, 'fullyLabeledReplicas': 3, 'readyReplicas': 1, 'availableReplicas': 1,
        'terminatingReplicas': 0, 'observedGeneration': 1,
    }  # fmt: skip


async def test_replaces_a_deleted_and_a_failed_pod(replicas: Cluster) -> None:
    await replicas.api.create(REPLICASETS, replica_set(replicas=2))
    await eventually(lambda: has_pods(replicas, 2))
    first, second = await replicas.list(PODS)
    await replicas.api.delete(PODS, *key_of(first))
    await replicas.set_pod(second, phase='Failed')

    async def replaced() -> bool:
        names = {each['metadata']['name'] for each in await replicas.list(PODS)}
        return len(names) == 3 and second['metadata']['name'] in names and first['metadata']['name'] not in names

    await eventually(replaced)


async def test_scales_to_many_and_back_without_a_pod_too_many(replicas: Cluster) -> None:
    await replicas.api.create(REPLICASETS, replica_set(replicas=100))
    await eventually(lambda: has_pods(replicas, 100))
    created = await eventually(lambda: _count_events(replicas, 'SuccessfulCreate', 100))
    assert created == 100
    await replicas.api.patch(REPLICASETS, 'default', 'web', {'spec': {'replicas': 40}})
    await eventually(lambda: has_pods(replicas, 40))
    assert await eventually(lambda: _count_events(replicas, 'SuccessfulDelete', 60)) == 60

    async def settled() -> bool:
        return (await status(replicas))['replicas'] == 40

    await eventually(settled)
    assert len(await replicas.events('SuccessfulCreate')) == 100


async def _count_events(cluster: Cluster, reason: str, count: int) -> int:
    found = len(await cluster.events(reason))
    return found if found >= count else 0


async def test_adopts_what_its_selector_matches(replicas: Cluster) -> None:
    await replicas.api.create(PODS, pod('orphan'))
    created = await replicas.api.create(REPLICASETS, replica_set(replicas=1))

    async def adopted() -> bool:
        references = (await replicas.get(PODS, 'orphan'))['metadata'].get('ownerReferences') or []
        return [reference['uid'] for reference in references] == [created['metadata']['uid']]

    await eventually(adopted)
    assert await has_pods(replicas, 1)


async def test_releases_a_relabelled_pod_and_replaces_it(replicas: Cluster) -> None:
    await replicas.api.create(REPLICASETS, replica_set(replicas=1))
    await eventually(lambda: has_pods(replicas, 1))
    (first,) = await replicas.list(PODS)
    await replicas.api.patch(PODS, *key_of(first), {'metadata': {'labels': {'app': 'debug'}}})
    await eventually(lambda: has_pods(replicas, 2))

    async def released() -> bool:
        return not (await replicas.get(PODS, first['metadata']['name']))['metadata'].get('ownerReferences')

    await eventually(released)


async def test_says_why_it_cannot_create(replicas: Cluster) -> None:
    wanted = replica_set(replicas=1)
    wanted['spec']['template']['spec']['serviceAccountName'] = 'nobody'
    await replicas.api.create(REPLICASETS, wanted)

    async def failed() -> list:
        return (await status(replicas)).get('conditions')

    (condition,) = await eventually(failed)
    assert (condition['type'], condition['status'], condition['reason']) == ('ReplicaFailure', 'True', 'FailedCreate')
    assert 'serviceaccount "nobody" not found' in condition['message']
    assert any('Error creating: ' in message for message in await eventually(lambda: replicas.events('FailedCreate')))


async def test_terminating_pods_are_counted_apart(replicas: Cluster) -> None:
    wanted = replica_set(replicas=1)
    wanted['spec']['template']['spec']['nodeName'] = 'node'
    await replicas.api.create(REPLICASETS, wanted)
    await eventually(lambda: has_pods(replicas, 1))
    (first,) = await replicas.list(PODS)
    await replicas.api.delete(PODS, *key_of(first))

    async def counted() -> bool:
        seen = await status(replicas)
        return (seen['replicas'], seen['terminatingReplicas']) == (1, 1)

    await eventually(counted)
    assert await has_pods(replicas, 2)


async def test_pods_that_become_ready_one_by_one_are_counted_in_batches(replicas: Cluster) -> None:
    await replicas.api.create(REPLICASETS, replica_set(replicas=100))
    await eventually(lambda: has_pods(replicas, 100))
    watch = replicas.api.store.watch('replicasets.apps/', replicas.api.store.revision)
    began = time.monotonic()
    for each in await replicas.list(PODS):
        await replicas.make_ready(each)
        for _ in range(5):
            await asyncio.sleep(0)  # the controllers have their turn

    async def all_available() -> bool:
        return (await status(replicas)).get('availableReplicas') == 100

    await eventually(all_available)
    rests = (time.monotonic() - began) / (100 * REST_SECONDS)
    assert len(watch.pending()) <= rests + 3  # on a slow machine there is time for more of them
