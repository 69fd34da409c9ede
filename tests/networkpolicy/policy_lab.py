"""A router between Pods of both families, an outside, and a resolver of its own; the real API, and policies in force.

Plain namespaces and routes, made with ``ip``: what enforces policies does not care who has made the network.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from textwrap import dedent
from typing import TypeVar

import yaml

from netkube.api.meta import Key, Object
from netkube.api.resources import EVENTS, NAMESPACES, NETWORKPOLICIES, PODS
from netkube.apiserver.registry import Registry
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.network import namespaces
from netkube.network.namespaces import NamespaceThread, socket_in
from netkube.network.nft import Nft
from netkube.networkpolicy.agent import NetworkPolicyAgent
from netkube.testing import eventually, memory_api

T = TypeVar('T')
NODE, OUTSIDE = 'np-node', 'np-outside'
GATEWAY = {4: '10.9.255.1', 6: 'fd00:9::ffff'}
RESOLVER = {4: '10.96.0.10', 6: 'fd00:96::a'}
OUTSIDE_ADDRESS = {4: '192.0.2.2', 6: '2001:db8::2'}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
KINDS = {'tcp': socket.SOCK_STREAM, 'udp': socket.SOCK_DGRAM}
LOST_AFTER = 0.25  # seconds, for a packet of which nothing comes back
LOOKS = 10
PATIENCE = 60.0
PORTS = (80, 81)


@dataclass
class Host:
    """Somebody with an address of each family: a Pod, the outside, the Node (as the gateway), the resolver."""

    netns: str
    address: dict[int, str]
    key: Key = ('', '')


def ip(*commands: str) -> None:
    subprocess.run(['ip', '-batch', '-'], input='\n'.join(commands), text=True, check=True, stdout=subprocess.DEVNULL)


def ip_in(netns: str, *commands: str) -> None:
    subprocess.run(
        ['ip', '-n', netns, '-batch', '-'], input='\n'.join(commands), text=True, check=True, stdout=subprocess.DEVNULL
    )


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.transport.sendto(data, address)  # type: ignore[attr-defined]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@dataclass
class Lab:
    client: Registry
    stack: AsyncExitStack
    nft: Nft = field(default_factory=Nft)
    thread: NamespaceThread = field(default_factory=lambda: NamespaceThread(NODE))
    hosts: int = 1
    task: asyncio.Task | None = None
    pods: dict[Key, Host] = field(default_factory=dict)
    outside: Host = field(default_factory=lambda: Host(OUTSIDE, OUTSIDE_ADDRESS))
    node: Host = field(default_factory=lambda: Host(NODE, GATEWAY))
    resolver: Host = field(default_factory=lambda: Host(NODE, RESOLVER))

    # the agent

    async def start(self, nft: Nft | None = None) -> None:
        self.informers, recorder = Informers(self.client), EventRecorder(self.client, 'network-policy')
        self.agent = NetworkPolicyAgent(self.informers, NODE, recorder, resolvers=RESOLVER.values(), nft=nft)
        self.task = asyncio.create_task(self._run(recorder))
        await asyncio.wait_for(self.agent.synced.wait(), PATIENCE)

    async def _run(self, recorder: EventRecorder) -> None:
        async with asyncio.TaskGroup() as tasks:
            for component in (self.informers, recorder, self.agent):
                tasks.create_task(component.run())

    async def stop(self) -> None:
        if self.task:
            self.task.cancel()
            await asyncio.wait([self.task])
            self.task = None

    async def settled(self) -> None:
        """The agent has seen what the API has, and the kernel has taken it."""
        for resource in (NAMESPACES, PODS, NETWORKPOLICIES):
            await eventually(lambda resource=resource: self._is_seen(resource), PATIENCE)
        for pod in (await self.client.list(PODS)).items[:1]:
            addresses = [one['ip'] for one in pod['status'].get('podIPs') or ()]
            await asyncio.wait_for(self.agent.expect(pod['metadata']['uid'], addresses), PATIENCE)

    async def _is_seen(self, resource: object) -> bool:
        wanted = (await self.client.list(resource)).items  # type: ignore[arg-type]
        seen = self.informers[resource].list()  # type: ignore[index]
        return versions(wanted) == versions(seen)

    # objects

    async def namespace(self, name: str, **labels: str) -> None:
        await self.client.create(NAMESPACES, {'metadata': {'name': name, 'labels': labels}})

    async def pod(self, name: str, namespace: str = 'default', ports: Object | None = None, **labels: str) -> Host:
        """A Pod that runs: ``ports`` are names for port numbers."""
        host = await self.unstarted_pod(name, namespace, ports, **labels)
        await self.plug(host)
        await self.report(host)
        return host

    async def unstarted_pod(
        self, name: str, namespace: str = 'default', ports: Object | None = None, **labels: str
    ) -> Host:
        """A Pod of which nobody but the API knows."""
        named = [{'name': key, 'containerPort': value} for key, value in (ports or {}).items()]
        spec = {'containers': [{'name': 'main', 'image': 'none', 'command': ['true'], 'ports': named}]}
        metadata = {'name': name, 'namespace': namespace, 'labels': labels}
        await self.client.create(PODS, {'metadata': metadata, 'spec': spec})
        self.hosts += 1
        host = Host(
            f'np-{namespace}-{name}', {4: f'10.9.0.{self.hosts}', 6: f'fd00:9::{self.hosts:x}'}, (namespace, name)
        )
        self.pods[host.key] = host
        return host

    async def plug(self, host: Host) -> None:
        connect(self.stack, host, f'pod{self.hosts}', GATEWAY)
        await self.serve(host)

    async def report(self, host: Host) -> None:
        """The status, as the node agent writes it after the start."""
        addresses = [{'ip': address} for address in host.address.values()]
        status = {'phase': 'Running', 'podIP': addresses[0]['ip'], 'podIPs': addresses}
        await self.client.patch(PODS, *host.key, {'status': status}, subresource='status')

    async def label(self, host: Host, **labels: str | None) -> None:
        await self.client.patch(PODS, *host.key, {'metadata': {'labels': labels}})
        await self.settled()

    async def apply(self, *texts: str) -> None:
        """NetworkPolicies, in YAML."""
        for policy in (one for text in texts for one in yaml.safe_load_all(dedent(text))):
            policy = {'apiVersion': 'networking.k8s.io/v1', 'kind': 'NetworkPolicy', **policy}
            policy['metadata'].setdefault('namespace', 'default')
            present = {item['metadata']['name'] for item in (await self.client.list(NETWORKPOLICIES)).items}
            known = policy['metadata']['name'] in present
            await (self.client.update if known else self.client.create)(NETWORKPOLICIES, policy)
        await self.settled()

    async def delete(self, name: str, namespace: str = 'default') -> None:
        await self.client.delete(NETWORKPOLICIES, namespace, name)
        await self.settled()

    async def events(self) -> list[Object]:
        return (await self.client.list(EVENTS)).items

    async def run_nft(self, text: str) -> None:
        await self.thread.run(self.nft.run, text)

    async def list_nft(self, text: str) -> list[Object]:
        return (await self.thread.run(self.nft.list_json, text))['nftables']

    # packets

    async def serve(self, host: Host, ports: tuple[int, ...] = PORTS) -> None:
        loop = asyncio.get_running_loop()
        for family in FAMILIES:
            for port in ports:
                stream, datagram = (bound(host, family, kind, port) for kind in ('tcp', 'udp'))
                server = await asyncio.start_server(echo, sock=stream)
                self.stack.callback(server.close)
                transport, _ = await loop.create_datagram_endpoint(Echo, sock=datagram)
                self.stack.callback(transport.close)

    async def reach(self, source: Host, target: Host, port: int = 80) -> set[str]:
        """By which of tcp4, tcp6, udp4 and udp6 an echo comes back."""
        ways = [(kind, family) for kind in KINDS for family in FAMILIES]
        answers = await asyncio.gather(*(answered(source, target, kind, family, port) for kind, family in ways))
        return {f'{kind}{family}' for (kind, family), answer in zip(ways, answers, strict=True) if answer}


ALL = {'tcp4', 'tcp6', 'udp4', 'udp6'}
TCP, UDP = {'tcp4', 'tcp6'}, {'udp4', 'udp6'}
NONE: set[str] = set()


def versions(objects: list[Object]) -> set[tuple[str, str]]:
    return {(one['metadata']['uid'], one['metadata']['resourceVersion']) for one in objects}


def bound(host: Host, family: int, kind: str, port: int) -> socket.socket:
    made = socket_in(host.netns, FAMILIES[family], KINDS[kind])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((host.address[family], port))
    return made


async def answered(source: Host, target: Host, kind: str, family: int, port: int) -> bool:
    loop = asyncio.get_running_loop()
    with socket_in(source.netns, FAMILIES[family], KINDS[kind]) as client:
        client.bind((source.address[family], 0))

        async def exchange() -> bool:
            await loop.sock_connect(client, (target.address[family], port))
            await loop.sock_sendall(client, b'hello')
            return await loop.sock_recv(client, 100) == b'hello'

        try:
            return await unless_lost(exchange())
        except OSError:
            return False


async def unless_lost(exchange: Coroutine[None, None, T], seconds: float = LOST_AFTER) -> T:
    """TimeoutError when nothing comes back for so long, in time that this process, which answers, too, had to itself:
    when it has stood still on a busy machine, that counts for one look of several.
    """
    task = asyncio.ensure_future(exchange)
    for _ in range(LOOKS):
        if (await asyncio.wait([task], timeout=seconds / LOOKS))[0]:
            return task.result()
    task.cancel()
    await asyncio.wait([task])
    raise TimeoutError


def connect(stack: AsyncExitStack, host: Host, link: str, gateway: dict[int, str]) -> None:
    """A namespace with the host's addresses, behind the Node."""
    namespaces.create(host.netns)
    stack.callback(namespaces.delete, host.netns)
    ip(f'link add {link} netns {NODE} type veth peer name eth0 netns {host.netns}')
    v4, v6 = host.address[4], host.address[6]
    ip_in(
        host.netns,
        f'address add {v4}/32 dev eth0',
        f'address add {v6}/128 dev eth0 nodad',
        'link set eth0 addrgenmode none',  # a link-local address without the second of duplicate detection
        'address add fe80::2/64 dev eth0 nodad',
        'link set eth0 up',
        f'route add {gateway[4]} dev eth0 src {v4}',
        f'route add default via {gateway[4]} src {v4}',
        f'route add {gateway[6]} dev eth0 src {v6}',
        f'route add default via {gateway[6]} src {v6}',
    )
    ip_in(
        NODE,
        f'address add {gateway[4]}/32 dev {link}',
        f'address add {gateway[6]}/128 dev {link} nodad',
        f'link set {link} addrgenmode none',
        f'address add fe80::1/64 dev {link} nodad',
        f'link set {link} up',
        f'route add {v4} dev {link} src {gateway[4]}',
        f'route add {v6} dev {link} src {gateway[6]}',
    )


@asynccontextmanager
async def policy_lab(nft: Nft | None = None) -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(memory_api(namespaces=('default', 'kube-system')))
        namespaces.create(NODE)
        stack.callback(namespaces.delete, NODE)
        lab = Lab(client, stack)
        stack.push_async_callback(lab.thread.closed)
        await lab.thread.run(set_up_node)
        connect(stack, lab.outside, 'uplink', {4: '192.0.2.1', 6: '2001:db8::1'})
        for host, ports in ((lab.outside, PORTS), (lab.node, PORTS), (lab.resolver, (53,))):
            await lab.serve(host, ports)
        stack.push_async_callback(lab.stop)
        await lab.start(nft)
        yield lab


def set_up_node() -> None:
    subprocess.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'], check=True)
    ip(
        'link add local0 type bridge',
        'link set local0 up',
        *(f'address add {one}/32 dev local0' for one in (RESOLVER[4], GATEWAY[4])),
        *(f'address add {one}/128 dev local0 nodad' for one in (RESOLVER[6], GATEWAY[6])),
    )
