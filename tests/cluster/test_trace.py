"""``netkube trace`` over a whole cluster: each way a connection can fail, and what is said of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import Any

import pytest

from netkube.network.namespaces import inside, opened
from netkube.network.nft import Nft
from netkube.testing import Cluster, eventually
from netkube.testing.objects import container, pod, service

WEB = container('python3', '-m', 'http.server', '8080')
LOCAL = container('python3', '-m', 'http.server', '8080', '--bind', '127.0.0.1')
ECHO_UDP = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('', 5353))
while True:
    data, client = server.recvfrom(1000)
    server.sendto(data, client)
"""
SILENT_UDP = ECHO_UDP.replace('server.sendto(data, client)', 'pass')


def headless(name: str, **spec: Any) -> dict:
    return service(name, 80, 8080, clusterIP='None', **spec)


@pytest.fixture(scope='module')
def town(shop: Cluster) -> Cluster:
    not_ready = {'httpGet': {'port': 8081}, 'periodSeconds': 1}
    shop.apply({'apiVersion': 'v1', 'kind': 'Namespace', 'metadata': {'name': 'harbour'}})
    shop.apply(
        pod('client'),
        pod('lonely', dnsPolicy='None', dnsConfig={'nameservers': ['10.244.0.250']}),
        pod('web', WEB),
        service('web', 80, 8080),
        pod('local', LOCAL),
        service('local', 80, 8080),
        service('mistyped', 80, 8080, selector={'app': 'wep'}),
        service('strict', 80, 8080, selector={'app': 'web', 'tier': 'front'}),
        service('off-target', 80, 9090, selector={'app': 'web'}),
        service('named', 80, 'http', selector={'app': 'web'}),
        service('gone', 80, 8080, selector={'app': 'dock'}),
        headless('peers', selector={'app': 'web'}),
        headless('empty'),
        service('door', 80, 8080, selector={'app': 'web'}, type='NodePort'),
        pod('dock', WEB, namespace='harbour'),
        service('dock', 80, 8080, namespace='harbour'),
        pod('echo', container('python3', '-c', ECHO_UDP)),
        service('echo', 53, 5353, protocol='UDP'),
        pod('silent', container('python3', '-c', SILENT_UDP)),
        service('silent', 53, 5353, protocol='UDP'),
        {
            'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'alias'},
            'spec': {'type': 'ExternalName', 'externalName': 'web.default.svc.cluster.local'},
        },
    )  # fmt: skip
    shop.apply(
        pod('sick', {**WEB, 'readinessProbe': not_ready}),
        service('sick', 80, 8080),
        pod('broken', container('sh', '-c', 'exit 3')),
        service('broken', 80),
        wait=False,
    )
    return shop


