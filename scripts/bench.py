"""The measurements behind ``scripts/bench``; run by it, in namespaces of its own.

Every figure is a median of several runs, and every comparison is made within one run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
NETKUBE = [sys.executable, '-E', '-s', '-m', 'netkube.cli.main', '--cluster', 'bench']
API_SOCKET = '/run/netkube/bench/api.sock'
STARTS = 5
START_SECONDS = 30
CONNECTIONS = 3000
RUNS = 3
COMMANDS = 15


@dataclass(frozen=True)
class Row:
    what: str
    measured: str
    wanted: str
    peer: str = ''


def netkube(*words: str, stdin: str = '') -> str:
    done = subprocess.run([*NETKUBE, *words], input=stdin, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f'netkube {" ".join(words)}: {done.stderr}{done.stdout}')
    return done.stdout


def seconds(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


@contextlib.contextmanager
def cluster() -> Iterator[None]:
    netkube('up')
    try:
        yield
    finally:
        netkube('down', '--purge')


def manifest(name: str, replicas: int, command: list[str], port: int, probe: bool = True) -> str:
    container: dict = {'name': 'main', 'image': 'none', 'command': command, 'ports': [{'containerPort': port}]}
    if probe:
        container['readinessProbe'] = {'tcpSocket': {'port': port}, 'periodSeconds': 1}
    labels = {'app': name}
    template = {'metadata': {'labels': labels}, 'spec': {'containers': [container], 'terminationGracePeriodSeconds': 0}}
    deployment = {
        'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': name},
        'spec': {'replicas': replicas, 'selector': {'matchLabels': labels}, 'template': template},
    }  # fmt: skip
    service = {
        'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': name},
        'spec': {'selector': labels, 'ports': [{'port': port, 'targetPort': port}]},
    }  # fmt: skip
    return json.dumps(deployment) + '\n---\n' + json.dumps(service)


def measure_start() -> list[Row]:
    """From nothing to an API that answers, and to an answer through a Service's DNS name."""
    answering, ready, first = [], [], []
    hello = manifest('hello', 1, ['python3', '-m', 'http.server', '80'], 80)
    for _ in range(STARTS):
        try:
            began = time.monotonic()
            with subprocess.Popen([*NETKUBE, 'up'], stderr=subprocess.DEVNULL) as starting:
                wait_for_api()
                answering.append(time.monotonic() - began)
            assert starting.returncode == 0, 'netkube up failed'
            ready.append(time.monotonic() - began)
            netkube('apply', '-f', '-', '--wait', stdin=hello)
            netkube('exec', 'deploy/hello', '--', 'curl', '-s', 'http://hello.default.svc.cluster.local/')
            first.append(time.monotonic() - began)
        finally:
            netkube('down', '--purge')
    return [
        Row('start to API answering', f'{statistics.median(answering):.2f} s', '0.5 s', 'etcd + kube-apiserver 3.4 s'),
        Row(
            'start to API, DNS and Node ready (netkube up returns)',
            f'{statistics.median(ready):.2f} s',
            '',
            'k3d 20 s, kind 33 s',
        ),
        Row(
            'up to the first answer through Service and DNS name',
            f'{statistics.median(first):.2f} s',
            '1 s',
            'k3d 15.8 s, kind 32.4 s',
        ),
    ]


def wait_for_api() -> None:
    """Ask again and again until the API server says that it is ready."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(API_SOCKET)
            connection.sendall(b'GET /readyz HTTP/1.1\r\nhost: netkube\r\n\r\n')
            if b' 200 ' in connection.recv(64):
                return
        time.sleep(0.01)
    sys.exit('the API does not answer')


def measure_memory() -> list[Row]:
    with cluster():
        status = json.loads(netkube('status', '-o', 'json'))
    parts = ', '.join(f'{role} {status[role]["memoryKiB"] / 1024:.1f}' for role in ('daemon', 'runtime', 'dns'))
    total = status['memoryKiB'] / 1024
    return [Row('idle memory of all processes (PSS)', f'{total:.1f} MiB ({parts})', '80 MB', 'k3s 512 MB')]


def measure_replicas() -> list[Row]:
    took = []
    with cluster():
        for number in range(RUNS):
            many = manifest(f'many-{number}', 100, ['sleep', 'infinity'], 80, probe=False)
            took.append(seconds(lambda text=many: netkube('apply', '-f', '-', '--wait', stdin=text)))
            netkube('delete', 'deploy', f'many-{number}', '--cascade', 'foreground')
    median = statistics.median(took)
    return [Row('100 replicas created to all Ready', f'{median:.2f} s ({100 / median:.0f} Pods/s)', '170 Pods/s')]


def measure_connections() -> list[Row]:
    """connect() from a Pod to another: through the Service's address, and directly."""
    # Not /tmp: a container has one of its own, but sees the rest of the machine's files.
    with tempfile.TemporaryDirectory(dir='/var/tmp') as folder, cluster():
        Path(folder).chmod(0o755)
        tool = f'{folder}/connect_latency'
        subprocess.run(['cc', '-O2', '-o', tool, str(HERE / 'connect_latency.c')], check=True)
        netkube('apply', '-f', '-', '--wait', stdin=manifest('server', 1, [tool, 's', '9000'], 9000, probe=False))
        netkube('apply', '-f', '-', '--wait', stdin=manifest('client', 1, ['sleep', 'infinity'], 80, probe=False))
        (pod,) = json.loads(netkube('get', 'pods', '-l', 'app=server', '-o', 'json'))['items']
        service = json.loads(netkube('get', 'service', 'server', '-o', 'json'))
        targets = {'direct': pod['status']['podIP'], 'service': service['spec']['clusterIP']}
        taken: dict[str, list[float]] = {name: [] for name in targets}
        for _ in range(RUNS):
            for name, address in targets.items():
                words = ('exec', 'deploy/client', '--', tool, 'c', address, '9000', str(CONNECTIONS))
                match = re.search(r'failed=0 p50=([\d.]+)', netkube(*words))
                assert match, 'a connection failed'
                taken[name].append(float(match[1]))
    direct, service_time = (statistics.median(taken[name]) for name in ('direct', 'service'))
    text = f'{ratio_of(taken["service"], taken["direct"]):.2f} ({service_time:.0f} / {direct:.0f} us p50)'
    return [Row('connection through the Service / direct to the Pod', text, '1.2', 'kube-proxy 1.0 to 1.2')]


