"""Services of every type, their names and policies, in real clusters of both families and of IPv6 alone.

Asked from a Pod, from the Node and from the machine, with the real kubectl.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from cluster.conftest import unique_name

from netkube.api.meta import Object
from netkube.cluster.addressing import plans_of
from netkube.testing import Cluster, cluster, eventually
from netkube.testing.objects import container, deployment, pod, service

SERVER = r"""
import http.server, os, socket
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f'{os.uname().nodename} {self.client_address[0].removeprefix("::ffff:")}'.encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
Server(('::', 8080), Answer).serve_forever()
"""
ASK = r"""
import concurrent.futures, json, sys, urllib.request
def ask(url):
    try:
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=float(sys.argv[1])).read().decode()
    except OSError as error:
        return 'dropped' if 'timed out' in str(error) else 'refused' if 'refused' in str(error) else str(error)
urls = sys.argv[2:]
with concurrent.futures.ThreadPoolExecutor(len(urls)) as together:
    print(json.dumps(dict(zip(urls, together.map(ask, urls)))))
"""  # noqa: E501
LOOK_UP = r"""
import json, subprocess, sys
print(json.dumps({q: sorted(subprocess.run(['dig', '+short', '+search', '+time=30', '+tries=1', *q.split()],
    text=True, stdout=subprocess.PIPE).stdout.splitlines()) for q in sys.argv[1:]}))
"""
PLACES = ('pod', 'node', 'machine')
EXTERNAL = {'IPv4': '198.51.100.7', 'IPv6': '2001:db8::7'}
MORE = {'IPv4': ('10.77.0.0/24', '10.77.0.9', '10.77.0.10'), 'IPv6': ('fd00:77::/120', 'fd00:77::9', 'fd00:77::10')}
DROPPED_AFTER = '0.5'  # seconds


class Town:
    """A cluster with two servers and a client, and a Service of each type before the servers."""

    def __init__(self, running: Cluster, families: list[str]) -> None:
        self.cluster, self.families = running, families
        self.node_netns = json.loads(running('status', '-o', 'json'))['nodeNetworkNamespace']

    def service(self, name: str) -> Object:
        return json.loads(self.cluster.kubectl('get', 'service', name, '-o', 'json'))

    def urls(self, name: str) -> list[str]:
        """Each way that leads to the Service: cluster IPs, node ports, load balancer's addresses."""
        found = self.service(name)
        addresses = [a for a in found['spec']['clusterIPs'] if a != 'None']
        addresses += [each['ip'] for each in found['status'].get('loadBalancer', {}).get('ingress', ())]
        ports = [port['nodePort'] for port in found['spec']['ports'] if 'nodePort' in port]
        nodes = [a for a in self.node_addresses() if ('IPv6' if ':' in a else 'IPv4') in found['spec']['ipFamilies']]
        return [url(a, 80) for a in addresses] + [url(a, port) for a in nodes for port in ports]

    def node_addresses(self) -> list[str]:
        (node,) = self.cluster.get('nodes')
        return [one['address'] for one in node['status']['addresses'] if one['type'] == 'InternalIP']

    def machine_addresses(self) -> list[str]:
        """Its ends of the link to the Node."""
        status = json.loads(self.cluster('status', '-o', 'json'))
        return [str(plan.machine_address) for plan in plans_of(status['podCIDR'], status['serviceCIDR'])]

    def ask(self, place: str, *urls: str, patience: str = '30') -> dict[str, str]:
        """What each URL answers there, as 'POD CLIENT-ADDRESS', or 'refused' or 'dropped'."""
        return json.loads(self.run(place, 'python3', '-c', ASK, patience, *urls))

    def outcomes(self, place: str, *urls: str) -> set[str]:
        """As ``ask``, without who was asked."""
        answers = self.ask(place, *urls, patience=DROPPED_AFTER).values()
        return {'answered' if answer.startswith('web-') else answer for answer in answers}

    def serves(self, place: str, *urls: str) -> bool:
        """Each of them answers, however long a busy machine takes."""
        return all(answer.startswith('web-') for answer in self.ask(place, *urls).values())

    def look_up(self, *questions: str) -> dict[str, list[str]]:
        """dig's short answers in the Pod ``client``, sorted."""
        return json.loads(self.run('pod', 'python3', '-c', LOOK_UP, *questions))

    def run(self, place: str, *command: str) -> str:
        if place == 'pod':
            return self.cluster('exec', 'client', '--', *command)
        prefix = ['ip', 'netns', 'exec', self.node_netns] if place == 'node' else []
        return subprocess.run([*prefix, *command], check=True, capture_output=True, text=True).stdout

    def nft(self) -> str:
        return self.run('node', 'nft', 'list', 'ruleset')


