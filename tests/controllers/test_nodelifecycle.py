"""Nodes that fall silent, and the Pods of Nodes that go. The clock is the test's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from workload_cluster import Cluster, pod

from netkube.api.meta import Object, micro_timestamp
from netkube.api.resources import LEASES, NAMESPACES, NODES, PODS, Resource
from netkube.controllers.nodelifecycle import NodeLifecycleController, plan_taints, plan_unknown
from netkube.controllers.podgc import PodGCController
from netkube.testing import eventually

START = datetime(2026, 1, 1, tzinfo=UTC)
STAMP = '2026-01-01T00:00:00Z'


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def node(ready: str = '', *, unschedulable: bool = False, taints: list[Object] | None = None) -> Object:
    conditions = [{'type': 'Ready', 'status': ready}] if ready else []
    return {
        'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': 'n', 'creationTimestamp': STAMP},
        'spec': {'unschedulable': unschedulable, 'taints': taints or []}, 'status': {'conditions': conditions},
    }  # fmt: skip


def taint(name: str, effect: str = 'NoSchedule', at: str = STAMP) -> Object:
    return {'key': f'node.kubernetes.io/{name}', 'effect': effect, 'timeAdded': at}


FOREIGN = {'key': 'gpu', 'effect': 'NoSchedule'}
EARLIER = taint('not-ready', at='2025-01-01T00:00:00Z')


@pytest.mark.parametrize(
    ('of', 'expected'),
    [
        (node(), []),
        (node('True'), []),
        (node('False'), [taint('not-ready'), taint('not-ready', 'NoExecute')]),
        (node('Unknown'), [taint('unreachable'), taint('unreachable', 'NoExecute')]),
        (node('True', unschedulable=True), [taint('unschedulable')]),
        (node('True', taints=[FOREIGN, taint('not-ready')]), [FOREIGN]),
        (node('False', taints=[EARLIER]), [EARLIER, taint('not-ready', 'NoExecute')]),
        (node(taints=[taint('not-ready')]), [taint('not-ready')]),
    ],
)
def test_taints_follow_the_conditions(of: Object, expected: list[Object]) -> None:
    assert plan_taints(of, START) == expected


def test_a_silent_node_is_unknown() -> None:
    found = {each['type']: (each['status'], each['reason']) for each in plan_unknown(node('True'), START)}
    assert found['Ready'] == ('Unknown', 'NodeStatusUnknown')
    assert found['MemoryPressure'] == ('Unknown', 'NodeStatusNeverUpdated')


async def add_node(cluster: Cluster) -> None:
    await cluster.api.create(NODES, {'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': 'n'}})
    status = {'conditions': [{'type': 'Ready', 'status': 'True', 'reason': 'KubeletReady'}]}
    await cluster.api.patch(NODES, '', 'n', {'status': status}, subresource='status')


async def pass_time(cluster: Cluster, clock: Clock, resource: Resource, name: str) -> None:
    """Time, and an event that has a controller look again, but no sign of life."""
    clock.now += timedelta(seconds=10)
    namespace = 'default' if resource.namespaced else ''
    seen = {'metadata': {'annotations': {'seen': clock.now.isoformat()}}}
    await cluster.api.patch(resource, namespace, name, seen)


async def taint_keys(cluster: Cluster) -> set[str]:
    return {each['key'] for each in (await cluster.api.get(NODES, '', 'n'))['spec'].get('taints') or ()}


async def test_a_node_without_heartbeat_becomes_unreachable_and_comes_back(cluster: Cluster) -> None:
    clock = Clock()
    await cluster.start(NodeLifecycleController, now=clock)
    await add_node(cluster)
    namespace = {'apiVersion': 'v1', 'kind': 'Namespace', 'metadata': {'name': 'kube-node-lease'}}
    await cluster.api.create(NAMESPACES, namespace)
    lease = {
        'apiVersion': 'coordination.k8s.io/v1', 'kind': 'Lease',
        'metadata': {'name': 'n', 'namespace': 'kube-node-lease'}, 'spec': {'renewTime': micro_timestamp(START)},
    }  # fmt: skip
    await cluster.api.create(LEASES, lease)
    created = await cluster.api.create(PODS, pod('p', nodeName='n'))
    await cluster.make_ready(created)

    async def unreachable() -> bool:
        await pass_time(cluster, clock, NODES, 'n')
        return 'node.kubernetes.io/unreachable' in await taint_keys(cluster)

    async def pod_not_ready() -> bool:
        conditions = (await cluster.get(PODS, 'p'))['status']['conditions']
        return [each['status'] for each in conditions if each['type'] == 'Ready'] == ['False']

    async def clean() -> bool:
        return not await taint_keys(cluster)

    await eventually(clean)
    await eventually(unreachable)
    await eventually(pod_not_ready)
    status = {'conditions': [{'type': 'Ready', 'status': 'True', 'reason': 'KubeletReady'}]}
    renewal = {'spec': {'renewTime': micro_timestamp(clock.now)}}
    await cluster.api.patch(LEASES, 'kube-node-lease', 'n', renewal)
    await cluster.api.patch(NODES, '', 'n', {'status': status}, subresource='status')
    await eventually(clean)


async def test_pods_of_a_node_that_has_gone_are_failed_and_deleted(cluster: Cluster) -> None:
    clock = Clock()
    await cluster.start(PodGCController, now=clock)
    await add_node(cluster)
    await cluster.api.create(PODS, pod('stays', nodeName='n'))
    lost = pod('lost', nodeName='gone')
    lost['metadata']['finalizers'] = ['example.com/see-it']
    await cluster.api.create(PODS, lost)

    async def failed() -> bool:
        await pass_time(cluster, clock, PODS, 'lost')
        return (await cluster.get(PODS, 'lost'))['status'].get('phase') == 'Failed'

    await eventually(failed)
    assert (await cluster.get(PODS, 'stays'))['status'].get('phase') == 'Pending'
