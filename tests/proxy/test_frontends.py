"""Which endpoints a frontend leads to: kube-proxy's rules, without a kernel."""

from __future__ import annotations

from typing import Any

import pytest

from netkube.api.meta import Object
from netkube.proxy.endpoints import Backends, Endpoint, Place
from netkube.proxy.frontends import (
    NOTHING,
    RANGES_ANNOTATION,
    Frontend,
    service_key_of_slice,
    service_rules,
    source_ranges,
)

VIP = '10.96.0.7'
WEB = Frontend(VIP, 'tcp', 80)
HERE = Place('node-1')


def service(*ports: Object, labels: Object | None = None, **spec: Any) -> Object:
    return {
        'metadata': {'namespace': 'ns', 'name': 'web', 'labels': labels or {}},
        'spec': {'clusterIP': VIP, 'clusterIPs': [VIP], 'ports': list(ports) or [{'port': 80}], **spec},
    }


def endpoint_slice(*endpoints: Object, ports: list[Object] | None = None, **fields: Any) -> Object:
    return {
        'metadata': {'namespace': 'ns', 'name': 'web-1', 'labels': {'kubernetes.io/service-name': 'web'}},
        'addressType': 'IPv4', 'ports': [{'name': '', 'port': 8080}] if ports is None else ports,
        'endpoints': list(endpoints), **fields,
    }  # fmt: skip


def at(address: str, node: str = '', **conditions: bool | None) -> Object:
    return {'addresses': [address], 'conditions': conditions} | ({'nodeName': node} if node else {})


def endpoints_of(rules_service: Object, *slices: Object, frontend: Frontend = WEB) -> list[str]:
    backends = service_rules(rules_service, slices, HERE).frontends[frontend]
    return [f'{endpoint.ip}:{endpoint.port}' for endpoint in backends.endpoints]


def test_endpoints_of_all_slices_each_once() -> None:
    slices = endpoint_slice(at('10.0.0.2'), at('10.0.0.1')), endpoint_slice(at('10.0.0.2'), at('10.0.0.3'))
    assert endpoints_of(service(), *slices) == ['10.0.0.1:8080', '10.0.0.2:8080', '10.0.0.3:8080']


@pytest.mark.parametrize(
    ('conditions', 'serves'),
    [
        ({}, True),  # absent means ready
        ({'ready': None}, True),
        ({'ready': True}, True),
        ({'ready': False}, False),
        ({'ready': False, 'serving': True}, False),  # publishNotReadyAddresses makes such a one ready
        ({'ready': False, 'serving': True, 'terminating': True}, True),  # nobody else is there
        ({'ready': False, 'serving': False, 'terminating': True}, False),
        ({'ready': False, 'terminating': True}, False),  # serving is as ready
    ],
)
def test_conditions(conditions: dict[str, bool | None], serves: bool) -> None:
    assert endpoints_of(service(), endpoint_slice(at('10.0.0.1', **conditions))) == ['10.0.0.1:8080'] * serves


def test_terminating_endpoints_step_back_behind_ready_ones() -> None:
    leaving = at('10.0.0.1', ready=False, serving=True, terminating=True)
    assert endpoints_of(service(), endpoint_slice(leaving, at('10.0.0.2', ready=True))) == ['10.0.0.2:8080']


def test_ports_are_matched_by_name_and_protocol() -> None:
    ports = {'name': 'a', 'port': 80}, {'name': 'b', 'port': 81}, {'name': 'a', 'port': 80, 'protocol': 'UDP'}
    numbers = [{'name': 'a', 'port': 1}, {'name': 'b', 'port': 2}, {'name': 'a', 'port': 3, 'protocol': 'UDP'}]
    other = endpoint_slice(at('10.0.0.2'), ports=[{'name': 'a', 'port': 9}])
    rules = service_rules(service(*ports), [endpoint_slice(at('10.0.0.1'), ports=numbers), other], HERE)
    assert {frontend: backends.endpoints for frontend, backends in rules.frontends.items()} == {
        Frontend(VIP, 'tcp', 80): (Endpoint('10.0.0.1', 1), Endpoint('10.0.0.2', 9)),
        Frontend(VIP, 'tcp', 81): (Endpoint('10.0.0.1', 2),),
        Frontend(VIP, 'udp', 80): (Endpoint('10.0.0.1', 3),),
    }