def url(address: str, port: int) -> str:
    return f'http://[{address}]:{port}/' if ':' in address else f'http://{address}:{port}/'


def alone(address: str) -> str:
    """The CIDR that holds just this address."""
    return str(ip_network(address))


def web(name: str, **spec: Any) -> Object:
    wanted = {'selector': {'app': 'web'}, 'ipFamilyPolicy': 'PreferDualStack', **spec}
    made = service(name, 80, 8080, **wanted)
    made['spec']['ports'][0]['name'] = 'http'
    return made


def policy(name: str, app: str = '', **spec: Any) -> Object:
    selector = {'matchLabels': {'app': app}} if app else {}
    return {
        'apiVersion': 'networking.k8s.io/v1', 'kind': 'NetworkPolicy', 'metadata': {'name': name},
        'spec': {'podSelector': selector, **spec},
    }  # fmt: skip


@pytest.fixture(scope='module', params=['dual', 'ipv6'])
def town(request: pytest.FixtureRequest) -> Iterator[Town]:
    families = ['IPv4', 'IPv6'] if request.param == 'dual' else ['IPv6']
    with cluster(unique_name(), '--ip-family', request.param) as running:
        probe = {'tcpSocket': {'port': 8080}, 'periodSeconds': 1}
        running.apply(
            deployment('web', container('python3', '-c', SERVER, readinessProbe=probe), replicas=2),
            pod('client'),
            web('plain', externalIPs=[EXTERNAL[family] for family in families]),
            web('peers', clusterIP='None'),
            web('door', type='NodePort'),
            web('balanced', type='LoadBalancer'),
            web('local', type='LoadBalancer', externalTrafficPolicy='Local'),
            {
                'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'alias'},
                'spec': {'type': 'ExternalName', 'externalName': 'plain.default.svc.cluster.local'},
            },
        )  # fmt: skip
        made = Town(running, families)
        yield made


@pytest.fixture
def policies(town: Town) -> Iterator[Cluster]:
    yield town.cluster
    town.cluster.kubectl('delete', 'networkpolicies', '--all')


def test_every_way_to_a_service_from_everywhere_with_the_clients_own_address(town):
    names = ('plain', 'door', 'balanced', 'local')
    urls = [each for name in names for each in town.urls(name)]
    assert len(urls) == len(town.families) * (1 + 2 + 3 + 3)
    own = {each['ip'] for each in town.cluster.get('pod', 'client')['status']['podIPs']}
    clients = {'pod': own, 'node': set(town.node_addresses()), 'machine': set(town.machine_addresses())}
    for place in PLACES:
        answers = town.ask(place, *urls)
        assert {answer.partition('-')[0] for answer in answers.values()} == {'web'}, answers
        assert {answer.split()[1] for answer in answers.values()} == clients[place]


def test_external_ips_inside_the_cluster(town):
    for place in ('pod', 'node'):
        assert town.serves(place, *(url(EXTERNAL[family], 80) for family in town.families))


def test_another_port_is_refused_and_an_unused_address_dropped(town):
    address = town.service('plain')['spec']['clusterIPs'][-1]
    unused = address.rpartition(':')[0] + ':99'  # of the lower part, which nobody is given at random
    for place in PLACES:
        assert list(town.ask(place, url(address, 81)).values()) == ['refused']
        assert town.outcomes(place, url(unused, 80)) == {'dropped'}


