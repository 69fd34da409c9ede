"""The scheduler against the real API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from netkube.api.meta import Object
from netkube.api.resources import EVENTS, NODES, PODS
from netkube.apiserver.registry import Registry
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.scheduler.scheduler import Scheduler
from netkube.testing import eventually, memory_api


@pytest.fixture
async def api() -> AsyncIterator[Registry]:
    async with memory_api() as registry:
        informers, recorder = Informers(registry), EventRecorder(registry, 'default-scheduler')
        bodies = (informers, recorder, Scheduler(informers, recorder))
        tasks = [asyncio.create_task(body.run()) for body in bodies]
        yield registry
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended


async def add_node(api: Registry, name: str = 'one', **allocatable: str) -> Object:
    await api.create(NODES, {'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': name}})
    status = {
        'allocatable': {'cpu': '2', 'memory': '4Gi', 'pods': '1000', **allocatable},
        'conditions': [{'type': 'Ready', 'status': 'True', 'reason': 'KubeletReady'}],
    }  # fmt: skip
    return await api.patch(NODES, '', name, {'status': status}, subresource='status')


async def add_pod(api: Registry, name: str = 'p', cpu: str = '0', labels: dict | None = None, **spec: Any) -> None:
    container = {'name': 'main', 'image': 'none', 'resources': {'requests': {'cpu': cpu}}}
    metadata = {'name': name, 'namespace': 'default', 'labels': labels or {}}
    body = {'containers': [container], **spec}
    await api.create(PODS, {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': metadata, 'spec': body})


async def node_of(api: Registry, name: str = 'p') -> str:
    return (await api.get(PODS, 'default', name))['spec'].get('nodeName', '')


async def scheduled(api: Registry, name: str = 'p') -> Object | None:
    """Its PodScheduled condition."""
    conditions = (await api.get(PODS, 'default', name))['status'].get('conditions') or ()
    return next((each for each in conditions if each['type'] == 'PodScheduled'), None)


async def events(api: Registry, reason: str) -> list[str]:
    return [each['message'] for each in (await api.list(EVENTS, 'default')).items if each['reason'] == reason]


async def test_binds_to_a_ready_node(api: Registry) -> None:
    await add_node(api)
    await add_pod(api)
    assert await eventually(lambda: node_of(api)) == 'one'
    assert (await scheduled(api) or {})['status'] == 'True'
    assert await eventually(lambda: events(api, 'Scheduled')) == ['Successfully assigned default/p to one']


async def test_says_why_it_cannot_and_binds_when_it_can(api: Registry) -> None:
    await add_pod(api)
    condition = await eventually(lambda: scheduled(api))
    assert (condition['status'], condition['reason']) == ('False', 'Unschedulable')
    assert condition['message'] == 'no nodes available to schedule pods'
    assert await eventually(lambda: events(api, 'FailedScheduling')) == ['no nodes available to schedule pods']
    await add_node(api)
    assert await eventually(lambda: node_of(api)) == 'one'


async def test_a_pod_that_goes_makes_room(api: Registry) -> None:
    await add_node(api)
    await add_pod(api, 'first', cpu='1500m')
    await eventually(lambda: node_of(api, 'first'))
    await add_pod(api, 'second', cpu='1')

    async def insufficient() -> bool:
        return 'Insufficient cpu' in (await scheduled(api, 'second') or {}).get('message', '')

    await eventually(insufficient)
    await api.delete(PODS, 'default', 'first', grace_period_seconds=0)
    assert await eventually(lambda: node_of(api, 'second')) == 'one'


async def test_never_promises_more_than_there_is(api: Registry) -> None:
    await add_node(api, 'one')
    await add_node(api, 'two')
    for number in range(6):
        await add_pod(api, f'p{number}', cpu='1')

    async def four_and_two() -> bool:
        nodes = [await node_of(api, f'p{number}') for number in range(6)]
        return sorted(nodes) == ['', '', 'one', 'one', 'two', 'two']

    await eventually(four_and_two)
    waiting = [name for name in (f'p{number}' for number in range(6)) if not await node_of(api, name)]

    async def refused() -> bool:
        found = [await scheduled(api, name) or {} for name in waiting]
        return all('0/2 nodes are available: 2 Insufficient cpu' in each.get('message', '') for each in found)

    await eventually(refused)


async def test_gated_and_foreign_pods_wait(api: Registry) -> None:
    await add_pod(api, 'gated', schedulingGates=[{'name': 'example.com/wait'}])
    await add_pod(api, 'foreign', schedulerName='other')
    await add_node(api)
    await add_pod(api, 'ours')
    await eventually(lambda: node_of(api, 'ours'))
    assert await node_of(api, 'gated') == await node_of(api, 'foreign') == ''
    condition = await eventually(lambda: scheduled(api, 'gated'))
    assert (condition['reason'], condition['message']) == (
        'SchedulingGated', 'Scheduling is blocked due to non-empty scheduling gates',
    )  # fmt: skip
    await api.patch(PODS, 'default', 'gated', {'spec': {'schedulingGates': None}})
    assert await eventually(lambda: node_of(api, 'gated')) == 'one'


async def test_binds_hundreds_of_pods(api: Registry) -> None:
    await add_node(api)
    for number in range(300):
        await add_pod(api, f'p{number}')

    async def all_bound() -> bool:
        return all(pod['spec'].get('nodeName') for pod in (await api.list(PODS, 'default')).items)

    await eventually(all_bound)


def apart() -> Object:
    term = {'labelSelector': {'matchLabels': {'app': 'db'}}, 'topologyKey': 'kubernetes.io/hostname'}
    return {'podAntiAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': [term]}}


async def test_replicas_that_want_to_be_apart_are(api: Registry) -> None:
    for name in ('one', 'two'):
        await add_node(api, name)
        await api.patch(NODES, '', name, {'metadata': {'labels': {'kubernetes.io/hostname': name}}})
    for name in ('a', 'b', 'c'):
        await add_pod(api, name, labels={'app': 'db'}, affinity=apart())

    async def placed() -> bool:
        nodes = sorted([await node_of(api, name) for name in ('a', 'b', 'c')])
        messages = [(await scheduled(api, name) or {}).get('message', '') for name in ('a', 'b', 'c')]
        return nodes == ['', 'one', 'two'] and any(
            "2 node(s) didn't match pod anti-affinity rules" in m for m in messages
        )

    await eventually(placed)
