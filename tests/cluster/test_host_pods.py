"""Pods on the Node's network and with the machine's process ids, through kubectl; and what remains of them."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from cluster.machinestate import machine_state, marked

from netkube.testing import Cluster, eventually
from netkube.testing.objects import container, pod, server, service

PORTS = [{'containerPort': 80}]
HOST = {'hostNetwork': True, 'hostPID': True, 'hostIPC': True}
HIDDEN = Path('/etc/ssl/openssl.cnf')
OPTIONS = ('--hide', str(HIDDEN), '--hide', '/etc/pam*')


def on_host(name: str, one: Any, **spec: Any) -> Any:
    made = pod(name, one)
    made['spec'] |= spec
    return made


def found(shop: Cluster, *words: str) -> Any:
    return json.loads(shop.kubectl('get', *words, '-o', 'json'))


async def test_a_service_of_a_pod_on_the_nodes_network(shop: Cluster) -> None:
    shop.apply(on_host('web', server(ports=PORTS), hostNetwork=True), service('web', 80), pod('talker'))
    status = found(shop, 'pod', 'web')['status']
    assert status['podIP'] == status['hostIP']
    fetch = ('exec', 'talker', '--', 'python3', '-c', 'import urllib.request as r; print(r.urlopen("http://web").status)')
    await eventually(lambda: shop.kubectl(*fetch) == '200\n')


def test_a_second_pod_with_that_port_finds_no_node(shop: Cluster) -> None:
    shop.apply(on_host('web', server(ports=PORTS), hostNetwork=True))
    shop.apply(on_host('again', server(ports=PORTS), hostNetwork=True), wait=False)
    shop.kubectl('wait', 'pod/again', '--for=condition=PodScheduled=false', '--timeout=60s')
    [condition] = [c for c in found(shop, 'pod', 'again')['status']['conditions'] if c['type'] == 'PodScheduled']
    assert "didn't have free ports for the requested pod ports" in condition['message']


def test_what_the_cluster_hides_is_empty(shop: Cluster) -> None:
    assert HIDDEN.stat().st_size and Path('/etc/pam.d/su').exists()
    assert Path('/run/netkube', shop.name, 'api.sock').is_socket() and list(Path('/var/lib/netkube').iterdir())
    shop.apply(pod('curious', container('sleep', 'infinity')))
    script = f"""
        cat {HIDDEN}; ls /etc/pam.d; cat /etc/ssh/ssh_host_* 2>/dev/null
        find /var/lib/netkube /run/netkube /root/.kube {shop.state_dir} -mindepth 1 2>/dev/null; true
    """
    assert shop.kubectl('exec', 'curious', '--', 'sh', '-c', script) == ''


@pytest.mark.parametrize('killed', [(), ('daemon', 'dns', 'runtime')], ids=['', 'after a kill -9'])
def test_down_leaves_nothing_of_them(own: Cluster, killed: tuple[str, ...]) -> None:
    before = machine_state(marked(own))
    own.up()
    script = "trap '' TERM; setsid sleep inf & exec sleep inf"
    own.apply(
        on_host('host', container('sh', '-c', script, securityContext={'privileged': True}), **HOST),
        on_host('shared', container('sh', '-c', script), shareProcessNamespace=True),
    )
    own.kill(*killed)
    own.down()
    assert machine_state(own) == before


def test_a_hidden_path_is_absolute(own: Cluster) -> None:
    said = own.run('up', '--hide', 'etc/passwd').stderr
    assert 'invalid --hide "etc/passwd": not an absolute path below /' in said


def node_address(shop: Cluster) -> str:
    status = found(shop, 'nodes')['items'][0]['status']
    return next(row['address'] for row in status['addresses'] if row['type'] == 'InternalIP')


async def test_a_port_of_the_node_leads_to_a_pod_beside_those_of_services(shop: Cluster) -> None:
    """The machine asks the Node's address; a node port of the same number stays the Service's."""
    both = [{'containerPort': 80, 'hostPort': port} for port in (8080, 30080)]
    exposed = service('other', 80, type='NodePort')
    exposed['spec']['ports'][0]['nodePort'] = 30080
    shop.apply(pod('held', server(ports=both)), pod('other', server(ports=PORTS)), exposed)
    address = node_address(shop)

    def who(port: int) -> str:
        try:
            with urllib.request.urlopen(f'http://{address}:{port}', timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ''

    assert 'held' in who(8080)
    await eventually(lambda: 'other' in who(30080))
    shop.kubectl('delete', 'pod', 'held', '--now')
    assert who(8080) == ''


def test_what_kubectl_describes(shop: Cluster) -> None:
    asked = {'requests': {'cpu': '150m', 'memory': '64Mi'}, 'limits': {'memory': '128Mi'}}
    shop.apply(pod('asking', container('sleep', 'infinity', resources=asked)))
    row = re.search(r'default +asking +(.*)', shop.kubectl('describe', 'node'))
    assert row and re.sub(r'\(\d+%\)', '', row[1]).split()[:4] == ['150m', '0', '64Mi', '128Mi']
    assert re.search(r'Image ID: +machine:///\n', shop.kubectl('describe', 'pod', 'asking'))
