"""Ports of the Node that lead to Pods, with real packets of both families: from Pods, Node and machine."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from node_lab import IPV4, IPV6, Lab, lab

from netkube.api.resources import PODS
from netkube.cluster.machine import MachineLink, MachineLinkConfig
from netkube.network.namespaces import NamespaceThread, socket_in
from netkube.network.nft import Nft
from netkube.node.hostports import NAME, REMOVAL, host_ports
from netkube.testing import eventually

FOREVER = ('sleep', 'infinity')
NODE = {4: str(IPV4.node_address), 6: str(IPV6.node_address)}
GATEWAY = {4: str(IPV4.gateway), 6: str(IPV6.gateway)}
SERVER = '''
import socket, socketserver, threading, sys
class Tcp(socketserver.BaseRequestHandler):
    def handle(self): self.request.sendall(f'{NAME} {self.client_address[0]}'.encode())
class Udp(socketserver.BaseRequestHandler):
    def handle(self): self.request[1].sendto(f'{NAME} {self.client_address[0]}'.encode(), self.client_address)
class TcpServer(socketserver.ThreadingTCPServer): address_family = socket.AF_INET6
class UdpServer(socketserver.ThreadingUDPServer): address_family = socket.AF_INET6
NAME = sys.argv[1]
servers = [TcpServer(('::', 80), Tcp), UdpServer(('::', 80), Udp)]
print('ready', flush=True)
for server in servers: threading.Thread(target=server.serve_forever).start()
'''
BOTH = [{'containerPort': 80, 'hostPort': 8080}, {'containerPort': 80, 'hostPort': 8080, 'protocol': 'UDP'}]
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


def ask(netns: str | None, address: str, port: int = 8080, kind: int = TCP) -> str:
    """The Pod that answers, and whom it sees. OSError when nobody does."""
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with socket_in(netns, family, kind) as client:
        client.settimeout(2)
        client.connect((address, port))
        if kind == UDP:
            client.send(b'who?')
        return client.recv(100).decode().replace('::ffff:', '')


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Lab]:
    """Of both families, and a machine that is linked to it."""
    async with lab(tmp_path, (IPV4, IPV6)) as made:
        config = MachineLinkConfig('hp', made.network_config.netns, (IPV4, IPV6), tmp_path / 'machine.json')
        link = MachineLink(config)
        async with made.running_agent():
            await link.ensure()
            try:
                yield made
            finally:
                await link.remove()
                await link.close()


async def serve(node: Lab, name: str = 'web', ports: Any = BOTH, **spec: Any) -> dict[int, str]:
    """The addresses of a Pod that answers on port 80."""
    pod = await node.create_pod('python3', '-c', SERVER, name, name=name, ports=ports, wait=True, spec=spec)
    await node.prints('ready', name)
    return {6 if ':' in row['ip'] else 4: row['ip'] for row in pod['status']['podIPs']}


async def asked(*args: Any, **kwargs: Any) -> str:
    return await asyncio.to_thread(ask, *args, **kwargs)


async def netns_of(node: Lab, name: str) -> str:
    return node.config.netns_of((await node.pod(name))['metadata']['uid'])


@pytest.mark.parametrize('version', [4, 6])
@pytest.mark.parametrize('kind', [TCP, UDP], ids=['tcp', 'udp'])
async def test_from_everywhere(node: Lab, version: int, kind: int) -> None:
    own = await serve(node)
    client = await node.create_pod(*FOREVER, name='client', wait=True)
    address = next(row['ip'] for row in client['status']['podIPs'] if (':' in row['ip']) == (version == 6))
    machine = str((IPV6 if version == 6 else IPV4).machine_address)
    assert await asked(None, NODE[version], kind=kind) == f'web {machine}'
    assert await asked(await netns_of(node, 'client'), NODE[version], kind=kind) == f'web {address}'
    assert await asked(await netns_of(node, 'client'), GATEWAY[version], kind=kind) == f'web {address}'
    assert (await asked(node.network_config.netns, NODE[version], kind=kind)).startswith('web ')
    itself = (await asked(await netns_of(node, 'web'), NODE[version], kind=kind)).split()[1]
    assert itself not in ('', own[version])
    assert not [e for e in await node.events('web') if e[1] == 'NotHonoured']


async def test_gone_with_its_pod_and_the_table_with_the_last(node: Lab) -> None:
    await serve(node)
    await serve(node, 'other', [{'containerPort': 80, 'hostPort': 8081}])
    await node.client.delete(PODS, 'default', 'web', grace_period_seconds=0)
    await node.gone('web')
    await eventually(lambda: refuses(8080))
    assert (await asked(None, NODE[4], 8081)).startswith('other')
    await node.client.delete(PODS, 'default', 'other', grace_period_seconds=0)
    await node.gone('other')
    await eventually(lambda: NAME not in rules(node))


def refuses(port: int) -> bool:
    try:
        ask(None, NODE[4], port)
    except ConnectionRefusedError:
        return True
    return False


def rules(node: Lab) -> str:
    command = ('ip', 'netns', 'exec', node.network_config.netns, 'nft', 'list', 'ruleset')
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def test_a_flow_of_udp_follows_the_pod_that_has_the_port_now(node: Lab) -> None:
    await serve(node, 'first')
    with socket_in(None, socket.AF_INET, UDP) as client:
        client.settimeout(2)
        client.connect((NODE[4], 8080))

        def who() -> str:
            try:
                client.send(b'who?')
                return client.recv(100).decode().split()[0]
            except OSError:  # nobody has it at the moment
                return ''

        async def is_second() -> bool:
            return await asyncio.to_thread(who) == 'second'

        assert await asyncio.to_thread(who) == 'first'
        await node.client.delete(PODS, 'default', 'first', grace_period_seconds=0)
        await node.gone('first')
        await serve(node, 'second')
        await eventually(is_second)


async def test_host_ip_is_the_one_address_that_leads_there(node: Lab) -> None:
    await serve(node, 'one', [{'containerPort': 80, 'hostPort': 8080, 'hostIP': NODE[4]}])
    await serve(node, 'two', [{'containerPort': 80, 'hostPort': 8080, 'hostIP': GATEWAY[4]}])
    assert (await asked(None, NODE[4])).startswith('one') and (await asked(None, GATEWAY[4])).startswith('two')
    with pytest.raises(ConnectionRefusedError):
        await asked(None, NODE[6])


async def test_a_port_that_another_pod_has_is_had_when_that_has_gone(node: Lab) -> None:
    """The scheduler sees to it that two do not ask for it; who names the Node goes past the scheduler."""
    await serve(node, 'first')
    await serve(node, 'second')
    assert (await asked(None, NODE[4])).startswith('first')
    await node.client.delete(PODS, 'default', 'first', grace_period_seconds=0)
    await eventually(lambda: answers().startswith('second'))


def answers() -> str:
    try:
        return ask(None, NODE[4])
    except OSError:
        return ''


async def test_what_somebody_else_did_to_the_rules_is_undone(node: Lab) -> None:
    await serve(node)
    thread = NamespaceThread(node.network_config.netns)
    keeping = asyncio.create_task(node.network.run())
    try:
        await thread.run(Nft().run, REMOVAL)
        await eventually(lambda: not refuses(8080))
    finally:
        keeping.cancel()
        await thread.closed()


async def test_a_new_daemon_finds_the_ports_again_and_closes_those_of_the_gone(node_lab: Lab) -> None:
    lab = node_lab
    at = NODE[4]
    async with lab.running_agent():
        await serve(lab)
        await serve(lab, 'gone', [{'containerPort': 80, 'hostPort': 8081}])
        netns = lab.network_config.netns
    await lab.client.delete(PODS, 'default', 'gone', grace_period_seconds=0)
    assert (await asked(netns, at)).startswith('web')  # nobody had to be there for that
    async with lab.running_agent():
        assert (await asked(netns, at)).startswith('web')
        await serve(lab, 'third', [{'containerPort': 80, 'hostPort': 8081}])
        assert (await asked(netns, at, 8081)).startswith('third')


def test_ports_of_containers_and_sidecars_but_not_of_init_containers() -> None:
    def one(port: int, **more: Any) -> Any:
        return {'name': 'c', 'ports': [{'containerPort': 80, 'hostPort': port}], **more}

    spec = {'containers': [one(1)], 'initContainers': [one(2), one(3, restartPolicy='Always')]}
    found = host_ports({'spec': spec}, (IPV4.node_pod_cidr[2], IPV6.node_pod_cidr[2]))
    assert [(port.port, port.family) for port in found] == [(1, '4'), (3, '4'), (1, '6'), (3, '6')]
    assert host_ports({'spec': {**spec, 'hostNetwork': True}}, (IPV4.node_pod_cidr[2],)) == ()
