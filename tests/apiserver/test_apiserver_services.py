"""ClusterIPs and nodePorts."""

from __future__ import annotations

from typing import Any

import pytest

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import SERVICES
from netkube.apiserver.pools import Pool, Range
from netkube.apiserver.registry import Registry
from netkube.testing import memory_api


def service(name: str = 's', *ports: int, **spec: Any) -> Object:
    listed = [{'port': port, 'name': f'p{port}'} for port in ports or (80,)]
    return {'metadata': {'name': name, 'namespace': 'default'}, 'spec': {'ports': listed, **spec}}


async def test_a_service_gets_an_address_of_the_range(registry: Registry) -> None:
    spec = (await registry.create(SERVICES, service()))['spec']
    assert spec['clusterIP'].startswith('10.96.') and spec['clusterIPs'] == [spec['clusterIP']]


async def test_automatic_addresses_leave_the_lower_band_to_explicit_ones(registry: Registry) -> None:
    names = [f's{number}' for number in range(50)]
    addresses = [(await registry.create(SERVICES, service(name)))['spec']['clusterIP'] for name in names]
    assert len(set(addresses)) == 50
    assert not any(address.startswith('10.96.0.') for address in addresses)


@pytest.mark.parametrize(
    ('address', 'why'),
    [
        ('10.96.0.10', 'provided IP is already allocated'),
        ('10.97.0.1', 'the provided IP (10.97.0.1) is not in the valid range. '
                      'The range of valid IPs is 10.96.0.0/16'),
    ],
)  # fmt: skip
async def test_an_address_that_cannot_be_had_is_refused(registry: Registry, address: str, why: str) -> None:
    await registry.create(SERVICES, service('first', clusterIP='10.96.0.10'))
    with pytest.raises(ApiError) as caught:
        await registry.create(SERVICES, service('second', clusterIP=address))
    expected = f'spec.clusterIPs: Invalid value: ["{address}"]: failed to allocate IP {address}: {why}'
    assert str(caught.value) == f'Service "second" is invalid: {expected}'


async def test_an_address_is_free_again_when_its_service_is_gone(registry: Registry) -> None:
    await registry.create(SERVICES, service('first', clusterIP='10.96.0.10'))
    await registry.delete(SERVICES, 'default', 'first')
    await registry.create(SERVICES, service('second', clusterIP='10.96.0.10'))


async def test_a_headless_service_has_no_address(registry: Registry) -> None:
    assert (await registry.create(SERVICES, service(clusterIP='None')))['spec']['clusterIP'] == 'None'


async def test_an_update_that_names_no_address_keeps_it(registry: Registry) -> None:
    created = await registry.create(SERVICES, service(type='NodePort'))
    updated = await registry.update(SERVICES, service('s', 80, 81, type='NodePort'))
    assert updated['spec']['clusterIP'] == created['spec']['clusterIP']
    assert updated['spec']['ports'][0]['nodePort'] == created['spec']['ports'][0]['nodePort']
    assert updated['spec']['ports'][1]['nodePort'] not in (0, created['spec']['ports'][0]['nodePort'])


async def test_a_node_port_has_one_owner(registry: Registry) -> None:
    def wanting(name: str, port: int) -> Object:
        obj = service(name, type='NodePort')
        obj['spec']['ports'][0]['nodePort'] = port
        return obj

    await registry.create(SERVICES, wanting('first', 30080))
    with pytest.raises(ApiError) as caught:
        await registry.create(SERVICES, wanting('second', 30080))
    assert 'spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated' in str(caught.value)
    with pytest.raises(ApiError, match='The range of valid ports is 30000-32767'):
        await registry.create(SERVICES, wanting('third', 80))
    await registry.update(SERVICES, service('first', type='ClusterIP'))
    await registry.create(SERVICES, wanting('second', 30080))


async def test_a_refused_service_takes_nothing(registry: Registry) -> None:
    await registry.create(SERVICES, service('first', clusterIP='10.96.0.10'))
    taken = service('second', clusterIP='10.96.0.11', type='NodePort')
    taken['spec']['ports'][0]['nodePort'] = 1
    with pytest.raises(ApiError):
        await registry.create(SERVICES, taken)
    await registry.create(SERVICES, service('third', clusterIP='10.96.0.11'))


async def test_what_is_taken_is_known_after_a_restart(registry: Registry) -> None:
    await registry.create(SERVICES, service('first', clusterIP='10.96.0.10'))
    again = Registry(registry.store)
    with pytest.raises(ApiError, match='provided IP is already allocated'):
        await again.create(SERVICES, service('second', clusterIP='10.96.0.10'))


async def test_a_full_range_is_said() -> None:
    async with memory_api(service_cidr='10.0.0.0/30') as registry:
        for name in ('a', 'b'):
            await registry.create(SERVICES, service(name))
        with pytest.raises(ApiError, match='range is full'):
            await registry.create(SERVICES, service('c'))


def test_the_lower_band_is_used_when_the_upper_one_is_full() -> None:
    pool = Pool(Range(1, 10, 8))
    for number in (9, 10):
        pool.take(number, ('', ''))
    assert pool.next_free() in range(1, 9)
