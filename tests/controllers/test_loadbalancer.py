"""A Service of type LoadBalancer has an address at once, keeps it, and gives it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest

from netkube.api.meta import Object
from netkube.api.resources import EVENTS, SERVICES
from netkube.apiserver.registry import Registry
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.controllers.loadbalancer import LoadBalancerController, Pool, Refusal
from netkube.testing import eventually, memory_api


@asynccontextmanager
async def running(api: Registry, cidrs: Iterable[str] = ('10.244.224.0/20',)) -> AsyncIterator[None]:
    informers, recorder = Informers(api), EventRecorder(api, LoadBalancerController.component)
    controller = LoadBalancerController(informers, recorder, map(ip_network, cidrs))

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            for component in (informers, recorder, controller):
                tasks.create_task(component.run())

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def api() -> AsyncIterator[Registry]:
    async with memory_api() as api, running(api):
        yield api


async def create(api: Registry, name: str, **spec: object) -> None:
    manifest = {
        'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'namespace': 'default', 'name': name},
        'spec': {'type': 'LoadBalancer', 'ports': [{'port': 80}], **spec},
    }  # fmt: skip
    await api.create(SERVICES, manifest)


async def change(api: Registry, name: str, **spec: object) -> None:
    service = await api.get(SERVICES, 'default', name)
    await api.update(SERVICES, {**service, 'spec': {**service['spec'], **spec}})


async def ingress(api: Registry, name: str) -> list[Object]:
    return (await api.get(SERVICES, 'default', name))['status']['loadBalancer'].get('ingress', [])


async def address(api: Registry, name: str) -> str:
    """The address it has, as soon as it has one."""
    entries = await eventually(lambda: ingress(api, name))
    return entries[0]['ip']


async def has(api: Registry, name: str, *addresses: str) -> bool:
    return [entry['ip'] for entry in await ingress(api, name)] == list(addresses)


async def reasons(api: Registry, name: str) -> list[str]:
    events = (await api.list(EVENTS)).items
    return [event['reason'] for event in events if event['involvedObject']['name'] == name]


async def test_a_load_balancer_has_an_address_and_says_so(api: Registry) -> None:
    await create(api, 'web')
    await address(api, 'web')
    assert await ingress(api, 'web') == [{'ip': '10.244.224.1', 'ipMode': 'VIP'}]

    async def reported() -> bool:
        return await reasons(api, 'web') == ['EnsuringLoadBalancer', 'EnsuredLoadBalancer']

    await eventually(reported)
    await create(api, 'other')
    assert await address(api, 'other') == '10.244.224.2'


async def test_a_wish_is_honoured_and_may_change(api: Registry) -> None:
    await create(api, 'web', loadBalancerIP='10.244.230.7')
    assert await address(api, 'web') == '10.244.230.7'
    await change(api, 'web', loadBalancerIP='10.244.230.8')
    await eventually(lambda: has(api, 'web', '10.244.230.8'))


@pytest.mark.parametrize(
    ('wish', 'why'),
    [
        ('192.0.2.1', 'spec.loadBalancerIP 192.0.2.1 is not in the range 10.244.224.0/20'),
        ('10.244.224.1', 'spec.loadBalancerIP 10.244.224.1 is that of Service default/first'),
    ],
)
async def test_a_wish_that_cannot_be_met_is_said_and_the_service_stays_pending(
    api: Registry, wish: str, why: str
) -> None:
    await create(api, 'first')
    await address(api, 'first')
    await create(api, 'web', loadBalancerIP=wish)

    await eventually(lambda: reasons(api, 'web'))
    (event,) = [e for e in (await api.list(EVENTS)).items if e['involvedObject']['name'] == 'web']
    assert (event['type'], event['reason']) == ('Warning', 'SyncLoadBalancerFailed')
    assert event['message'] == f'Error syncing load balancer: failed to ensure load balancer: {why}'
    assert await ingress(api, 'web') == []


async def test_a_service_that_is_no_longer_a_load_balancer_gives_its_address_back(api: Registry) -> None:
    await create(api, 'web')
    await address(api, 'web')
    await create(api, 'second', loadBalancerIP='10.244.224.1')  # waits for it
    await change(api, 'web', type='ClusterIP')

    await eventually(lambda: has(api, 'web'))
    assert await address(api, 'second') == '10.244.224.1'
    await api.delete(SERVICES, 'default', 'second')
    await create(api, 'third')
    assert await address(api, 'third') == '10.244.224.1'


async def test_only_its_own_class_is_served(api: Registry) -> None:
    await create(api, 'other', loadBalancerClass='example.org/balancer')
    await create(api, 'ours', loadBalancerClass='netkube')
    assert await address(api, 'ours') == '10.244.224.1'
    assert await ingress(api, 'other') == []


async def test_an_address_of_another_class_is_left_alone(api: Registry) -> None:
    await create(api, 'other', loadBalancerClass='example.org/balancer')
    service = await api.get(SERVICES, 'default', 'other')
    status = {'loadBalancer': {'ingress': [{'ip': '192.0.2.1'}]}}
    await api.update(SERVICES, {**service, 'status': status}, 'status')
    await create(api, 'ours')
    await address(api, 'ours')
    assert await has(api, 'other', '192.0.2.1')


async def test_a_new_controller_knows_who_has_what() -> None:
    async with memory_api() as api:
        async with running(api):
            await create(api, 'a')
            await create(api, 'b')
            before = [await address(api, name) for name in 'ab']
            await api.delete(SERVICES, 'default', 'a')
        async with running(api):
            await create(api, 'c')
            await create(api, 'd')
            after = [await address(api, name) for name in 'bcd']
        assert before == ['10.244.224.1', '10.244.224.2']
        assert after == ['10.244.224.2', '10.244.224.1', '10.244.224.3']


async def test_a_full_range_leaves_a_service_pending_until_one_is_free() -> None:
    async with memory_api() as api, running(api, ['10.244.224.0/30']):
        for name in ('a', 'b'):
            await create(api, name)
            await address(api, name)
        await create(api, 'c')
        await eventually(lambda: reasons(api, 'c'))
        assert await ingress(api, 'c') == []

        await api.delete(SERVICES, 'default', 'b')
        assert await address(api, 'c') == '10.244.224.2'


def test_one_address_of_each_family_in_the_services_order() -> None:
    pool = Pool({'IPv4': ip_network('10.1.0.0/24'), 'IPv6': ip_network('fd00::/64')})
    assert pool.assign(('n', 'a'), ['IPv6', 'IPv4'], '', []) == ('fd00::1', '10.1.0.1')
    assert pool.assign(('n', 'b'), ['IPv6', 'IPv4'], '10.1.0.9', []) == ('fd00::2', '10.1.0.9')
    assert pool.assign(('n', 'a'), ['IPv4'], '', ['fd00::1', '10.1.0.1']) == ('10.1.0.1',)
    assert pool.assign(('n', 'c'), ['IPv6'], '', []) == ('fd00::1',)
    with pytest.raises(Refusal):
        pool.assign(('n', 'd'), ['IPv5'], '', [])
