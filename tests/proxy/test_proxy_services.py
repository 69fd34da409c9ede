"""Services as a client sees them: real packets, through the kernel of a Node with a proxy."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address

import pytest
from network.packets import run
from service_lab import MACHINE, NODE, PLAN, Lab, Pod, ask, ask_udp, udp_client, who

from netkube.api.resources import NODES, SERVICES
from netkube.network import sysctl
from netkube.network.addresses import ensure_address
from netkube.network.links import get_link
from netkube.network.namespaces import socket_in
from netkube.network.netlink import Netlink
from netkube.testing import eventually

# Linux answers a process with EPERM when its own datagram is refused before it leaves (the Node's processes).
REFUSED = (ConnectionRefusedError, PermissionError)
UNREACHED = 0.4  # seconds after which nobody has reacted


async def test_connections_spread_evenly_over_the_endpoints(lab: Lab) -> None:
    client, *backends = [await lab.pod(name) for name in ('client', 'a', 'b', 'c')]
    vip = await lab.service('web')
    await lab.endpoints('web', backends)

    hits = Counter([await who(client.netns, vip, 80) for _ in range(600)])

    assert set(hits) == {'a', 'b', 'c'}
    chi_squared = sum((hits[name] - 200) ** 2 / 200 for name in 'abc')
    assert chi_squared < 45  # two degrees of freedom: one run in 5,000 million is further off by chance


async def test_an_endpoint_sees_the_address_of_its_client(lab: Lab) -> None:
    client, backend = await lab.pod('client'), await lab.pod('backend')
    vip = await lab.service('web')
    await lab.endpoints('web', [backend])

    assert await ask(client.netns, vip, 80) == f'backend {client.address}'
    assert await ask(MACHINE, vip, 80) == f'backend {PLAN.machine_address}'


async def test_a_pod_reaches_itself_through_its_service(lab: Lab) -> None:
    pod = await lab.pod('pod')
    vip = await lab.service('web', {'name': 'tcp', 'port': 80}, {'name': 'udp', 'port': 80, 'protocol': 'UDP'})
    await lab.endpoints('web', [pod], {'name': 'tcp', 'port': 8080}, {'name': 'udp', 'port': 8080, 'protocol': 'UDP'})

    name, source = (await ask(pod.netns, vip, 80)).split()
    assert name == 'pod'
    assert source != pod.address
    with udp_client(pod.netns, vip, 80) as client:
        assert (await ask_udp(client)).split()[0] == 'pod'


async def test_processes_of_the_node_and_of_the_machine_reach_services(lab: Lab) -> None:
    backend = await lab.pod('backend')
    vip = await lab.service('web')
    await lab.endpoints('web', [backend])

    assert await who(NODE, vip, 80) == 'backend'
    assert await who(MACHINE, vip, 80) == 'backend'


async def test_the_machine_reaches_itself_through_a_service(lab: Lab) -> None:
    """An endpoint may be an address of the machine, for example a database that runs there."""
    vip, database = await lab.service('database'), '192.0.2.7'
    add_machine_address(database)
    server = await asyncio.start_server(greet, database, 8080)
    async with server:
        await lab.endpoints('database', [{'addresses': [database]}])
        pod = await lab.pod('pod')

        assert await ask(MACHINE, vip, 80) == 'machine'
        assert await ask(pod.netns, vip, 80) == 'machine'


async def test_tcp_and_udp_share_a_port_number(lab: Lab) -> None:
    client, a, b = await lab.pod('client'), await lab.pod('a', 5000), await lab.pod('b', 6000)
    vip = await lab.service('dns', {'name': 't', 'port': 53}, {'name': 'u', 'port': 53, 'protocol': 'UDP'})
    await lab.endpoints('dns', [a], {'name': 't', 'port': 5000}, slice_name='dns-t')
    await lab.endpoints('dns', [b], {'name': 'u', 'port': 6000, 'protocol': 'UDP'}, slice_name='dns-u')

    assert await ask(client.netns, vip, 53) == f'a {client.address}'
    with udp_client(client.netns, vip, 53) as datagrams:
        assert await ask_udp(datagrams) == f'b {client.address}'


async def test_a_named_target_port_may_differ_from_pod_to_pod(lab: Lab) -> None:
    client, a, b = await lab.pod('client'), await lab.pod('a', 5000), await lab.pod('b', 6000)
    vip = await lab.service('web', {'name': 'http', 'port': 80})
    await lab.endpoints('web', [a], {'name': 'http', 'port': 5000}, slice_name='web-1')
    await lab.endpoints('web', [b], {'name': 'http', 'port': 6000}, slice_name='web-2')

    assert {await who(client.netns, vip, 80) for _ in range(40)} == {'a', 'b'}


async def test_without_a_ready_endpoint_clients_are_refused(lab: Lab) -> None:
    client = await lab.pod('client')
    vip = await lab.service('web', {'name': 't', 'port': 80}, {'name': 'u', 'port': 80, 'protocol': 'UDP'})
    await lab.settled()

    for netns in (client.netns, NODE, MACHINE):
        with pytest.raises(ConnectionRefusedError):
            await ask(netns, vip, 80)
        with udp_client(netns, vip, 80) as datagrams, pytest.raises(REFUSED):
            await ask_udp(datagrams)


async def test_an_unknown_port_of_a_service_is_refused(lab: Lab) -> None:
    client, backend = await lab.pod('client'), await lab.pod('backend')
    vip = await lab.service('web')
    await lab.endpoints('web', [backend])

    for netns in (client.netns, NODE, MACHINE):
        with pytest.raises(ConnectionRefusedError):
            await ask(netns, vip, 81)
        with udp_client(netns, vip, 80) as datagrams, pytest.raises(REFUSED):
            await ask_udp(datagrams)


async def test_an_address_of_no_service_is_silent(lab: Lab) -> None:
    client = await lab.pod('client')
    vip = await lab.service('web')
    await lab.settled()
    await lab.client.delete(SERVICES, 'default', 'web')
    await lab.settled()

    for address in (vip, str(PLAN.service_cidr[-2])):
        with pytest.raises(TimeoutError):
            await ask(client.netns, address, 80, timeout=UNREACHED)


async def test_a_terminating_endpoint_serves_while_nobody_else_is_ready(lab: Lab) -> None:
    client, old, new = await lab.pod('client'), await lab.pod('old'), await lab.pod('new')
    vip = await lab.service('web')
    leaving = {
        'addresses': [old.address], 'conditions': {'ready': False, 'serving': True, 'terminating': True},
    }  # fmt: skip

    await lab.endpoints('web', [leaving])
    assert await who(client.netns, vip, 80) == 'old'

    await lab.endpoints('web', [leaving, new])
    assert {await who(client.netns, vip, 80) for _ in range(20)} == {'new'}


async def test_no_connection_fails_while_the_endpoints_change(lab: Lab) -> None:
    client, *pods = [await lab.pod(name) for name in ('client', 'a', 'b', 'c')]
    vip = await lab.service('web')
    await lab.endpoints('web', pods[:2])
    done = asyncio.Event()

    async def traffic() -> int:
        count = 0
        while not done.is_set():
            await ask(client.netns, vip, 80)
            count += 1
        return count

    async with asyncio.TaskGroup() as tasks:
        loops = [tasks.create_task(traffic()) for _ in range(4)]
        for number in range(60):
            await lab.endpoints('web', [pods[:3], pods[2:], pods[:2]][number % 3])
        done.set()
    assert sum(task.result() for task in loops) > 60
    assert sent_again(client.netns) == 0


def sent_again(netns: str) -> int:
    """How many SYNs of the namespace had to be: one that is lost is, after a second."""
    lines = run('cat /proc/net/netstat', netns=netns).splitlines()
    names, values = (line.split() for line in lines if line.startswith('TcpExt:'))
    return int(dict(zip(names, values, strict=True))['TCPSynRetrans'])


async def test_a_udp_client_moves_on_when_its_endpoint_goes(lab: Lab) -> None:
    client, a, b = await lab.pod('client'), await lab.pod('a'), await lab.pod('b')
    port = {'name': '', 'port': 8080, 'protocol': 'UDP'}
    vip = await lab.service('dns', {'port': 53, 'protocol': 'UDP'})
    await lab.endpoints('dns', [a], port)

    with udp_client(client.netns, vip, 53) as datagrams:
        assert await ask_udp(datagrams) == f'a {client.address}'
        await lab.endpoints('dns', [b], port)
        await answered_by(datagrams, 'b')


async def test_a_udp_client_that_was_refused_is_served_by_the_first_endpoint(lab: Lab) -> None:
    client, a = await lab.pod('client'), await lab.pod('a')
    vip = await lab.service('dns', {'port': 53, 'protocol': 'UDP'})
    await lab.settled()

    with udp_client(client.netns, vip, 53) as datagrams:
        with pytest.raises(ConnectionRefusedError):
            await ask_udp(datagrams)
        await lab.endpoints('dns', [a], {'name': '', 'port': 8080, 'protocol': 'UDP'})
        await answered_by(datagrams, 'a')


async def test_internal_traffic_policy_local_never_leaves_the_node(lab: Lab) -> None:
    client, here, there = await lab.pod('client'), await lab.pod('here'), await lab.pod('there')
    vip = await lab.service('web', internalTrafficPolicy='Local')
    far = {'addresses': [there.address], 'conditions': {'ready': True}, 'nodeName': 'node-2'}
    near = {'addresses': [here.address], 'conditions': {'ready': True}, 'nodeName': 'node-1'}

    await lab.endpoints('web', [far, near])
    assert {await who(client.netns, vip, 80) for _ in range(20)} == {'here'}

    await lab.endpoints('web', [far])
    with pytest.raises(TimeoutError):
        await ask(client.netns, vip, 80, timeout=UNREACHED)


async def test_hints_keep_connections_near(lab: Lab) -> None:
    client, here, there = await lab.pod('client'), await lab.pod('here'), await lab.pod('there')
    vip = await lab.service('web')

    async def asked(here_hints: dict, there_hints: dict) -> set[str]:
        await lab.endpoints('web', [
            {'addresses': [here.address], 'conditions': {'ready': True}, 'nodeName': 'node-1', 'hints': here_hints},
            {'addresses': [there.address], 'conditions': {'ready': True}, 'nodeName': 'node-2', 'hints': there_hints},
        ])  # fmt: skip
        return {await who(client.netns, vip, 80) for _ in range(20)}

    east, west = {'forZones': [{'name': 'east'}]}, {'forZones': [{'name': 'west'}]}
    assert await asked({'forNodes': [{'name': 'node-1'}]}, {'forNodes': [{'name': 'node-2'}]}) == {'here'}
    assert await asked(west, east) == {'here', 'there'}, 'the Node is in no zone yet'
    await lab.client.create(NODES, {'metadata': {'name': 'node-1', 'labels': {'topology.kubernetes.io/zone': 'east'}}})
    await lab.settled()
    assert await asked(west, east) == {'there'}
    assert await asked(west, west) == {'here', 'there'}, 'rather far than nowhere'


async def test_a_packet_that_fits_no_connection_reaches_nobody(lab: Lab) -> None:
    """It would not be translated back, and the client would answer the stranger with a reset (kubernetes#74839)."""
    client, backend = await lab.pod('client'), await lab.pod('backend')
    vip = await lab.service('web')
    await lab.endpoints('web', [backend])
    loop = asyncio.get_running_loop()

    with (
        socket_in(client.netns) as connection,
        socket_in(client.netns, kind=socket.SOCK_RAW, protocol=socket.IPPROTO_TCP) as capture,
        socket_in(backend.netns, kind=socket.SOCK_RAW, protocol=socket.IPPROTO_TCP) as forger,
    ):
        await loop.sock_connect(connection, (vip, 80))
        await loop.sock_recv(connection, 100)
        client_port = connection.getsockname()[1]
        segment = tcp_segment(backend.address, 8080, client.address, client_port, sequence=0x7F000000)
        await loop.sock_sendto(forger, segment, (client.address, 0))
        await loop.sock_sendall(connection, b'still there?')
        assert await loop.sock_recv(connection, 100) == b'still there?'
        assert set(sources(capture)) == {vip}


async def test_a_service_address_of_the_node_itself_is_neither_translated_nor_tracked(lab: Lab) -> None:
    """The resolver's: it is on the Node's bridge, and its Service is labelled as somebody else's."""
    client, vip = await lab.pod('client'), str(PLAN.dns_vip)
    await lab.serve(Pod('resolver', NODE, vip), 53)

    for netns in (client.netns, MACHINE, NODE):
        with udp_client(netns, vip, 53) as datagrams:
            assert (await ask_udp(datagrams)).startswith('resolver ')
    assert await ask(client.netns, vip, 53) == f'resolver {client.address}'
    assert await lab.thread.run(sysctl.read, 'net/netfilter/nf_conntrack_count') == '0'


def tcp_segment(source: str, source_port: int, target: str, target_port: int, *, sequence: int) -> bytes:
    """An ACK with one byte of data."""
    header = struct.pack('>HHIIBBHHH', source_port, target_port, sequence, 1, 5 << 4, 0x10, 1024, 0, 0) + b'?'
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack('>HH', socket.IPPROTO_TCP, len(header))
    padded = pseudo + header + b'\0' * (len(header) % 2)
    total = sum(struct.unpack(f'>{len(padded) // 2}H', padded))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return header[:16] + struct.pack('>H', checksum) + header[18:]


def sources(capture: socket.socket) -> Iterator[str]:
    """Of the packets that have arrived so far."""
    with suppress(BlockingIOError):
        while True:
            yield capture.recvfrom(65535)[1][0]


async def answered_by(datagrams: socket.socket, name: str) -> None:
    """The kernel's rules change before its flows are forgotten: the old endpoint may answer a moment longer."""

    async def is_so() -> bool:
        with suppress(TimeoutError):  # the answer to a datagram whose flow is forgotten meanwhile is lost
            return (await ask_udp(datagrams, timeout=UNREACHED)).split()[0] == name
        return False

    await eventually(is_so)


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b'machine')
    writer.close()


def add_machine_address(address: str) -> None:
    netlink = Netlink()
    netlink.request(ensure_address(get_link(netlink, 'lo').index, IPv4Address(address)))
    netlink.close()
