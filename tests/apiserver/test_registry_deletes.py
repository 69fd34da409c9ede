"""Delete: at once, after a grace period, after the finalizers, never."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import CONFIGMAPS, NAMESPACES, PODS, REPLICASETS
from netkube.apiserver.delete import DeleteOptions, plan
from netkube.apiserver.registry import Registry

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(node: str = 'n', **metadata: Any) -> Object:
    spec = {'nodeName': node, 'terminationGracePeriodSeconds': 30}
    metadata = {'name': 'p', 'uid': 'u', 'resourceVersion': '1', **metadata}
    return {'metadata': metadata, 'spec': spec, 'status': {'phase': 'Running'}}


def test_a_running_pod_gets_its_grace_period() -> None:
    planned = plan(PODS, pod(generation=1), DeleteOptions(), NOW)
    metadata = planned.object['metadata']
    assert not planned.now and metadata['deletionTimestamp'] == '2026-01-01T12:00:30Z'
    assert (metadata['deletionGracePeriodSeconds'], metadata['generation']) == (30, 2)


def test_a_pod_without_a_node_or_that_has_ended_goes_at_once() -> None:
    assert plan(PODS, pod(node=''), DeleteOptions(), NOW).now
    ended = pod()
    ended['status']['phase'] = 'Succeeded'
    assert plan(PODS, ended, DeleteOptions(), NOW).now


def test_grace_zero_is_at_once_and_a_negative_one_is_a_second() -> None:
    assert plan(PODS, pod(), DeleteOptions(grace_period_seconds=0), NOW).now
    assert plan(PODS, pod(), DeleteOptions(-5), NOW).object['metadata']['deletionGracePeriodSeconds'] == 1


def test_a_pod_that_is_going_can_only_be_asked_to_go_sooner() -> None:
    going = {'deletionTimestamp': '2026-01-01T12:00:30Z', 'deletionGracePeriodSeconds': 30}
    sooner = plan(PODS, pod(**going), DeleteOptions(10), NOW).object['metadata']
    assert (sooner['deletionTimestamp'], sooner['deletionGracePeriodSeconds']) == ('2026-01-01T12:00:10Z', 10)
    for options in (DeleteOptions(60), DeleteOptions()):
        assert plan(PODS, pod(**going), options, NOW).object == pod(**going)
    assert plan(PODS, pod(**going), DeleteOptions(0), NOW).now


@pytest.mark.parametrize(
    ('policy', 'before', 'after'),
    [
        ('', [], []),
        ('Background', ['orphan'], []),
        ('Orphan', ['foregroundDeletion', 'mine'], ['mine', 'orphan']),
        ('Foreground', [], ['foregroundDeletion']),
        ('', ['orphan'], ['orphan']),
    ],
)
def test_the_propagation_policy_is_kept_in_finalizers(policy: str, before: list[str], after: list[str]) -> None:
    obj: Object = {'metadata': {'name': 'r', 'finalizers': before}}
    planned = plan(REPLICASETS, obj, DeleteOptions(propagation_policy=policy), NOW)
    assert planned.object['metadata'].get('finalizers', []) == after
    assert planned.now == (not after)
    assert ('deletionTimestamp' in planned.object['metadata']) == bool(after)


async def test_an_object_with_finalizers_waits_for_the_last_one(registry: Registry) -> None:
    metadata = {'name': 'c', 'namespace': 'default', 'finalizers': ['a/b']}
    await registry.create(CONFIGMAPS, {'metadata': metadata})
    going = await registry.delete(CONFIGMAPS, 'default', 'c')
    assert going['metadata']['deletionGracePeriodSeconds'] == 0
    await registry.patch(CONFIGMAPS, 'default', 'c', {'metadata': {'finalizers': None}})
    with pytest.raises(ApiError, match='configmaps "c" not found'):
        await registry.get(CONFIGMAPS, 'default', 'c')


async def test_a_bound_pod_goes_when_its_node_says_so(registry: Registry) -> None:
    spec = {'containers': [{'name': 'c', 'image': 'none'}], 'nodeName': 'n'}
    await registry.create(PODS, {'metadata': {'name': 'p', 'namespace': 'default'}, 'spec': spec})
    await registry.delete(PODS, 'default', 'p')
    assert (await registry.get(PODS, 'default', 'p'))['metadata']['deletionGracePeriodSeconds'] == 30
    await registry.delete(PODS, 'default', 'p', grace_period_seconds=0)
    assert (await registry.list(PODS)).items == []


async def test_a_namespace_goes_with_its_last_finalizer(registry: Registry) -> None:
    await registry.create(NAMESPACES, {'metadata': {'name': 'team'}})
    going = await registry.delete(NAMESPACES, '', 'team')
    assert going['status']['phase'] == 'Terminating' and going['spec']['finalizers'] == ['kubernetes']
    await registry.update(NAMESPACES, {**going, 'spec': {'finalizers': []}}, 'finalize')
    assert [one['metadata']['name'] for one in (await registry.list(NAMESPACES)).items] == ['default']


async def test_the_systems_namespaces_stay(registry: Registry) -> None:
    with pytest.raises(ApiError, match='namespaces "default" is forbidden: this namespace may not be deleted'):
        await registry.delete(NAMESPACES, '', 'default')


async def test_preconditions(registry: Registry) -> None:
    await registry.create(CONFIGMAPS, {'metadata': {'name': 'c', 'namespace': 'default'}})
    with pytest.raises(ApiError, match='UID in precondition: other'):
        await registry.delete(CONFIGMAPS, 'default', 'c', uid='other')
    with pytest.raises(ApiError, match='ResourceVersion in precondition: 1,'):
        registry.remove(CONFIGMAPS, 'default', 'c', DeleteOptions(resource_version='1'))
    assert len((await registry.list(CONFIGMAPS)).items) == 1
