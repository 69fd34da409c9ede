"""ServiceCIDRs and IPAddresses: the pool of ClusterIPs as objects."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from netkube.api.errors import ApiError
from netkube.api.resources import IPADDRESSES, SERVICECIDRS, SERVICES
from netkube.apiserver.bootstrap import ensure_service_cidr
from netkube.apiserver.registry import Registry
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.controllers.servicecidrs import FINALIZER, IN_USE_MESSAGE, READY_MESSAGE, ServiceCIDRController
from netkube.testing import eventually, memory_api

SMALL, MORE = '10.96.0.0/30', '10.97.0.0/28'


def service(name, **spec):
    return {'metadata': {'name': name, 'namespace': 'default'}, 'spec': {'ports': [{'port': 80}], **spec}}


def service_cidr(name, *cidrs):
    return {'metadata': {'name': name}, 'spec': {'cidrs': list(cidrs)}}


def ip_address(name, /, **parent):
    return {'metadata': {'name': name}, 'spec': {'parentRef': parent}}


@pytest.fixture
async def api():
    async with memory_api('10.96.0.0/16,fd00:10:96::/112') as registry:
        yield registry


async def addresses(api):
    return {one['metadata']['name']: one for one in (await api.list(IPADDRESSES)).items}


async def test_each_cluster_ip_is_an_ip_address(api):
    made = await api.create(SERVICES, service('web', ipFamilyPolicy='PreferDualStack'))
    found = await addresses(api)
    assert list(found) == made['spec']['clusterIPs']
    first, second = found.values()
    assert first['spec'] == {'parentRef': {'resource': 'services', 'namespace': 'default', 'name': 'web'}}
    assert [one['metadata']['labels'] for one in (first, second)] == [
        {'ipaddress.kubernetes.io/ip-family': family, 'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io'}
        for family in ('IPv4', 'IPv6')
    ]


async def test_its_name_is_canonical_whatever_the_service_says(api):
    made = await api.create(SERVICES, service('web', clusterIP='FD00:10:96:0::5'))
    assert made['spec']['clusterIPs'] == ['FD00:10:96:0::5']
    assert list(await addresses(api)) == ['fd00:10:96::5']
    with pytest.raises(ApiError, match='provided IP is already allocated'):
        await api.create(SERVICES, service('other', clusterIP='fd00:10:96::5'))
    await api.delete(SERVICES, 'default', 'web')
    assert await addresses(api) == {}


async def test_it_goes_with_the_address(api):
    made = await api.create(SERVICES, service('web', ipFamilyPolicy='PreferDualStack'))
    await api.create(SERVICES, service('headless', clusterIP='None'))
    await api.patch(SERVICES, 'default', 'web', {'spec': {'ipFamilyPolicy': 'SingleStack'}})
    assert list(await addresses(api)) == made['spec']['clusterIPs'][:1]
    await api.delete(SERVICES, 'default', 'web')
    assert await addresses(api) == {}


async def test_it_comes_back_when_it_is_deleted_under_a_service(api):
    made = await api.create(SERVICES, service('web'))
    before = (await addresses(api))[made['spec']['clusterIP']]
    await api.delete(IPADDRESSES, '', made['spec']['clusterIP'])
    after = (await addresses(api))[made['spec']['clusterIP']]
    assert after['spec'] == before['spec'] and after['metadata']['uid'] != before['metadata']['uid']


async def test_an_address_that_somebody_else_has_is_not_given_to_a_service(api):
    await api.create(IPADDRESSES, ip_address('10.96.0.7', group='example.org', resource='gateways', name='front'))
    with pytest.raises(ApiError, match='failed to allocate IP 10.96.0.7: provided IP is already allocated'):
        await api.create(SERVICES, service('web', clusterIP='10.96.0.7'))
    await api.delete(IPADDRESSES, '', '10.96.0.7')
    await api.create(SERVICES, service('web', clusterIP='10.96.0.7'))


async def test_a_restart_keeps_what_was_reserved_and_repairs_the_mirror(api):
    await api.create(IPADDRESSES, ip_address('10.96.0.7', group='example.org', resource='gateways', name='front'))
    made = await api.create(SERVICES, service('web'))
    stale = ip_address('10.96.0.9', resource='services', namespace='default', name='gone')
    stale['metadata']['labels'] = {'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io'}
    await api.create(IPADDRESSES, stale)
    again = Registry(api.store, service_cidr='10.96.0.0/16,fd00:10:96::/112')
    assert set(await addresses(again)) == {'10.96.0.7', made['spec']['clusterIP']}
    with pytest.raises(ApiError, match='already allocated'):
        await again.create(SERVICES, service('other', clusterIP='10.96.0.7'))


@pytest.mark.parametrize(
    'name, parent, words',
    [
        ('10.96.0.07', {}, 'metadata.name: Invalid value: "10.96.0.07": must be a valid IP address'),
        ('FD00::1', {}, 'metadata.name: Invalid value: "FD00::1": must be in canonical form ("fd00::1")'),
        ('10.96.0.7', {'name': 'x'}, 'spec.parentRef.resource: Required value'),
        ('10.96.0.7', {'resource': 'services'}, 'spec.parentRef.name: Required value'),
        (
            '10.96.0.7',
            {'resource': 'a/b', 'name': 'x'},
            'spec.parentRef.resource: Invalid value: "a/b": may not contain',
        ),
    ],
)
async def test_ip_addresses_that_are_refused(api, name, parent, words):
    with pytest.raises(ApiError) as refused:
        await api.create(IPADDRESSES, ip_address(name, **parent))
    assert words in str(refused.value)


async def test_the_parent_of_an_ip_address_is_for_life(api):
    await api.create(IPADDRESSES, ip_address('10.96.0.7', resource='gateways', name='front'))
    with pytest.raises(ApiError, match='spec.parentRef: Invalid value: .*: field is immutable'):
        await api.patch(IPADDRESSES, '', '10.96.0.7', {'spec': {'parentRef': {'name': 'back'}}})


@pytest.mark.parametrize(
    'cidrs, words',
    [
        ([], 'spec.cidrs: Required value: at least one CIDR required'),
        (['10.0.0.0/24', 'fd00::/64', 'fd01::/64'], 'may only hold up to 2 values'),
        (['10.0.0.0/24', '10.1.0.0/24'], 'may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and'),
        (
            ['10.0.0.1/24'],
            'spec.cidrs[0]: Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length',
        ),
        (['fd00:0::/64'], 'spec.cidrs[0]: Invalid value: "fd00:0::/64": must be in canonical form ("fd00::/64")'),
        (['kangaroo'], 'spec.cidrs[0]: Invalid value: "kangaroo": must be a valid CIDR value'),
    ],
)
async def test_service_cidrs_that_are_refused(api, cidrs, words):
    with pytest.raises(ApiError) as refused:
        await api.create(SERVICECIDRS, service_cidr('more', *cidrs))
    assert words in str(refused.value)


async def test_the_cidrs_of_a_service_cidr_are_for_life(api):
    await api.create(SERVICECIDRS, service_cidr('more', MORE))
    with pytest.raises(ApiError, match='spec.cidrs: Invalid value: .*: field is immutable'):
        await api.patch(SERVICECIDRS, '', 'more', {'spec': {'cidrs': ['10.98.0.0/24']}})


# with the controller


@asynccontextmanager
async def controlled(cidrs=SMALL):
    async with memory_api(cidrs) as api:
        informers = Informers(api)
        controller = ServiceCIDRController(informers, EventRecorder(api, 'service-cidr-controller'))
        running = asyncio.gather(informers.run(), controller.run())
        try:
            await ensure_service_cidr(api, cidrs.split(','))
            yield api
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def ready(api, name):
    """The Ready condition, once there is one."""

    async def condition():
        found = await api.get(SERVICECIDRS, '', name)
        return next(iter(found['status'].get('conditions') or ()), None)

    return await eventually(condition)


async def gone(api, name):
    async def absent():
        try:
            await api.get(SERVICECIDRS, '', name)
        except ApiError as error:
            return error.code == 404
        return False

    await eventually(absent)


async def test_the_clusters_own_service_cidr_is_there_and_ready():
    async with controlled('10.96.0.0/16,fd00:10:96::/112') as api:
        condition = await ready(api, 'kubernetes')
        assert (condition['status'], condition['message']) == ('True', READY_MESSAGE)
        found = await api.get(SERVICECIDRS, '', 'kubernetes')
        assert found['spec']['cidrs'] == ['10.96.0.0/16', 'fd00:10:96::/112']
        assert found['metadata']['finalizers'] == [FINALIZER]


async def test_another_service_cidr_widens_the_pool():
    async with controlled() as api:
        await ready(api, 'kubernetes')
        for name in ('a', 'b'):
            await api.create(SERVICES, service(name))
        with pytest.raises(ApiError, match='range is full'):
            await api.create(SERVICES, service('c'))
        await api.create(SERVICECIDRS, service_cidr('more', MORE))
        given = (await api.create(SERVICES, service('c')))['spec']['clusterIP']
        assert given.startswith('10.97.0.')
        wanted = '10.97.0.9' if given != '10.97.0.9' else '10.97.0.8'
        assert (await api.create(SERVICES, service('d', clusterIP=wanted)))['spec']['clusterIP'] == wanted


async def test_one_in_use_stays_until_its_last_address_is_free():
    async with controlled() as api:
        await api.create(SERVICECIDRS, service_cidr('more', MORE))
        await ready(api, 'more')
        await api.create(SERVICES, service('a', clusterIP='10.97.0.9'))
        await api.delete(SERVICECIDRS, '', 'more')

        async def terminating():
            return (await ready(api, 'more'))['status'] == 'False'

        await eventually(terminating)
        condition = await ready(api, 'more')
        assert (condition['reason'], condition['message']) == ('Terminating', IN_USE_MESSAGE)
        with pytest.raises(ApiError, match=r'the provided IP \(10.97.0.10\) is not in the valid range'):
            await api.create(SERVICES, service('b', clusterIP='10.97.0.10'))
        await api.patch(SERVICES, 'default', 'a', {'metadata': {'labels': {'still': 'changeable'}}})
        await api.delete(SERVICES, 'default', 'a')
        await gone(api, 'more')


async def test_one_whose_addresses_another_has_too_goes_at_once():
    async with controlled() as api:
        await api.create(SERVICECIDRS, service_cidr('more', MORE))
        await api.create(SERVICECIDRS, service_cidr('even-more', '10.97.0.0/24'))
        for name in ('more', 'even-more'):
            await ready(api, name)
        await api.create(SERVICES, service('a', clusterIP='10.97.0.9'))
        await api.delete(SERVICECIDRS, '', 'more')
        await gone(api, 'more')
