"""Which addresses and ports a Service gets, keeps and gives back: in IPv4, IPv6 and dual-stack clusters."""

from __future__ import annotations

import pytest

from netkube.api.errors import ApiError
from netkube.api.resources import SERVICES
from netkube.testing import memory_api

V4, V6 = '10.96.0.0/16', 'fd00:10:96::/112'
CLUSTERS = {'ipv4': (V4, ['IPv4']), 'ipv6': (V6, ['IPv6']), 'dual': (f'{V4},{V6}', ['IPv4', 'IPv6']),
            'dual, IPv6 first': (f'{V6},{V4}', ['IPv6', 'IPv4'])}  # fmt: skip


def service(name='web', ports=({'port': 80},), **spec):
    return {'metadata': {'name': name, 'namespace': 'default'}, 'spec': {'ports': [dict(p) for p in ports], **spec}}


async def create(api, *args, **spec):
    return (await api.create(SERVICES, service(*args, **spec)))['spec']


async def change(api, name='web', **spec):
    patched = await api.patch(SERVICES, 'default', name, {'spec': spec})
    return patched['spec']


def families_of(spec):
    return ['IPv6' if ':' in ip else 'IPv4' for ip in spec['clusterIPs']]


@pytest.fixture
async def dual():
    async with memory_api(f'{V4},{V6}') as api:
        yield api


@pytest.fixture
async def single():
    async with memory_api(V4) as api:
        yield api


@pytest.mark.parametrize('cluster', CLUSTERS)
async def test_without_a_wish_it_is_one_stack_of_the_primary_family(cluster):
    cidrs, families = CLUSTERS[cluster]
    async with memory_api(cidrs) as api:
        spec = await create(api)
        assert (spec['ipFamilies'], spec['ipFamilyPolicy']) == (families[:1], 'SingleStack')
        assert families_of(spec) == families[:1]
        assert spec['clusterIPs'] == [spec['clusterIP']]


@pytest.mark.parametrize('cluster', CLUSTERS)
async def test_prefer_dual_stack_takes_what_there_is(cluster):
    cidrs, families = CLUSTERS[cluster]
    async with memory_api(cidrs) as api:
        spec = await create(api, ipFamilyPolicy='PreferDualStack')
        assert families_of(spec) == spec['ipFamilies'] == families


@pytest.mark.parametrize(
    'wish, families',
    [
        ({'ipFamilyPolicy': 'RequireDualStack'}, ['IPv4', 'IPv6']),
        ({'ipFamilyPolicy': 'RequireDualStack', 'ipFamilies': ['IPv6']}, ['IPv6', 'IPv4']),
        ({'ipFamilyPolicy': 'PreferDualStack', 'ipFamilies': ['IPv6', 'IPv4']}, ['IPv6', 'IPv4']),
        ({'ipFamilies': ['IPv6']}, ['IPv6']),
        ({'clusterIP': 'fd00:10:96::77'}, ['IPv6']),
        ({'clusterIP': '10.96.0.77', 'clusterIPs': ['10.96.0.77', 'fd00:10:96::77'],
          'ipFamilyPolicy': 'PreferDualStack'}, ['IPv4', 'IPv6']),
        ({'clusterIP': '10.96.0.77', 'ipFamilyPolicy': 'RequireDualStack'}, ['IPv4', 'IPv6']),
    ],
)  # fmt: skip
async def test_wishes_in_a_dual_stack_cluster(dual, wish, families):
    spec = await create(dual, **wish)
    assert families_of(spec) == spec['ipFamilies'] == families
    assert set(wish.get('clusterIPs', ())) <= set(spec['clusterIPs'])


