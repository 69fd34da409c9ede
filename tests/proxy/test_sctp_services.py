"""Services of protocol SCTP, with associations and packets of it. (Few kernels of test machines have SCTP sockets.)"""

from __future__ import annotations

import pytest
from network import sctp
from service_lab import MACHINE, NODE, PLAN, PLAN6, Lab, Pod, who

PORT = {'name': 'sctp', 'port': 80, 'protocol': 'SCTP'}
TARGET = {'name': 'sctp', 'port': 9000, 'protocol': 'SCTP'}
NODE_ADDRESS = {'IPv4': str(PLAN.node_address), 'IPv6': str(PLAN6.node_address)}
MACHINE_ADDRESS = {'IPv4': str(PLAN.machine_address), 'IPv6': str(PLAN6.machine_address)}
families = pytest.mark.parametrize('family', ['IPv4', 'IPv6'])
pytestmark = [pytest.mark.vm, sctp.needs_sctp]


async def backend(lab: Lab, name: str) -> Pod:
    """Answers on SCTP 9000, and on TCP 8080."""
    pod = await lab.pod(name)
    for address in (pod.address, pod.address6):
        sctp.serve(lab.stack, name, pod.netns, address, 9000)
    return pod


@families
async def test_a_service_is_reached_from_a_pod_the_node_and_the_machine(lab: Lab, family: str) -> None:
    """By its cluster IP and its node port; whoever asks is seen with an address of its own."""
    client, server = await lab.pod('client'), await backend(lab, 'server')
    vip = await lab.service('web', {**PORT, 'nodePort': 30080}, ipFamilies=[family], type='NodePort')
    await lab.endpoints('web', [server], TARGET, family=family)

    for address, port in ((vip, 80), (NODE_ADDRESS[family], 30080)):
        assert await sctp.ask(client.netns, address, port) == f'server {client.at(family)}'
        assert await sctp.ask(MACHINE, address, port) == f'server {MACHINE_ADDRESS[family]}'
        assert (await sctp.ask(NODE, address, port)).split()[0] == 'server'


@families
async def test_a_pod_reaches_itself(lab: Lab, family: str) -> None:
    server = await backend(lab, 'server')
    vip = await lab.service('web', PORT, ipFamilies=[family])
    await lab.endpoints('web', [server], TARGET, family=family)

    name, source = (await sctp.ask(server.netns, vip, 80)).split()
    assert name == 'server'
    assert source != server.at(family)


async def test_data_of_many_chunks_goes_both_ways(lab: Lab) -> None:
    client, server = await lab.pod('client'), await backend(lab, 'server')
    vip = await lab.service('web', PORT)
    await lab.endpoints('web', [server], TARGET)

    association, _ = await sctp.associate(client.netns, vip, 80)
    with association:
        for size in (1, 1400, 20_000):
            assert await sctp.echoed(association, bytes(size)) == bytes(size)


async def test_the_same_port_on_tcp_is_another_frontend(lab: Lab) -> None:
    client, one, other = await lab.pod('client'), await backend(lab, 'one'), await backend(lab, 'other')
    vip = await lab.service('web', PORT, {'name': 'tcp', 'port': 80})
    await lab.endpoints('web', [one], TARGET, slice_name='web-sctp')
    await lab.endpoints('web', [other], {'name': 'tcp', 'port': 8080, 'protocol': 'TCP'}, slice_name='web-tcp')

    assert (await sctp.ask(client.netns, vip, 80)).split()[0] == 'one'
    assert await who(client.netns, vip, 80) == 'other'


async def test_an_association_stays_where_it_is_and_new_ones_go_to_the_new_endpoint(lab: Lab) -> None:
    client, first, second = await lab.pod('client'), await backend(lab, 'first'), await backend(lab, 'second')
    vip = await lab.service('web', PORT)
    await lab.endpoints('web', [first], TARGET)
    association, said = await sctp.associate(client.netns, vip, 80)
    with association:
        assert said.split()[0] == 'first'
        await lab.endpoints('web', [second], TARGET)

        assert (await sctp.ask(client.netns, vip, 80)).split()[0] == 'second'
        assert await sctp.echoed(association, b'still here') == b'still here'