class Traced:
    """What one ``netkube trace -o json`` said."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        assert done.returncode in (0, 1) and done.stdout, done.stderr
        self.report = json.loads(done.stdout)
        self.works: bool = self.report['works']
        self.verdict: str = self.report['verdict']
        self.steps = {step['step']: step for step in self.report['steps']}
        assert done.returncode == (0 if self.works else 1)

    def marks(self) -> dict[str, bool | None]:
        return {name: step['ok'] for name, step in self.steps.items()}

    def chosen(self) -> tuple[str, int]:
        chosen = self.steps['kernel']['facts']['chosen']
        return chosen['address'], chosen['port']


def trace(cluster: Cluster, *words: str) -> Traced:
    return Traced(cluster.run('trace', *words, '-o', 'json'))


def address_of(cluster: Cluster, name: str, namespace: str = 'default') -> str:
    return cluster.get('pod', name, '-n', namespace)['status']['podIP']


def cluster_ip(cluster: Cluster, name: str) -> str:
    return cluster.get('service', name)['spec']['clusterIP']


async def serving(cluster: Cluster, pod_name: str, destination: str) -> Traced:
    """The first trace that works: a server needs a moment to start."""

    def attempt() -> Traced:
        traced = trace(cluster, pod_name, destination)
        assert traced.works, traced.verdict
        return traced

    return await eventually(attempt)


class TestWhatWorks:
    async def test_a_service_by_name(self, town):
        traced = await serving(town, 'client', 'http://web/')
        assert traced.verdict == 'Pod default/client reaches http://web/.'
        assert traced.marks() == dict.fromkeys(('name', 'service', 'endpoints', 'kernel', 'process', 'answer'), True)
        assert traced.steps['name']['facts']['origin'] == 'the cluster IP of Service default/web'
        assert traced.steps['answer']['facts']['status'] == 'HTTP/1.0 200 OK'

    async def test_the_endpoint_is_the_one_that_the_kernel_chose(self, town):
        traced = await serving(town, 'client', 'web:80')
        assert traced.chosen() == (address_of(town, 'web'), 8080)
        tables = {(rule['table'], rule['chain']) for rule in traced.steps['kernel']['facts']['rules']}
        assert ('netkube', 'pick-1') in tables

    async def test_another_namespace(self, town):
        traced = await serving(town, 'client', 'http://dock.harbour')
        assert traced.steps['service']['facts']['service'] == 'harbour/dock'

    async def test_an_external_name_inside(self, town):
        traced = await serving(town, 'client', 'http://alias/')
        assert 'ExternalName' in traced.steps['name']['facts']['origin']
        assert traced.steps['service']['facts']['service'] == 'default/web'

    async def test_a_headless_service_on_the_port_of_its_pods(self, town):
        traced = await serving(town, 'client', 'peers:8080')
        assert traced.steps['service']['facts']['type'] == 'headless'

    async def test_a_pods_address(self, town):
        web = address_of(town, 'web')
        traced = await serving(town, 'client', f'{web}:8080')
        assert traced.steps['service']['text'] == f'no Service: {web} is Pod default/web'

    async def test_a_pod_reaches_itself_through_its_service(self, town):
        traced = await serving(town, 'web', 'web.default.svc.cluster.local:80')
        assert traced.chosen() == (address_of(town, 'web'), 8080) or 'itself' in traced.steps['kernel']['text']

    async def test_hairpin_by_the_services_address(self, town):
        traced = await serving(town, 'web', f'{cluster_ip(town, "web")}:80')
        assert any('hairpin' in detail for detail in traced.steps['kernel']['details'])

    async def test_the_api_server(self, town):
        traced = trace(town, 'client', 'https://kubernetes/version')
        assert traced.works
        assert traced.steps['answer']['facts']['status'].startswith('HTTP/1.1 ')

    def test_cluster_dns_which_is_the_nodes_own(self, town):
        traced = trace(town, 'client', '--udp', 'kube-dns.kube-system:53')
        assert traced.works and traced.verdict.endswith('reaches kube-dns.kube-system:53.')
        assert traced.steps['answer']['facts']['outcome'] == 'answered'

    async def test_udp_with_an_answer(self, town):
        def answered() -> Traced:
            traced = trace(town, 'client', '--udp', 'echo:53')
            assert traced.steps['answer']['facts']['outcome'] == 'answered'
            return traced

        traced = await eventually(answered)
        assert traced.works and traced.chosen() == (address_of(town, 'echo'), 5353)

    def test_udp_without_an_answer_is_delivered_to_a_process(self, town):
        traced = trace(town, 'client', '--udp', '--timeout', '0.3', 'silent:53')
        assert traced.works and traced.steps['answer']['facts']['outcome'] == 'sent'
        assert traced.steps['process']['ok']

    async def test_a_workload_as_the_source_and_a_container(self, town):
        done = town.run('trace', 'pod/client', 'main', 'http://web/')
        assert done.returncode == 0, done.stdout


class TestNames:
    def test_misspelt(self, town):
        traced = trace(town, 'client', 'http://wbe/')
        assert traced.verdict.endswith('there is no name wbe; did you mean web?')
        assert list(traced.steps) == ['name']
        tried = [question['name'] for question in traced.steps['name']['facts']['questions']]
        assert tried[0] == 'wbe.default.svc.cluster.local' and tried[-1] == 'wbe'

    def test_right_name_of_another_namespace(self, town):
        assert trace(town, 'client', 'dock:80').verdict.endswith('did you mean dock.harbour?')

    def test_misspelt_namespace(self, town):
        assert trace(town, 'client', 'dock.harbor:80').verdict.endswith('did you mean dock.harbour?')

    def test_headless_without_endpoints(self, town):
        assert 'headless Service default/empty has no ready endpoint' in trace(town, 'client', 'empty:80').verdict

    def test_a_nameserver_that_does_not_exist(self, town):
        traced = trace(town, 'lonely', 'web:80')
        assert 'the Node has no route to 10.244.0.250:53' in traced.verdict
        assert len(traced.steps['name']['facts']['questions']) == 1


class TestServices:
    def test_a_port_that_it_does_not_have(self, town):
        traced = trace(town, 'client', 'web:81')
        assert 'Service default/web has no port 81/tcp, but 80/tcp' in traced.verdict
        assert traced.steps['kernel']['facts']['cut']['verdict'] == 'reject'

    def test_the_port_of_its_pods(self, town):
        assert '8080 is the port of its Pods, clients use 80' in trace(town, 'client', 'web:8080').verdict

    def test_tcp_where_it_has_udp(self, town):
        assert 'has no port 53/tcp, but 53/udp' in trace(town, 'client', 'echo:53').verdict

    def test_the_port_of_a_headless_service(self, town):
        traced = trace(town, 'client', 'peers:80')
        assert 'is headless, so its port is not translated; connect to port 8080' in traced.verdict

    def test_an_address_that_no_service_has(self, town):
        traced = trace(town, 'client', '10.96.200.200:80')
        assert 'no Service has the address 10.96.200.200' in traced.verdict
        assert traced.steps['answer']['facts']['outcome'] == 'dropped'

    def test_an_address_that_no_pod_has(self, town):
        assert 'no Pod has the address 10.244.9.9' in trace(town, 'client', '10.244.9.9:80').verdict


class TestEndpoints:
    def test_misspelt_selector(self, town):
        traced = trace(town, 'client', 'mistyped:80')
        assert 'the selector app=wep of Service default/mistyped matches no Pod' in traced.verdict
        assert 'Pod web has app=web, not app=wep' in traced.verdict
        assert traced.steps['answer']['text'].startswith('refused by the Node')

    def test_all_labels_but_one(self, town):
        assert 'Pod web lacks the label tier=front' in trace(town, 'client', 'strict:80').verdict

    def test_selected_in_another_namespace_only(self, town):
        assert 'the Pods that it matches are in harbour' in trace(town, 'client', 'gone:80').verdict

    async def test_not_ready_in_the_words_of_the_probe(self, town):
        def told() -> str:
            verdict = trace(town, 'client', 'sick:80').verdict
            assert 'Readiness probe failed: ' in verdict
            return verdict

        assert 'Pod default/sick is not ready' in await eventually(told)

    async def test_a_container_that_ends(self, town):
        def told() -> bool:
            verdict = trace(town, 'client', 'broken:80').verdict
            assert 'Pod default/broken is not ready: container main' in verdict
            return 'CrashLoopBackOff' in verdict or 'exit code 3' in verdict

        assert await eventually(told)

    def test_a_named_port_that_no_pod_declares(self, town):
        verdict = trace(town, 'client', 'named:80').verdict
        assert 'targetPort "http" of Service default/named is the name of no port of its Pods' in verdict


class TestProcesses:
    async def test_listening_on_127_0_0_1_only(self, town):
        def told() -> Traced:
            traced = trace(town, 'client', 'local:80')
            assert 'listens on 127.0.0.1:8080 only' in traced.verdict
            return traced

        traced = await eventually(told)
        assert 'let it listen on 0.0.0.0' in traced.verdict and 'python3 (pid ' in traced.verdict
        assert traced.steps['kernel']['facts']['answer'] == 'refused'

    async def test_wrong_target_port(self, town):
        await serving(town, 'client', 'web:80')
        verdict = trace(town, 'client', 'off-target:80').verdict
        assert 'no process in Pod default/web listens on port 9090/tcp, but on 8080 (python3)' in verdict
        assert 'set targetPort of Service default/off-target to 8080' in verdict

    async def test_another_endpoint_that_nobody_listens_on(self, town):
        """A Service of endpoints by hand: one listens, one does not, and the kernel chooses."""
        await serving(town, 'client', 'web:80')
        web, deaf = address_of(town, 'web'), address_of(town, 'silent')
        town.apply(
            {
                'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'mixed'},
                'spec': {'ports': [{'port': 80, 'targetPort': 8080}]},
            },
            {
                'apiVersion': 'discovery.k8s.io/v1', 'kind': 'EndpointSlice', 'addressType': 'IPv4',
                'metadata': {'name': 'mixed-1', 'labels': {'kubernetes.io/service-name': 'mixed'}},
                'ports': [{'port': 8080, 'protocol': 'TCP'}],
                'endpoints': [{'addresses': [web]}, {'addresses': [deaf]}],
            },
        )  # fmt: skip

        async def seen(chosen: str) -> Traced:
            def traced() -> Traced | None:
                one = trace(town, 'client', 'mixed:80')
                return one if one.steps['kernel']['facts'].get('chosen', {}).get('address') == chosen else None

            return await eventually(traced)

        lucky, unlucky = await seen(web), await seen(deaf)
        assert lucky.works and f'But other endpoints of the Service are not listened on: {deaf}:8080' in lucky.verdict
        assert 'no process in Pod default/silent listens on port 8080/tcp' in unlucky.verdict

    def test_nothing_listens_in_the_pod_itself(self, town):
        verdict = trace(town, 'client', 'localhost:80').verdict
        assert 'no process in Pod default/client listens on port 80/tcp' in verdict


class TestRules:
    """Of any table in the Node's namespace, which is where NetworkPolicy has its own."""

    @pytest.fixture
    def rule(self, town):
        """Put a rule in a table of a namespace (the Node's) at a hook; gone after the test."""
        made = []

        def add(table: str, text: str, netns: str = '', hook: str = 'forward') -> None:
            place = netns or node_netns(town)
            chain = f'add chain inet {table} web-ingress {{ type filter hook {hook} priority filter; }}'
            run_nft(place, f'add table inet {table}\n{chain}\nadd rule inet {table} web-ingress {text}')
            made.append((place, table))

        yield add
        for place, table in made:
            run_nft(place, f'delete table inet {table}')

    async def test_a_network_policy_that_drops(self, town, rule):
        await serving(town, 'client', 'web:80')
        web = address_of(town, 'web')
        rule('netkube-policy', f'ip daddr {web} drop comment "NetworkPolicy default/closed"')
        started = time.monotonic()
        traced = trace(town, 'client', '--timeout', '150', 'web:80')
        assert 'NetworkPolicy cuts the connection' in traced.verdict and 'default/closed' in traced.verdict
        assert traced.steps['kernel']['facts']['cut']['chain'] == 'web-ingress'
        assert f'ip daddr {web} drop' in traced.steps['kernel']['facts']['cut']['rule']
        assert traced.steps['answer']['facts']['outcome'] == 'dropped'
        assert time.monotonic() - started < 120  # what was dropped is not waited for

    def test_a_network_policy_that_cuts_dns(self, town, rule):
        resolver = cluster_dns(town)
        rule('netkube-policy', f'ip daddr {resolver} udp dport 53 drop comment "egress to cluster DNS"', hook='input')
        traced = trace(town, 'client', '--timeout', '1', 'web:80')
        assert 'no name can be resolved: NetworkPolicy cuts the connection (egress to cluster DNS)' in traced.verdict

    def test_a_resolver_that_is_silent(self, town, rule):
        rule('mine', f'ip daddr {cluster_dns(town)} udp dport 53 reject', hook='input')
        assert 'in the nftables table inet mine rejects the packet' in trace(town, 'client', 'web:80').verdict

    async def test_somebody_elses_rule_that_rejects(self, town, rule):
        await serving(town, 'client', 'web:80')
        rule('mine', f'ip daddr {address_of(town, "web")} tcp dport 8080 reject')
        traced = trace(town, 'client', 'web:80')
        assert 'of chain web-ingress in the nftables table inet mine rejects the packet' in traced.verdict

    async def test_nothing_of_it_is_left(self, town):
        await serving(town, 'client', 'web:80')
        assert 'trace' not in tables(town)

    async def test_a_pod_that_swallows_packets(self, town, rule):
        rule('swallow', 'tcp dport 8080 drop', pod_netns(town, 'silent'), 'input')
        traced = trace(town, 'client', '--timeout', '0.3', f'{address_of(town, "silent")}:8080')
        assert traced.steps['answer']['facts']['outcome'] == 'timed out' and traced.steps['kernel']['ok']

    async def test_nothing_is_left_when_it_is_killed(self, town, rule):
        rule('swallow', 'tcp dport 8080 drop', pod_netns(town, 'silent'), 'input')
        running = town.start('trace', 'client', '--timeout', '60', f'{address_of(town, "silent")}:8080')
        try:
            await eventually(lambda: 'netkube-trace' in tables(town))
        finally:
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
            running.stdout.close()
        await eventually(lambda: 'netkube-trace' not in tables(town))


