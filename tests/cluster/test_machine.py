"""What a cluster is on the machine: reachable from it, reaching the world through it, and gone without a trace."""

import asyncio
import errno
import json
from contextlib import asynccontextmanager
from ipaddress import IPv4Network

import pytest
from network.packets import Killed, killed_after, listening, network_state, run, seen_as

from netkube.cluster.addressing import AddressPlan
from netkube.cluster.machine import (
    MachineLink,
    MachineLinkConfig,
    RouteConflict,
    link_name,
    table_name,
    used_networks,
)
from netkube.network import namespaces, sysctl
from netkube.network.forwarding import FORWARD
from netkube.network.nft import Nft, NftError
from netkube.node.network import NodeNetwork, NodeNetworkConfig

INTERNET, UPLINK = '198.51.100.1', '198.51.100.2'
PLANS = {
    'one': AddressPlan.of('10.244.0.0/16', '10.96.0.0/16'),
    'two': AddressPlan.of('10.245.0.0/16', '10.97.0.0/16'),
}

DNAT = """
table ip test {{
  chain prerouting {{
    type nat hook prerouting priority dstnat
    ip daddr {vip} dnat to {pod}
  }}
}}
"""


@pytest.fixture
def record(tmp_path):
    return tmp_path / 'run' / 'machine.json'


@pytest.fixture(autouse=True)
def forwarding_off():
    sysctl.write(FORWARD, 0)


@pytest.fixture
def internet():
    """A namespace one hop beyond the machine, which knows no way back to Pods."""
    namespaces.create('internet')
    run('ip link add uplink type veth peer name eth0 netns internet')
    for netns in (None, 'internet'):  # no link-local address, which would be tentative for a second
        run(f'ip link set {"eth0" if netns else "uplink"} addrgenmode none', netns=netns)
    run(f'ip address add {UPLINK}/24 dev uplink')
    run('ip link set uplink up')
    run(f'ip address add {INTERNET}/24 dev eth0', netns='internet')
    run('ip link set eth0 up', netns='internet')
    yield INTERNET
    run('ip link del uplink')
    namespaces.delete('internet')


class Cluster:
    """A Node, its link to the machine, and one Pod whose namespace is ``NAME-pod``."""

    def __init__(self, name, record):
        self.plan = plan = PLANS[name]
        self.pod, self.address = f'{name}-pod', plan.node_pod_cidr[2]
        self.node = NodeNetwork(
            NodeNetworkConfig(f'{name}--node-1', (plan,))
        )
        self.config = MachineLinkConfig(name, f'{name}--node-1', (plan,), record)
        self.link = MachineLink(self.config)

    async def up(self):
        await self.node.start()
        await self.link.ensure()
        namespaces.ensure(self.pod)
        await self.node.plug(self.pod, self.pod, self.address)

    async def down(self):
        await self.link.remove()
        await self.link.close()
        await self.node.stop()
        namespaces.delete(self.pod)


@asynccontextmanager
async def running(name, record):
    cluster = Cluster(name, record)
    try:
        await cluster.up()
        yield cluster
    finally:
        await cluster.down()


@pytest.fixture
async def one(record):
    async with running('one', record) as cluster:
        yield cluster


async def test_the_machine_reaches_pods_and_pods_the_machine(one):
    async with listening(one.pod):
        assert await seen_as(None, one.address) == str(one.plan.machine_address)
    async with listening(None):
        assert await seen_as(one.pod, one.plan.machine_address) == str(one.address)


async def test_the_machine_reaches_the_nodes_addresses(one):
    async with listening(one.node.config.netns):
        for address in (one.plan.node_address, one.plan.gateway, one.plan.dns_vip):
            assert await seen_as(None, address) == str(one.plan.machine_address)


async def test_the_machine_reaches_a_pod_through_a_services_address(one):
    """The Node rewrites it; here with one rule instead of the service proxy."""
    await in_node(one, DNAT.format(vip='10.96.7.7', pod=one.address))
    async with listening(one.pod):
        assert await seen_as(None, '10.96.7.7') == str(one.plan.machine_address)


async def in_node(cluster, rules):
    thread = namespaces.NamespaceThread(cluster.node.config.netns)
    try:
        await thread.run(Nft().run, rules)
    finally:
        await thread.closed()


async def test_an_unknown_services_address_ends_at_the_node(one):
    """And does not go back and forth between Node and machine until its time to live ends."""
    with pytest.raises(OSError) as raised:
        await seen_as(None, '10.96.7.7')
    assert raised.value.errno == errno.EHOSTUNREACH


async def test_pods_reach_the_world_with_the_machines_address(one, internet):
    async with listening('internet'):
        assert await seen_as(one.pod, internet) == UPLINK
        assert await seen_as(one.node.config.netns, internet) == UPLINK


async def test_pods_reach_the_machine_s_other_addresses_as_themselves(one, internet):
    async with listening(None):
        assert await seen_as(one.pod, UPLINK) == str(one.address)


async def test_two_clusters_side_by_side(record, internet):
    async with running('one', record) as one, running('two', record) as two:
        for cluster in (one, two):
            async with listening(cluster.pod):
                assert await seen_as(None, cluster.address) == str(cluster.plan.machine_address)
            async with listening('internet'):
                assert await seen_as(cluster.pod, internet) == UPLINK


async def test_the_first_to_go_leaves_the_other_its_way_out(record, internet):
    async with running('one', record) as one:
        async with running('two', record):
            pass
        async with listening('internet'):
            assert await seen_as(one.pod, internet) == UPLINK
    assert sysctl.read(FORWARD) == '0'


