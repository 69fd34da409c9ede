"""Pods: how many a second begin and go, how long one takes, and what a thousand of them cost while nothing happens.

Processor time counts more than time here: it hardly depends on what else the machine does.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from netkube.api.errors import ApiError
from netkube.api.meta import Key, key_of
from netkube.api.resources import DEPLOYMENTS, PODS, SERVICES
from netkube.client.http import Endpoint, HttpClient
from netkube.client.interface import WatchEvent
from netkube.cluster.processes import family

PODS_AT_ONCE = 1000
MOST = 2000  # a bridge has 1,023 ports
SINGLE = 50
REST_SECONDS = 20
PATIENCE = 300  # seconds
PORT = '9000'
LABELS = {'app': 'many'}
Object = dict[str, Any]


class Row(NamedTuple):
    what: str
    measured: str
    wanted: str
    peer: str = ''


class Cost(NamedTuple):
    """Seconds of the clock, and of the processors by role."""

    seconds: float
    processor: dict[str, float]

    def each(self, count: int) -> str:
        return (
            ', '.join(f'{role} {taken / count * 1000:.1f}' for role, taken in self.processor.items()) + ' ms CPU each'
        )


class Roles:
    """The processes of the cluster, by what they are."""

    def __init__(self, netkube: Callable[..., str]) -> None:
        self._netkube = netkube

    def status(self) -> Object:
        return json.loads(self._netkube('status', '-o', 'json'))

    def memory(self) -> int:
        """KiB of all."""
        return self.status()['memoryKiB']

    @contextmanager
    def cost(self) -> Iterator[list[Cost]]:
        status = self.status()
        pids = {role: status[role]['pid'] for role in ('daemon', 'runtime')}
        costs: list[Cost] = []
        before, began = {role: family_seconds(pid) for role, pid in pids.items()}, time.monotonic()
        yield costs
        took = time.monotonic() - began
        costs.append(Cost(took, {role: family_seconds(pid) - before[role] for role, pid in pids.items()}))


def family_seconds(pid: int) -> float:
    """With the runtime's nursery, which nobody waits for."""
    return sum(map(processor_seconds, family(pid)))


