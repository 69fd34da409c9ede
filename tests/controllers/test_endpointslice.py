"""EndpointSlices and Endpoints against the real API."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from workload_cluster import Cluster, pod, service

from netkube.api.errors import ApiError
from netkube.api.meta import Object, key_of
from netkube.api.resources import ENDPOINTS, ENDPOINTSLICES, NODES, PODS, SERVICES, Resource
from netkube.controllers import endpoints, endpointslice, overcapacity
from netkube.controllers.endpoints import EndpointsController
from netkube.controllers.endpointslice import EndpointSliceController
from netkube.testing import eventually


def node(name: str = 'node', zone: str = 'zone-a') -> Object:
    metadata = {'name': name, 'labels': {'topology.kubernetes.io/zone': zone}}
    return {'apiVersion': 'v1', 'kind': 'Node', 'metadata': metadata}


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
    await services.api.create(NODES, node())
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
        'addresses': ['10.0.0.1'], 'nodeName': 'node', 'zone': 'zone-a',
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
    await services.api.create(NODES, node())
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


async def test_a_slice_for_each_family_of_the_service(services: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ['IPv6', 'IPv4']  # said here: which families a Service may have is the API server's business
    for module in (endpointslice, endpoints):
        monkeypatch.setattr(module, 'families', lambda service: tuple(wanted))
    await services.api.create(SERVICES, service())
    made = await services.api.create(PODS, pod('one'))
    ready = {'type': 'Ready', 'status': 'True'}
    ips = [{'ip': '10.0.0.1'}, {'ip': 'fd00::1'}]
    await services.set_pod(made, phase='Running', podIP='10.0.0.1', podIPs=ips, conditions=[ready])

    async def by_family(expected: dict[str, list[str]]) -> bool:
        found = await services.list(ENDPOINTSLICES, 'kubernetes.io/service-name=web')
        return expected == {
            one['addressType']: [each['addresses'][0] for each in one.get('endpoints') or ()] for one in found
        }

    await eventually(lambda: by_family({'IPv4': ['10.0.0.1'], 'IPv6': ['fd00::1']}))
    await eventually(lambda: endpoints_with(services, 'fd00::1'))
    wanted.remove('IPv4')
    await services.api.patch(SERVICES, 'default', 'web', {'metadata': {'labels': {'changed': 'yes'}}})
    await eventually(lambda: by_family({'IPv6': ['fd00::1']}))


async def test_hints_follow_the_nodes_zone(services: Cluster) -> None:
    await services.api.create(SERVICES, service(trafficDistribution='PreferSameZone'))
    await add_pod(services, 'one', '10.0.0.1', nodeName='node')
    empty = await eventually(lambda: slice_with(services))
    assert not empty.get('endpoints'), 'its Node is not there yet'

    async def zones() -> list[str]:
        found = await the_slice(services) or {}
        (endpoint,) = found.get('endpoints') or ({},)
        hints = [each['name'] for each in endpoint.get('hints', {}).get('forZones') or ()]
        return [endpoint.get('zone', ''), *hints]

    async def in_zone(name: str) -> bool:
        return await zones() == [name, name]

    await services.api.create(NODES, node())
    await eventually(lambda: in_zone('zone-a'))
    label = {'metadata': {'labels': {'topology.kubernetes.io/zone': 'zone-b'}}}
    await services.api.patch(NODES, '', 'node', label)
    await eventually(lambda: in_zone('zone-b'))
    await services.api.patch(SERVICES, 'default', 'web', {'spec': {'trafficDistribution': None}})

    async def without_hints() -> bool:
        return await zones() == ['zone-b']

    await eventually(without_hints)


async def test_topology_mode_is_refused_in_an_event(services: Cluster) -> None:
    asked = service()
    asked['metadata']['annotations'] = {'service.kubernetes.io/topology-mode': 'Auto'}
    await services.api.create(SERVICES, asked)
    (text,) = await eventually(lambda: services.events('TopologyAwareHintsDisabled'))
    assert text.startswith('service.kubernetes.io/topology-mode is not honoured')


class Writes:
    """Counts what is written to EndpointSlices: what is created, updated and deleted."""

    def __init__(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts = Counter[str]()
        for verb in ('create', 'update', 'delete'):
            monkeypatch.setattr(cluster.api, verb, self._counted(verb, getattr(cluster.api, verb)))

    def seen(self) -> tuple[int, int, int]:
        return self.counts['create'], self.counts['update'], self.counts['delete']

    def _counted(self, verb: str, call: Callable[..., Awaitable[Object]]) -> Callable[..., Awaitable[Object]]:
        async def counted(resource: Resource, *arguments: object, **options: object) -> Object:
            self.counts[verb] += resource == ENDPOINTSLICES
            return await call(resource, *arguments, **options)

        return counted


async def test_a_change_is_one_write(services: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three slices: one endpoint more, one less, one that is no longer ready."""
    for number in range(250):
        await add_pod(services, f'p{number}', f'10.0.1.{number}')
    await services.api.create(SERVICES, service())

    async def counted(ready: int, total: int) -> bool:
        found = [each for one in await services.list(ENDPOINTSLICES) for each in one.get('endpoints') or ()]
        return (sum(each['conditions']['ready'] for each in found), len(found)) == (ready, total)

    await eventually(lambda: counted(250, 250))
    writes = Writes(services, monkeypatch)
    await add_pod(services, 'more', '10.0.2.1', ready=True)
    await eventually(lambda: counted(251, 251))
    assert writes.seen() == (0, 1, 0)
    await services.make_ready(await services.get(PODS, 'p7'), '10.0.1.7', ready=False)
    await eventually(lambda: counted(250, 251))
    assert writes.seen() == (0, 2, 0)
    await services.api.delete(PODS, 'default', 'p8', grace_period_seconds=0)
    await eventually(lambda: counted(249, 250))
    assert writes.seen() == (0, 3, 0)


async def test_a_write_says_what_it_follows(services: Cluster) -> None:
    created = await services.api.create(SERVICES, service())
    first = await eventually(lambda: the_slice(services))
    trigger = 'endpoints.kubernetes.io/last-change-trigger-time'
    assert first['metadata']['annotations'] == {trigger: created['metadata']['creationTimestamp']}
    one = await services.api.create(PODS, pod('one'))
    at = '2099-01-01T00:00:00Z'
    ready = {'type': 'Ready', 'status': 'True', 'lastTransitionTime': at}
    await services.set_pod(one, phase='Running', podIP='10.0.0.1', podIPs=[{'ip': '10.0.0.1'}], conditions=[ready])
    found = await eventually(lambda: slice_with(services, '10.0.0.1'))
    assert found['metadata']['annotations'] == {trigger: at}
    older = await eventually(lambda: endpoints_with(services, '10.0.0.1'))
    assert older['metadata']['annotations'] == {trigger: at}


async def test_endpoints_over_capacity_are_marked(services: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overcapacity, 'MAX_ADDRESSES', 1)
    await services.api.create(SERVICES, service())
    await add_pod(services, 'one', '10.0.0.1')
    await add_pod(services, 'two', '10.0.0.2')
    mark = 'endpoints.kubernetes.io/over-capacity'

    async def marked(value: str | None) -> bool:
        found = await services.get(ENDPOINTS, 'web')
        return (found['metadata'].get('annotations') or {}).get(mark) == value

    await eventually(lambda: endpoints_with(services, '10.0.0.1'))
    await eventually(lambda: marked('truncated'))
    await services.api.delete(PODS, 'default', 'two', grace_period_seconds=0)
    await eventually(lambda: marked(None))


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
