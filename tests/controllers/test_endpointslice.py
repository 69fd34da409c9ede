"""EndpointSlices and Endpoints against the real API."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from workload_cluster import Cluster, pod, service

from netkube.api.errors import ApiError
from netkube.api.meta import Object, key_of
from netkube.api.resources import ENDPOINTS, ENDPOINTSLICES, PODS, SERVICES
from netkube.controllers.endpoints import EndpointsController
from netkube.controllers.endpointslice import EndpointSliceController
from netkube.testing import eventually


@pytest.fixture
async def services(cluster: Cluster) -> AsyncIterator[Cluster]:
    await cluster.start(EndpointSliceController, EndpointsController)
    yield cluster


async def the_slice(cluster: Cluster) -> Object | None:
    found = await cluster.list(ENDPOINTSLICES, 'kubernetes.io/service-name=web')
    assert len(found) <= 1
    return found[0] if found else None


async def slice_with(cluster: Cluster, *ips: str) -> Object | None:
    found = await the_slice(cluster)
    seen = sorted(each['addresses'][0] for each in (found or {}).get('endpoints') or ())
    return found if found and seen == sorted(ips) else None


async def add_pod(cluster: Cluster, name: str, ip: str, *, ready: bool = True, **spec: object) -> Object:
    created = await cluster.api.create(PODS, pod(name, **spec))
    await cluster.make_ready(created, ip, ready=ready)
    return created


async def test_a_slice_for_the_ready_pods(services: Cluster) -> None:
    wanted = service(ports=[{'name': 'http', 'port': 8080, 'targetPort': 80}])
    wanted['metadata']['labels'] = {'team': 'blue'}
    created = await services.api.create(SERVICES, wanted)
    one = await add_pod(services, 'one', '10.0.0.1', nodeName='node')
    await add_pod(services, 'two', '10.0.0.2', ready=False)
    await add_pod(services, 'other', '10.0.0.3')
    await services.api.patch(PODS, 'default', 'other', {'metadata': {'labels': {'app': 'other'}}})
    found = await eventually(lambda: slice_with(services, '10.0.0.1', '10.0.0.2'))

    metadata = found['metadata']
    assert metadata['name'].startswith('web-')
    assert metadata['labels'] == {
        'team': 'blue', 'kubernetes.io/service-name': 'web',
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
    }  # fmt: skip
    assert metadata['ownerReferences'] == [{
        'apiVersion': 'v1', 'kind': 'Service', 'name': 'web', 'uid': created['metadata']['uid'],
        'controller': True, 'blockOwnerDeletion': True,
    }]  # fmt: skip
    assert (found['addressType'], found['ports']) == ('IPv4', [{'name': 'http', 'port': 80, 'protocol': 'TCP'}])
    first = next(each for each in found['endpoints'] if each['addresses'] == ['10.0.0.1'])
    assert first == {
        'addresses': ['10.0.0.1'], 'nodeName': 'node',
        'conditions': {'ready': True, 'serving': True, 'terminating': False},
        'targetRef': {'kind': 'Pod', 'namespace': 'default', 'name': 'one', 'uid': one['metadata']['uid']},
    }  # fmt: skip


async def test_a_service_without_pods_has_an_empty_slice(services: Cluster) -> None:
    await services.api.create(SERVICES, service())
    found = await eventually(lambda: the_slice(services))
    assert not found.get('endpoints')
    await add_pod(services, 'one', '10.0.0.1')
    filled = await eventually(lambda: slice_with(services, '10.0.0.1'))
    assert filled['metadata']['name'] == found['metadata']['name']


async def test_follows_readiness_termination_and_deletion(services: Cluster) -> None:
    await services.api.create(SERVICES, service())
    one = await add_pod(services, 'one', '10.0.0.1', nodeName='node')
    await eventually(lambda: slice_with(services, '10.0.0.1'))

    async def conditions() -> dict[str, bool]:
        (endpoint,) = (await the_slice(services) or {})['endpoints']
        return endpoint['conditions']

    async def not_ready() -> bool:
        return await conditions() == {'ready': False, 'serving': False, 'terminating': False}

    async def terminating() -> bool:
        return await conditions() == {'ready': False, 'serving': True, 'terminating': True}

    await services.make_ready(one, ready=False)
    await eventually(not_ready)
    await services.make_ready(one)
    await services.api.delete(PODS, *key_of(one))
    await eventually(terminating)
    await services.api.delete(PODS, *key_of(one), grace_period_seconds=0)
    await eventually(lambda: slice_with(services))


async def test_an_unchanged_state_is_not_written_again(services: Cluster) -> None:
    await services.api.create(SERVICES, service())
    one = await add_pod(services, 'one', '10.0.0.1')
    before = await eventually(lambda: slice_with(services, '10.0.0.1'))
    await services.api.patch(PODS, *key_of(one), {'metadata': {'annotations': {'any': 'thing'}}})
    await services.api.patch(SERVICES, 'default', 'web', {'metadata': {'annotations': {'any': 'thing'}}})
    await add_pod(services, 'two', '10.0.0.2')
    after = await eventually(lambda: slice_with(services, '10.0.0.1', '10.0.0.2'))
    assert after['metadata']['generation'] == before['metadata']['generation'] + 1


async def test_hundreds_of_pods_are_a_few_slices(services: Cluster) -> None:
    for number in range(150):
        await add_pod(services, f'p{number}', f'10.0.1.{number}')
    await services.api.create(SERVICES, service())

    async def sizes() -> list[int]:
        found = await services.list(ENDPOINTSLICES)
        lengths = sorted(len(each['endpoints']) for each in found)
        return lengths if sum(lengths) == 150 else []

    assert await eventually(sizes) == [50, 100]


async def test_a_deleted_slice_comes_back_and_a_strangers_is_left(services: Cluster) -> None:
    await services.api.create(SERVICES, service())
    first = await eventually(lambda: the_slice(services))
    stranger = {'apiVersion': 'discovery.k8s.io/v1', 'kind': 'EndpointSlice', 'addressType': 'IPv4', 'endpoints': [],
                'metadata': {'name': 'mine', 'namespace': 'default'}}  # fmt: skip
    await services.api.create(ENDPOINTSLICES, stranger)
    await services.api.delete(ENDPOINTSLICES, *key_of(first))

    async def replaced() -> bool:
        found = await the_slice(services)
        return found is not None and found['metadata']['uid'] != first['metadata']['uid']

    await eventually(replaced)
    assert await services.get(ENDPOINTSLICES, 'mine')


async def test_a_service_without_selector_is_left_alone(services: Cluster) -> None:
    await services.api.create(SERVICES, service('manual', selector=None))
    await services.api.create(SERVICES, service())
    await eventually(lambda: the_slice(services))
    labels = [each['metadata']['labels']['kubernetes.io/service-name'] for each in await services.list(ENDPOINTSLICES)]
    assert labels == ['web']


async def test_headless_is_marked(services: Cluster) -> None:
    await services.api.create(SERVICES, service(clusterIP='None', ports=None))
    await add_pod(services, 'one', '10.0.0.1', hostname='db-0', subdomain='web')
    found = await eventually(lambda: slice_with(services, '10.0.0.1'))
    assert found['metadata']['labels']['service.kubernetes.io/headless'] == ''
    assert found['endpoints'][0]['hostname'] == 'db-0'
    assert not found.get('ports')


async def endpoints_with(cluster: Cluster, *ips: str) -> Object | None:
    try:
        found = await cluster.get(ENDPOINTS, 'web')
    except ApiError:
        return None
    seen = sorted(each['ip'] for subset in found.get('subsets') or () for each in subset.get('addresses') or ())
    return found if seen == sorted(ips) else None


async def test_endpoints_follow_pods_and_go_with_their_service(services: Cluster) -> None:
    await services.api.create(SERVICES, service(ports=[{'port': 80, 'targetPort': 8080}]))
    one = await add_pod(services, 'one', '10.0.0.1')
    await add_pod(services, 'two', '10.0.0.2', ready=False)
    found = await eventually(lambda: endpoints_with(services, '10.0.0.1'))
    reference = {'kind': 'Pod', 'namespace': 'default', 'name': 'one', 'uid': one['metadata']['uid']}
    (subset,) = found['subsets']
    assert subset['addresses'] == [{'ip': '10.0.0.1', 'targetRef': reference}]
    assert [each['ip'] for each in subset['notReadyAddresses']] == ['10.0.0.2']
    assert subset['ports'] == [{'port': 8080, 'protocol': 'TCP'}]
    await services.api.delete(PODS, *key_of(one), grace_period_seconds=0)
    await eventually(lambda: endpoints_with(services))
    await services.api.delete(SERVICES, 'default', 'web')

    async def gone() -> bool:
        return not await services.list(ENDPOINTS)

    await eventually(gone)