def test_sctp_is_a_protocol_like_the_others() -> None:
    rules = service_rules(service({'port': 80, 'protocol': 'SCTP'}), [], HERE)
    assert rules.frontends == {Frontend(VIP, 'sctp', 80): Backends()}


@pytest.mark.parametrize(
    'useless',
    [
        endpoint_slice(at('fd00::1'), addressType='IPv6'),
        endpoint_slice(at('example.org'), addressType='FQDN'),
        endpoint_slice(at('10.0.0.1'), ports=[]),
        endpoint_slice(at('10.0.0.1'), ports=[{'name': 'other', 'port': 8080}]),
        endpoint_slice(at('10.0.0.1'), ports=[{'name': '', 'port': None}]),
        endpoint_slice(at('10.0.0.1'), metadata={'labels': {'service.kubernetes.io/headless': ''}}),
        endpoint_slice(at('10.0.0.300')),
        endpoint_slice(at('10.0.0.1 }; flush ruleset')),
        {**endpoint_slice(), 'endpoints': None},
    ],
)
def test_what_is_no_endpoint_of_ours(useless: Object) -> None:
    assert endpoints_of(service(), useless) == []


@pytest.mark.parametrize(
    'other',
    [
        service(clusterIP='None', clusterIPs=['None']),
        service(clusterIP='', clusterIPs=[]),
        service(type='ExternalName', externalName='example.org'),
        service(labels={'service.kubernetes.io/service-proxy-name': 'dns'}),
        service(labels={'service.kubernetes.io/headless': ''}),
        service(clusterIP='fd00::7', clusterIPs=['fd00::7']),
    ],
)
def test_what_is_no_service_of_ours(other: Object) -> None:
    assert service_rules(other, [endpoint_slice(at('10.0.0.1'))], HERE) == NOTHING


def test_internal_traffic_policy_local_keeps_to_the_node() -> None:
    local = service(internalTrafficPolicy='Local')
    near, far = at('10.0.0.1', 'node-1'), at('10.0.0.2', 'node-2')
    assert endpoints_of(local, endpoint_slice(near, far, at('10.0.0.3'))) == ['10.0.0.1:8080']
    assert service_rules(local, [endpoint_slice(far)], HERE).frontends[WEB] == Backends(elsewhere=True)
    assert service_rules(local, [endpoint_slice()], HERE).frontends[WEB] == Backends()


@pytest.mark.parametrize(
    ('spec', 'seconds'),
    [
        ({}, 0),
        ({'sessionAffinity': 'None'}, 0),
        ({'sessionAffinity': 'ClientIP'}, 10800),
        ({'sessionAffinity': 'ClientIP', 'sessionAffinityConfig': {'clientIP': {'timeoutSeconds': 5}}}, 5),
    ],
)
def test_affinity(spec: Object, seconds: int) -> None:
    assert service_rules(service(**spec), [], HERE).frontends[WEB].affinity_seconds == seconds


def test_a_slice_without_the_label_belongs_to_no_service() -> None:
    assert service_key_of_slice(endpoint_slice()) == [('ns', 'web')]
    assert service_key_of_slice({'metadata': {'namespace': 'ns', 'name': 'x'}}) == []


def hinted(address: str, zones: tuple[str, ...] = (), nodes: tuple[str, ...] = (), node: str = '') -> Object:
    hints = {'forZones': [{'name': zone} for zone in zones], 'forNodes': [{'name': name} for name in nodes]}
    return {**at(address, node), 'hints': hints}


ZONED = [hinted('10.0.0.1', ('a',)), hinted('10.0.0.2', ('b',)), hinted('10.0.0.3', ('a', 'b'))]
EVERYONE = ['10.0.0.1', '10.0.0.2', '10.0.0.3']


