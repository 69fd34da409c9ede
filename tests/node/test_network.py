"""A Node's network on the real kernel: what Pods and people see of it."""

import asyncio
import errno
import time
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import IPv4Address

import pytest
from msgspec.structs import replace
from network.packets import Killed, killed_after, listening, network_state, run, seen_as

from netkube.network import namespaces, sysctl
from netkube.network.namespaces import inside, opened
from netkube.network.plan import AddressPlan
from netkube.node import bridges
from netkube.node.network import SETTINGS, NodeNetwork, NodeNetworkConfig, link_name
from netkube.testing import eventually

PLAN = AddressPlan.of('10.244.0.0/16', '10.96.0.0/16')
CONFIG = NodeNetworkConfig('t--node-1', (PLAN,))
A, B, C = (IPv4Address(f'10.244.0.{n}') for n in (2, 3, 4))


@pytest.fixture
async def node():
    network = NodeNetwork(CONFIG)
    await network.start()
    yield network
    await network.stop()


@asynccontextmanager
async def pod(node: NodeNetwork, name: str, address: IPv4Address):
    """A plugged namespace; its name and the Pod's uid are the same."""
    namespaces.create(name)
    try:
        await node.plug(name, name, address)
        yield name
    finally:
        await node.unplug(name)
        namespaces.delete(name)


@pytest.fixture
async def a(node):
    async with pod(node, 'a', A) as name:
        yield name


@pytest.fixture
async def b(node):
    async with pod(node, 'b', B) as name:
        yield name


def node_state() -> str:
    """But for the bridge's carrier, which comes and goes with the first port, in the kernel's own time."""
    commands = ('-br link', '-4 -br address', 'route', 'neigh')
    words = ' '.join(run(f'ip {command}', netns=CONFIG.netns) for command in commands).split()
    return ' '.join(w for w in words if w not in ('linkdown', 'UP', 'DOWN', 'UNKNOWN') and not w.startswith('<'))


async def test_pods_reach_each_other_and_see_each_others_addresses(a, b):
    async with listening(b):
        assert await seen_as(a, B) == str(A)
    async with listening(a):
        assert await seen_as(b, A) == str(B)


async def test_pods_reach_the_node_and_the_node_pods(a):
    async with listening(CONFIG.netns):
        for address in (PLAN.gateway, PLAN.node_address, PLAN.dns_vip):
            assert await seen_as(a, address) == str(A)
    async with listening(a):
        assert await seen_as(CONFIG.netns, A) == str(PLAN.gateway)


async def test_a_pod_reaches_itself(a):
    async with listening(a):
        assert await seen_as(a, A) == str(A)
        assert await seen_as(a, '127.0.0.1') == '127.0.0.1'


async def test_what_goes_from_pod_to_pod_is_routed(node, a, b):
    """An address that somebody takes without being given it is not reachable on the bridge."""
    run(f'ip address add {C}/32 dev eth0', netns=b)
    async with listening(b):
        with pytest.raises(OSError):
            await seen_as(a, C)


async def test_nobody_asks_who_has_an_address(node, a, b):
    async with listening(b):
        await seen_as(a, B)
    for netns in (a, b, CONFIG.netns):
        lines = run('ip neigh', netns=netns).splitlines()
        assert lines and all(line.endswith('PERMANENT ') for line in lines), netns


async def test_an_address_without_a_pod_is_refused_at_once(a):
    """The kernel may hold back an ICMP error for a second, but connect does not run into its timeout."""
    for nobody in ('10.244.0.77', '10.244.200.1'):
        with pytest.raises(OSError) as raised:
            await seen_as(a, nobody)
        assert raised.value.errno == errno.EHOSTUNREACH


async def test_no_ipv6_but_on_loopback(a):
    assert 'inet6' not in run('ip address show dev eth0', netns=a)
    assert '::1/128' in run('ip address show dev lo', netns=a)
    assert 'inet6' not in run('ip address show dev netkube0', netns=CONFIG.netns)


async def test_a_pod_cannot_send_as_somebody_outside(a, b):
    run('ip address add 192.0.2.9/32 dev eth0', netns=a)
    run(f'ip route add {B}/32 via {PLAN.gateway} dev eth0 onlink src 192.0.2.9', netns=a)
    async with listening(b):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await seen_as(a, B)


async def test_bridged_frames_do_not_pass_through_iptables(node):
    """br_netfilter would answer a Service's address by bridging; where the module is absent there is no setting."""
    with opened(CONFIG.netns) as namespace, inside(namespace):
        for name in ('iptables', 'ip6tables', 'arptables'):
            setting = f'net/bridge/bridge-nf-call-{name}'
            assert not (sysctl.FOLDER / setting).exists() or sysctl.read(setting) == '0'


