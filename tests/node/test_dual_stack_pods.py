"""Pods with addresses of one or both families, on a whole Node: status, files, variables, probes, a new agent."""

from __future__ import annotations

import pytest
from node_lab import IPV4, IPV6, Lab, condition, lab

from netkube.api.resources import NODES
from netkube.network.plan import AddressPlans

CLUSTERS = {'ipv6': (IPV6,), 'dual': (IPV4, IPV6), 'dual, IPv6 first': (IPV6, IPV4)}
FOREVER = ('sleep', 'infinity')
FIELDS = {'IPS': 'status.podIPs', 'IP': 'status.podIP', 'HOSTS': 'status.hostIPs', 'HOST': 'status.hostIP'}


@pytest.fixture(params=CLUSTERS.values(), ids=CLUSTERS)
def plans(request: pytest.FixtureRequest) -> AddressPlans:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
async def node(plans, tmp_path):
    async with lab(tmp_path, plans) as made:
        yield made


async def test_status_files_and_variables(node: Lab, plans: AddressPlans) -> None:
    async with node.running_agent():
        env = [{'name': name, 'valueFrom': {'fieldRef': {'fieldPath': path}}} for name, path in FIELDS.items()]
        status = (await node.create_pod(*FOREVER, env=env, wait=True))['status']
        ips, hosts = ([str(plan.node_pod_cidr[2]) for plan in plans], [str(plan.node_address) for plan in plans])
        assert (status['podIP'], status['podIPs']) == (ips[0], [{'ip': ip} for ip in ips])
        assert (status['hostIP'], status['hostIPs']) == (hosts[0], [{'ip': host} for host in hosts])
        assert (await node.sh('echo $IPS $IP $HOSTS $HOST')).split() == [
            ','.join(ips),
            ips[0],
            ','.join(hosts),
            hosts[0],
        ]
        lines = (await node.sh('cat /etc/hosts')).splitlines()
        assert [line for line in lines if line.endswith('\tp')] == [f'{ip}\tp' for ip in ips]
        assert f'nameserver {plans[0].dns_vip}' in await node.sh('cat /etc/resolv.conf')


async def test_the_node_has_an_address_and_a_range_of_each_family(node: Lab, plans: AddressPlans) -> None:
    async with node.running_agent():
        made = await node.client.get(NODES, '', 'node-1')
    internal = [row['address'] for row in made['status']['addresses'] if row['type'] == 'InternalIP']
    assert internal == [str(plan.node_address) for plan in plans]
    assert made['spec']['podCIDRs'] == [str(plan.node_pod_cidr) for plan in plans]
    assert made['spec']['podCIDR'] == made['spec']['podCIDRs'][0]


async def test_probes_reach_the_primary_address_and_a_new_agent_finds_all_of_them_again(
    node: Lab, plans: AddressPlans
) -> None:
    async with node.running_agent():
        server = ('python3', '-m', 'http.server', '80', '--bind', str(plans[0].node_pod_cidr[2]))
        await node.create_pod(
            *server, readinessProbe={'httpGet': {'port': 80}}, livenessProbe={'tcpSocket': {'port': 80}}
        )
        before = await node.until(lambda pod: condition(pod, 'Ready')['status'] == 'True')
    async with node.running_agent():
        later = await node.create_pod(*FOREVER, name='later', wait=True)
        assert (await node.pod())['status'] == before['status']
        assert later['status']['podIPs'] == [{'ip': str(plan.node_pod_cidr[3])} for plan in plans]


async def test_a_failed_probe_names_the_address_in_brackets(node: Lab, plans: AddressPlans) -> None:
    async with node.running_agent():
        await node.create_pod(*FOREVER, wait=True, readinessProbe={'tcpSocket': {'port': 80}, 'periodSeconds': 1})
        host = str(plans[0].node_pod_cidr[2])
        shown = f'[{host}]' if ':' in host else host
        message = f'Readiness probe failed: dial tcp {shown}:80: connect: connection refused'
        await node.has_event('Warning', 'Unhealthy', message)
