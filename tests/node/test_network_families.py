"""A Node's network with IPv4, IPv6 and both: the same promises for each address that a Pod has."""

import asyncio
import errno
import socket
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest
from network.packets import Killed, killed_after, listening, run, seen_as

from netkube.api.families import everywhere, socket_family
from netkube.network import namespaces
from netkube.network.plan import AddressPlan
from netkube.node.network import NodeNetwork, NodeNetworkConfig, link_name

IPV4 = AddressPlan.of('10.244.0.0/16', '10.96.0.0/16')
IPV6 = AddressPlan.of('fd00:10:244::/56', 'fd00:10:96::/112')
NODE = 't--node-1'
NO_ROUTE = {'IPv4': errno.EHOSTUNREACH, 'IPv6': errno.ENETUNREACH}  # as Linux reads ICMP and ICMPv6
CLUSTERS = {'ipv4': (IPV4,), 'ipv6': (IPV6,), 'dual': (IPV4, IPV6), 'dual, IPv6 first': (IPV6, IPV4)}


@pytest.fixture(params=CLUSTERS.values(), ids=CLUSTERS)
def plans(request):
    return request.param


@pytest.fixture
async def node(plans):
    network = NodeNetwork(NodeNetworkConfig(NODE, plans))
    await network.start()
    yield network
    await network.stop()


def addresses(plans, number):
    """Those of the Node's Pod number so-and-so."""
    return tuple(plan.node_pod_cidr[number + 1] for plan in plans)


@asynccontextmanager
async def pod(node, name, number):
    namespaces.create(name)
    try:
        await node.plug(name, name, *addresses(node.config.plans, number))
        yield addresses(node.config.plans, number)
    finally:
        await node.unplug(name)
        namespaces.delete(name)


@pytest.fixture
async def a(node):
    async with pod(node, 'a', 1) as made:
        yield made


@pytest.fixture
async def b(node):
    async with pod(node, 'b', 2) as made:
        yield made


def anywhere(address):
    return everywhere(address).network_address


async def test_pods_reach_each_other_and_see_each_others_addresses(a, b):
    for mine, theirs in zip(a, b, strict=True):
        async with listening('b', anywhere(theirs)):
            assert await seen_as('a', theirs) == str(mine)


async def test_pods_reach_the_node_and_the_node_pods(plans, a):
    for plan, address in zip(plans, a, strict=True):
        async with listening(NODE, anywhere(address)):
            for of_node in (plan.gateway, plan.node_address, plan.dns_vip):
                assert await seen_as('a', of_node) == str(address)
        async with listening('a', anywhere(address)):
            assert await seen_as(NODE, address) == str(plan.gateway)


async def test_an_address_that_no_pod_has_is_refused_at_once(plans, a):
    for plan in plans:
        with pytest.raises(OSError) as refused:  # noqa: PT011 - its number says it
            await seen_as('a', plan.node_pod_cidr[99])
        assert refused.value.errno == NO_ROUTE[plan.family]


async def test_a_pod_cannot_send_as_somebody_outside(plans, a, b):
    for plan, mine, theirs in zip(plans, a, b, strict=True):
        stranger, length, how = ('2001:db8::9', 128, 'nodad') if plan.family == 'IPv6' else ('192.0.2.9', 32, '')
        run(f'ip address add {stranger}/{length} dev eth0 {how}', netns='a')
        with datagrams('b', anywhere(theirs)) as receiver:
            for source in (stranger, str(mine)):  # in this order: when the second is there, so would be the first
                with datagrams('a', source) as sender:
                    sender.sendto(source.encode(), (str(theirs), receiver.getsockname()[1]))
            async with asyncio.timeout(60):
                assert await asyncio.get_running_loop().sock_recv(receiver, 100) == str(mine).encode()


def datagrams(netns, address):
    """A UDP socket at that address."""
    made = namespaces.socket_in(netns, socket_family(ip_address(str(address))), socket.SOCK_DGRAM)
    made.bind((str(address), 0))
    return made


async def test_nobody_asks_who_has_an_address(node, a, b):
    """Every neighbour is known for good, and nothing on any link was given by autoconfiguration."""
    for netns in ('a', 'b', NODE):
        for line in run('ip neigh', netns=netns).splitlines():
            assert line.rstrip().endswith('PERMANENT'), line
        assert ' fe80:' not in run('ip -6 address', netns=netns)
    for mine, theirs in zip(a, b, strict=True):
        async with listening('b', anywhere(theirs)):
            assert await seen_as('a', theirs) == str(mine)
    assert not any('PERMANENT' not in line for line in run('ip neigh', netns=NODE).splitlines())


async def test_ports_have_no_ipv6_of_their_own(node, a):
    setting = f'/proc/sys/net/ipv6/conf/{link_name("a")}/disable_ipv6'
    assert run(f'cat {setting}', netns=NODE).strip() == '1'


async def test_unplugging_leaves_no_route_and_no_neighbour(node, plans):
    before = state()
    async with pod(node, 'a', 1) as made:
        assert all(str(address) in state() for address in made)
    assert state() == before


async def test_a_restart_finds_all_addresses_again(node, plans, a, b):
    again = NodeNetwork(NodeNetworkConfig(NODE, plans))
    await again.start()
    namespaces.delete('a')
    await again.unplug('a')
    try:
        assert not any(f'{address} ' in state() for address in a)
        assert all(f'{address} ' in state() for address in b)
    finally:
        await again.close()


def state():
    commands = ('-4 route', '-6 route', 'neigh')
    words = ' '.join(run(f'ip {command}', netns=NODE) for command in commands).split()
    return ' '.join(word for word in words if word != 'linkdown') + ' '


@pytest.mark.parametrize('messages', range(15))
async def test_a_kill_while_plugging_both_families(monkeypatch, messages):
    plans = CLUSTERS['dual']
    node = NodeNetwork(NodeNetworkConfig(NODE, plans))
    await node.start()
    before = state()
    namespaces.create('a')
    try:
        killed_after(monkeypatch, messages)
        with pytest.raises(Killed):
            await node.plug('a', 'a', *addresses(plans, 1))
        monkeypatch.undo()
        again = NodeNetwork(NodeNetworkConfig(NODE, plans))
        await again.start()
        await again.plug('a', 'a', *addresses(plans, 1))
        for plan, address in zip(plans, addresses(plans, 1), strict=True):
            async with listening('a', anywhere(address)):
                assert await seen_as(NODE, address) == str(plan.gateway)
        await again.unplug('a')
        await again.close()
        assert state() == before
    finally:
        namespaces.delete('a')
        await node.stop()