async def test_settings_are_kept_when_br_netfilter_is_loaded_later(node):
    with opened(CONFIG.netns) as namespace, inside(namespace):
        names = [name for name, _ in SETTINGS if (sysctl.FOLDER / name).exists()]
        before = {name: sysctl.read(name) for name in names}
        for name in names:  # all of them are 0 or 1
            sysctl.write(name, 1 - int(before[name]))

    def seen() -> bool:
        with opened(CONFIG.netns) as namespace, inside(namespace):
            return {name: sysctl.read(name) for name in names} == before

    assert not seen()
    keeping = asyncio.create_task(node.run())
    await eventually(seen)
    keeping.cancel()


async def test_the_ports_are_named_after_the_pods(node, a, b):
    assert await node.ports() == {link_name('a'), link_name('b')}
    assert all(len(name) == 15 and name.startswith('nk') for name in await node.ports())
    assert f'alias b {B}' in run(f'ip link show {link_name("b")}', netns=CONFIG.netns)


async def test_unplugged_pods_leave_nothing(node):
    before = node_state()
    async with pod(node, 'a', A), pod(node, 'b', B):
        assert node_state() != before
    assert node_state() == before
    await node.unplug('a')
    await node.unplug('never seen')


async def test_a_pod_whose_namespace_went_first_leaves_nothing(node):
    before = node_state()
    namespaces.create('a')
    await node.plug('a', 'a', A)
    namespaces.delete('a')
    await eventually(lambda: not links_of_the_kernel())
    await node.unplug('a')
    assert node_state() == before


def links_of_the_kernel() -> str:
    return ''.join(line for line in run('ip -o link', netns=CONFIG.netns).splitlines() if ': nk' in line)


async def test_plugging_again_disturbs_no_connection(node, a, b):
    """Not even from another process: nothing but the kernel remembers."""
    before = node_state()
    again = NodeNetwork(CONFIG)
    try:
        await again.start()
        await again.plug('b', 'b', B)
        assert node_state() == before
        async with listening(b):
            assert await seen_as(a, B) == str(A)
        await again.unplug('b')
        assert str(B) not in node_state()
    finally:
        await again.close()


async def test_a_new_sandbox_of_the_same_pod_takes_over(node, a):
    async with listening(a):
        namespaces.create('c')
        try:
            await node.plug('a', 'c', C)
            async with listening('c'):
                assert await seen_as(CONFIG.netns, C)
            assert str(A) not in node_state()
        finally:
            namespaces.delete('c')


async def test_a_half_plugged_pod_is_completed(node):
    """As a kill -9 leaves it after each single message."""
    namespaces.create('a')
    try:
        for spoil in ('ip link set {} nomaster', 'ip link set {} down', 'ip -n a link del eth0',
                      'ip -n a link set eth0 down; ip -n a link set eth0 name gone',  # before Linux 6.2
                      'ip -n a address flush dev eth0'):  # fmt: skip
            await node.plug('a', 'a', A)
            for command in spoil.format(link_name('a')).split('; '):
                run(command, netns=CONFIG.netns)
            await node.plug('a', 'a', A)
            async with listening('a'):
                assert await seen_as(CONFIG.netns, A), spoil
            assert len(await node.ports()) == 1, spoil
    finally:
        await node.unplug('a')
        namespaces.delete('a')


async def test_a_pod_without_a_namespace_is_an_error_that_leaves_nothing(node):
    before = node_state()
    with pytest.raises(FileNotFoundError, match='no such network namespace'):
        await node.plug('a', 'absent', A)
    assert node_state() == before


async def test_a_failure_half_way_leaves_nothing(node, monkeypatch):
    """The second message about the Pod's own side fails."""
    namespaces.create('a')
    before = node_state()

    def without_eth0(*_):
        raise OSError(errno.ENODEV, 'no link eth0')

    try:
        monkeypatch.setattr('netkube.network.ports.pod_side', without_eth0)
        with pytest.raises(OSError, match='no link eth0'):
            await node.plug('a', 'a', A)
        assert node_state() == before
        assert 'eth0' not in run('ip link', netns='a')
    finally:
        namespaces.delete('a')


@pytest.mark.parametrize('messages', range(10))
async def test_a_kill_while_plugging(node, monkeypatch, messages):
    """Whatever had been done: another process completes it, and takes it away without a trace."""
    before = node_state()
    namespaces.create('a')
    try:
        killed_after(monkeypatch, messages)
        with pytest.raises(Killed):
            await node.plug('a', 'a', A)
        monkeypatch.undo()
        again = NodeNetwork(CONFIG)
        await again.start()
        await again.plug('a', 'a', A)
        async with listening('a'):
            assert await seen_as(CONFIG.netns, A) == str(PLAN.gateway)
        await again.unplug('a')
        await again.close()
    finally:
        namespaces.delete('a')
    assert node_state() == before


