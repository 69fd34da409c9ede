"""The service proxy's measurements: a Node with Pods' namespaces, and as many Services as it takes.

The Services beside the measured one come from lists made up here, as an API server with 50,000 takes minutes to fill.
Run by ``scripts/bench proxy``; each part is a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from netkube.api.meta import Object
from netkube.api.resources import ENDPOINTSLICES, SERVICES, Resource
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.client.interface import ObjectList
from netkube.cluster.addressing import AddressPlan
from netkube.network import namespaces
from netkube.network.namespaces import socket_in
from netkube.node.network import NodeNetwork, NodeNetworkConfig
from netkube.proxy.proxy import ServiceProxy, networks_of
from netkube.testing import memory_api

HERE = Path(__file__).resolve().parent
PLAN = AddressPlan.of('10.244.0.0/16', '10.96.0.0/12')
NODE, VIP = 'bench-node', '10.96.0.100'
SIZES = (1, 10_000, 50_000)
CHANGES, RUNS, CONNECTIONS, STREAM_SECONDS = 200, 7, 4000, 2


def service(number: int, vip: str, name: str = '') -> Object:
    return {
        'apiVersion': 'v1', 'kind': 'Service',
        'metadata': {'namespace': 'default', 'name': name or f's{number}', 'uid': str(number), 'resourceVersion': '1'},
        'spec': {'type': 'ClusterIP', 'clusterIP': vip, 'clusterIPs': [vip], 'ports': [{'port': 80}]},
    }  # fmt: skip


def endpoint_slice(name: str, *targets: tuple[str, int]) -> Object:
    return {
        'apiVersion': 'discovery.k8s.io/v1', 'kind': 'EndpointSlice', 'addressType': 'IPv4',
        'metadata': {
            'namespace': 'default', 'name': name, 'labels': {'kubernetes.io/service-name': name}, 'resourceVersion': '1'
        },
        'ports': [{'name': '', 'port': targets[0][1], 'protocol': 'TCP'}],
        'endpoints': [{'addresses': [address], 'conditions': {'ready': True}} for address, _ in targets],
    }  # fmt: skip


def made_up(count: int) -> dict[Resource, list[Object]]:
    """Services with two endpoints each."""
    services, slices = [], []
    for number in range(count):
        services.append(service(number, f'10.{97 + (number >> 16)}.{number >> 8 & 255}.{number & 255}'))
        pods = [(f'10.{200 + side}.{number >> 8 & 255}.{number & 255}', 8080) for side in range(2)]
        slices.append(endpoint_slice(f's{number}', *pods))
    return {SERVICES: services, ENDPOINTSLICES: slices}


class MadeUpApi:
    """Lists what it was given; nothing ever changes."""

    def __init__(self, objects: dict[Resource, list[Object]]) -> None:
        self._objects = objects

    async def list(self, resource: Resource, *_: Any, **__: Any) -> ObjectList:
        return ObjectList(self._objects.pop(resource, []), '1')

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield


@contextlib.asynccontextmanager
async def node() -> AsyncIterator[NodeNetwork]:
    config = NodeNetworkConfig(NODE, (PLAN,))
    network = NodeNetwork(config)
    await network.start()
    try:
        yield network
    finally:
        await network.stop()


@contextlib.asynccontextmanager
async def pod(network: NodeNetwork, number: int) -> AsyncIterator[tuple[str, str]]:
    """Its namespace and its address."""
    netns, address = f'bench-{number}', str(PLAN.node_pod_cidr[number])
    namespaces.create(netns)
    try:
        await network.plug(netns, netns, IPv4Address(address))
        yield netns, address
    finally:
        namespaces.delete(netns)


@contextlib.asynccontextmanager
async def proxy(client: Any) -> AsyncIterator[tuple[ServiceProxy, Informers, float]]:
    """A proxy that has synced, and the seconds that it took from when it knew all objects."""
    informers = Informers(client)
    networks, recorder = networks_of([str(PLAN.service_cidr)]), EventRecorder(client, 'bench')
    made = ServiceProxy(informers, NODE, networks, recorder, node_name='bench')
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(informers.run())]
        await informers.synced()
        gc.collect()
        began = time.monotonic()
        running.append(tasks.create_task(made.run()))
        await made.synced.wait()
        yield made, informers, time.monotonic() - began
        for task in running:
            task.cancel()


@contextlib.contextmanager
def program(netns: str, *words: str) -> Iterator[None]:
    with subprocess.Popen(['ip', 'netns', 'exec', netns, *words]) as running:
        try:
            yield
        finally:
            running.kill()


async def output(netns: str, *words: str) -> str:
    command = ['ip', 'netns', 'exec', netns, *words]
    done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
    return done.stdout


def resident_mib() -> float:
    match = re.search(r'Pss:\s+(\d+)', Path('/proc/self/smaps_rollup').read_text())
    assert match
    return int(match[1]) / 1024


def kernel_mib() -> float:
    """What the kernel has allocated for itself."""
    text = Path('/proc/meminfo').read_text()
    return sum(int(re.findall(rf'{field}:\s+(\d+)', text)[0]) for field in ('Slab', 'VmallocUsed', 'Percpu')) / 1024


async def load(count: int) -> None:
    """Seconds until the rules are complete, the memory they take, and the latency of a first packet."""
    tool = compiled('connect_latency')
    async with node() as network, pod(network, 2) as (client, _), pod(network, 3) as (server, address):
        objects = made_up(count - 1)
        objects[SERVICES].append(service(0, VIP, 'web'))
        objects[ENDPOINTSLICES].append(endpoint_slice('web', (address, 9000)))
        api, kernel = MadeUpApi(objects), kernel_mib()
        del objects
        with program(server, tool, 's', '9000'):
            async with proxy(api) as (_, _, took):
                gc.collect()
                print(f'load={took:.3f} process={resident_mib():.1f} kernel={kernel_mib() - kernel:.1f}')
                await wait_for(client, address, 9000)
                ratios = []
                for _ in range(RUNS):
                    direct, through = [await latency(client, tool, *to) for to in ((address, '9000'), (VIP, '80'))]
                    ratios.append((through / direct, through, direct))
                ratio, through, direct = sorted(ratios)[RUNS // 2]
                print(f'ratio={ratio:.3f} through={through:.1f} direct={direct:.1f}')


async def latency(client: str, tool: str, address: str, port: str) -> float:
    match = re.search(r'failed=0 p50=([\d.]+)', await output(client, tool, 'c', address, port, str(CONNECTIONS)))
    assert match, 'a connection failed'
    return float(match[1])


async def change(count: int) -> None:
    """From the write of an EndpointSlice to a connection that reaches the new endpoint: API, informer, rules, TCP."""
    tool = compiled('traffic')
    async with contextlib.AsyncExitStack() as stack:
        network = await stack.enter_async_context(node())
        client, _ = await stack.enter_async_context(pod(network, 2))
        server, address = await stack.enter_async_context(pod(network, 3))
        api = await stack.enter_async_context(memory_api(str(PLAN.service_cidr)))
        objects = made_up(count)
        objects[SERVICES].append(service(0, VIP, 'web'))
        objects[ENDPOINTSLICES].append(endpoint_slice('web', (address, 9000)))
        for resource, each in objects.items():
            for obj in each:
                del obj['metadata']['resourceVersion']
                await api.create(resource, obj)
        for port in (9000, 9001):
            stack.enter_context(program(server, tool, 'serve', str(port)))
            await wait_for(client, address, port)
        await stack.enter_async_context(proxy(api))
        took = [await switch(api, client, address, 9000 + (turn + 1) % 2) for turn in range(CHANGES)]
        cuts = statistics.quantiles(took, n=100)
        print(f'change p50={cuts[49] * 1000:.1f} p99={cuts[98] * 1000:.1f}')


async def switch(api: Any, client: str, address: str, port: int) -> float:
    known = await api.get(ENDPOINTSLICES, 'default', 'web')
    wanted = {**known, 'ports': [{'name': '', 'port': port, 'protocol': 'TCP'}]}
    began = time.monotonic()
    await api.update(ENDPOINTSLICES, wanted)
    while await answer(client, VIP, 80) != str(port):
        pass
    return time.monotonic() - began


async def answer(client: str, address: str, port: int) -> str:
    loop = asyncio.get_running_loop()
    with socket_in(client) as connection:
        await loop.sock_connect(connection, (address, port))
        return (await loop.sock_recv(connection, 16)).decode().strip()


async def wait_for(client: str, address: str, port: int) -> None:
    deadline = time.monotonic() + 5
    while True:
        try:
            with socket_in(client) as connection:
                return await asyncio.get_running_loop().sock_connect(connection, (address, port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.01)


async def spread(count: int) -> None:
    """How 10,000 connections fall on 3, 7 and 10 endpoints, among ``count`` Services."""
    tool = compiled('traffic')
    async with contextlib.AsyncExitStack() as stack:
        network = await stack.enter_async_context(node())
        client, _ = await stack.enter_async_context(pod(network, 2))
        objects, pods = made_up(count), []
        for number in range(10):
            netns, address = await stack.enter_async_context(pod(network, 3 + number))
            stack.enter_context(program(netns, tool, 'serve', str(9000 + number)))
            await wait_for(client, address, 9000 + number)
            pods.append((address, 9000 + number))
        for size in (3, 7, 10):
            name, vip = f'spread-{size}', f'10.96.0.{100 + size}'
            objects[SERVICES].append(service(0, vip, name))
            slices = [endpoint_slice(name, target) for target in pods[:size]]
            for number, each in enumerate(slices):
                each['metadata']['name'] = f'{name}-{number}'
            objects[ENDPOINTSLICES] += slices
        await stack.enter_async_context(proxy(MadeUpApi(objects)))
        for size in (3, 7, 10):
            words = (await output(client, tool, 'count', f'10.96.0.{100 + size}', '80', '10000')).split()
            hits = [int(word.split('=')[1]) for word in words[1:]]
            assert words[0] == 'failed=0' and len(hits) == size, words
            print(f'endpoints={size} chi={sum((hit - 10000 / size) ** 2 for hit in hits) * size / 10000:.2f}')


async def stream() -> None:
    """One TCP stream through a plain veth pair, from Pod to Pod, and through a Service, in turn."""
    tool = compiled('traffic')
    async with node() as network, pod(network, 2) as (client, _), pod(network, 3) as (server, address):
        sink = tool, 'sink', '9000'
        with veth('bench-a', 'bench-b'), program('bench-b', *sink), program(server, *sink):
            await wait_for(client, address, 9000)
            objects = {SERVICES: [service(0, VIP, 'web')], ENDPOINTSLICES: [endpoint_slice('web', (address, 9000))]}
            async with proxy(MadeUpApi(objects)):
                rows = []
                for _ in range(RUNS):
                    targets = ('bench-a', '192.0.2.2', '9000'), (client, address, '9000'), (client, VIP, '80')
                    rows.append([
                        float(await output(netns, tool, 'send', to, port, str(STREAM_SECONDS)))
                        for netns, to, port in targets
                    ])  # fmt: skip
        plain, direct, through = (statistics.median(column) for column in zip(*rows, strict=True))
        ratios = [statistics.median(row[i] / row[0] for row in rows) for i in (1, 2)]
        print(f'plain={plain:.1f} direct={direct:.1f} through={through:.1f} ratios={ratios[0]:.2f},{ratios[1]:.2f}')


@contextlib.contextmanager
def veth(a: str, b: str) -> Iterator[None]:
    for name in (a, b):
        namespaces.create(name)
    commands = [
        f'link add veth0 netns {a} type veth peer name veth0 netns {b}',
        f'-n {a} address add 192.0.2.1/24 dev veth0', f'-n {b} address add 192.0.2.2/24 dev veth0',
        f'-n {a} link set veth0 up', f'-n {b} link set veth0 up',
    ]  # fmt: skip
    for command in commands:
        subprocess.run(['ip', *command.split()], check=True)
    try:
        yield
    finally:
        for name in (a, b):
            namespaces.delete(name)


def compiled(name: str) -> str:
    path = Path(tempfile.gettempdir(), f'netkube-bench-{name}')
    subprocess.run(['cc', '-O2', '-pthread', '-o', str(path), str(HERE / f'{name}.c')], check=True)
    return str(path)


PARTS = {'load': load, 'change': change, 'spread': spread}


def measure(part: str, *arguments: str) -> dict[str, str]:
    """One part, in a process of its own; the ``name=value`` that it prints."""
    words = [sys.executable, __file__, part, *arguments]
    printed = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(re.findall(r'(\w+)=(\S+)', printed)) | {'': printed}


def rows() -> list[tuple[str, str, str, str]]:
    """What, measured, wanted, peer."""
    found = []
    peers = {10_000: 'kube-proxy nftables 25 s'}
    wanted = {10_000: '1 s', 50_000: '5 s'}
    loads = {size: measure('load', str(size)) for size in SIZES}
    for size in SIZES[1:]:
        one, few = loads[size], loads[1]
        memory = float(one['process']) - float(few['process'])
        text = f'{float(one["load"]):.2f} s; with caches {memory:.0f} MiB, kernel {float(one["kernel"]):.0f} MiB'
        found.append((f'{size:,} Services x 2 into the kernel', text, wanted[size], peers.get(size, '')))
    for size, one in loads.items():
        text = f'{one["ratio"]} ({one["through"]} / {one["direct"]} us p50)'
        found.append((f'first packet, Service / direct, at {size:,} Services', text, '1.2, flat', '1.0 to 1.2'))
    one = measure('change', '10000')
    found.append(
        ('endpoint change to connection, at 10,000 Services', f'p50 {one["p50"]} ms, p99 {one["p99"]} ms', '10, 25 ms',
         'kube-proxy nftables 9.7 s p50')
    )  # fmt: skip
    chis = re.findall(r'endpoints=(\d+) chi=(\S+)', measure('spread', '100')[''])
    limits = {'3': 13.8, '7': 22.5, '10': 27.9}  # one run in 1,000 is further off by chance
    for size, chi in chis:
        found.append((f'chi-squared, 10,000 connections, {size} endpoints', chi, f'below {limits[size]}', ''))
    one = measure('stream')
    text = f'{one["ratios"]} ({one["direct"]} and {one["through"]} beside {one["plain"]} Gbit/s)'
    found.append(('one TCP stream, Pod to Pod and Service, beside veth', text, '0.95', ''))
    return found


if __name__ == '__main__':
    name, *rest = sys.argv[1:]
    asyncio.run(stream() if name == 'stream' else PARTS[name](int(rest[0])))
