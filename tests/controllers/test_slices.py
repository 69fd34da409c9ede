"""Endpoints into slices: what is created, rewritten and deleted, as plans."""

from __future__ import annotations

from typing import Any

import pytest
from workload_cluster import pod, service

from netkube.api.meta import Object
from netkube.controllers.endpoints import plan_subsets
from netkube.controllers.overcapacity import truncated
from netkube.controllers.servicepods import Port
from netkube.controllers.slices import SlicePlan, desired_endpoints, plan_slices

LABELS = {'kubernetes.io/service-name': 'web'}
HTTP = (Port('', 80, 'TCP'),)
ZONES = {'node-a': 'zone-a', 'node-b': ''}


def running(name: str, ip: str = '', *, ready: bool = True, going: bool = False, **spec: Any) -> Object:
    obj = pod(name, **spec)
    obj['metadata']['uid'] = f'uid-{name}'
    if going:
        obj['metadata']['deletionTimestamp'] = '2026-01-01T00:00:00Z'
    ip = ip or f'10.0.0.{int(name[1:]) + 1}' if name[1:].isdigit() else ip or '10.0.0.1'
    obj['status'] = {'phase': 'Running', 'podIP': ip, 'podIPs': [{'ip': ip}],
                     'conditions': [{'type': 'Ready', 'status': str(ready)}]}  # fmt: skip
    return obj


def endpoint(name: str) -> Object:
    (endpoints,) = desired_endpoints(service(), [running(name)], 'IPv4', ZONES).values()
    return endpoints[f'uid-{name}']


def a_slice(name: str, *pods: str, ports: tuple[Port, ...] = HTTP, labels: dict = LABELS) -> Object:
    return {
        'metadata': {'name': name, 'labels': labels},
        'addressType': 'IPv4',
        'ports': [port.render() for port in ports],
        'endpoints': [endpoint(each) for each in pods],
    }


def plan(wanted: list[str], *existing: Object) -> SlicePlan:
    desired = {HTTP: {f'uid-{name}': endpoint(name) for name in wanted}} if wanted else {}
    return plan_slices(desired, existing, LABELS)


def names(objects: list[Object]) -> dict[str, list[str]]:
    return {each['metadata']['name']: [one['targetRef']['name'] for one in each['endpoints']] for each in objects}


def many(first: int, last: int) -> list[str]:
    return [f'p{number}' for number in range(first, last)]


def test_one_slice_for_all() -> None:
    result = plan(['p1', 'p2'])
    assert result == SlicePlan(create=[(HTTP, [endpoint('p1'), endpoint('p2')])])


def test_what_is_right_is_not_written() -> None:
    assert plan(['p1', 'p2'], a_slice('s1', 'p1'), a_slice('s2', 'p2')) == SlicePlan()


def test_a_new_endpoint_joins_the_slice_that_has_room() -> None:
    result = plan(['p1', 'p2'], a_slice('s1', 'p1'))
    assert (result.create, names(result.update), result.delete) == ([], {'s1': ['p1', 'p2']}, [])


def test_a_slice_that_is_written_anyway_is_filled_first() -> None:
    full, gap = a_slice('s1', 'p1', 'p2', 'p3'), a_slice('s2', 'p4', 'p5')
    result = plan(['p1', 'p2', 'p3', 'p4', 'p6'], full, gap)
    assert names(result.update) == {'s2': ['p4', 'p6']}


def test_no_slice_has_more_than_a_hundred() -> None:
    result = plan(many(0, 250))
    assert [len(endpoints) for _, endpoints in result.create] == [100, 100, 50]
    result = plan(many(0, 101), a_slice('s1', *many(0, 100)))
    assert (len(result.create), result.update, result.delete) == (1, [], [])


def test_an_empty_slice_goes_unless_it_is_the_last() -> None:
    result = plan(['p1'], a_slice('s1', 'p1'), a_slice('s2', 'p2'))
    assert names(result.delete) == {'s2': ['p2']}
    result = plan([], a_slice('s1', 'p1'))
    assert result.update == [a_slice('s1', ports=())]
    assert plan([], a_slice('s1', ports=())) == SlicePlan()
    assert plan([]) == SlicePlan(create=[((), [])])


def test_new_ports_are_one_write_to_the_old_slice() -> None:
    result = plan_slices({(Port('', 81, 'TCP'),): {'uid-p1': endpoint('p1')}}, [a_slice('s1', 'p1')], LABELS)
    assert result == SlicePlan(update=[a_slice('s1', 'p1', ports=(Port('', 81, 'TCP'),))])


def test_labels_of_the_service_follow() -> None:
    result = plan(['p1'], a_slice('s1', 'p1', labels={}))
    assert result.update == [a_slice('s1', 'p1')]


@pytest.mark.parametrize(
    ('made', 'spec', 'expected'),
    [
        (running('p1'), {}, (True, True, False)),
        (running('p1', ready=False), {}, (False, False, False)),
        (running('p1', going=True), {}, (False, True, True)),
        (running('p1', ready=False), {'publishNotReadyAddresses': True}, (True, False, False)),
    ],
)
def test_conditions(made: Object, spec: dict, expected: tuple[bool, bool, bool]) -> None:
    (endpoints,) = desired_endpoints(service(**spec), [made], 'IPv4', ZONES).values()
    ready, serving, terminating = expected
    assert endpoints['uid-p1']['conditions'] == {'ready': ready, 'serving': serving, 'terminating': terminating}


