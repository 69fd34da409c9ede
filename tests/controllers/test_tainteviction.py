"""Pods leave a Node with a NoExecute taint when they do not tolerate it (any more). The clock is the test's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from workload_cluster import Cluster, pod

from netkube.api.meta import Object
from netkube.api.resources import EVENTS, NODES, PODS
from netkube.api.taints import Taint
from netkube.controllers.tainteviction import TaintEvictionController, tolerated_for
from netkube.testing import eventually

DOWN, SLOW = Taint('down', '', 'NoExecute'), Taint('slow', 'disk', 'NoExecute')
EVER = {'operator': 'Exists'}


def tolerating(key: str, seconds: int | None = None) -> Object:
    limit = {} if seconds is None else {'tolerationSeconds': seconds}
    return {'key': key, 'operator': 'Exists', 'effect': 'NoExecute', **limit}


@pytest.mark.parametrize(
    ('taints', 'tolerations', 'seconds'),
    [
        ([DOWN], [], 0),
        ([DOWN], [tolerating('slow')], 0),
        ([DOWN], [tolerating('down')], None),
        ([DOWN], [tolerating('down', 30)], 30),
        ([DOWN], [tolerating('down', -1)], 0),
        ([DOWN, SLOW], [tolerating('down', 30), EVER], 30),
        ([DOWN, SLOW], [tolerating('down', 30), tolerating('slow', 20)], 20),
        ([DOWN, SLOW], [EVER], None),
        ([SLOW], [{'key': 'slow', 'value': 'net', 'effect': 'NoExecute'}], 0),
        ([SLOW], [{'key': 'slow', 'value': 'disk', 'effect': 'NoExecute', 'tolerationSeconds': 5}], 5),
    ],
)
def test_how_long_a_pod_may_stay(taints: list[Taint], tolerations: list[Object], seconds: int | None) -> None:
    assert tolerated_for(taints, tolerations) == (None if seconds is None else timedelta(seconds=seconds))


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def taint(cluster: Cluster, *keys: str) -> None:
    taints = [{'key': key, 'effect': 'NoExecute'} for key in keys]
    await cluster.api.patch(NODES, '', 'n', {'spec': {'taints': taints}})


async def said(cluster: Cluster, name: str, message: str) -> bool:
    found = (await cluster.api.list(EVENTS, 'default')).items
    return any(each['message'] == message for each in found if each['involvedObject']['name'] == name)


def held(name: str, *tolerations: Object) -> Object:
    """A finalizer keeps it, so that it can be looked at when it has been deleted."""
    made = pod(name, nodeName='n', tolerations=list(tolerations))
    made['metadata']['finalizers'] = ['example.com/see-it']
    return made


async def test_pods_go_at_once_or_later_or_never(cluster: Cluster) -> None:
    clock = Clock()
    await cluster.start(TaintEvictionController, now=clock)
    await cluster.api.create(NODES, {'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': 'n'}})
    for each in (held('now'), held('later', tolerating('down', 60)), held('never', tolerating('down'))):
        await cluster.api.create(PODS, each)
    await taint(cluster, 'down')

    async def is_deleted(name: str) -> bool:
        return 'deletionTimestamp' in (await cluster.get(PODS, name))['metadata']

    await eventually(lambda: is_deleted('now'))
    [disrupted] = (await cluster.get(PODS, 'now'))['status']['conditions']
    assert (disrupted['type'], disrupted['reason']) == ('DisruptionTarget', 'DeletionByTaintManager')
    await eventually(lambda: said(cluster, 'now', 'Marking for deletion Pod default/now'))
    assert not await is_deleted('later')

    clock.now += timedelta(seconds=61)
    await cluster.api.patch(PODS, 'default', 'later', {'metadata': {'labels': {'look': 'again'}}})
    await eventually(lambda: is_deleted('later'))
    assert not await is_deleted('never')


async def test_a_taint_that_goes_in_time_takes_no_pod_with_it(cluster: Cluster) -> None:
    clock = Clock()
    await cluster.start(TaintEvictionController, now=clock)
    await cluster.api.create(NODES, {'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': 'n'}})
    await cluster.api.create(PODS, held('later', tolerating('down', 60)))
    await cluster.api.create(PODS, held('first'))
    await taint(cluster, 'down')
    await eventually(lambda: said(cluster, 'first', 'Marking for deletion Pod default/first'))

    await taint(cluster)
    await eventually(lambda: said(cluster, 'later', 'Cancelling deletion of Pod default/later'))
    clock.now += timedelta(seconds=61)
    await cluster.api.patch(PODS, 'default', 'later', {'metadata': {'labels': {'look': 'again'}}})
    assert 'deletionTimestamp' not in (await cluster.get(PODS, 'later'))['metadata']