def test_names(town):
    pods = [each['status'] for each in town.cluster.get('pods', '-l', 'app=web')]
    of_type = {'IPv4': 'A', 'IPv6': 'AAAA'}
    vips = town.service('plain')['spec']['clusterIPs']
    for family, vip in zip(town.families, vips, strict=True):
        kind = of_type[family]
        own = [one['ip'] for status in pods for one in status['podIPs']]
        addresses = sorted(address for address in own if (':' in address) == (':' in vip))
        full = 'plain.default.svc.cluster.local.'
        assert town.look_up(f'plain {kind}', f'peers {kind}', f'alias {kind}', f'-x {vip}') == {
            f'plain {kind}': [vip],
            f'peers {kind}': addresses,
            f'alias {kind}': sorted([full, vip]),
            f'-x {vip}': [full],
        }
    answers = town.look_up('_http._tcp.plain SRV', '_http._tcp.peers SRV')
    assert answers['_http._tcp.plain SRV'] == ['0 100 80 plain.default.svc.cluster.local.']
    assert len(answers['_http._tcp.peers SRV']) == 2 * len(town.families)
    assert town.serves('pod', 'http://plain/', 'http://alias/', 'http://peers:8080/')


DNS = {
    'to': [{
        'namespaceSelector': {'matchLabels': {'kubernetes.io/metadata.name': 'kube-system'}},
        'podSelector': {'matchLabels': {'k8s-app': 'kube-dns'}},
    }],
    'ports': [{'port': 53, 'protocol': 'UDP'}, {'port': 53, 'protocol': 'TCP'}],
}  # fmt: skip
TO_WEB = {'to': [{'podSelector': {'matchLabels': {'app': 'web'}}}]}
FROM_CLIENT = {'from': [{'podSelector': {'matchLabels': {'app': 'client'}}}], 'ports': [{'port': 8080}]}


async def test_policies_cut_and_let_through_each_way_and_trace_says_which(town, policies):
    ways = town.urls('balanced')  # all of them: cluster IP, balancer's address, node port

    async def settle(place: str, wanted: str) -> None:
        def settled() -> bool:
            return town.serves(place, *ways) if wanted == 'answered' else town.outcomes(place, *ways) == {wanted}

        await eventually(settled)

    policies.apply(policy('deny-all', policyTypes=['Ingress', 'Egress']))
    await settle('pod', 'dropped')
    await settle('machine', 'dropped')
    await settle('node', 'answered')
    assert 'egress isolated by default/deny-all' in verdict(town, ways[-1])
    assert 'no name can be resolved: NetworkPolicy cuts the connection' in verdict(town, 'http://plain/')

    policies.apply(policy('client-out', 'client', egress=[TO_WEB], policyTypes=['Egress']))
    await eventually(lambda: 'ingress isolated by default/deny-all' in verdict(town, ways[-1]))

    policies.apply(policy('web-in', 'web', ingress=[FROM_CLIENT]))
    await settle('pod', 'answered')
    await settle('machine', 'dropped')
    allowed = trace(town, ways[-1])
    for name in ('default/client-out (egress)', 'default/web-in (ingress)'):
        assert f'let through by NetworkPolicy {name}' in allowed

    policies.apply(policy('dns-out', egress=[DNS], policyTypes=['Egress']))
    await eventually(lambda: town.serves('pod', 'http://plain/', 'http://peers:8080/'))

    blocks = [{'ipBlock': {'cidr': alone(address)}} for address in town.machine_addresses()]
    policies.apply(policy('web-in', 'web', ingress=[{'from': blocks}]))
    await settle('machine', 'answered')
    await settle('pod', 'dropped')


def trace(town: Town, destination: str) -> str:
    return town.cluster.run('trace', '--timeout', '1', 'client', destination).stdout


def verdict(town: Town, destination: str) -> str:
    return trace(town, destination).splitlines()[-1]


