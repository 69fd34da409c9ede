"""After ``down`` the machine is as it was before ``up``, whatever happened in between."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from cluster.machinestate import cgroups, machine_state, marked, processes
from network.packets import run

from netkube.network import sysctl
from netkube.network.forwarding import FORWARD, SWITCHES
from netkube.testing import Cluster, eventually
from netkube.testing.objects import config_map, container, deployment, pod, server, service

WORKLOAD = (
    config_map('settings', colour='red'),
    deployment(
        'web', server(volumeMounts=[{'name': 'settings', 'mountPath': '/settings'}]), replicas=3,
        volumes=[{'name': 'settings', 'configMap': {'name': 'settings'}}, {'name': 'scratch', 'emptyDir': {}}],
    ),
    service('web', 80),
    pod('stubborn', container('sh', '-c', 'trap "" TERM; setsid sleep inf & sleep inf')),
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_forwarding():
    for switch in SWITCHES.values():
        sysctl.write(switch, 0)


def test_down_leaves_nothing(own):
    before = machine_state(marked(own))
    own.up()
    own.apply(*WORKLOAD)
    assert sysctl.read(FORWARD) == '1'
    assert cgroups(own) and processes(own)
    own.down()
    assert machine_state(own) == before


@pytest.mark.parametrize('killed', [(), ('daemon', 'dns', 'runtime')], ids=['', 'after a kill -9'])
@pytest.mark.parametrize('family', ['ipv6', 'dual'])
def test_down_leaves_nothing_of_ipv6_either(own, family, killed):
    before = machine_state(marked(own))
    own.options = ('--ip-family', family)
    own.up()
    own.apply(
        pod('one', container('sleep', 'infinity')),
        service('one', 80, type='LoadBalancer', externalIPs=['2001:db8::7'], ipFamilyPolicy='PreferDualStack'),
        {'apiVersion': 'networking.k8s.io/v1', 'kind': 'NetworkPolicy', 'metadata': {'name': 'deny'},
         'spec': {'podSelector': {}, 'policyTypes': ['Ingress', 'Egress']}},
    )  # fmt: skip
    own.apply({'apiVersion': 'networking.k8s.io/v1', 'kind': 'ServiceCIDR', 'metadata': {'name': 'more'},
               'spec': {'cidrs': ['fd00:77::/112']}})  # fmt: skip
    assert sysctl.read(SWITCHES['IPv6']) == '1'
    own.kill(*killed)
    own.down()
    assert machine_state(own) == before


def test_purge_leaves_not_even_its_state(own):
    own.up()
    assert Path(own.state_dir).exists()
    own.down('--purge')
    assert not Path(own.state_dir).exists()


async def test_down_after_a_kill_of_everything_leaves_nothing(own):
    before = machine_state(marked(own))
    own.up()
    own.apply(*WORKLOAD)
    own.kill('daemon', 'dns', 'runtime')
    own.down()
    assert machine_state(own) == before


@pytest.mark.parametrize('after', [0.1, 0.3, 0.5], ids=lambda seconds: f'{seconds} s')
async def test_down_after_a_kill_in_the_middle_of_up_leaves_nothing(own, after):
    before = machine_state(marked(own))
    starting = own.start('up', '--state-dir', own.state_dir)
    await asyncio.sleep(after)  # this is the test's input, not a wait
    _kill_all(own)
    starting.wait()
    own.down()
    assert machine_state(own) == before


async def test_down_in_the_middle_of_a_rollout_leaves_nothing(own):
    before = machine_state(marked(own))
    own.up()
    own.apply(deployment('web', server(), replicas=20), wait=False)
    await eventually(lambda: len(run('ip netns').splitlines()) > 4)
    own.down()
    assert machine_state(own) == before


async def test_up_after_a_kill_of_everything_starts_the_pods_again(own):
    own.up()
    own.apply(*WORKLOAD[:3])
    own.kill('daemon', 'dns', 'runtime')
    own.up()
    address = own.get('service', 'web')['spec']['clusterIP']
    await eventually(lambda: own.get('deployment', 'web')['status'].get('readyReplicas') == 3)
    assert run(f'curl -s --max-time 60 http://{address}/').startswith('web-')


def test_forwarding_that_was_on_stays_on(own):
    sysctl.write(FORWARD, 1)
    own.up()
    own.down()
    assert sysctl.read(FORWARD) == '1'


def test_two_clusters_go_one_by_one(own, other):
    before = machine_state(marked(own)) + machine_state(marked(other))
    own.up()
    other.up()
    for cluster in (own, other):
        cluster.apply(pod('web', server()), service('web', 80), pod('client'))
    for cluster in (own, other):
        _answers(cluster)
    assert addresses(own).isdisjoint(addresses(other))
    own.down()
    assert sysctl.read(FORWARD) == '1'
    _answers(other)
    other.down()
    assert machine_state(own) + machine_state(other) == before


def addresses(cluster: Cluster) -> set[str]:
    pods = {pod['status']['podIP'] for pod in cluster.get('pods', '-A')}
    services = {each['spec']['clusterIP'] for each in cluster.get('services', '-A')}
    nodes = {address['address'] for node in cluster.get('nodes') for address in node['status']['addresses']}
    return pods | services | nodes


def _answers(cluster: Cluster) -> None:
    """To the machine by address, and to a Pod by name."""
    address = cluster.get('service', 'web')['spec']['clusterIP']
    assert run(f'curl -s --max-time 60 http://{address}/') == 'web\n'
    assert cluster('exec', 'client', '--', 'curl', '-s', '--max-time', '60', 'http://web/') == 'web\n'


def _kill_all(cluster: Cluster) -> None:
    for line in processes(cluster):
        os.kill(int(line.split()[0]), signal.SIGKILL)