@pytest.mark.parametrize(
    'wish, words',
    [
        ({'ipFamilyPolicy': 'RequireDualStack'}, 'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": '
                                                 'this cluster is not configured for dual-stack services'),
        ({'ipFamilies': ['IPv6']}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
        ({'clusterIP': 'fd00::1'}, 'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this '
                                   'cluster'),
        ({'clusterIP': 'x'}, 'spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address'),
        ({'ipFamilies': ['IPv5']}, 'spec.ipFamilies[0]: Unsupported value: "IPv5"'),
        ({'clusterIPs': ['10.96.0.5']}, 'spec.clusterIPs: Invalid value: ["10.96.0.5"]: must be empty when `clusterIP`'
                                        ' is not specified'),
        ({'clusterIP': '10.96.0.5', 'ipFamilies': ['IPv6']}, 'expected an IPv6 value as indicated by `ipFamilies[0]`'),
        ({'ipFamilies': ['IPv4', 'IPv6']}, "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families "
                                           'are specified'),
    ],
)  # fmt: skip
async def test_refusals_in_an_ipv4_cluster(single, wish, words):
    with pytest.raises(ApiError) as refused:
        await create(single, **wish)
    assert words in str(refused.value)
    assert refused.value.code == 422


async def test_from_one_stack_to_two_and_back(dual):
    first = (await create(dual))['clusterIP']
    up = await change(dual, ipFamilyPolicy='RequireDualStack')
    assert families_of(up) == ['IPv4', 'IPv6']
    assert up['clusterIP'] == up['clusterIPs'][0] == first
    down = await change(dual, ipFamilyPolicy='SingleStack')
    assert (down['clusterIPs'], down['ipFamilies']) == ([first], ['IPv4'])
    again = await create(dual, 'other', clusterIP=up['clusterIPs'][1])
    assert again['clusterIP'] == up['clusterIPs'][1], 'the released address is free'


async def test_the_secondary_address_may_not_just_go(dual):
    spec = await create(dual, ipFamilyPolicy='RequireDualStack')
    with pytest.raises(ApiError, match="must be 'SingleStack' to release the secondary cluster IP"):
        await change(dual, clusterIPs=spec['clusterIPs'][:1])
    with pytest.raises(ApiError, match="must be 'SingleStack' to release the secondary IP family"):
        await change(dual, ipFamilies=['IPv4'])


async def test_primary_address_and_family_stay(dual):
    await create(dual)
    with pytest.raises(ApiError, match='may not change once set'):
        await change(dual, clusterIP='10.96.9.9', clusterIPs=['10.96.9.9'])
    with pytest.raises(ApiError, match=r'spec.clusterIPs\[0\]: .*expected an IPv6 value'):
        await change(dual, ipFamilies=['IPv6'])


@pytest.mark.parametrize(
    'spec, families, policy',
    [
        ({'selector': {'a': 'b'}}, ['IPv4'], 'SingleStack'),
        ({}, ['IPv4', 'IPv6'], 'RequireDualStack'),
        ({'ipFamilyPolicy': 'SingleStack'}, ['IPv4'], 'SingleStack'),
    ],
)
async def test_headless_services(single, spec, families, policy):
    """Without a selector it may be of families that the cluster does not have: its endpoints are its owner's."""
    made = await create(single, clusterIP='None', **spec)
    assert (made['clusterIPs'], made['ipFamilies'], made['ipFamilyPolicy']) == (['None'], families, policy)


TYPES = {
    'ClusterIP': {'type': 'ClusterIP'},
    'NodePort': {'type': 'NodePort'},
    'LoadBalancer': {'type': 'LoadBalancer'},
    'LoadBalancer, Local': {'type': 'LoadBalancer', 'externalTrafficPolicy': 'Local'},
    'headless': {'type': 'ClusterIP', 'clusterIP': 'None', 'selector': {'a': 'b'}},
    'ExternalName': {'type': 'ExternalName', 'externalName': 'example.org'},
}
HAS_ADDRESS = ('ClusterIP', 'NodePort', 'LoadBalancer', 'LoadBalancer, Local')
HEADLESS_FOR_EVER = {
    **{(one, 'headless'): 'may not change once set' for one in HAS_ADDRESS},
    **{('headless', one): "may not be set to 'None' for" for one in HAS_ADDRESS if one != 'ClusterIP'},
}


@pytest.mark.parametrize('after', TYPES)
@pytest.mark.parametrize('before', TYPES)
async def test_from_each_type_to_each_other(single, before, after):
    old = await create(single, **TYPES[before])
    wanted = {key: TYPES[after].get(key) for key in {**TYPES[before], **TYPES[after]} if key != 'selector'}
    if (before, after) in HEADLESS_FOR_EVER:
        with pytest.raises(ApiError, match=HEADLESS_FOR_EVER[before, after]):
            await change(single, **wanted)
        return
    new = await change(single, **wanted)
    assert bool(new.get('clusterIP')) == (after != 'ExternalName')
    if before in HAS_ADDRESS and after in HAS_ADDRESS:
        assert new['clusterIPs'] == old['clusterIPs']
    node_port, before_port = (spec['ports'][0].get('nodePort') for spec in (new, old))
    assert bool(node_port) == (TYPES[after]['type'] in ('NodePort', 'LoadBalancer'))
    if node_port and before_port:
        assert node_port == before_port
    assert bool(new.get('healthCheckNodePort')) == (after == 'LoadBalancer, Local')
    assert ('externalTrafficPolicy' in new) == bool(node_port)
    assert ('allocateLoadBalancerNodePorts' in new) == after.startswith('LoadBalancer')
    assert ('ipFamilies' in new) == (after != 'ExternalName')


async def test_what_was_given_back_can_be_had_again(single):
    old = await create(single, type='LoadBalancer', externalTrafficPolicy='Local')
    await change(single, type='ExternalName', externalName='example.org', externalTrafficPolicy=None)
    port = old['ports'][0]['nodePort']
    new = await create(single, 'next', [{'port': 80, 'nodePort': port}], type='NodePort', clusterIP=old['clusterIP'])
    assert (new['clusterIP'], new['ports'][0]['nodePort']) == (old['clusterIP'], port)
    again = await create(single, 'health', [{'port': 80, 'nodePort': old['healthCheckNodePort']}], type='NodePort')
    assert again['ports'][0]['nodePort'] == old['healthCheckNodePort']


async def test_one_port_of_tcp_and_udp_is_one_node_port(single):
    ports = [{'name': 'tcp', 'port': 53}, {'name': 'udp', 'port': 53, 'protocol': 'UDP'}, {'name': 'web', 'port': 80}]
    spec = await create(single, ports=ports, type='NodePort')
    tcp, udp, web = (port['nodePort'] for port in spec['ports'])
    assert tcp == udp != web


async def test_one_node_port_twice_is_refused_unless_the_protocols_differ(single):
    twice = [{'name': 'a', 'port': 80, 'nodePort': 30100}, {'name': 'b', 'port': 81, 'nodePort': 30100}]
    with pytest.raises(ApiError, match=r'spec.ports\[1\].nodePort: Duplicate value: 30100'):
        await create(single, ports=twice, type='NodePort')
    twice[1]['protocol'] = 'UDP'
    await create(single, ports=twice, type='NodePort')
    with pytest.raises(ApiError, match=r'spec.ports\[0\].nodePort: Invalid value: 30100: provided port is already'):
        await create(single, 'other', [{'port': 80, 'nodePort': 30100}], type='NodePort')


async def test_a_load_balancer_may_do_without_node_ports(single):
    spec = await create(single, type='LoadBalancer', allocateLoadBalancerNodePorts=False)
    assert 'nodePort' not in spec['ports'][0]
    asked = [{'port': 80, 'nodePort': 30200}]
    spec = await create(single, 'asked', asked, type='LoadBalancer', allocateLoadBalancerNodePorts=False)
    assert spec['ports'][0]['nodePort'] == 30200
    plain = await change(single, 'asked', type='ClusterIP', allocateLoadBalancerNodePorts=None)
    assert 'nodePort' not in plain['ports'][0]


async def test_health_check_node_ports(single):
    wish = {'type': 'LoadBalancer', 'externalTrafficPolicy': 'Local'}
    spec = await create(single, healthCheckNodePort=30300, **wish)
    assert spec['healthCheckNodePort'] == 30300
    with pytest.raises(ApiError, match='failed to allocate requested HealthCheck NodePort 30300: provided port is al'):
        await create(single, 'other', healthCheckNodePort=30300, **wish)
    with pytest.raises(ApiError, match='spec.healthCheckNodePort: Forbidden: field is immutable'):
        await change(single, healthCheckNodePort=30301)
    with pytest.raises(ApiError, match="may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is"):
        await create(single, 'third', healthCheckNodePort=30302)
    assert 'healthCheckNodePort' not in await change(single, externalTrafficPolicy='Cluster')


async def test_a_resubmitted_manifest_keeps_everything(dual):
    wish = {'type': 'LoadBalancer', 'externalTrafficPolicy': 'Local', 'ipFamilyPolicy': 'PreferDualStack'}
    old = await create(dual, **wish)
    again = (await dual.update(SERVICES, service(**wish)))['spec']
    assert again == old


async def test_the_balancers_status_goes_with_the_type(single):
    await create(single, type='LoadBalancer')
    status = {'status': {'loadBalancer': {'ingress': [{'ip': '10.244.224.1'}]}}}
    made = await single.patch(SERVICES, 'default', 'web', status, subresource='status')
    assert made['status']['loadBalancer']['ingress'] == [{'ip': '10.244.224.1', 'ipMode': 'VIP'}]
    changed = await single.patch(SERVICES, 'default', 'web', {'spec': {'type': 'ClusterIP'}})
    assert changed['status'] == {'loadBalancer': {}}


async def test_a_port_without_a_number_is_refused(single):
    with pytest.raises(ApiError) as refused:
        await create(single, ports=({'name': 'a'}, {'name': 'b', 'port': 80}), type='NodePort')
    assert 'spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive' in refused.value.message
