"""Endpoints written by hand, mirrored into EndpointSlices, against the real API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from workload_cluster import Cluster, service

from netkube.api.meta import Object
from netkube.api.resources import ENDPOINTS, ENDPOINTSLICES, SERVICES
from netkube.controllers.endpoints import EndpointsController
from netkube.controllers.endpointslice import EndpointSliceController
from netkube.controllers.endpointslicemirroring import (
    EndpointSliceMirroringController,
    count_skipped,
    is_mirrored,
    plan_mirror,
)
from netkube.testing import eventually

HTTP = {'name': 'http', 'port': 80, 'protocol': 'TCP'}
DNS = {'name': 'dns', 'port': 53, 'protocol': 'UDP'}
WITHOUT_SELECTOR: Object = {'metadata': {}, 'spec': {}}


@pytest.fixture
async def mirrored(cluster: Cluster) -> AsyncIterator[Cluster]:
    await cluster.start(EndpointSliceController, EndpointsController, EndpointSliceMirroringController)
    by_hand = service()
    del by_hand['spec']['selector']
    await cluster.api.create(SERVICES, by_hand)
    yield cluster


def endpoints(*subsets: Object, **metadata: Any) -> Object:
    metadata = {'name': 'web', 'namespace': 'default', 'uid': 'u', **metadata}
    return {'apiVersion': 'v1', 'kind': 'Endpoints', 'metadata': metadata, 'subsets': list(subsets)}


def subset(*ips: str, ports: tuple[Object, ...] = (HTTP,), **more: Any) -> Object:
    return {'addresses': [{'ip': ip} for ip in ips], 'ports': list(ports), **more}


async def slices_with(cluster: Cluster, *ips: str) -> list[Object]:
    """All slices of the Service, once these are their addresses."""
    found = await cluster.list(ENDPOINTSLICES, 'kubernetes.io/service-name=web')
    seen = sorted(each['addresses'][0] for one in found for each in one.get('endpoints') or ())
    return found if found and seen == sorted(ips) else []


async def gone(cluster: Cluster) -> bool:
    return not await cluster.list(ENDPOINTSLICES, 'kubernetes.io/service-name=web')


async def test_created_changed_and_deleted(mirrored: Cluster) -> None:
    created = await mirrored.api.create(ENDPOINTS, endpoints(subset('10.1.2.3'), labels={'team': 'blue'}))
    (found,) = await eventually(lambda: slices_with(mirrored, '10.1.2.3'))
    assert found['metadata']['labels'] == {
        'team': 'blue', 'kubernetes.io/service-name': 'web',
        'endpointslice.kubernetes.io/managed-by': 'endpointslicemirroring-controller.k8s.io',
    }  # fmt: skip
    assert found['metadata']['ownerReferences'][0]['uid'] == created['metadata']['uid']
    assert (found['addressType'], found['ports']) == ('IPv4', [HTTP])
    assert found['endpoints'] == [{'addresses': ['10.1.2.3'], 'conditions': {'ready': True}}]

    changed = {'subsets': [subset('10.2.3.4', '10.2.3.5')]}
    await mirrored.api.patch(ENDPOINTS, 'default', 'web', changed)
    (after,) = await eventually(lambda: slices_with(mirrored, '10.2.3.4', '10.2.3.5'))
    assert after['metadata']['name'] == found['metadata']['name']
    await mirrored.api.delete(ENDPOINTS, 'default', 'web')
    await eventually(lambda: gone(mirrored))


async def test_not_for_a_service_that_gets_a_selector(mirrored: Cluster) -> None:
    await mirrored.api.create(ENDPOINTS, endpoints(subset('10.1.2.3')))
    await eventually(lambda: slices_with(mirrored, '10.1.2.3'))
    await mirrored.api.patch(SERVICES, 'default', 'web', {'spec': {'selector': {'app': 'web'}}})

    async def only_its_own() -> bool:
        found = await mirrored.list(ENDPOINTSLICES, 'kubernetes.io/service-name=web')
        label = 'endpointslice.kubernetes.io/managed-by'
        return [each['metadata']['labels'][label] for each in found] == ['endpointslice-controller.k8s.io']

    await eventually(only_its_own)


def test_a_slice_for_each_family_and_set_of_ports():
    target = {'kind': 'Pod', 'namespace': 'default', 'name': 'p', 'uid': 'p'}
    full = {'ip': '10.0.0.2', 'hostname': 'h', 'nodeName': 'n', 'targetRef': target}
    wanted = endpoints(
        subset('10.0.0.1', notReadyAddresses=[full]), subset('fd00::1'), subset('10.0.0.3', ports=(DNS,)), subset()
    )
    plan = plan_mirror(wanted, ())
    shapes = [(each['addressType'], each['ports'], len(each['endpoints'])) for each in plan.create]
    assert shapes == [('IPv4', [HTTP], 2), ('IPv6', [HTTP], 1), ('IPv4', [DNS], 1)]
    assert plan.create[0]['endpoints'][1] == {
        'addresses': ['10.0.0.2'], 'conditions': {'ready': False}, 'hostname': 'h', 'nodeName': 'n',
        'targetRef': target,
    }  # fmt: skip
    existing = [each | {'metadata': {**each['metadata'], 'name': str(n)}} for n, each in enumerate(plan.create)]
    again = plan_mirror(endpoints(subset('fd00::1')), existing)
    assert (again.create, again.update) == ((), ())
    assert [each['metadata']['name'] for each in again.delete] == ['0', '2']


@pytest.mark.parametrize(
    'metadata, of, expected',
    [
        ({}, WITHOUT_SELECTOR, True),
        ({}, None, False),
        ({}, {'metadata': {}, 'spec': {'selector': {'a': 'b'}}}, False),
        ({'labels': {'endpointslice.kubernetes.io/skip-mirror': 'true'}}, WITHOUT_SELECTOR, False),
        ({'annotations': {'control-plane.alpha.kubernetes.io/leader': '{}'}}, WITHOUT_SELECTOR, False),
    ],
)
def test_what_is_mirrored(metadata, of, expected):
    assert is_mirrored(endpoints(**metadata), of) is expected


def test_an_address_counts_once_and_what_is_too_many_is_counted():
    wanted = endpoints(subset(notReadyAddresses=[{'ip': '10.0.0.1'}]), subset('10.0.0.1'))
    (only,) = plan_mirror(wanted, ()).create
    assert only['endpoints'] == [{'addresses': ['10.0.0.1'], 'conditions': {'ready': True}}]
    crowd = endpoints(subset(*(f'10.1.{number // 250}.{number % 250}' for number in range(1003))))
    (full,) = plan_mirror(crowd, ()).create
    assert (len(full['endpoints']), count_skipped(crowd)) == (1000, 3)


async def test_too_many_addresses_are_said_in_an_event(mirrored: Cluster) -> None:
    crowd = endpoints(subset(*(f'10.1.{number // 250}.{number % 250}' for number in range(1003))))
    await mirrored.api.create(ENDPOINTS, crowd)
    (text,) = await eventually(lambda: mirrored.events('TooManyAddressesToMirror'))
    assert text.endswith('3 addresses were skipped')


def test_annotations_are_mirrored_but_not_those_of_kubectl_and_of_controllers():
    wanted = endpoints(subset('10.0.0.1'), annotations={
        'mine': 'yes', 'kubectl.kubernetes.io/last-applied-configuration': '{}',
        'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:00Z',
    })  # fmt: skip
    (only,) = plan_mirror(wanted, ()).create
    assert only['metadata']['annotations'] == {'mine': 'yes'}
