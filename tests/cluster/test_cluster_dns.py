"""DNS in a running cluster, as Pods and the person at the machine see it."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
from collections.abc import Iterator

import pytest

from netkube.testing import Cluster, eventually
from netkube.testing.objects import container, pod

VIP = '10.96.0.10'


@pytest.fixture(scope='module')
def client(shop: Cluster) -> Cluster:
    shop.apply(pod('client', container('sleep', 'infinity')))
    return shop


def dig(*words: str) -> str:
    return subprocess.run(['dig', f'@{VIP}', '+time=60', *words], check=True, capture_output=True, text=True).stdout


def config_map(**data: object) -> dict:
    encoded = {key: json.dumps(value) for key, value in data.items()}
    metadata = {'name': 'kube-dns', 'namespace': 'kube-system'}
    return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': metadata, 'data': encoded}


def test_a_pod_reads_the_metrics_through_the_service(client):
    name = 'http://kube-dns.kube-system.svc.cluster.local'
    text = client('exec', 'client', '--', 'curl', '-s', '-m', '5', f'{name}:9153/metrics')
    assert 'coredns_dns_requests_total{server="dns://:53",zone=".",proto="udp"}' in text
    assert client('exec', 'client', '--', 'curl', '-s', '-m', '5', f'http://{VIP}:8181/ready').strip() == 'OK'


@contextlib.contextmanager
def dnsmasq(port: int, record: str) -> Iterator[None]:
    options = ['--no-daemon', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', f'--port={port}', '--pid-file=',
               '--listen-address=127.0.0.1', '--bind-interfaces', f'--host-record={record}']  # fmt: skip
    with subprocess.Popen(['dnsmasq', *options], stderr=subprocess.DEVNULL) as nameserver:
        try:
            yield
        finally:
            nameserver.terminate()


async def test_a_stub_domain_is_asked_from_the_moment_it_is_configured(client):
    with dnsmasq(5399, 'www.acme.test,192.0.2.7'):
        client.apply(config_map(stubDomains={'acme.test': ['127.0.0.1:5399']}), wait=False)
        await eventually(lambda: '192.0.2.7' in dig('+short', 'www.acme.test'))


async def test_what_is_wrong_in_the_config_map_is_an_event_on_it(client):
    client.apply(config_map(stubDomains={'acme.test': ['nonsense']}), wait=False)
    expected = "stubDomains[acme.test]: 'nonsense' is not an IP address"
    await eventually(lambda: expected in client.kubectl('-n', 'kube-system', 'describe', 'configmap', 'kube-dns'))


def ask(name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(['dig', f'@{VIP}', '+time=10', '+tries=1', name], stdout=subprocess.PIPE, text=True)


def is_asked(nameserver: socket.socket) -> bool:
    """Whether a question reaches it: the ConfigMap is in force."""
    subprocess.run(['dig', f'@{VIP}', '+time=1', '+tries=1', 'first.acme.test'], stdout=subprocess.DEVNULL)
    return bool(select.select([nameserver], [], [], 0)[0])


async def test_a_nameserver_that_never_answers_keeps_no_name_of_the_cluster_waiting(client):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(('127.0.0.1', 5398))
        client.apply(config_map(stubDomains={'acme.test': ['127.0.0.1:5398']}), wait=False)
        await eventually(lambda: is_asked(silent))
        with ask('www.acme.test') as waiting:
            assert '10.96.0.1' in dig('+short', 'kubernetes.default.svc.cluster.local')
            assert waiting.poll() is None, 'the other question waits still'
            assert 'status: SERVFAIL' in waiting.communicate()[0]
