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
from subprocess import PIPE, STDOUT

from policy_latency import Api

HERE = Path(__file__).resolve().parent
NETKUBE = [sys.executable, '-E', '-s', '-m', 'netkube.cli.main', '--cluster', 'bench']
API_SOCKET = '/run/netkube/bench/api.sock'
STARTS = 5
START_SECONDS = 30
CONNECTIONS = 3000
RUNS = 3
COMMANDS = 15
SAVES = 9


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


def measure_policy() -> list[Row]:
    """At 1,000 Pods and 100 policies: from a label's change to its effect, and what a connection pays for policies.

    All but two of the Pods are objects only, with an address that nobody has.
    """
    labels = {'app': 'server'}
    echo = (
        'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 9000))\n'
        'while True: s.sendto(*s.recvfrom(100))'
    )
    others = [fake_pod(number) for number in range(998)]
    policies = [network_policy(f'other-{number}', {'number': str(number)}) for number in range(97)]
    policies += [network_policy(f'server-{number}', labels) for number in range(3)]
    with tempfile.TemporaryDirectory(dir='/var/tmp') as folder, cluster():
        Path(folder).chmod(0o755)
        tool = f'{folder}/connect_latency'
        subprocess.run(['cc', '-O2', '-o', tool, str(HERE / 'connect_latency.c')], check=True)
        both = ['sh', '-c', f'python3 -c \'{echo}\' & exec {tool} s 9000']
        netkube('apply', '-f', '-', '--wait', stdin=manifest('server', 1, both, 9000, probe=False))
        netkube('apply', '-f', '-', '--wait', stdin=manifest('client', 1, ['sleep', 'infinity'], 80, probe=False))
        netkube('apply', '-f', '-', stdin='\n---\n'.join(map(json.dumps, others)))
        api = Api(API_SOCKET)
        for number in range(len(others)):
            addresses = [{'ip': f'10.250.{number // 250}.{number % 250 + 1}'}]
            api.patch(f'fake-{number}/status', {'status': {'podIP': addresses[0]['ip'], 'podIPs': addresses}})
        (server,) = json.loads(netkube('get', 'pods', '-l', 'app=server', '-o', 'json'))['items']
        (client,) = json.loads(netkube('get', 'pods', '-l', 'app=client', '-o', 'json'))['items']
        name, address = client['metadata']['name'], server['status']['podIP']
        words = ('exec', name, '--', tool, 'c', address, '9000', str(CONNECTIONS))
        taken: dict[str, list[float]] = {'without': [], 'with': []}
        text = '\n---\n'.join(map(json.dumps, policies))
        for _ in range(RUNS):
            for case, verb in (('without', 'delete'), ('with', 'apply')):
                netkube(verb, '-f', '-', *(['--ignore-not-found'] if verb == 'delete' else []), stdin=text)
                api.patch(name, {'metadata': {'labels': {'role': 'friend'}}})
                taken[case].append(p50_of(netkube(*words)))
        inside = ['ip', 'netns', 'exec', f'netkube-bench--pod-{client["metadata"]["uid"]}', sys.executable]
        latency = [*inside, str(HERE / 'policy_latency.py'), API_SOCKET, name, address, '50']
        output = subprocess.run(latency, check=True, capture_output=True, text=True).stdout
    times = sorted(float(line) for line in output.split())
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    ratio = ratio_of(taken['with'], taken['without'])
    cost = f'{ratio:.2f} ({statistics.median(taken["with"]):.0f} / {statistics.median(taken["without"]):.0f} us p50)'
    return [
        Row('label changed to in force, 1,000 Pods, 100 policies', f'{p50:.0f} ms p50, {p99:.0f} ms p99', '25 ms p99'),
        Row('connection under three policies / without any', cost, '1.2'),
    ]


def fake_pod(number: int) -> dict:
    labels = {'number': str(number % 97), 'role': 'x'}
    spec = {'schedulerName': 'nobody', 'containers': [{'name': 'none', 'image': 'none'}]}
    return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': f'fake-{number}', 'labels': labels}, 'spec': spec}


