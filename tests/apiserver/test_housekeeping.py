"""What a cluster has from the start, and what goes by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from netkube.api.meta import Object, timestamp
from netkube.api.resources import ENDPOINTSLICES, EVENTS, NAMESPACES, SERVICES
from netkube.apiserver.bootstrap import SYSTEM_NAMESPACES, ensure_kubernetes_service, ensure_namespaces
from netkube.apiserver.expiry import remove_expired
from netkube.apiserver.registry import Registry
from netkube.store.store import Store

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def event(name: str, age: timedelta) -> Object:
    return {
        'metadata': {'name': name, 'namespace': 'default'}, 'lastTimestamp': timestamp(NOW - age), 'reason': 'Because',
        'involvedObject': {'kind': 'Pod', 'namespace': 'default', 'name': 'p'}, 'type': 'Normal',
    }  # fmt: skip


async def test_events_go_after_an_hour_without_change() -> None:
    registry = Registry(Store(':memory:'), now=lambda: NOW)
    await ensure_namespaces(registry)
    await registry.create(EVENTS, event('old', timedelta(minutes=61)))
    await registry.create(EVENTS, event('young', timedelta(minutes=59)))
    await remove_expired(registry.storage)
    assert [one['metadata']['name'] for one in (await registry.list(EVENTS)).items] == ['young']


async def test_the_systems_objects_are_made_once() -> None:
    registry = Registry(Store(':memory:'))
    for _ in range(2):
        await ensure_namespaces(registry)
        await ensure_kubernetes_service(registry, '10.96.0.1', '100.64.0.2', 6443)
        revision = registry.store.revision
    assert revision == len(SYSTEM_NAMESPACES) + 4  # a Service and its IPAddress, Endpoints, an EndpointSlice
    assert {one['metadata']['name'] for one in (await registry.list(NAMESPACES)).items} == set(SYSTEM_NAMESPACES)
    assert (await registry.get(SERVICES, 'default', 'kubernetes'))['spec']['clusterIP'] == '10.96.0.1'
    await ensure_kubernetes_service(registry, '10.96.0.1', '100.64.0.3', 6443)
    (endpoint,) = (await registry.get(ENDPOINTSLICES, 'default', 'kubernetes'))['endpoints']
    assert endpoint['addresses'] == ['100.64.0.3']
