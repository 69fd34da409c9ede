"""Services as clients see them at node ports, external IPs and load balancers: real packets, both IP families."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from service_lab import MACHINE, NODE, PLAN, PLAN6, Lab, Pod, ask, ask_udp, ip, udp_client, who

from netkube.api.resources import EVENTS, SERVICES
from netkube.testing import eventually

UNREACHED = 0.4
NODE_ADDRESS = {'IPv4': str(PLAN.node_address), 'IPv6': str(PLAN6.node_address)}
MACHINE_ADDRESS = {'IPv4': str(PLAN.machine_address), 'IPv6': str(PLAN6.machine_address)}
BALANCED = {'IPv4': str(PLAN.load_balancer_cidr[7]), 'IPv6': str(PLAN6.load_balancer_cidr[7])}
EXTERNAL = {'IPv4': '192.0.2.50', 'IPv6': '2001:db8::50'}
EVERYONE = {'IPv4': '0.0.0.0/0', 'IPv6': '::/0'}
families = pytest.mark.parametrize('family', ['IPv4', 'IPv6'])
SCTP = {'name': 'sctp', 'port': 80, 'protocol': 'SCTP'}


def of(family: str, **spec: object) -> dict:
    """spec fields that make a Service of this family."""
    return {'ipFamilies': [family], **spec} if family == 'IPv6' else spec


def both(port: int, node_port: int = 0) -> list[dict]:
    """A port on TCP and on UDP."""
    rest = {'nodePort': node_port} if node_port else {}
    return [{'name': p.lower(), 'port': port, 'protocol': p, **rest} for p in ('TCP', 'UDP')]


TARGETS = [{'name': p.lower(), 'port': 8080, 'protocol': p} for p in ('TCP', 'UDP')]


async def answers_everywhere(lab: Lab, address: str, port: int, client: Pod, backend: str, source: str) -> None:
    """TCP and UDP, from a Pod, the Node and the machine; Pod and machine are seen with their own addresses."""
    for netns in (client.netns, NODE, MACHINE):
        assert await who(netns, address, port) == backend
        with udp_client(netns, address, port) as datagrams:
            assert (await ask_udp(datagrams)).split()[0] == backend
    seen = (await ask(client.netns, address, port)).split()[1], (await ask(MACHINE, address, port)).split()[1]
    own = client.address6 if ':' in address else client.address
    assert seen == (own, source)


@families
async def test_a_cluster_ip_of_either_family(lab: Lab, family: str) -> None:
    client, backend = await lab.pod('client'), await lab.pod('backend')
    vip = await lab.service('web', *both(80), **of(family))
    await lab.endpoints('web', [backend], *TARGETS, family=family)

    await answers_everywhere(lab, vip, 80, client, 'backend', MACHINE_ADDRESS[family])
    for netns in (client.netns, NODE, MACHINE):
        with pytest.raises(ConnectionRefusedError):
            await ask(netns, vip, 81)


@families
async def test_a_pod_reaches_itself_by_either_family(lab: Lab, family: str) -> None:
    pod, other = await lab.pod('pod'), await lab.pod('other')
    vip = await lab.service('web', **of(family))
    await lab.endpoints('web', [pod], family=family)

    name, source = (await ask(pod.netns, vip, 80)).split()
    assert (name, source != pod.at(family)) == ('pod', True)
    assert (await ask(other.netns, vip, 80)).split()[1] == other.at(family)  # an address almost the same is another


async def test_an_ipv6_frontend_without_endpoints_refuses_and_an_unallocated_address_is_silent(lab: Lab) -> None:
    client = await lab.pod('client')
    vip = await lab.service('web', *both(80), **of('IPv6'))
    await lab.settled()
    for netns in (client.netns, NODE, MACHINE):
        with pytest.raises(ConnectionRefusedError):
            await ask(netns, vip, 80)
        with udp_client(netns, vip, 80) as datagrams, pytest.raises((ConnectionRefusedError, PermissionError)):
            await ask_udp(datagrams)
    with pytest.raises(TimeoutError):
        await ask(client.netns, 'fd00:10:96::ffee', 80, timeout=UNREACHED)


@families
async def test_a_node_port(lab: Lab, family: str) -> None:
    client, backend = await lab.pod('client'), await lab.pod('backend')
    await lab.service('web', *both(80, 30080), **of(family, type='NodePort'))
    await lab.endpoints('web', [backend], *TARGETS, family=family)

    await answers_everywhere(lab, NODE_ADDRESS[family], 30080, client, 'backend', MACHINE_ADDRESS[family])
    gateway = {'IPv4': str(PLAN.gateway), 'IPv6': str(PLAN6.gateway)}[family]
    assert await who(client.netns, gateway, 30080) == 'backend'  # every address of the Node


@families
async def test_ports_of_the_node_that_are_no_node_ports_are_the_nodes_own(lab: Lab, family: str) -> None:
    client = await lab.pod('client')
    await lab.service('web', {'port': 80, 'nodePort': 30080}, **of(family, type='NodePort'))
    address = NODE_ADDRESS[family]
    await lab.serve(Pod('node', NODE, address), 30081)

    assert await who(client.netns, address, 30081) == 'node'
    assert await who(MACHINE, address, 30081) == 'node'
    with pytest.raises(ConnectionRefusedError):
        await ask(client.netns, address, 30080)  # a node port without endpoints


@families
async def test_an_external_ip(lab: Lab, family: str) -> None:
    client, backend = await lab.pod('client'), await lab.pod('backend')
    address = EXTERNAL[family]
    await lab.service('web', *both(80), **of(family, externalIPs=[address]))
    await lab.endpoints('web', [backend], *TARGETS, family=family)
    route_to_node(address, family)

    await answers_everywhere(lab, address, 80, client, 'backend', MACHINE_ADDRESS[family])


@families
async def test_a_load_balancer_address(lab: Lab, family: str) -> None:
    client, backend = await lab.pod('client'), await lab.pod('backend')
    await lab.service('web', *both(80, 30080), **of(family, type='LoadBalancer'))
    await lab.balance('web', BALANCED[family])
    await lab.endpoints('web', [backend], *TARGETS, family=family)

    await answers_everywhere(lab, BALANCED[family], 80, client, 'backend', MACHINE_ADDRESS[family])
    for netns in (client.netns, NODE, MACHINE):
        with pytest.raises(ConnectionRefusedError):
            await ask(netns, BALANCED[family], 81)


async def test_an_address_of_mode_proxy_and_a_host_name_are_not_served_here(lab: Lab) -> None:
    backend = await lab.pod('backend')
    await lab.service('web', type='LoadBalancer', allocateLoadBalancerNodePorts=False)
    await lab.balance('web', {'ip': EXTERNAL['IPv4'], 'ipMode': 'Proxy'}, {'hostname': 'lb.example.org'})
    await lab.endpoints('web', [backend])
    assert not [key for _, key in await lab.elements() if EXTERNAL['IPv4'] in key]


@families
async def test_source_ranges_admit_those_they_name_and_drop_others(lab: Lab, family: str) -> None:
    client, backend = await lab.pod('client'), await lab.pod('backend')
    await lab.service('web', *both(80, 30080), **of(family, type='LoadBalancer'))
    await lab.balance('web', BALANCED[family])
    await lab.endpoints('web', [backend], *TARGETS, family=family)
    target, machine = BALANCED[family], MACHINE_ADDRESS[family] + ('/32' if family == 'IPv4' else '/128')

    await lab.change('web', loadBalancerSourceRanges=[machine])
    assert await who(MACHINE, target, 80) == 'backend'
    with pytest.raises(TimeoutError):
        await ask(client.netns, target, 80, timeout=UNREACHED)  # kube-proxy's firewall is for Pods, too
    with udp_client(client.netns, target, 80) as datagrams, pytest.raises(TimeoutError):
        await ask_udp(datagrams, timeout=UNREACHED)
    assert await who(client.netns, NODE_ADDRESS[family], 30080) == 'backend'  # it is about the balancer's address

    await lab.change('web', loadBalancerSourceRanges=[client.at(family) + ('/30' if family == 'IPv4' else '/126')])
    assert await who(client.netns, target, 80) == 'backend'
    with pytest.raises(TimeoutError):
        await ask(MACHINE, target, 80, timeout=UNREACHED)

    await lab.change('web', loadBalancerSourceRanges=[EVERYONE['IPv6' if family == 'IPv4' else 'IPv4']])
    with pytest.raises(TimeoutError):
        await ask(client.netns, target, 80, timeout=UNREACHED)  # only the other family is let in

    await lab.change('web', loadBalancerSourceRanges=[EVERYONE[family]])
    for netns in (client.netns, NODE, MACHINE):
        assert await who(netns, target, 80) == 'backend'


@families
async def test_external_traffic_policy_local(lab: Lab, family: str) -> None:
    """From outside only endpoints of this Node, and nobody if there is none; from inside all of them."""
    client, here, there = await lab.pod('client'), await lab.pod('here'), await lab.pod('there')
    near = {'addresses': [here.at(family)], 'nodeName': 'node-1'}
    far = {'addresses': [there.at(family)], 'nodeName': 'node-2'}
    external = {'type': 'LoadBalancer', 'externalTrafficPolicy': 'Local', 'externalIPs': [EXTERNAL[family]]}
    vip = await lab.service('web', *both(80, 30080), **of(family, healthCheckNodePort=31000, **external))
    await lab.balance('web', BALANCED[family])
    route_to_node(EXTERNAL[family], family)
    targets = [(NODE_ADDRESS[family], 30080), (BALANCED[family], 80), (EXTERNAL[family], 80)]

    await lab.endpoints('web', [near, far], *TARGETS, family=family)
    for address, port in targets:
        assert {await ask(MACHINE, address, port) for _ in range(15)} == {f'here {MACHINE_ADDRESS[family]}'}
        with udp_client(MACHINE, address, port) as datagrams:
            assert (await ask_udp(datagrams)).split()[0] == 'here'
        assert {await who(client.netns, address, port) for _ in range(30)} == {'here', 'there'}
    assert {await who(MACHINE, vip, 80) for _ in range(30)} == {'here', 'there'}

    await lab.endpoints('web', [far], *TARGETS, family=family)
    for address, port in targets:
        with pytest.raises(TimeoutError):
            await ask(MACHINE, address, port, timeout=UNREACHED)
        assert await who(client.netns, address, port) == 'there'

    await lab.endpoints('web', [], *TARGETS, family=family)
    for address, port in targets:
        with pytest.raises(ConnectionRefusedError):
            await ask(MACHINE, address, port)


async def test_the_health_check_node_port_says_whether_this_node_has_endpoints(lab: Lab) -> None:
    here = {'addresses': [(await lab.pod('here')).address], 'nodeName': 'node-1'}
    far = {'addresses': [(await lab.pod('far')).address], 'nodeName': 'node-2'}
    await lab.service('web', type='LoadBalancer', externalTrafficPolicy='Local', healthCheckNodePort=31000)

    await lab.endpoints('web', [here, far])
    head, body = await http(NODE_ADDRESS['IPv4'], 31000)
    assert head[0] == 'HTTP/1.1 200 OK'
    assert 'X-Load-Balancing-Endpoint-Weight: 1' in head
    assert json.loads(body) == {
        'service': {'namespace': 'default', 'name': 'web'}, 'localEndpoints': 1, 'serviceProxyHealthy': True,
    }  # fmt: skip
    assert (await http(NODE_ADDRESS['IPv6'], 31000))[0][0] == 'HTTP/1.1 200 OK'

    await lab.endpoints('web', [far])
    assert await eventually(lambda: status(31000)) == 'HTTP/1.1 503 Service Unavailable'

    await lab.change('web', externalTrafficPolicy='Cluster', healthCheckNodePort=0)
    with pytest.raises(ConnectionRefusedError):
        await http(NODE_ADDRESS['IPv4'], 31000)


@families
async def test_a_client_stays_with_its_endpoint_at_every_kind_of_frontend(lab: Lab, family: str) -> None:
    client, *backends = [await lab.pod(name) for name in ('client', 'a', 'b', 'c', 'd')]
    spec = {'type': 'LoadBalancer', 'externalIPs': [EXTERNAL[family]], 'sessionAffinity': 'ClientIP'}
    vip = await lab.service('web', *both(80, 30080), **of(family, **spec))
    await lab.balance('web', BALANCED[family])
    await lab.endpoints('web', backends, *TARGETS, family=family)

    for address, port in ((vip, 80), (NODE_ADDRESS[family], 30080), (BALANCED[family], 80), (EXTERNAL[family], 80)):
        (mine,) = {await who(client.netns, address, port) for _ in range(15)}
        await lab.endpoints('web', [pod for pod in backends if pod.name != mine], *TARGETS, family=family)
        (second,) = {await who(client.netns, address, port) for _ in range(15)}
        assert second != mine
        await lab.endpoints('web', backends, *TARGETS, family=family)
        assert {await who(client.netns, address, port) for _ in range(15)} == {second}


@families
async def test_udp_clients_of_external_frontends_move_on_when_their_endpoint_goes(lab: Lab, family: str) -> None:
    client, a, b = await lab.pod('client'), await lab.pod('a'), await lab.pod('b')
    await lab.service('web', *both(80, 30080), **of(family, type='LoadBalancer'))
    await lab.balance('web', BALANCED[family])
    await lab.endpoints('web', [a], *TARGETS, family=family)
    for address, port in ((NODE_ADDRESS[family], 30080), (BALANCED[family], 80)):
        await lab.endpoints('web', [a], *TARGETS, family=family)
        with udp_client(client.netns, address, port) as datagrams:
            assert (await ask_udp(datagrams)).split()[0] == 'a'
            await lab.endpoints('web', [b], *TARGETS, family=family)
            await eventually(lambda d=datagrams: answers(d, 'b'))


async def test_a_service_changes_its_type_there_and_back(lab: Lab) -> None:
    backend = await lab.pod('backend')
    vip = await lab.service('web', type='LoadBalancer', externalIPs=[EXTERNAL['IPv4']], sessionAffinity='ClientIP')
    await lab.balance('web', BALANCED['IPv4'])
    await lab.endpoints('web', [backend])
    everything = await lab.elements()
    assert len(everything) > 8

    port = [{'port': 80}]
    await lab.change('web', type='ClusterIP', externalIPs=[], sessionAffinity='None', ports=port)
    assert set(await lab.elements()) == {
        ('ip netkube cluster-ips', vip),
        ('ip netkube services', f'{vip} . tcp . 80'),
        ('ip netkube endpoints', f'{vip} . tcp . 80 . 0'),
    }
    await lab.change('web', type='NodePort')
    assert [name for name, _ in await lab.elements() if 'node-' in name]
    await lab.change('web', type='ExternalName', externalName='example.org', clusterIP='', clusterIPs=[], ports=port)
    assert await lab.elements() == {}
    await lab.change('web', type='ClusterIP', externalName='')
    assert await lab.elements() != {}
    await lab.client.delete(SERVICES, 'default', 'web')
    await lab.settled()
    assert await lab.elements() == {}


async def test_of_two_services_with_one_external_address_the_first_has_it(lab: Lab) -> None:
    a, b = await lab.pod('a'), await lab.pod('b')
    await lab.service('first', externalIPs=[EXTERNAL['IPv4']])
    await lab.endpoints('first', [a])
    two = {'name': 'x', 'port': 80}, {'name': 'y', 'port': 81}
    second = await lab.service('second', *two, externalIPs=[EXTERNAL['IPv4']])
    ports = {'name': 'x', 'port': 8080}, {'name': 'y', 'port': 8080}
    await lab.endpoints('second', [b], *ports, settle=False)

    (event,) = await eventually(lambda: events(lab))
    assert event['involvedObject']['name'] == 'second'
    assert event['message'] == 'address 192.0.2.50, port 80/TCP is already that of Service default/first'
    assert await eventually(lambda: who(NODE, second, 80)) == 'b'
    assert await eventually(lambda: who(NODE, EXTERNAL['IPv4'], 81)) == 'b'  # what nobody else has
    assert await who(NODE, EXTERNAL['IPv4'], 80) == 'a'

    await lab.client.delete(SERVICES, 'default', 'first')
    await lab.settled()
    assert await who(NODE, EXTERNAL['IPv4'], 80) == 'b'


@families
async def test_the_kernel_takes_sctp_rules(lab: Lab, family: str) -> None:
    """The kernel of the test may have no SCTP sockets; tracking and translation of it do not need them."""
    backend = await lab.pod('backend')
    vip = await lab.service('web', {**SCTP, 'nodePort': 30080}, **of(family, type='NodePort'))
    await lab.endpoints('web', [backend], {'name': 'sctp', 'port': 8080, 'protocol': 'SCTP'}, family=family)
    elements = await lab.elements()
    table = 'ip6' if family == 'IPv6' else 'ip'
    assert elements[f'{table} netkube services', f'{vip} . sctp . 80'] == '1'
    assert elements[f'{table} netkube node-services', 'sctp . 30080'] == '1'


def route_to_node(address: str, family: str) -> None:
    """On the machine, as the owner of an external address would do it."""
    ip(MACHINE, f'route replace {address} via {NODE_ADDRESS[family]} dev nk-lab', family=family)


async def http(address: str, port: int) -> tuple[list[str], bytes]:
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(b'GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n')
    head, body = (await reader.read()).split(b'\r\n\r\n')
    writer.close()
    return head.decode().split('\r\n'), body


async def status(port: int) -> str:
    line = (await http(NODE_ADDRESS['IPv4'], port))[0][0]
    return line if '503' in line else ''


async def answers(datagrams: socket.socket, name: str) -> bool:
    """Asked now. The answer to a datagram whose flow is forgotten meanwhile is lost."""
    try:
        return (await ask_udp(datagrams, timeout=UNREACHED)).split()[0] == name
    except TimeoutError:
        return False


async def events(lab: Lab) -> list:
    return (await lab.client.list(EVENTS)).items