def cluster_dns(cluster: Cluster) -> str:
    return json.loads(cluster('status', '-o', 'json'))['dnsAddress']


def node_netns(cluster: Cluster) -> str:
    return f'netkube-{cluster.name}--node-1'


def pod_netns(cluster: Cluster, name: str) -> str:
    return f'netkube-{cluster.name}--pod-{cluster.get("pod", name)["metadata"]["uid"]}'


def run_nft(netns: str, text: str) -> None:
    nft = Nft()
    with opened(netns) as namespace, inside(namespace):
        nft.run(text)


def tables(cluster: Cluster) -> str:
    command = ['ip', 'netns', 'exec', node_netns(cluster), 'nft', 'list', 'tables']
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout


class TestForPeople:
    async def test_plain_words_in_a_pipe(self, town):
        await serving(town, 'client', 'web:80')
        lines = town('trace', 'client', 'web:80').splitlines()
        assert [line.split()[0] for line in lines if line and line[0] != ' '][:6] == ['ok'] * 6
        assert '\x1b' not in ''.join(lines) and '✓' not in ''.join(lines)
        assert lines[-1] == 'Pod default/client reaches web:80.'


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (('nobody', 'web:80'), 'pods "nobody" not found'),
        (('client', 'web'), '"web" needs a port from 1 to 65535'),
        (('client', 'web:99999'), 'Port out of range'),
        (('client', 'ftp://web'), 'the scheme must be one of http, https, tcp, udp, sctp'),
        (('client', 'nosuch', 'web:80'), 'container nosuch is not valid for pod client; it has main'),
        (('client', '--udp', 'http://web'), '"http://web" is tcp, not udp'),
        (('client', 'web:80', '-o', 'wide'), 'unable to print a trace as "wide"'),
    ],
)  # fmt: skip
def test_bad_questions_are_refused_in_one_sentence(town, words, sentence):
    done = town.run('trace', *words)
    assert done.returncode == 1 and not done.stdout
    assert sentence.lower() in done.stderr.lower() and len(done.stderr.splitlines()) == 1