def measure_command_line() -> list[Row]:
    """The whole process of ``get pods``: ours and kubectl's, in turn."""
    from netkube.testing.tools import tool

    ours, theirs = [], []
    with cluster():
        kubectl = [str(tool('kubectl')), '--kubeconfig', netkube('kubeconfig').strip(), 'get', 'pods', '-A']
        for _ in range(COMMANDS):
            ours.append(seconds(lambda: netkube('get', 'pods', '-A')))
            theirs.append(seconds(lambda: subprocess.run(kubectl, check=True, capture_output=True)))
    text = f'{statistics.median(ours) * 1000:.0f} ms, {ratio_of(ours, theirs):.2f} of kubectl'
    return [Row('netkube get pods, whole process', text, '1', f'kubectl {statistics.median(theirs) * 1000:.0f} ms')]


def ratio_of(ours: list[float], theirs: list[float]) -> float:
    """Pair by pair, so that a machine whose speed drifts does not matter."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def measure_dns() -> list[Row]:
    """The resolver beside dnsmasq, at 1,000 and at 10,000 Services; see bench_dns."""
    import bench_dns

    return [Row(*row) for row in bench_dns.rows(cluster, netkube, API_SOCKET)]


def measure_api() -> list[Row]:
    """Writes, lists and watches over the unix socket; the client has the same cores."""
    with cluster():
        words = [sys.executable, str(HERE / 'api_load.py'), API_SOCKET]
        found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    ms = {name: f'{value * 1000:.1f} ms' for name, value in found.items() if name not in ('writes', 'list bytes')}
    return [
        Row('API writes, 20 connections, each durable', f'{found["writes"]:,.0f}/s, p50 {ms["write p50"]}, '
            f'p99 {ms["write p99"]}', '1,000/s, p99 50 ms', 'kube-apiserver + etcd 205/s'),
        Row('list of 10,000 Pods, warm', f'{ms["list"]} ({found["list bytes"] / 2**20:.1f} MiB)', '300 ms'),
        Row('a write to its event at one watcher', f'p50 {ms["event p50"]}, p99 {ms["event p99"]}', 'p99 5 ms'),
        Row('a write to its event at 1,000 watchers', f'p50 {ms["fan-out p50"]}, p99 {ms["fan-out p99"]}',
            'p99 100 ms'),
    ]  # fmt: skip


MEASUREMENTS = {
    'start': measure_start,
    'memory': measure_memory,
    'replicas': measure_replicas,
    'connections': measure_connections,
    'dns': measure_dns,
    'commandline': measure_command_line,
    'api': measure_api,
}


def print_table(rows: list[Row]) -> None:
    header = Row('what', 'measured', 'wanted', 'peers (published or measured elsewhere, unless of this run)')
    widths = [
        max(len(getattr(row, field)) for row in [header, *rows]) for field in ('what', 'measured', 'wanted', 'peer')
    ]
    for row in [header, *rows]:
        cells = (row.what, row.measured, row.wanted, row.peer)
        print('  '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(prog='scripts/bench', description=__doc__)
    parser.add_argument('only', nargs='*', choices=[*MEASUREMENTS, []], help='which measurements; all if none is named')
    rows: list[Row] = []
    for name in parser.parse_args().only or MEASUREMENTS:
        print(f'measuring: {name}', file=sys.stderr)
        rows += MEASUREMENTS[name]()
    print_table(rows)


if __name__ == '__main__':
    main()