TYPES: tuple[Object, ...] = (
    {'type': 'NodePort'},
    {'type': 'LoadBalancer', 'externalTrafficPolicy': 'Local'},
    {'type': 'ClusterIP'},
    {'type': 'ExternalName', 'externalName': 'plain.default.svc.cluster.local', 'clusterIP': None},
    {'type': 'LoadBalancer', 'externalName': None},
    {'type': 'NodePort', 'externalTrafficPolicy': 'Local'},
)


async def test_a_service_of_each_type_in_turn_leaves_nothing_of_the_one_before(town):
    town.cluster.apply(web('chameleon'))
    ways = set(town.urls('chameleon'))
    for spec in TYPES:
        town.cluster.kubectl('patch', 'service', 'chameleon', '--type=merge', '-p', json.dumps({'spec': spec}))
        if spec['type'] == 'LoadBalancer':
            await eventually(lambda: town.service('chameleon')['status']['loadBalancer'].get('ingress'))
        now = set(town.urls('chameleon')) if spec['type'] != 'ExternalName' else set()
        await eventually(lambda now=now: town.serves('pod', 'http://chameleon/', *now))
        gone = ways - now
        await eventually(lambda gone=gone: not gone or 'answered' not in town.outcomes('machine', *gone))
        ways |= now
    town.cluster.kubectl('delete', 'service', 'chameleon')
    await eventually(lambda: not town.outcomes('machine', *ways) & {'answered'})
    keys = {nft_key(way) for way in ways}
    await eventually(lambda: not [key for key in keys if key in town.nft()])


def nft_key(way: str) -> str:
    """As it stands in the proxy's maps: ADDRESS . tcp . PORT, or tcp . PORT of a node port."""
    address, _, port = way.removeprefix('http://').rstrip('/').rpartition(':')
    return f'{address.strip("[]")} . tcp . 80 ' if port == '80' else f'tcp . {port} '


async def test_a_further_range_is_served_to_everybody_until_it_goes(town):
    ranges = [MORE[family] for family in town.families]
    addresses, unused = [own for _, own, _ in ranges], [url(free, 80) for *_, free in ranges]
    town.cluster.apply({
        'apiVersion': 'networking.k8s.io/v1', 'kind': 'ServiceCIDR', 'metadata': {'name': 'more'},
        'spec': {'cidrs': [cidr for cidr, *_ in ranges]},
    })  # fmt: skip
    town.cluster.apply(web('wide', clusterIP=addresses[0], clusterIPs=addresses))
    for place in PLACES:
        await eventually(lambda at=place: town.serves(at, *town.urls('wide')))
        await eventually(lambda at=place: town.outcomes(at, *unused) == {'dropped'})
    assert 'no Service has the address' in verdict(town, unused[0])
    town.cluster.kubectl('delete', 'servicecidr', 'more', '--wait=false')
    assert town.serves('machine', *town.urls('wide'))
    town.cluster.kubectl('delete', 'service', 'wide')
    town.cluster.kubectl('wait', '--for=delete', 'servicecidr/more', '--timeout=60s')
    networks = [cidr.partition('/')[0] for cidr, *_ in ranges]
    await eventually(lambda: not any(network in town.nft() for network in networks))
    routes = town.run('machine', 'ip', 'route') + town.run('machine', 'ip', '-6', 'route')
    assert not any(network in routes for network in networks)


async def test_who_is_not_in_the_source_ranges_of_an_annotation(town):
    name = 'service.beta.kubernetes.io/load-balancer-source-ranges'
    guarded = web('guarded', type='LoadBalancer', allocateLoadBalancerNodePorts=False)
    guarded['metadata']['annotations'] = {name: ','.join(map(alone, town.machine_addresses()))}
    town.cluster.apply(guarded)
    balanced = await eventually(lambda: town.service('guarded')['status']['loadBalancer'].get('ingress'))
    ways = [url(each['ip'], 80) for each in balanced]
    await eventually(lambda: town.serves('machine', *ways))
    assert town.outcomes('pod', *ways) == {'dropped'}
    assert 'loadBalancerSourceRanges of its Service do not have the client' in verdict(town, ways[0])