def processor_seconds(pid: int) -> float:
    """User and system time of a process and of those children that it has waited for, proc_pid_stat(5)."""
    with open(f'/proc/{pid}/stat') as file:
        fields = file.read().rpartition(')')[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf('SC_CLK_TCK')


def rows(
    cluster: Callable[[], AbstractContextManager[None]], netkube: Callable[..., str], api_socket: str
) -> list[Row]:
    # Not /tmp: a container has one of its own, but sees the rest of the machine's files.
    with tempfile.TemporaryDirectory(dir='/var/tmp') as folder, cluster():
        Path(folder).chmod(0o755)
        server = f'{folder}/server'
        subprocess.run(['cc', '-O2', '-o', server, str(Path(__file__).with_name('connect_latency.c'))], check=True)
        return asyncio.run(measure(Roles(netkube), Endpoint(socket_path=api_socket), server))


async def measure(roles: Roles, api: Endpoint, server: str) -> list[Row]:
    one = [await begin_and_end_one(HttpClient(api), f'one-{number}') for number in range(SINGLE)]
    idle = roles.memory()
    with roles.cost() as begun:
        await begin_many(HttpClient(api), container('sleep', 'infinity'))
    memory = (roles.memory() - idle) / PODS_AT_ONCE
    with roles.cost() as ended:
        await end_many(HttpClient(api))
    probe = {'tcpSocket': {'port': int(PORT)}, 'periodSeconds': 1}
    await begin_many(HttpClient(api), {**container(server, 's', PORT), 'readinessProbe': probe})
    with roles.cost() as rest:
        await asyncio.sleep(REST_SECONDS)
    await end_many(HttpClient(api))
    most = await measure_most(roles, HttpClient(api), server)
    many, quiet = f'{PODS_AT_ONCE:,} Pods', sum(rest[0].processor.values()) / rest[0].seconds
    return [
        Row('one Pod, create to Running', percentiles(one), '30 ms p50, 100 ms p99'),
        Row(f'{many} at once, create to Running', rate(begun[0]), '170/s', 'crun run of /bin/true 59/s'),
        Row(f'{many} deleted', rate(ended[0]), '60/s'),
        Row(f'{many} Ready, probed each second', f'{quiet:.0%} of a core', '25%'),
        Row('memory of a Pod beyond its processes (PSS)', f'{memory:.0f} KiB', '100 KiB'),
        most,
    ]


async def measure_most(roles: Roles, client: HttpClient, server: str) -> Row:
    """More than one bridge has ports for, each of them reached by its own address and all by a Service's."""
    idle = roles.memory()
    ports = [{'port': int(PORT)}]
    spec = {'selector': LABELS, 'ports': ports}
    service = {'metadata': {'name': 'many', 'namespace': 'default'}, 'spec': spec}
    address = (await client.create(SERVICES, service))['spec']['clusterIP']
    with roles.cost() as begun:
        await begin_many(client, container(server, 's', PORT), MOST)
    memory = (roles.memory() - idle) / MOST
    pods = [pod['status']['podIP'] for pod in (await client.list(PODS, 'default')).items]
    for target in (*pods, *[address] * MOST):
        _, writer = await asyncio.wait_for(asyncio.open_connection(target, int(PORT)), PATIENCE)
        writer.close()
    await client.delete(SERVICES, 'default', 'many')
    await end_many(client)
    measured = f'{rate(begun[0], MOST)}; {memory:.0f} KiB each; all answer, and by a Service'
    return Row(f'{MOST:,} Pods on this machine', measured, 'all answer', 'Kubernetes 110 per node')


def rate(cost: Cost, count: int = PODS_AT_ONCE) -> str:
    return f'{count / cost.seconds:.0f}/s; {cost.each(count)}'


def percentiles(values: Sequence[float]) -> str:
    cuts = statistics.quantiles(values, n=100, method='inclusive')
    return f'{cuts[49] * 1000:.0f} ms p50, {cuts[98] * 1000:.0f} ms p99'


def container(*command: str) -> Object:
    return {'name': 'main', 'image': 'none', 'command': list(command)}


def pod_spec(container: Object) -> Object:
    """With a second of grace: a Pod that has none leaves the API before its processes end."""
    return {'containers': [container], 'terminationGracePeriodSeconds': 1}


async def begin_and_end_one(client: HttpClient, name: str) -> float:
    """Seconds from the request to the event that says Running."""
    metadata = {'name': name, 'namespace': 'default'}
    pod = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': metadata, 'spec': pod_spec(container('sleep', 'infinity'))}
    events = client.watch(PODS, 'default', field_selector=f'metadata.name={name}')
    running = asyncio.create_task(wait_for(events, lambda _, pod: pod['status']['phase'] == 'Running'))
    began = time.monotonic()
    await client.create(PODS, pod)
    await running
    took = time.monotonic() - began
    await client.delete(PODS, 'default', name, grace_period_seconds=0)
    return took


async def begin_many(client: HttpClient, container: Object, count: int = PODS_AT_ONCE) -> None:
    """A Deployment of them; they are available when they run, or by their probe."""
    template = {'metadata': {'labels': LABELS}, 'spec': pod_spec(container)}
    spec = {'replicas': count, 'selector': {'matchLabels': LABELS}, 'template': template}
    metadata = {'name': 'many', 'namespace': 'default'}
    await client.create(
        DEPLOYMENTS, {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': metadata, 'spec': spec}
    )
    await wait_for(
        client.watch(DEPLOYMENTS, 'default'),
        lambda _, deployment: deployment.get('status', {}).get('availableReplicas') == count,
    )


async def end_many(client: HttpClient) -> None:
    """A Pod is deleted when its processes, namespace and files have gone."""
    await client.delete(DEPLOYMENTS, 'default', 'many', propagation_policy='Foreground')
    while found := (await client.list(PODS, 'default')):
        left = {key_of(pod) for pod in found.items}
        if not left:
            return
        events = client.watch(PODS, 'default', resource_version=found.resource_version)
        try:
            await wait_for(events, lambda type, pod, left=left: _is_last(type, pod, left))
        except ApiError as error:
            if error.code != 410:  # more has changed since than is remembered
                raise


def _is_last(type: str, pod: Object, left: set[Key]) -> bool:
    if type == 'DELETED':
        left.discard(key_of(pod))
    return not left


async def wait_for(events: AsyncIterator[WatchEvent], condition: Callable[[str, Object], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        async for event in events:
            if event.type != 'BOOKMARK' and condition(event.type, event.object):
                return
