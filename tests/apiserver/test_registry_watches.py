"""Watches in process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import CONFIGMAPS, PODS
from netkube.apiserver.registry import Registry
from netkube.client.interface import WatchEvent


def configmap(name: str, **labels: str) -> Object:
    return {'metadata': {'name': name, 'namespace': 'default', 'labels': labels}}


async def take(watch: AsyncIterator[WatchEvent], count: int) -> list[tuple[str, str]]:
    events = [await anext(watch) for _ in range(count)]
    return [(event.type, event.object['metadata']['name']) for event in events]


async def test_a_watch_from_a_list_misses_nothing(registry: Registry) -> None:
    await registry.create(CONFIGMAPS, configmap('a'))
    listed = await registry.list(CONFIGMAPS)
    await registry.create(CONFIGMAPS, configmap('b'))
    await registry.delete(CONFIGMAPS, 'default', 'a')
    watch = registry.watch(CONFIGMAPS, resource_version=listed.resource_version)
    assert await take(watch, 2) == [('ADDED', 'b'), ('DELETED', 'a')]


@pytest.mark.parametrize('version', ['', '0'])
async def test_a_watch_without_a_version_begins_with_what_there_is(registry: Registry, version: str) -> None:
    await registry.create(CONFIGMAPS, configmap('a'))
    watch = registry.watch(CONFIGMAPS, resource_version=version)
    assert await take(watch, 1) == [('ADDED', 'a')]


async def test_objects_that_enter_or_leave_the_selection_are_added_or_deleted(registry: Registry) -> None:
    version = str(registry.store.revision)
    watch = registry.watch(CONFIGMAPS, resource_version=version, label_selector='on=yes')
    await registry.create(CONFIGMAPS, configmap('a'))
    for labels in ({'on': 'yes'}, {'on': 'yes', 'x': 'y'}, {'on': 'no'}, {'on': 'yes'}):
        await registry.patch(CONFIGMAPS, 'default', 'a', {'metadata': {'labels': labels}})
    await registry.delete(CONFIGMAPS, 'default', 'a')
    events = [await anext(watch) for _ in range(5)]
    assert [event.type for event in events] == ['ADDED', 'MODIFIED', 'DELETED', 'ADDED', 'DELETED']
    changed, left = (event.object['metadata'] for event in events[1:3])
    assert left['labels']['on'] == 'yes' and int(left['resourceVersion']) > int(changed['resourceVersion'])


async def test_a_field_selector_follows_the_binding(registry: Registry) -> None:
    version = str(registry.store.revision)
    watch = registry.watch(PODS, resource_version=version, field_selector='spec.nodeName=n')
    spec = {'containers': [{'name': 'c', 'image': 'none'}]}
    await registry.create(PODS, {'metadata': {'name': 'p', 'namespace': 'default'}, 'spec': spec})
    binding = {'metadata': {'name': 'p', 'namespace': 'default'}, 'target': {'kind': 'Node', 'name': 'n'}}
    await registry.create(PODS, binding, 'binding')
    assert await take(watch, 1) == [('ADDED', 'p')]
    with pytest.raises(ApiError, match='pod p is already assigned to node "n"'):
        await registry.create(PODS, binding, 'binding')


async def test_all_watches_share_the_object(registry: Registry) -> None:
    one, other = registry.watch(CONFIGMAPS), registry.watch(CONFIGMAPS)
    await registry.create(CONFIGMAPS, configmap('a'))
    assert (await anext(one)).object is (await anext(other)).object


async def test_a_version_that_is_forgotten_is_gone(registry: Registry) -> None:
    await registry.create(CONFIGMAPS, configmap('a'))
    await registry.create(CONFIGMAPS, configmap('b'))
    registry.store.compact(registry.store.revision)
    with pytest.raises(ApiError) as caught:
        await anext(registry.watch(CONFIGMAPS, resource_version='1'))
    assert (caught.value.code, caught.value.reason) == (410, 'Expired')


async def test_an_unsupported_field_is_refused(registry: Registry) -> None:
    with pytest.raises(ApiError, match='field label not supported: spec.color'):
        await registry.list(PODS, field_selector='spec.color=red')
