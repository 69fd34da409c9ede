"""Containers that cannot run, Services other than the plain one, and the world outside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from netkube.network import namespaces
from netkube.testing import Cluster, eventually
from netkube.testing.objects import container, deployment, pod, server, service

UDP_ECHO = """
import os, socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(('', 5300))
while True:
    data, client = sock.recvfrom(2048)
    sock.sendto(os.uname().nodename.encode() + b' ' + data, client)
"""
UDP_ASK = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(5)
sock.sendto(b'hello', (sys.argv[1], int(sys.argv[2])))
print(sock.recv(2048).decode())
"""


def state(cluster: Cluster, name: str) -> dict:
    (status,) = cluster.get('pod', name)['status']['containerStatuses']
    return status


async def test_a_command_that_does_not_exist(shop):
    shop.apply(pod('lost', container('/no/such/program')), wait=False)
    status = await eventually(lambda: (found := state(shop, 'lost'))['restartCount'] and found)
    assert status['state']['waiting']['reason'] == 'CrashLoopBackOff'
    ended = status['lastState']['terminated']
    assert (ended['reason'], ended['exitCode']) == ('StartError', 128)
    assert ended['message'] == 'exec: "/no/such/program": stat /no/such/program: no such file or directory'
    assert 'CrashLoopBackOff' in shop('get', 'pod', 'lost')
    assert 'no such file or directory' in shop('describe', 'pod', 'lost')


async def test_a_program_that_may_not_be_executed(shop):
    shop.apply(pod('locked', container('/etc/passwd'), restartPolicy='Never'), wait=False)
    ended = await eventually(lambda: state(shop, 'locked')['state'].get('terminated'))
    assert ended['reason'] == 'StartError'
    assert 'permission denied' in ended['message']


async def test_a_container_without_command(shop):
    shop.apply(pod('bare', {'name': 'main', 'image': 'nginx:1.27'}), wait=False)
    waiting = await eventually(lambda: state(shop, 'bare')['state'].get('waiting', {}).get('message') and state(
        shop, 'bare')['state']['waiting'])  # fmt: skip
    assert waiting['reason'] == 'ErrImageNeverPull'
    assert 'Container image "nginx:1.27" is not present' in waiting['message']
    assert 'command' in waiting['message']
    assert shop.get('pod', 'bare')['spec']['containers'][0]['image'] == 'nginx:1.27'
    refused = shop.run('logs', 'bare')
    assert refused.returncode == 1
    assert 'is waiting to start: ErrImageNeverPull' in refused.stderr


async def test_an_exit_code_is_kept(shop):
    shop.apply(pod('seven', container('sh', '-c', 'exit 7'), restartPolicy='Never'), wait=False)
    await eventually(lambda: shop.get('pod', 'seven')['status']['phase'] == 'Failed')
    assert state(shop, 'seven')['state']['terminated']['exitCode'] == 7


async def test_an_evicted_pod_stays_to_be_read_and_another_takes_its_place(shop):
    mounts = [{'name': 'v', 'mountPath': '/data'}]
    one = container('sleep', 'inf', volumeMounts=mounts)
    shop.apply(deployment('greedy', one, volumes=[{'name': 'v', 'emptyDir': {'sizeLimit': '1Mi'}}]))
    (first,) = shop.get('pods', '-l', 'app=greedy')
    shop('exec', first['metadata']['name'], '--', 'sh', '-c', 'head -c 2000000 /dev/zero > /data/file')

    def replaced() -> bool:
        pods = shop.get('pods', '-l', 'app=greedy')
        return sorted((one['status']['phase'], one['status'].get('reason')) for one in pods) == [
            ('Failed', 'Evicted'), ('Running', None)]  # fmt: skip

    await eventually(replaced)
    assert 'Usage of EmptyDir volume "v" exceeds the limit "1Mi".' in shop('describe', 'pod', first['metadata']['name'])


def ask(cluster: Cluster, name: str, address: str, port: int) -> str:
    return cluster('exec', name, '--', 'python3', '-c', UDP_ASK, address, str(port))


def from_the_machine(address: str) -> str:
    command = [sys.executable, '-c', UDP_ASK, address, '53']
    return subprocess.run(command, text=True, capture_output=True, timeout=60).stdout