@pytest.mark.parametrize(
    ('place', 'endpoints', 'chosen'),
    [
        (Place('node-1', 'a'), ZONED, ['10.0.0.1', '10.0.0.3']),
        (Place('node-1', 'b'), ZONED, ['10.0.0.2', '10.0.0.3']),
        (Place('node-1', 'c'), ZONED, EVERYONE),  # nobody is meant for this zone
        (Place('node-1'), ZONED, EVERYONE),  # the Node is in none
        (Place('node-1', 'a'), [*ZONED[:2], at('10.0.0.3')], EVERYONE),  # one endpoint has no hint
        (Place('node-1', 'a'), [hinted('10.0.0.1', ('a',), ('node-2',)), hinted('10.0.0.2', ('a',), ('node-1',))],
         ['10.0.0.2']),  # a hint for the Node comes before one for its zone
        (Place('node-1', 'a'), [hinted('10.0.0.1', ('a',), ('node-2',)), hinted('10.0.0.2', ('b',), ('node-2',))],
         ['10.0.0.1']),
        (Place('node-1', 'a'), [hinted('10.0.0.1', ('b',)), at('10.0.0.2', ready=False)], ['10.0.0.1']),
    ],
)  # fmt: skip
def test_hints_keep_traffic_near(place: Place, endpoints: list[Object], chosen: list[str]) -> None:
    backends = service_rules(service(), [endpoint_slice(*endpoints)], place).frontends[WEB]
    assert [endpoint.ip for endpoint in backends.endpoints] == chosen


def test_hints_do_not_hold_where_a_traffic_policy_is_local() -> None:
    near, far = hinted('10.0.0.1', ('b',), node='node-1'), hinted('10.0.0.2', ('a',), node='node-2')
    place, external = Place('node-1', 'a'), {'type': 'NodePort', 'externalTrafficPolicy': 'Local'}
    rules = service_rules(service({'port': 80, 'nodePort': 30080}, **external), [endpoint_slice(near, far)], place)
    node_port = Frontend('', 'tcp', 30080)
    assert rules.frontends[node_port].endpoints == (Endpoint('10.0.0.2', 8080),)
    assert rules.outside[node_port].endpoints == (Endpoint('10.0.0.1', 8080),)


def test_each_family_has_its_own_frontends_and_endpoints() -> None:
    slices = endpoint_slice(at('10.0.0.1')), endpoint_slice(at('FD00::0:1'), addressType='IPv6')
    both = service(clusterIPs=[VIP, 'fd00:10::7'], externalIPs=['192.0.2.1', '2001:db8::1'])
    rules = service_rules(both, slices, HERE, ('IPv4', 'IPv6'))
    assert rules.addresses == {VIP, 'fd00:10::7'}
    assert {frontend.ip: [e.ip for e in backends.endpoints] for frontend, backends in rules.frontends.items()} == {
        VIP: ['10.0.0.1'], '192.0.2.1': ['10.0.0.1'], 'fd00:10::7': ['fd00::1'], '2001:db8::1': ['fd00::1'],
    }  # fmt: skip
    assert {frontend.family for frontend in service_rules(both, slices, HERE, ('IPv6',)).frontends} == {'IPv6'}


@pytest.mark.parametrize(
    ('ranges', 'ipv4', 'ipv6'),
    [
        ([], None, None),
        (['0.0.0.0/0', '::/0'], None, None),
        (['0.0.0.0/0'], None, ()),
        (['10.0.0.0/8', '10.1.0.0/16', ' 192.0.2.0/25', '192.0.2.128/25'], ('10.0.0.0/8', '192.0.2.0/24'), ()),
        (['10.0.0.1/8', '2001:db8::/32'], ('10.0.0.0/8',), ('2001:db8::/32',)),
    ],
)
def test_source_ranges(ranges: list[str], ipv4: tuple | None, ipv6: tuple | None) -> None:
    field = {'metadata': {}, 'spec': {'loadBalancerSourceRanges': ranges}}
    annotation = {'metadata': {'annotations': {RANGES_ANNOTATION: ', '.join(ranges)}}, 'spec': {}}
    for given in (field, annotation):
        assert (source_ranges(given, 'IPv4'), source_ranges(given, 'IPv6')) == (ipv4, ipv6)


def test_the_field_comes_before_the_annotation() -> None:
    metadata = {'annotations': {RANGES_ANNOTATION: '10.0.0.0/8'}}
    given = {'metadata': metadata, 'spec': {'loadBalancerSourceRanges': ['192.0.2.0/24']}}
    assert source_ranges(given, 'IPv4') == ('192.0.2.0/24',)
