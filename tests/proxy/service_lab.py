"""A Node with its network and service proxy, the real API, and Pods that say who they are and who asks.

Each Pod, the Node and the machine have an address of both families, and so has each Service that asks for both.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from netkube.api.meta import Object
from netkube.api.resources import ENDPOINTSLICES, NODES, SERVICES
from netkube.apiserver.registry import Registry
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.cluster.addressing import AddressPlan
from netkube.cluster.machine import MachineLink, MachineLinkConfig
from netkube.network import namespaces
from netkube.network.namespaces import NamespaceThread, socket_in
from netkube.node.network import NodeNetwork, NodeNetworkConfig
from netkube.proxy.endpoints import Place
from netkube.proxy.frontends import service_key_of_slice, service_rules
from netkube.proxy.proxy import ServiceProxy, networks_of
from netkube.proxy.ruleset import Elements, elements_of
from netkube.proxy.table import Table
from netkube.testing import eventually, memory_api

PLAN = AddressPlan.of('10.244.0.0/16', '10.96.0.0/16')
PLAN6 = AddressPlan.of('fd00:10:244::/56', 'fd00:10:96::/112')
PLANS = PLAN, PLAN6
NETWORKS = networks_of([str(plan.service_cidr) for plan in PLANS], [str(plan.load_balancer_cidr) for plan in PLANS])
NODE = 'lab-node'
MACHINE = None  # the namespace of the test itself


@dataclass
class Pod:
    name: str
    netns: str
    address: str
    address6: str = ''

    def at(self, family: str) -> str:
        return self.address if family == 'IPv4' else self.address6


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ':' in address else socket.AF_INET


async def ask(netns: str | None, address: str, port: int, timeout: float = 60.0) -> str:
    """Connect over TCP and read: 'POD CLIENT-ADDRESS'. ConnectionRefusedError; TimeoutError if nobody reacts."""
    loop = asyncio.get_running_loop()
    with socket_in(netns, family_of(address)) as client:
        async with asyncio.timeout(timeout):
            await loop.sock_connect(client, (address, port))
            return (await loop.sock_recv(client, 100)).decode()


async def who(netns: str | None, address: str, port: int) -> str:
    return (await ask(netns, address, port)).split()[0]


def udp_client(netns: str | None, address: str, port: int) -> socket.socket:
    client = socket_in(netns, family_of(address), socket.SOCK_DGRAM)
    client.connect((address, port))
    return client


async def ask_udp(client: socket.socket, timeout: float = 60.0) -> str:
    """As ``ask``, with a datagram; a client that is asked again uses the same flow."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout):
        await loop.sock_sendall(client, b'who?')
        return (await loop.sock_recv(client, 100)).decode()


class DatagramServer(asyncio.DatagramProtocol):
    def __init__(self, name: str) -> None:
        self.name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple) -> None:
        self.transport.sendto(f'{self.name} {address[0]}'.encode(), address)  # type: ignore[attr-defined]