async def test_a_container_that_wants_more_memory_than_its_limit(shop):
    eat = 'x = bytearray(); [x.extend(bytes(1 << 20)) for _ in range(300)]'
    greedy = container('python3', '-c', eat, resources={'limits': {'memory': '64Mi', 'cpu': '500m'}})
    shop.apply(pod('greedy', greedy, restartPolicy='Never'), wait=False)
    ended = await eventually(lambda: state(shop, 'greedy')['state'].get('terminated'))
    assert (ended['reason'], ended['exitCode']) == ('OOMKilled', 137)
    assert shop.get('pod', 'greedy')['status']['phase'] == 'Failed'


async def test_a_udp_service(shop):
    shop.apply(
        pod('echo', container('python3', '-c', UDP_ECHO)), service('echo', 53, 5300, protocol='UDP'), pod('client')
    )
    await eventually(lambda: 'echo hello' in ask(shop, 'client', 'echo', 53))
    assert from_the_machine(shop.get('service', 'echo')['spec']['clusterIP']) == 'echo hello\n'


def test_a_service_without_endpoints_refuses_at_once(shop):
    shop.apply(service('nobody', 80), pod('client'))
    done = shop.run('exec', 'client', '--', 'curl', '-s', '--max-time', '60', 'http://nobody/')
    assert done.returncode == 7  # curl: connection refused; 28 would be a timeout


@pytest.mark.parametrize('transport', ['+notcp', '+tcp'])
def test_dig_from_a_pod(shop, transport):
    shop.apply(pod('client'), service('web', 80))
    address = shop.get('service', 'web')['spec']['clusterIP']
    vip = json.loads(shop('status', '-o', 'json'))['dnsAddress']
    words = ('dig', transport, '+short', '+search', 'web')
    assert shop('exec', 'client', '--', *words).strip() == address
    assert shop('exec', 'client', '--', 'cat', '/etc/resolv.conf').splitlines() == [
        'search default.svc.cluster.local svc.cluster.local cluster.local',
        f'nameserver {vip}',
        'options ndots:5',
    ]
    absent = shop('exec', 'client', '--', 'dig', transport, 'nope.default.svc.cluster.local')
    assert 'status: NXDOMAIN' in absent


@pytest.fixture
def outside() -> Iterator[str]:
    """A web server one hop beyond the machine, which knows no way back to Pods."""
    commands = """
        ip link add uplink type veth peer name eth0 netns outside
        ip address add 198.51.100.2/24 dev uplink
        ip link set uplink up
        ip -n outside address add 198.51.100.1/24 dev eth0
        ip -n outside link set eth0 up
    """
    namespaces.create('outside')
    for command in filter(None, map(str.strip, commands.splitlines())):
        subprocess.run(command.split(), check=True)
    server = subprocess.Popen(
        ['ip', 'netns', 'exec', 'outside', 'python3', '-c', OUTSIDE], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout and server.stdout.readline() == 'listening\n'
    try:
        yield '198.51.100.1'
    finally:
        server.kill()
        server.communicate()
        subprocess.run(['ip', 'link', 'del', 'uplink'], check=True)
        namespaces.delete('outside')


OUTSIDE = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.client_address[0].encode())
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(('198.51.100.1', 80), Handler)
print('listening', flush=True)
server.serve_forever()
"""


def test_pods_reach_the_world_as_the_machine(shop, outside):
    shop.apply(pod('client'))
    seen = shop('exec', 'client', '--', 'curl', '-s', '--max-time', '60', f'http://{outside}/')
    assert seen == '198.51.100.2'


def test_a_rollout_under_traffic_loses_no_request(shop):
    """Pods that go have a moment to be taken out of the Service; those that come are ready before they are asked."""
    stop = {'preStop': {'sleep': {'seconds': 1}}}
    shop.apply(
        deployment('rolling', server(lifecycle=stop), replicas=3, terminationGracePeriodSeconds=5),
        service('rolling', 80),
        pod('client'),
    )
    loop = 'for n in $(seq 200); do curl -s --max-time 60 http://rolling/ || echo FAILED $?; sleep 0.01; done'
    asking = shop.start('exec', 'client', '--', 'sh', '-c', loop)
    before = {each['metadata']['name'] for each in shop.get('pods', '-l', 'app=rolling')}
    shop.apply(
        deployment('rolling', server(lifecycle=stop, env=[{'name': 'VERSION', 'value': '2'}]), replicas=3,
                   terminationGracePeriodSeconds=5)
    )  # fmt: skip
    answers = asking.communicate(timeout=60)[0].split('\n')[:-1]
    assert len(answers) == 200
    assert [answer for answer in answers if not answer.startswith('rolling-')] == []
    assert set(answers) - before
