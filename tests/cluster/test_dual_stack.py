"""A whole cluster with both families: Pods reach each other, the API and DNS by each, and so does the machine."""

from __future__ import annotations

import json

import pytest

from netkube.testing.objects import container, pod, service

OPTIONS = ('--ip-family', 'dual')
SERVER = ('python3', '-m', 'http.server', '8080', '--bind', '::')
FETCH = 'import urllib.request as u, sys; print(u.urlopen(sys.argv[1], timeout=60).status)'
CONNECT = 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); print("ok")'
NAMESERVER = """
import socket, struct, sys
name = b''.join(bytes([len(p)]) + p.encode() for p in 'kubernetes.default.svc.cluster.local'.split('.')) + b'\\0'
sock = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(60)
sock.sendto(struct.pack('>6H', 7, 256, 1, 0, 0, 0) + name + struct.pack('>2H', 1, 1), (sys.argv[1], 53))
print(struct.unpack('>6H', sock.recv(512)[:12])[3])
"""


@pytest.fixture(scope='module')
def pods(shop):
    shop.apply(pod('server', container(*SERVER)), pod('client', container('sleep', 'infinity')))
    return {name: [one['ip'] for one in shop.get('pod', name)['status']['podIPs']] for name in ('server', 'client')}


def node_addresses(shop):
    (node,) = shop.get('nodes')
    return [one['address'] for one in node['status']['addresses'] if one['type'] == 'InternalIP']


def test_pods_and_node_have_an_address_of_each_family(shop, pods):
    for addresses in (*pods.values(), node_addresses(shop)):
        assert [':' in address for address in addresses] == [False, True]


def test_pods_reach_pods(shop, pods):
    for address in pods['server']:
        url = f'http://[{address}]:8080/' if ':' in address else f'http://{address}:8080/'
        assert shop('exec', 'client', '--', 'python3', '-c', FETCH, url) == '200\n'


def test_pods_reach_the_api_server_and_the_resolver(shop, pods):
    for address in node_addresses(shop):
        assert shop('exec', 'client', '--', 'python3', '-c', CONNECT, address, '6443') == 'ok\n'
    vips = shop.get('service', 'kube-dns', '-n', 'kube-system')['spec']['clusterIPs']
    assert [':' in vip for vip in vips] == [False, True]
    for vip in vips:
        assert shop('exec', 'client', '--', 'python3', '-c', NAMESERVER, vip) == '1\n'


def test_the_services_every_cluster_has(shop):
    kubernetes = shop.get('service', 'kubernetes')['spec']
    assert (kubernetes['ipFamilies'], kubernetes['ipFamilyPolicy']) == (['IPv4'], 'SingleStack')


def test_kubectl_shows_ranges_and_addresses(shop):
    lines = [line.split() for line in shop.kubectl('get', 'servicecidrs,ip').splitlines() if line]
    rows = {row[0]: row[1] for row in lines}
    cidrs = json.loads(shop('status', '-o', 'json'))['serviceCIDR']
    assert rows['servicecidr.networking.k8s.io/kubernetes'] == cidrs
    vip = shop.get('service', 'kubernetes')['spec']['clusterIP']
    assert rows[f'ipaddress.networking.k8s.io/{vip}'] == 'services/default/kubernetes'


def test_kubectl_upgrades_and_downgrades_a_service(shop):
    shop.apply(service('web', 80))
    shop.kubectl('patch', 'service', 'web', '-p', '{"spec": {"ipFamilyPolicy": "PreferDualStack"}}')
    first, second = shop.get('service', 'web')['spec']['clusterIPs']
    assert (':' in first, ':' in second) == (False, True)
    shop.kubectl('patch', 'service', 'web', '-p', '{"spec": {"ipFamilyPolicy": "SingleStack"}}')
    assert shop.get('service', 'web')['spec']['clusterIPs'] == [first]


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (('--ip-family', 'ipv6'), 'exists with --ip-family dual; to change it'),
        (('--pod-cidr', '10.1.0.0/16'), 'exists with --pod-cidr 10.'),
    ],
)
def test_the_families_are_for_life(shop, options, words):
    done = shop.run('up', '--state-dir', shop.state_dir, *options)
    assert done.returncode == 1
    assert words in done.stderr


def test_a_cluster_of_contradicting_options_is_not_made(own):
    done = own.run('up', '--state-dir', own.state_dir, '--ip-family', 'ipv6', '--pod-cidr', '10.1.0.0/16')
    assert done.returncode == 1
    assert 'error: --ip-family ipv6 and --pod-cidr 10.1.0.0/16 do not agree: it needs an IPv6 CIDR' in done.stderr


def test_the_doctor_knows_ipv6(shop):
    assert {one['check']: one['ok'] for one in json.loads(shop.run('doctor', '-o', 'json').stdout)}['IPv6']