def test_a_named_port_may_differ_from_pod_to_pod() -> None:
    def with_port(name: str, number: int) -> Object:
        return running(name, containers=[{'name': 'main', 'ports': [{'name': 'http', 'containerPort': number}]}])

    pods = [with_port('p1', 8080), with_port('p2', 8081), running('p3')]
    named = service(ports=[{'name': 'web', 'port': 80, 'targetPort': 'http'}])
    desired = desired_endpoints(named, pods, 'IPv4', ZONES)
    assert {tuple(port.port for port in ports): list(endpoints) for ports, endpoints in desired.items()} == {
        (8080,): ['uid-p1'], (8081,): ['uid-p2'], (): ['uid-p3'],
    }  # fmt: skip


def test_only_addresses_of_the_family() -> None:
    assert desired_endpoints(service(), [running('p1', 'fd00::1')], 'IPv4', ZONES) == {}
    assert len(desired_endpoints(service(), [running('p1', 'fd00::1')], 'IPv6', ZONES)) == 1


def test_every_address_of_the_family_is_in_the_endpoint() -> None:
    both = running('p1')
    both['status']['podIPs'] = [{'ip': '10.0.0.2'}, {'ip': 'fd00::2'}]
    for family, address in (('IPv4', '10.0.0.2'), ('IPv6', 'fd00::2')):
        (endpoints,) = desired_endpoints(service(), [both], family, ZONES).values()
        assert endpoints['uid-p1']['addresses'] == [address]


ZONE_A = [{'name': 'zone-a'}]


@pytest.mark.parametrize(
    ('distribution', 'node', 'ready', 'zone', 'hints'),
    [
        (None, 'node-a', True, 'zone-a', None),
        ('PreferClose', 'node-a', True, 'zone-a', {'forZones': ZONE_A}),
        ('PreferSameZone', 'node-a', True, 'zone-a', {'forZones': ZONE_A}),
        ('PreferSameNode', 'node-a', True, 'zone-a', {'forZones': ZONE_A, 'forNodes': [{'name': 'node-a'}]}),
        ('PreferSameNode', 'node-b', True, None, {'forNodes': [{'name': 'node-b'}]}),
        ('PreferSameZone', 'node-b', True, None, None),
        ('PreferSameNode', 'node-a', False, 'zone-a', None),
    ],
)
def test_zone_and_hints(
    distribution: str | None, node: str, ready: bool, zone: str | None, hints: Object | None
) -> None:
    made = running('p1', nodeName=node, ready=ready)
    (endpoints,) = desired_endpoints(service(trafficDistribution=distribution), [made], 'IPv4', ZONES).values()
    found = endpoints['uid-p1']
    assert (found['nodeName'], found.get('zone'), found.get('hints')) == (node, zone, hints)


def test_a_pod_on_a_node_that_is_not_there_has_no_endpoint_unless_it_is_published_anyway() -> None:
    lost = running('p1', nodeName='gone')
    assert desired_endpoints(service(), [lost], 'IPv4', ZONES) == {}
    assert len(desired_endpoints(service(publishNotReadyAddresses=True), [lost], 'IPv4', ZONES)) == 1


def test_a_hostname_below_a_service_of_that_name() -> None:
    made = running('p1', hostname='db-0', subdomain='web')
    (endpoints,) = desired_endpoints(service(), [made], 'IPv4', ZONES).values()
    assert endpoints['uid-p1']['hostname'] == 'db-0'
    (endpoints,) = desired_endpoints(service('other'), [made], 'IPv4', ZONES).values()
    assert 'hostname' not in endpoints['uid-p1']


def test_subsets_share_what_has_the_same_addresses() -> None:
    two = service(ports=[{'name': 'a', 'port': 80}, {'name': 'b', 'port': 81, 'protocol': 'UDP'}])
    (subset,) = plan_subsets(two, [running('p1'), running('p2', ready=False), running('p3', going=True)])
    assert [each['ip'] for each in subset['addresses']] == ['10.0.0.2']
    assert [each['ip'] for each in subset['notReadyAddresses']] == ['10.0.0.3']
    assert subset['ports'] == [
        {'name': 'a', 'port': 80, 'protocol': 'TCP'}, {'name': 'b', 'port': 81, 'protocol': 'UDP'},
    ]  # fmt: skip


def test_subsets_of_a_headless_service_without_ports() -> None:
    (subset,) = plan_subsets(service(ports=None, clusterIP='None'), [running('p1')])
    assert (len(subset['addresses']), 'ports' in subset) == (1, False)


def addresses(count: int) -> list[Object]:
    return [{'ip': f'10.1.{number // 250}.{number % 250}'} for number in range(count)]


@pytest.mark.parametrize(
    ('before', 'after'),
    [
        ([(600, 400)], [(600, 400)]),
        ([(900, 200)], [(900, 100)]),  # ready ones stay
        ([(1500, 10)], [(1000, 0)]),
        ([(600, 0), (900, 0)], [(400, 0), (600, 0)]),  # each its share
        ([(1000, 0), (0, 5)], [(1000, 0)]),
    ],
)
def test_endpoints_hold_a_thousand_addresses(before: list[tuple[int, int]], after: list[tuple[int, int]]) -> None:
    subsets = [{'addresses': addresses(ready), 'notReadyAddresses': addresses(other)} for ready, other in before]
    found = truncated(subsets)
    assert [(len(each.get('addresses', ())), len(each.get('notReadyAddresses', ()))) for each in found] == after
