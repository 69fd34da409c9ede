"""kubectl attach, run -it, port-forward and proxy; the Python client's own port-forward."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import kubernetes
import pytest
from kubernetes.stream import portforward

from netkube.testing import Cluster, eventually
from netkube.testing.objects import container, deployment, pod, server, service
from netkube.testing.tools import tool

ECHO = r"""
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        data = self.rfile.read()
        self.wfile.write(b'%d bytes: ' % len(data) + data)
server = socketserver.ThreadingTCPServer(('127.0.0.1', 7000), Echo)
server.serve_forever()
"""
COUNT_LINES = 'n=0; while read -r line; do n=$((n+1)); echo "$n: $line"; done; echo the end'
BIG = 3_000_000


@pytest.fixture(scope='module', autouse=True)
def workload(shop: Cluster) -> None:
    shop.apply(
        deployment('web', server(), replicas=2),
        service('web', 80),
        pod('echo', container('python3', '-c', ECHO)),
        pod('ticker', container('sh', '-c', 'n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.05; done')),
    )


def command(shop: Cluster, *words: str) -> list[str]:
    return [str(tool('kubectl')), '--kubeconfig', shop('kubeconfig').strip(), *words]


@contextmanager
def started(shop: Cluster, *words: str, stdin: int | None = None) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(shop, *words), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def forwarded(shop: Cluster, target: str, port: int) -> Iterator[int]:
    with started(shop, 'port-forward', '--address', '127.0.0.1', target, f':{port}') as process:
        assert process.stdout
        found = re.search(r'127\.0\.0\.1:(\d+) ->', process.stdout.readline())
        assert found
        yield int(found[1])


def sent(connection: socket.socket, data: bytes) -> bytes:
    """What comes back when all is sent and the sending half is closed."""
    with connection, connection.makefile('rb') as answer:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return answer.read()


class TestPortForward:
    def test_to_a_process_that_listens_on_the_pods_loopback_only(self, shop):
        with forwarded(shop, 'pod/echo', 7000) as port:
            for number in range(3):
                text = f'hello {number}'.encode()
                assert sent(socket.create_connection(('127.0.0.1', port)), text) == b'7 bytes: ' + text

    def test_much_in_both_directions(self, shop):
        with forwarded(shop, 'pod/echo', 7000) as port:
            data = bytes(range(256)) * (BIG // 256)
            answer = sent(socket.create_connection(('127.0.0.1', port)), data)
            assert answer.partition(b': ')[2] == data

    def test_connections_at_the_same_time(self, shop):
        with forwarded(shop, 'pod/echo', 7000) as port:
            first, second = (socket.create_connection(('127.0.0.1', port)) for _ in range(2))
            first.sendall(b'fir')
            assert sent(second, b'second') == b'6 bytes: second'
            assert sent(first, b'st') == b'5 bytes: first'

    def test_by_service_and_deployment(self, shop):
        for target in ('service/web', 'deployment/web'):
            with (
                forwarded(shop, target, 80) as port,
                urllib.request.urlopen(f'http://127.0.0.1:{port}/', timeout=60) as answer,
            ):
                assert answer.status == 200

    def test_to_a_port_where_nobody_listens(self, shop):
        with started(shop, 'port-forward', '--address', '127.0.0.1', 'pod/echo', ':7001') as process:
            assert process.stdout
            port = int(re.search(r':(\d+) ->', process.stdout.readline())[1])  # type: ignore[index]
            assert sent(socket.create_connection(('127.0.0.1', port)), b'x') == b''
            said = process.stdout.read()
        assert 'error forwarding port 7001 to pod' in said
        assert 'IPv4: connection refused' in said

    def test_of_the_python_client(self, shop):
        client = kubernetes.config.new_client_from_config(shop('kubeconfig').strip())
        api = kubernetes.client.CoreV1Api(client)
        address = shop.get('pods', '-l', 'app=web')[0]['metadata']['name']
        forward = portforward(api.connect_get_namespaced_pod_portforward, address, 'default', ports='80')
        connection = forward.socket(80)
        connection.settimeout(60)
        connection.sendall(b'GET / HTTP/1.0\r\n\r\n')
        assert connection.recv(8192).startswith(b'HTTP/1.0 200')
        forward.close()


class TestAttach:
    def test_what_is_written_from_now_on(self, shop):
        with started(shop, 'attach', 'ticker') as process:
            assert process.stdout
            lines = (line for line in iter(process.stdout.readline, '') if line.startswith('tick'))
            first, second = (int(next(lines).split()[1]) for _ in range(2))
            assert second == first + 1

    async def test_stdin_of_the_container_until_its_end(self, shop):
        reader = container('sh', '-c', COUNT_LINES)
        shop.apply(pod('reader', {**reader, 'stdin': True, 'stdinOnce': True}, restartPolicy='Never'))
        assert shop.kubectl('attach', '-i', 'reader', stdin='a\nb\n') == '1: a\n2: b\nthe end\n'
        await eventually(lambda: shop.get('pod', 'reader')['status']['phase'] == 'Succeeded')
        assert shop('logs', 'reader') == '1: a\n2: b\nthe end\n'

    async def test_stdin_goes_on_after_a_client_without_stdin_once(self, shop):
        reader = container('sh', '-c', COUNT_LINES)
        shop.apply(pod('open', {**reader, 'stdin': True}, restartPolicy='Never'))
        for number, text in enumerate(('a', 'b'), 1):
            with started(shop, 'attach', '-i', 'open', stdin=subprocess.PIPE) as process:
                assert process.stdin
                process.stdin.write(f'{text}\n')
                process.stdin.flush()
                await eventually(lambda n=number, t=text: f'{n}: {t}\n' in shop('logs', 'open'))

    def test_run_interactively_on_a_terminal(self, shop):
        run = shlex.join(command(
            shop, 'run', 'shell', '-it', '--rm', '--restart=Never', '--image=none', '--command', '--',
            'sh', '-c', 'tty; until stty size | grep -v "^0 0"; do :; done; read -r name; echo hello "$name"; exit 3',
        ))  # fmt: skip
        terminal = subprocess.Popen(
            ['script', '-qec', f'stty rows 33 cols 77; {run}', '/dev/null'],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert terminal.stdout
        seen = []
        while '33 77' not in (line := terminal.stdout.readline()):
            assert line, f'it ended with {"".join(seen)}'
            seen.append(line)
        output, _ = terminal.communicate('world\n', timeout=60)
        assert 'hello world' in output
        assert 'pod "shell" deleted' in output
        assert terminal.returncode == 3


class TestProxy:
    BASE = '/api/v1/namespaces/default'

    def test_to_a_pod_and_to_a_service(self, shop):
        name = shop.get('pods', '-l', 'app=web')[0]['metadata']['name']
        assert name in shop.kubectl('get', '--raw', f'{self.BASE}/pods/{name}/proxy/')
        assert name in shop.kubectl('get', '--raw', f'{self.BASE}/pods/http:{name}:80/proxy/any/path?query=1')
        for service_name in ('web', 'web:80', 'http:web:80'):
            assert 'web-' in shop.kubectl('get', '--raw', f'{self.BASE}/services/{service_name}/proxy/')

    def test_what_cannot_be_reached(self, shop):
        assert refusal(shop, f'{self.BASE}/services/web:81/proxy/') == 'no service port 81 found for service "web"'
        assert refusal(shop, f'{self.BASE}/services/none/proxy/') == 'services "none" not found'
        name = shop.get('pods', '-l', 'app=web')[0]['metadata']['name']
        assert refusal(shop, f'{self.BASE}/pods/{name}:81/proxy/').endswith(':81: connect: connection refused')

    def test_through_kubectl_proxy(self, shop):
        with started(shop, 'proxy', '--port=0') as process:
            assert process.stdout
            base = 'http://' + process.stdout.readline().split()[-1]
            with urllib.request.urlopen(f'{base}{self.BASE}/services/web:80/proxy/x', timeout=60) as answer:
                assert answer.status == 200
            with urllib.request.urlopen(f'{base}/version', timeout=60) as answer:
                assert b'gitVersion' in answer.read()


def refusal(shop: Cluster, path: str) -> str:
    done = subprocess.run(command(shop, 'get', '--raw', path), text=True, capture_output=True, timeout=60)
    assert done.returncode == 1
    return done.stderr.strip().partition(': ')[2]