@dataclass
class Lab:
    client: Registry
    network: NodeNetwork
    stack: AsyncExitStack
    table: Table = field(default_factory=lambda: Table(NETWORKS))
    thread: NamespaceThread = field(default_factory=lambda: NamespaceThread(NODE))
    proxy_task: asyncio.Task | None = None
    pods: dict[str, Pod] = field(default_factory=dict)

    async def start_proxy(self) -> ServiceProxy:
        informers, recorder = Informers(self.client), EventRecorder(self.client, 'service-proxy')
        proxy = ServiceProxy(informers, NODE, NETWORKS, recorder, node_name='node-1')
        self.proxy_task = asyncio.create_task(self._run_proxy(informers, recorder, proxy))
        await asyncio.wait_for(proxy.synced.wait(), 60)
        return proxy

    async def _run_proxy(self, informers: Informers, recorder: EventRecorder, proxy: ServiceProxy) -> None:
        async with asyncio.TaskGroup() as tasks:
            for component in (informers, recorder, proxy):
                tasks.create_task(component.run())

    async def stop_proxy(self) -> None:
        if self.proxy_task:
            self.proxy_task.cancel()
            await asyncio.wait([self.proxy_task])
            self.proxy_task = None

    async def pod(self, name: str, *ports: int) -> Pod:
        """A Pod that answers on these ports (8080 if none is given), over TCP and UDP."""
        number = len(self.pods) + 2
        pod = Pod(name, f'lab-{name}', *(str(plan.node_pod_cidr[number]) for plan in PLANS))
        self.pods[name] = pod
        namespaces.create(pod.netns)
        self.stack.callback(namespaces.delete, pod.netns)
        await self.network.plug(name, pod.netns, *map(ip_address, (pod.address, pod.address6)))
        for port in ports or (8080,):
            await self.serve(pod, port)
        return pod

    async def serve(self, pod: Pod, port: int) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(f'{pod.name} {writer.get_extra_info("peername")[0]}'.encode())
            while data := await reader.read(100):  # and then an echo, until the client ends it
                writer.write(data)
            writer.close()

        for address in filter(None, (pod.address, pod.address6)):
            stream, datagram = (
                socket_in(pod.netns, family_of(address), kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
            )
            for listener in (stream, datagram):
                listener.bind((address, port))
            server = await asyncio.start_server(answer, sock=stream, backlog=1000)
            self.stack.callback(server.close)
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: DatagramServer(pod.name), sock=datagram)
            self.stack.callback(transport.close)

    async def service(self, name: str, *ports: Object, **spec: object) -> str:
        """A Service without selector; its cluster IP. Without ``ports`` it has TCP 80."""
        manifest = {
            'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'namespace': 'default', 'name': name},
            'spec': {'ports': list(ports) or [{'port': 80}], **spec},
        }  # fmt: skip
        created = await self.client.create(SERVICES, manifest)
        return created['spec']['clusterIP']

    async def change(self, name: str, **spec: object) -> Object:
        service = await self.client.get(SERVICES, 'default', name)
        service = {**service, 'spec': {**service['spec'], **spec}}
        changed = await self.client.update(SERVICES, service)
        await self.settled()
        return changed

    async def balance(self, name: str, *ingress: Object | str) -> None:
        """The Service has these addresses of load balancers, or entries in full."""
        service = await self.client.get(SERVICES, 'default', name)
        entries = [{'ip': each, 'ipMode': 'VIP'} if isinstance(each, str) else each for each in ingress]
        await self.client.update(SERVICES, {**service, 'status': {'loadBalancer': {'ingress': entries}}}, 'status')
        await self.settled()

    async def endpoints(
        self,
        service: str,
        pods: Iterable[Pod | Object],
        *ports: Object,
        slice_name: str = '',
        settle: bool = True,
        family: str = 'IPv4',
    ) -> None:
        """Make these the endpoints of the Service: Pods that are ready, or endpoints in full."""
        name = slice_name or f'{service}-1'
        endpoints = [
            {'addresses': [pod.at(family)], 'conditions': {'ready': True}} if isinstance(pod, Pod) else pod
            for pod in pods
        ]
        manifest = {
            'apiVersion': 'discovery.k8s.io/v1', 'kind': 'EndpointSlice', 'addressType': family,
            'metadata': {'namespace': 'default', 'name': name, 'labels': {'kubernetes.io/service-name': service}},
            'ports': list(ports) or [{'name': '', 'port': 8080, 'protocol': 'TCP'}], 'endpoints': endpoints,
        }  # fmt: skip
        present = {item['metadata']['name'] for item in (await self.client.list(ENDPOINTSLICES)).items}
        await (self.client.update if name in present else self.client.create)(ENDPOINTSLICES, manifest)
        if settle:
            await self.settled()

    async def settled(self) -> None:
        """The kernel has what the API asks for."""

        async def is_settled() -> bool:
            return await self.elements() == await self.wanted()

        await eventually(is_settled)  # after a resync that took long the next look comes late

    async def elements(self) -> Elements:
        return await self.thread.run(self._list)

    async def nft_run(self, text: str) -> None:
        await self.thread.run(self.table.nft.run, text)

    async def wanted(self) -> Elements:
        slices = (await self.client.list(ENDPOINTSLICES)).items
        labels = [node['metadata'].get('labels') or {} for node in (await self.client.list(NODES)).items]
        place = Place('node-1', next((one['topology.kubernetes.io/zone'] for one in labels), ''))
        elements: Elements = {}
        for service in (await self.client.list(SERVICES)).items:
            key = (service['metadata']['namespace'], service['metadata']['name'])
            own = [item for item in slices if key in service_key_of_slice(item)]
            elements |= elements_of(service_rules(service, own, place, ('IPv4', 'IPv6')))
        return elements

    def _list(self) -> Elements:
        return dict(self.table.present())


def ip(netns: str | None, *commands: str, family: str = 'IPv6') -> None:
    """Commands of ip(8) in a namespace."""
    inside = ['ip', '-n', netns] if netns else ['ip']
    version = '-4' if family == 'IPv4' else '-6'
    subprocess.run([*inside, version, '-batch', '-'], input='\n'.join(commands), text=True, check=True)


@asynccontextmanager
async def service_lab(folder: Path) -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(memory_api(','.join(str(p.service_cidr) for p in PLANS)))
        network = NodeNetwork(NodeNetworkConfig(NODE, PLANS))
        await network.start()
        stack.push_async_callback(network.stop)
        link = MachineLink(MachineLinkConfig('lab', NODE, PLANS, folder / 'forwarding'))
        await link.ensure()
        stack.push_async_callback(link.close)
        stack.push_async_callback(link.remove)
        lab = Lab(client, network, stack)
        stack.push_async_callback(lab.thread.closed)
        stack.push_async_callback(lab.stop_proxy)
        await lab.start_proxy()
        yield lab
