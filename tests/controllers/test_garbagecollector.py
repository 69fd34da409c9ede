"""Garbage collection against the real API: owners, dependents and the three ways to delete."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from workload_cluster import Cluster, deployment

from netkube.api.meta import Object, is_deleting, key_of
from netkube.api.resources import CONFIGMAPS, DEPLOYMENTS, NODES, PODS, REPLICASETS, SECRETS
from netkube.controllers.deployment import DeploymentController
from netkube.controllers.garbagecollector import GarbageCollector
from netkube.controllers.replicaset import ReplicaSetController
from netkube.testing import eventually


@pytest.fixture
async def collected(cluster: Cluster) -> AsyncIterator[Cluster]:
    await cluster.start(GarbageCollector)
    yield cluster


def config_map(name: str, *owners: Object, **metadata: Any) -> Object:
    references = [
        {'apiVersion': 'v1', 'kind': owner['kind'], 'name': owner['metadata']['name'], 'uid': owner['metadata']['uid'],
         'blockOwnerDeletion': True}
        for owner in owners
    ]  # fmt: skip
    body = {'name': name, 'namespace': 'default', 'ownerReferences': references, **metadata}
    return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': body}


async def add(cluster: Cluster, name: str, *owners: Object, **metadata: Any) -> Object:
    return await cluster.api.create(CONFIGMAPS, config_map(name, *owners, **metadata)) | {'kind': 'ConfigMap'}


async def names(cluster: Cluster) -> set[str]:
    return {each['metadata']['name'] for each in await cluster.list(CONFIGMAPS)}


async def left(cluster: Cluster, *expected: str) -> bool:
    return await names(cluster) == set(expected)


async def test_dependents_go_after_their_owner(collected: Cluster) -> None:
    owner = await add(collected, 'owner')
    child = await add(collected, 'child', owner)
    await add(collected, 'grandchild', child)
    await add(collected, 'stranger')
    await collected.api.delete(CONFIGMAPS, *key_of(owner), propagation_policy='Background')
    await eventually(lambda: left(collected, 'stranger'))


async def test_one_owner_left_is_enough(collected: Cluster) -> None:
    one, two = await add(collected, 'one'), await add(collected, 'two')
    await add(collected, 'child', one, two)
    await collected.api.delete(CONFIGMAPS, *key_of(one))

    async def loosened() -> bool:
        references = (await collected.get(CONFIGMAPS, 'child'))['metadata']['ownerReferences']
        return [each['uid'] for each in references] == [two['metadata']['uid']]

    await eventually(loosened)
    await collected.api.delete(CONFIGMAPS, *key_of(two))
    await eventually(lambda: left(collected))


async def test_an_owner_of_that_name_but_another_uid_is_no_owner(collected: Cluster) -> None:
    owner = await add(collected, 'owner')
    await add(collected, 'child', owner | {'metadata': owner['metadata'] | {'uid': 'another'}})
    await eventually(lambda: left(collected, 'owner'))


async def test_an_owner_of_an_unknown_kind_keeps_its_dependents(collected: Cluster) -> None:
    wanted = config_map('child')
    wanted['metadata']['ownerReferences'] = [{'apiVersion': 'example.com/v1', 'kind': 'Thing', 'name': 'x', 'uid': 'x'}]
    await collected.api.create(CONFIGMAPS, wanted)
    await add(collected, 'gone', {'kind': 'ConfigMap', 'metadata': {'name': 'x', 'uid': 'x'}})
    await eventually(lambda: left(collected, 'child'))


async def test_a_cluster_scoped_owner(collected: Cluster) -> None:
    node = await collected.api.create(NODES, {'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': 'n'}})
    await add(collected, 'child', node | {'kind': 'Node'})
    await collected.api.delete(NODES, '', 'n')
    await eventually(lambda: left(collected))


async def test_foreground_the_owner_goes_last(collected: Cluster) -> None:
    owner = await add(collected, 'owner')
    await add(collected, 'held', owner, finalizers=['example.com/hold'])
    await add(collected, 'free', owner)
    await collected.api.delete(CONFIGMAPS, *key_of(owner), propagation_policy='Foreground')
    await eventually(lambda: left(collected, 'owner', 'held'))
    waiting = await collected.get(CONFIGMAPS, 'owner')
    assert is_deleting(waiting) and waiting['metadata']['finalizers'] == ['foregroundDeletion']
    await collected.api.patch(CONFIGMAPS, 'default', 'held', {'metadata': {'finalizers': None}})
    await eventually(lambda: left(collected))


async def test_a_circle_of_owners_does_not_wait_for_ever(collected: Cluster) -> None:
    one = await add(collected, 'one')
    two = await add(collected, 'two', one)
    three = await add(collected, 'three', two)
    references = {'ownerReferences': config_map('one', three)['metadata']['ownerReferences']}
    await collected.api.patch(CONFIGMAPS, *key_of(one), {'metadata': references})
    await collected.api.delete(CONFIGMAPS, *key_of(one), propagation_policy='Foreground')
    await eventually(lambda: left(collected))


async def test_orphans_are_let_go(collected: Cluster) -> None:
    owner = await add(collected, 'owner')
    await add(collected, 'child', owner)
    await collected.api.delete(CONFIGMAPS, *key_of(owner), propagation_policy='Orphan')
    await eventually(lambda: left(collected, 'child'))
    assert not (await collected.get(CONFIGMAPS, 'child'))['metadata'].get('ownerReferences')


async def test_a_namespaced_owner_is_looked_for_in_the_same_namespace(collected: Cluster) -> None:
    owner = await add(collected, 'owner')
    secret = {'apiVersion': 'v1', 'kind': 'Secret', 'metadata': config_map('child', owner)['metadata']}
    await collected.api.create(SECRETS, secret)
    await collected.api.delete(CONFIGMAPS, *key_of(owner))

    async def gone() -> bool:
        return not await collected.list(SECRETS)

    await eventually(gone)


@pytest.mark.parametrize('policy', ['Background', 'Foreground'])
async def test_a_deployment_goes_with_all_it_made(cluster: Cluster, policy: str) -> None:
    await cluster.start(GarbageCollector, DeploymentController, ReplicaSetController)
    await cluster.api.create(DEPLOYMENTS, deployment())

    async def three_pods() -> bool:
        return len(await cluster.list(PODS)) == 3

    async def nothing() -> bool:
        return not any([await cluster.list(resource) for resource in (DEPLOYMENTS, REPLICASETS, PODS)])

    await eventually(three_pods)
    await cluster.api.delete(DEPLOYMENTS, 'default', 'web', propagation_policy=policy)
    await eventually(nothing)


async def test_replicas_of_an_orphaned_deployment_are_adopted_by_the_next(cluster: Cluster) -> None:
    await cluster.start(GarbageCollector, DeploymentController, ReplicaSetController)
    await cluster.api.create(DEPLOYMENTS, deployment())

    async def three_pods() -> list[str]:
        found = await cluster.list(PODS)
        return sorted(each['metadata']['uid'] for each in found) if len(found) == 3 else []

    before = await eventually(three_pods)
    await cluster.api.delete(DEPLOYMENTS, 'default', 'web', propagation_policy='Orphan')

    async def orphaned() -> bool:
        (only,) = await cluster.list(REPLICASETS)
        return not only['metadata'].get('ownerReferences') and not await cluster.list(DEPLOYMENTS)

    await eventually(orphaned)
    again = await cluster.api.create(DEPLOYMENTS, deployment())

    async def adopted() -> bool:
        (only,) = await cluster.list(REPLICASETS)
        references = only['metadata'].get('ownerReferences') or [{}]
        return references[0].get('uid') == again['metadata']['uid']

    await eventually(adopted)
    assert await three_pods() == before