@pytest.mark.parametrize('forward', ['0', '1'])
async def test_the_machine_is_as_before_afterwards(record, forward, internet):
    sysctl.write(FORWARD, forward)
    before = network_state()
    async with running('one', record), running('two', record):
        assert network_state() != before
    assert network_state() == before


async def test_both_are_idempotent_and_need_no_memory(one, internet):
    before = network_state()
    again = MachineLink(one.config)
    await again.ensure()
    assert network_state() == before
    await again.remove()
    await again.remove()
    await again.close()
    assert link_name('one') not in run('ip link')
    assert sysctl.read(FORWARD) == '0'


async def test_ensuring_again_disturbs_no_connection(one):
    async with listening(one.pod):
        sock = namespaces.socket_in(None)
        await asyncio.get_running_loop().sock_connect(sock, (str(one.address), 8080))
        reader, writer = await asyncio.open_connection(sock=sock)
        await one.link.ensure()
        assert await reader.read() == str(one.plan.machine_address).encode()
        writer.close()


@pytest.mark.parametrize('messages', range(12))
@pytest.mark.parametrize('go_on', [True, False], ids=['then up', 'then down'])
async def test_a_kill_half_way(record, monkeypatch, internet, messages, go_on):
    before = network_state()
    cluster = Cluster('one', record)
    await cluster.node.start()
    killed_after(monkeypatch, messages)
    with pytest.raises(Killed):
        await cluster.link.ensure()
    monkeypatch.undo()
    if go_on:
        await cluster.up()
        async with listening('internet'):
            assert await seen_as(cluster.pod, internet) == UPLINK
    await cluster.down()
    assert network_state() == before


@pytest.mark.parametrize(
    'spoil',
    [
        'ip link del nk-one',
        'ip link set nk-one down',
        'ip address flush dev nk-one',
        'ip route del 10.96.0.0/16',
        'nft delete table ip netkube-one',
        'ip -n one--node-1 route del default',
        'ip -n one--node-1 link set machine down; ip -n one--node-1 link set machine name lost',  # before Linux 6.2
        'sysctl -qw net.ipv4.ip_forward=0',
    ],
)
async def test_what_is_missing_is_made_again(one, internet, spoil):
    for command in spoil.split('; '):
        run(command)
    await one.link.ensure()
    async with listening(one.pod):
        assert await seen_as(None, one.address)
    async with listening('internet'):
        assert await seen_as(one.pod, internet) == UPLINK


async def test_a_new_node_namespace_gets_a_new_link(one):
    """The old one may live on for a while, held by some process: its link is not the one that is needed."""
    with namespaces.opened(one.node.config.netns):
        namespaces.delete(one.node.config.netns)
        fresh = Cluster('one', one.config.record)
        await fresh.up()
        async with listening(fresh.node.config.netns):
            assert await seen_as(None, one.plan.node_address)
        await fresh.down()


async def test_a_record_that_was_lost_leaves_forwarding_alone(record):
    async with running('one', record):
        record.unlink()
    assert sysctl.read(FORWARD) == '1'


async def test_somebody_elses_route_is_a_conflict_that_changes_nothing(record, internet):
    run('ip route add 10.96.0.0/16 dev uplink')
    cluster = Cluster('one', record)
    await cluster.node.start()
    before = network_state()
    try:
        with pytest.raises(RouteConflict, match='the machine already has a route to 10.96.0.0/16'):
            await cluster.link.ensure()
        assert network_state() == before
    finally:
        await cluster.down()
    assert 'uplink' in run('ip route show 10.96.0.0/16')


async def test_a_failure_half_way_changes_nothing(record, monkeypatch):
    """The rules, which come last, are refused."""
    monkeypatch.setattr('netkube.cluster.machine.TABLE', 'add table ip {table}\nnonsense')
    cluster = Cluster('one', record)
    await cluster.node.start()
    before = network_state()
    with pytest.raises(NftError):
        await cluster.link.ensure()
    assert network_state() == before
    await cluster.down()


async def test_without_a_link_pods_have_no_way_out_and_are_told_so(record, internet):
    cluster = Cluster('one', record)
    await cluster.node.start()
    namespaces.create(cluster.pod)
    await cluster.node.plug(cluster.pod, cluster.pod, cluster.address)
    try:
        with pytest.raises(OSError) as raised:
            await seen_as(cluster.pod, internet)
        assert raised.value.errno == errno.ENETUNREACH
    finally:
        await cluster.down()


async def test_used_networks_are_the_machines_routes_without_our_own(one, internet):
    assert set(used_networks()) >= {IPv4Network('198.51.100.0/24'), one.plan.pod_cidr, one.plan.service_cidr}
    assert used_networks(one.config.link) == [IPv4Network('198.51.100.0/24')]


async def test_the_veth_has_no_ipv6_address(one):
    assert [a['family'] for a in json.loads(run('ip -j address show nk-one'))[0]['addr_info']] == ['inet']


@pytest.mark.parametrize(('cluster', 'link'), [('default', 'nk-default'), ('twelve-chars', 'nk-twelve-chars')])
def test_a_short_clusters_link_has_its_name(cluster, link):
    assert link_name(cluster) == link


def test_long_names_are_shortened_and_differ():
    names = {link_name('a-very-long-name-of-a-cluster-1'), link_name('a-very-long-name-of-a-cluster-2')}
    assert len(names) == 2
    assert all(len(name) == 15 and name.startswith('nk-a-ver') for name in names)
    assert table_name('default') == 'netkube-default'