@pytest.mark.parametrize('messages', range(8))
async def test_a_kill_while_starting(monkeypatch, messages):
    before = network_state()
    killed_after(monkeypatch, messages)
    first = NodeNetwork(CONFIG)
    with pytest.raises(Killed):
        await first.start()
    await first.close()
    monkeypatch.undo()

    again = NodeNetwork(CONFIG)
    await again.start()
    async with pod(again, 'a', A), listening('a'):
        assert await seen_as(CONFIG.netns, A) == str(PLAN.gateway)
    await again.stop()
    assert network_state() == before


async def test_starting_over_a_half_built_node():
    """The namespace without a bridge, then a bridge without addresses or routes."""
    namespaces.create(CONFIG.netns)
    run('ip link add netkube0 type bridge', netns=CONFIG.netns)
    network = NodeNetwork(CONFIG)
    try:
        await network.start()
        async with pod(network, 'a', A), listening('a'):
            assert await seen_as(CONFIG.netns, A) == str(PLAN.gateway)
    finally:
        await network.stop()


async def test_starting_forgets_pods_that_went_meanwhile(node, b):
    namespaces.create('a')
    await node.plug('a', 'a', A)
    namespaces.delete('a')
    await eventually(lambda: link_name('a') not in links_of_the_kernel())
    again = NodeNetwork(CONFIG)
    try:
        await again.start()
        assert str(A) not in node_state()
        assert str(B) in node_state()
    finally:
        await again.close()


async def test_nothing_is_left_on_the_machine():
    before = network_state()
    network = NodeNetwork(CONFIG)
    await network.start()
    await network.stop()
    await network.stop()
    assert network_state() == before


async def test_a_full_bridge_is_followed_by_another(monkeypatch, node, a, b):
    """Two ports each, in place of 1,023."""
    monkeypatch.setattr(bridges, 'MAX_PORTS', 2)
    async with AsyncExitStack() as stack:
        more = [PLAN.node_pod_cidr[number] for number in range(100, 104)]
        for number, address in enumerate(more):
            await stack.enter_async_context(pod(node, f'more-{number}', address))
        assert {name: ports_of(name) for name in ('netkube0', 'netkube1', 'netkube2')} == {
            'netkube0': {link_name('a'), link_name('b')},
            'netkube1': {link_name('more-0'), link_name('more-1')},
            'netkube2': {link_name('more-2'), link_name('more-3')},
        }
        again = NodeNetwork(CONFIG)
        await again.start()
        await again.plug('more-3', 'more-3', more[3])  # it stays where it is
        for place, address in (('a', A), ('more-0', more[0]), ('more-3', more[3])):
            async with listening(place):
                for client, source in ((CONFIG.netns, PLAN.gateway), ('b', B), ('more-1', more[1])):
                    assert await seen_as(client, address) == str(source)
        for number in (2, 3):
            await again.unplug(f'more-{number}')
        assert 'netkube2' not in run('ip link', netns=CONFIG.netns)
        assert str(more[3]) not in run('ip route', netns=CONFIG.netns) + run('ip neigh', netns=CONFIG.netns)
        await again.close()


def ports_of(bridge):
    lines = run(f'ip -o link show master {bridge}', netns=CONFIG.netns).splitlines()
    return {line.split()[1].partition('@')[0] for line in lines}


async def test_two_nodes_side_by_side_do_not_meet(node, a):
    other_config = replace(CONFIG, netns='u--node-1')
    other = NodeNetwork(other_config)
    await other.start()
    namespaces.create('x')
    try:
        await other.plug('x', 'x', A)
        async with listening('x'):
            with pytest.raises(ConnectionRefusedError):
                await seen_as(CONFIG.netns, A)
            assert await seen_as(other_config.netns, A)
    finally:
        await other.stop()
        namespaces.delete('x')


async def test_a_hundred_pods(node, record_property, capsys):
    """The figure is printed, not judged."""
    names = [f'p{i}' for i in range(100)]
    seconds = []
    for name in names:
        namespaces.create(name)
    try:
        for i, name in enumerate(names):
            start = time.perf_counter()
            await node.plug(name, name, IPv4Address('10.244.1.0') + i)
            seconds.append(time.perf_counter() - start)
        async with listening('p99'):
            assert await seen_as('p0', '10.244.1.99') == '10.244.1.0'
    finally:
        for name in names:
            namespaces.delete(name)
    milliseconds = sorted(s * 1000 for s in seconds)
    record_property('plug_ms_p50', milliseconds[50])
    with capsys.disabled():
        print(f' [plug: {milliseconds[50]:.1f} ms p50, {milliseconds[98]:.1f} ms p99]', end='')