def network_policy(name: str, labels: dict[str, str]) -> dict:
    """Those Pods are reached by friends, at any port but the first ten, and may go anywhere."""
    friends = [{'podSelector': {'matchLabels': {'role': 'friend'}}}]
    ports = [{'protocol': protocol, 'port': 10, 'endPort': 65535} for protocol in ('TCP', 'UDP')]
    spec = {
        'podSelector': {'matchLabels': labels}, 'policyTypes': ['Ingress', 'Egress'],
        'ingress': [{'from': friends, 'ports': ports}], 'egress': [{}],
    }  # fmt: skip
    return {
        'apiVersion': 'networking.k8s.io/v1', 'kind': 'NetworkPolicy', 'metadata': {'name': name}, 'spec': spec,
    }  # fmt: skip


def p50_of(output: str) -> float:
    match = re.search(r'failed=0 p50=([\d.]+)', output)
    assert match, 'a connection failed'
    return float(match[1])


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


def measure_proxy() -> list[Row]:
    """The service proxy at 1, 10,000 and 50,000 Services; see bench_proxy."""
    import bench_proxy

    return [*(Row(*row) for row in bench_proxy.rows()), measure_rolling_update()]


def measure_rolling_update() -> Row:
    """What becomes of 500 connections a second while all Pods of a Deployment are replaced."""
    from netkube.testing.tools import tool as find_tool

    with tempfile.TemporaryDirectory(dir='/var/tmp') as folder, cluster():
        Path(folder).chmod(0o755)
        tool = f'{folder}/traffic'
        subprocess.run(['cc', '-O2', '-pthread', '-o', tool, str(HERE / 'traffic.c')], check=True)
        web = manifest('web', 10, [tool, 'serve', '9000', '2'], 9000)
        web = web.replace('GracePeriodSeconds": 0', 'GracePeriodSeconds": 5')
        netkube('apply', '-f', '-', '--wait', stdin=web)
        netkube('apply', '-f', '-', '--wait', stdin=manifest('client', 1, ['sleep', 'infinity'], 80, probe=False))
        address = json.loads(netkube('get', 'service', 'web', '-o', 'json'))['spec']['clusterIP']
        kubectl = [str(find_tool('kubectl')), '--kubeconfig', netkube('kubeconfig').strip()]
        words = ['exec', 'deploy/client', '--', tool, 'load', address, '9000', '500', '20']
        with subprocess.Popen([*NETKUBE, *words], stdout=subprocess.PIPE, text=True) as load:
            for verb in ('restart', 'status'):
                subprocess.run([*kubectl, 'rollout', verb, 'deploy/web'], check=True, capture_output=True)
            text = load.communicate()[0].strip()
    return Row('500 connections/s during a rolling update of 10 replicas', text, 'refused, reset, lost = 0')


def measure_watch() -> list[Row]:
    """``run --watch``: from a saved file to the new processes being all there are."""
    with tempfile.TemporaryDirectory(dir='/var/tmp') as folder, cluster():
        Path(folder).chmod(0o755)
        program = Path(folder) / 'program'
        subprocess.run(['cc', '-O2', '-o', str(program), str(HERE / 'connect_latency.c')], check=True)
        words = ['run', 'web', '--port', '9000', '--watch', '.', '--', str(program), 's', '9000']
        taken = []
        with subprocess.Popen([*NETKUBE, *words], cwd=folder, text=True, stdout=PIPE, stderr=STDOUT) as watching:
            assert watching.stdout is not None
            for line in watching.stdout:
                if line.startswith('watching'):
                    break
            for number in range(SAVES):
                began = time.monotonic()
                (Path(folder) / 'settings').write_text(str(number))
                watching.stdout.readline()
                taken.append(time.monotonic() - began)
            watching.terminate()
    return [Row('run --watch: a saved file to its new process, ready', f'{statistics.median(taken):.2f} s', '0.3 s')]


def measure_pods() -> list[Row]:
    """A thousand of them; see bench_pods."""
    import bench_pods

    return [Row(*row) for row in bench_pods.rows(cluster, netkube, API_SOCKET)]


MEASUREMENTS = {
    'proxy': measure_proxy,
    'start': measure_start,
    'memory': measure_memory,
    'replicas': measure_replicas,
    'pods': measure_pods,
    'watch': measure_watch,
    'connections': measure_connections,
    'dns': measure_dns,
    'policy': measure_policy,
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
