"""The machine's link to clusters of IPv6 and of both families: reached, reaching out, and gone without a trace."""

from contextlib import asynccontextmanager

import pytest
from network.packets import Killed, killed_after, listening, network_state, run, seen_as

from netkube.api.families import everywhere
from netkube.cluster.machine import MachineLink, MachineLinkConfig, RouteConflict, table_name, used_networks
from netkube.network import namespaces, sysctl
from netkube.network.forwarding import SWITCHES
from netkube.network.plan import AddressPlan
from netkube.node.network import NodeNetwork, NodeNetworkConfig

OUTSIDE = {'IPv4': ('198.51.100.1', '198.51.100.2', 24), 'IPv6': ('2001:db8::1', '2001:db8::2', 64)}
IPV4 = AddressPlan.of('10.244.0.0/16', '10.96.0.0/16')
IPV6 = AddressPlan.of('fd00:10:244::/56', 'fd00:10:96::/112')
CLUSTERS = {'ipv6': (IPV6,), 'dual': (IPV4, IPV6), 'dual, IPv6 first': (IPV6, IPV4)}


@pytest.fixture(params=CLUSTERS.values(), ids=CLUSTERS)
def plans(request):
    return request.param


@pytest.fixture(autouse=True)
def forwarding_off():
    for switch in SWITCHES.values():
        sysctl.write(switch, 0)


@pytest.fixture
def internet():
    """A namespace one hop beyond the machine, which knows no way back to Pods."""
    namespaces.create('internet')
    run('ip link add uplink type veth peer name eth0 netns internet')
    for link, netns, index in (('uplink', None, 1), ('eth0', 'internet', 0)):
        run(f'ip link set {link} addrgenmode none', netns=netns)
        run(f'ip link set {link} up', netns=netns)
        for family in OUTSIDE.values():
            nodad = 'nodad' if ':' in family[index] else ''
            run(f'ip address add {family[index]}/{family[2]} dev {link} {nodad}', netns=netns)
    yield
    run('ip link del uplink')
    namespaces.delete('internet')


class Cluster:
    def __init__(self, plans, record):
        self.plans, self.addresses = plans, tuple(plan.node_pod_cidr[2] for plan in plans)
        self.node = NodeNetwork(NodeNetworkConfig('c--node-1', plans))
        self.link = MachineLink(MachineLinkConfig('c', 'c--node-1', plans, record))

    async def up(self):
        await self.node.start()
        await self.link.ensure()
        namespaces.ensure('pod')
        await self.node.plug('pod', 'pod', *self.addresses)

    async def down(self):
        await self.link.remove()
        await self.link.close()
        await self.node.stop()
        namespaces.delete('pod')


@asynccontextmanager
async def running(plans, record):
    cluster = Cluster(plans, record)
    try:
        await cluster.up()
        yield cluster
    finally:
        await cluster.down()


@pytest.fixture
def record(tmp_path):
    return tmp_path / 'run' / 'machine.json'


@pytest.fixture
async def cluster(plans, record):
    async with running(plans, record) as made:
        yield made


def anywhere(address):
    return everywhere(address).network_address


async def test_the_machine_reaches_pods_and_the_node(cluster):
    for plan, address in zip(cluster.plans, cluster.addresses, strict=True):
        async with listening('pod', anywhere(address)):
            assert await seen_as(None, address) == str(plan.machine_address)
        async with listening('c--node-1', anywhere(address)):
            for of_node in (plan.node_address, plan.gateway, plan.dns_vip):
                assert await seen_as(None, of_node) == str(plan.machine_address)


async def test_pods_reach_the_machine(cluster):
    for plan, address in zip(cluster.plans, cluster.addresses, strict=True):
        async with listening(None, anywhere(address)):
            assert await seen_as('pod', plan.machine_address) == str(address)


async def test_pods_reach_the_world_with_the_machines_address(cluster, internet):
    for plan in cluster.plans:
        server, uplink, _ = OUTSIDE[plan.family]
        async with listening('internet', anywhere(plan.gateway)):
            assert await seen_as('pod', server) == uplink


async def test_the_machine_is_as_before_afterwards(plans, record, internet):
    before = network_state()
    async with running(plans, record):
        assert network_state() != before
        assert all(table_name('c') in run(f'nft list tables {word}') for word in {'ip6'})
    assert network_state() == before


async def test_ipv4_alone_leaves_the_machines_ipv6_as_it_is(record):
    async with running((IPV4,), record):
        assert sysctl.read(SWITCHES['IPv6']) == '0'
        assert 'inet6' not in run('ip address show dev nk-c')
        assert 'ip6' not in run('nft list tables')


async def test_a_kill_half_way_in_a_dual_stack_start(record, monkeypatch, internet):
    before = network_state()
    plans = CLUSTERS['dual']
    for messages in range(21):
        cluster = Cluster(plans, record)
        await cluster.node.start()
        killed_after(monkeypatch, messages)
        with pytest.raises(Killed):
            await cluster.link.ensure()
        monkeypatch.undo()
        await cluster.up()
        for plan in plans:
            server, uplink, _ = OUTSIDE[plan.family]
            async with listening('internet', anywhere(plan.gateway)):
                assert await seen_as('pod', server) == uplink, messages
        await cluster.down()
        assert network_state() == before, messages


async def test_a_route_of_somebody_else_is_not_replaced(record, internet):
    run('ip -6 route add fd00:10:96::/112 via 2001:db8::1')
    before = network_state()
    cluster = Cluster((IPV6,), record)
    await cluster.node.start()
    try:
        with pytest.raises(RouteConflict, match='already has a route to fd00:10:96::/112'):
            await cluster.link.ensure()
    finally:
        await cluster.link.close()
        await cluster.node.stop()
        assert network_state() == before
        run('ip -6 route del fd00:10:96::/112')


async def test_used_networks_are_of_both_families(cluster, internet):
    networks = {str(network) for network in used_networks()}
    ours = {str(cidr) for plan in cluster.plans for cidr in (plan.pod_cidr, plan.service_cidr)}
    assert networks >= ours | {'2001:db8::/64', '198.51.100.0/24'}
    assert not {str(network) for network in used_networks('nk-c')} & ours
