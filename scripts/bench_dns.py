"""The resolver: answers a second beside dnsmasq, how long they take at half of that, how soon they follow a change."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

RUNS = 3
SIZES = (1000, 10_000)
SECONDS = 4
CONNECTIONS = 20
CHANGES = 100
DOMAIN = 'default.svc.cluster.local'
Object = dict[str, Any]


class Row(NamedTuple):
    what: str
    measured: str
    wanted: str
    peer: str = ''


def rows(
    cluster: Callable[[], AbstractContextManager[None]], netkube: Callable[..., str], api_socket: str
) -> list[Row]:
    """The same questions to netkube's resolver and to dnsmasq, in turn, each alone on one core."""
    found = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder, cluster():
            asyncio.run(create_services(size, api_socket))
            status = json.loads(netkube('status', '-o', 'json'))
            subprocess.run(['taskset', '-p', '-c', '0', str(status['dns']['pid'])], check=True, capture_output=True)
            services = json.loads(netkube('get', 'services', '-o', 'json'))['items']
            found += measure_size(services, Path(folder), status, api_socket)
    return found


def measure_size(services: list[Object], folder: Path, status: Object, api_socket: str) -> list[Row]:
    size = len(services) // 1000 * 1000
    addresses = {each['metadata']['name']: each['spec']['clusterIP'] for each in services}
    queries, hosts = folder / 'queries', folder / 'hosts'
    queries.write_text(''.join(f'{name}.{DOMAIN} A\n' for name in addresses))
    hosts.write_text(''.join(f'{address} {name}.{DOMAIN}\n' for name, address in addresses.items()))
    inside = ['ip', 'netns', 'exec', status['nodeNetworkNamespace']]
    vip, memory = status['dnsAddress'], status['dns']['memoryKiB'] / 1024
    ours, theirs = [], []
    with dnsmasq(hosts):
        dnsperf(inside, vip, 53, queries, '-n', '1')  # each name once: what is asked for the first time is built
        for _ in range(RUNS):
            ours.append(queries_per_second(dnsperf(inside, vip, 53, queries, '-l', str(SECONDS))))
            theirs.append(queries_per_second(dnsperf([], '127.0.0.1', 5300, queries, '-l', str(SECONDS))))
        half = str(int(median(ours) / 2))
        slower = ('-l', str(SECONDS), '-Q', half, '-v')
        p99 = latency(dnsperf(inside, vip, 53, queries, *slower), 99)
        their_p99 = latency(dnsperf([], '127.0.0.1', 5300, queries, *slower), 99)
    changes = asyncio.run(measure_changes(vip, api_socket))
    ratio = median([a / b for a, b in zip(ours, theirs, strict=True)])  # pair by pair: the machine's speed drifts
    text = f'{median(ours):,.0f}/s, {ratio:.2f} of dnsmasq'
    return [
        Row(f'DNS answers per second, one core, {size:,} Services', text, '0.9', f'dnsmasq {median(theirs):,.0f}/s'),
        Row(
            f'at half of that load ({half}/s)',
            f'{p99 * 1000:.2f} ms p99',
            '2 ms',
            f'dnsmasq {their_p99 * 1000:.2f} ms at the same load',
        ),
        Row('from an endpoint change to the answer', f'{percentiles(changes)}', '50 ms'),
        Row(f'memory of the resolver (PSS), {size:,} Services x 2 endpoints', f'{memory:.1f} MiB', ''),
    ]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentiles(values: Sequence[float]) -> str:
    ordered = sorted(values)
    p50, p99 = (ordered[len(ordered) * part // 100] * 1000 for part in (50, 99))
    return f'{p50:.1f} ms p50, {p99:.1f} ms p99'


@contextlib.contextmanager
def dnsmasq(hosts: Path) -> Iterator[None]:
    """On 127.0.0.1:5300, on the core that the resolver has too."""
    options = ['--no-daemon', '--no-resolv', '--no-hosts', f'--addn-hosts={hosts}', '--port=5300', '--cache-size=10000']
    with subprocess.Popen(['taskset', '-c', '0', 'dnsmasq', *options], stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def dnsperf(prefix: list[str], address: str, port: int, queries: Path, *options: str) -> str:
    words = ['taskset', '-c', '1', 'dnsperf', '-s', address, '-p', str(port), '-d', str(queries), '-c', '8', *options]
    return subprocess.run([*prefix, *words], check=True, capture_output=True, text=True).stdout


def queries_per_second(output: str) -> float:
    match = re.search(r'Queries per second:\s+([\d.]+)', output)
    assert match, output
    return float(match[1])


def latency(output: str, percent: int) -> float:
    """Seconds within which so many of a hundred were answered; dnsperf -v has a line for each."""
    found = sorted(float(line.rsplit(' ', 1)[1]) for line in output.splitlines() if line.startswith('> NOERROR'))
    return found[len(found) * percent // 100]


def service(name: str) -> Object:
    spec = {'ports': [{'port': 80}]}
    return {'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': name, 'namespace': 'default'}, 'spec': spec}


def endpoint_slice(name: str, *addresses: str) -> Object:
    return {
        'apiVersion': 'discovery.k8s.io/v1', 'kind': 'EndpointSlice', 'addressType': 'IPv4',
        'metadata': {'name': name, 'namespace': 'default', 'labels': {'kubernetes.io/service-name': name}},
        'endpoints': [{'addresses': [address], 'conditions': {'ready': True}} for address in addresses],
        'ports': [{'name': '', 'port': 80, 'protocol': 'TCP'}],
    }  # fmt: skip


async def create_services(count: int, api_socket: str) -> None:
    """So many Services with two endpoints each, and a headless one."""
    from netkube.api.resources import ENDPOINTSLICES, SERVICES
    from netkube.client.http import Endpoint, HttpClient

    client = HttpClient(Endpoint(socket_path=api_socket))
    numbers = iter(range(count))

    async def create() -> None:
        for n in numbers:
            await client.create(SERVICES, service(f'service-{n}'))
            addresses = (f'10.244.{100 + n % 50}.{1 + n // 50 % 100}', f'10.244.{150 + n % 50}.{1 + n // 50 % 100}')
            await client.create(ENDPOINTSLICES, endpoint_slice(f'service-{n}', *addresses))

    headless = service('headless')
    headless['spec']['clusterIP'] = 'None'
    await client.create(SERVICES, headless)
    await client.create(ENDPOINTSLICES, endpoint_slice('headless', '10.244.99.254'))
    await asyncio.gather(*(create() for _ in range(CONNECTIONS)))
    await client.close()


async def measure_changes(vip: str, api_socket: str) -> list[float]:
    """Seconds from sending a change of an EndpointSlice to the first answer that has it."""
    from netkube.api.resources import ENDPOINTSLICES
    from netkube.client.http import Endpoint, HttpClient

    client = HttpClient(Endpoint(socket_path=api_socket))
    taken = []
    for n in range(CHANGES):
        address = f'10.244.99.{1 + n}'
        began = time.monotonic()
        writing = asyncio.create_task(client.update(ENDPOINTSLICES, endpoint_slice('headless', address)))
        await asyncio.to_thread(wait_for_answer, vip, socket.inet_aton(address), began + 10)
        taken.append(time.monotonic() - began)
        await writing
    await client.close()
    return taken


def wait_for_answer(vip: str, address: bytes, deadline: float) -> None:
    """Ask until the answer ends with the address."""
    name = b''.join(bytes([len(label)]) + label.encode() for label in f'headless.{DOMAIN}'.split('.'))
    query = b'id\1\0\0\1\0\0\0\0\0\0' + name + b'\0\0\1\0\1'
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.connect((vip, 53))
        while time.monotonic() < deadline:
            client.send(query)
            if client.recv(512).endswith(address):
                return
    raise TimeoutError('the answer did not change')
