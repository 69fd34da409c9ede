"""The recipes that people know, applied with the real kubectl to a real cluster.

After https://github.com/ahmetb/kubernetes-network-policy-recipes: the same cases, in words of our own.
"""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from netkube.testing import Cluster, eventually
from netkube.testing.objects import container, deployment, pod, server, service

SECONDS = '1'


@pytest.fixture(scope='module')
def policed(shop: Cluster) -> Cluster:
    for name in ('prod', 'dev'):
        shop.kubectl('create', 'namespace', name)
        shop.kubectl('label', 'namespace', name, f'purpose={name}')
    shop.apply(
        deployment('web', server(ports=[{'name': 'http', 'containerPort': 80}]), replicas=2), service('web', 80),
        pod('api', server()), service('api', 80), pod('client'), pod('stranger'),
        pod('client', namespace='prod'), pod('client', namespace='dev'),
    )  # fmt: skip
    return shop


def asks(cluster: Cluster, client: str, url: str, namespace: str = 'default') -> bool:
    """Whether anything comes back; resolving the name included."""
    words = 'exec', '-n', namespace, client, '--', 'curl', '-s', '-o', '/dev/null', '-m', SECONDS, url
    return cluster.run(*words).returncode == 0


@contextmanager
def applied(cluster: Cluster, text: str) -> Iterator[None]:
    manifest = textwrap.dedent(text)
    cluster.kubectl('apply', '-f', '-', stdin=manifest)
    try:
        yield
    finally:
        cluster.kubectl('delete', '-f', '-', stdin=manifest)


HEAD = """
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
"""
DENY_ALL_TO_WEB = (
    HEAD
    + """
    metadata: {name: web-deny-all}
    spec: {podSelector: {matchLabels: {app: web}}, ingress: []}
    """
)
DENY_EGRESS = (
    HEAD
    + """
    metadata: {name: client-deny-egress}
    spec: {podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: []}
    """
)


async def test_deny_all_traffic_to_an_application(policed: Cluster) -> None:
    assert asks(policed, 'client', 'http://web')
    with applied(policed, DENY_ALL_TO_WEB):
        await eventually(lambda: not asks(policed, 'client', 'http://web'))
        assert asks(policed, 'client', 'http://api')
        assert policed.get('deploy', 'web')['status']['readyReplicas'] == 2  # the probes are the Node's
    await eventually(lambda: asks(policed, 'client', 'http://web'))


async def test_limit_traffic_to_an_application(policed: Cluster) -> None:
    with applied(policed, HEAD + """
    metadata: {name: web-allow-client}
    spec:
      podSelector: {matchLabels: {app: web}}
      ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: http}]}]
    """):  # fmt: skip
        await eventually(lambda: not asks(policed, 'stranger', 'http://web'))
        assert asks(policed, 'client', 'http://web')
        assert not asks(policed, 'client', 'http://web.default', 'prod')


async def test_deny_traffic_from_other_namespaces(policed: Cluster) -> None:
    with applied(policed, HEAD + """
    metadata: {name: same-namespace}
    spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}
    """):  # fmt: skip
        await eventually(lambda: not asks(policed, 'client', 'http://web.default', 'prod'))
        assert asks(policed, 'stranger', 'http://web')


async def test_allow_traffic_from_a_namespace(policed: Cluster) -> None:
    with applied(policed, HEAD + """
    metadata: {name: web-allow-prod}
    spec:
      podSelector: {matchLabels: {app: web}}
      ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: prod}}}]}]
    """):  # fmt: skip
        await eventually(lambda: not asks(policed, 'client', 'http://web.default', 'dev'))
        assert asks(policed, 'client', 'http://web.default', 'prod')


async def test_deny_egress_denies_dns_too_until_it_is_allowed(policed: Cluster) -> None:
    address = policed.get('service', 'api')['spec']['clusterIP']
    with applied(policed, DENY_EGRESS):
        await eventually(lambda: not asks(policed, 'client', f'http://{address}'))
        with applied(policed, HEAD + """
    metadata: {name: client-allow-api}
    spec:
      podSelector: {matchLabels: {app: client}}
      policyTypes: [Egress]
      egress: [{to: [{podSelector: {matchLabels: {app: api}}}]}]
    """):  # fmt: skip
            await eventually(lambda: asks(policed, 'client', f'http://{address}'))
            assert not asks(policed, 'client', 'http://api')
            with applied(policed, HEAD + """
    metadata: {name: client-allow-dns}
    spec:
      podSelector: {matchLabels: {app: client}}
      policyTypes: [Egress]
      egress:
      - to:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
          podSelector: {matchLabels: {k8s-app: kube-dns}}
        ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
    """):  # fmt: skip
                await eventually(lambda: asks(policed, 'client', 'http://api'))
                assert not asks(policed, 'client', 'http://web')


async def test_a_pod_reaches_itself_through_its_own_service_whatever_isolates_it(policed: Cluster) -> None:
    with applied(policed, HEAD + """
    metadata: {name: api-deny-all}
    spec: {podSelector: {matchLabels: {app: api}}, policyTypes: [Ingress, Egress]}
    """):  # fmt: skip
        await eventually(lambda: not asks(policed, 'client', 'http://api'))
        address = policed.get('service', 'api')['spec']['clusterIP']
        assert asks(policed, 'api', f'http://{address}')


async def test_a_pod_that_starts_under_a_policy_is_never_open(policed: Cluster) -> None:
    """It asks from its first moment on, before its address is in its status, and would be answered."""
    address = policed.get('pod', 'api')['status']['podIP']
    script = f'(exec 3<>/dev/tcp/{address}/80 && echo answered) & sleep 0.3; echo done; sleep infinity'
    with applied(policed, DENY_EGRESS):
        for number in range(5):
            name = f'hasty-{number}'
            hasty = pod(name, container('bash', '-c', script))
            hasty['metadata']['labels'] = {'app': 'client'}
            policed.apply(hasty)
            output = await eventually(lambda name=name: 'done' in (text := policed('logs', name)) and text)
            assert 'answered' not in output
            policed('delete', 'pod', name)


async def test_kubectl_shows_policies(policed: Cluster) -> None:
    with applied(policed, DENY_ALL_TO_WEB):
        header, row = policed.kubectl('get', 'netpol').splitlines()
        assert header.split() == ['NAME', 'POD-SELECTOR', 'AGE']
        assert row.split()[:2] == ['web-deny-all', 'app=web']
        described = policed.kubectl('describe', 'networkpolicy', 'web-deny-all')
        assert '<none> (Selected pods are isolated for ingress connectivity)' in described
        assert 'policyTypes' in policed.kubectl('explain', 'networkpolicy.spec')


async def test_policies_hold_while_the_daemon_is_away_and_after_it_is_back(policed: Cluster) -> None:
    with applied(policed, DENY_ALL_TO_WEB):
        pods = [one['status']['podIP'] for one in policed.get('pods', '-l', 'app=web')]
        await eventually(lambda: not machine_asks(pods[0]))
        policed.kill('daemon')
        assert not machine_asks(pods[0])
        policed.up()
        assert not machine_asks(pods[0])
    await eventually(lambda: machine_asks(pods[0]))


def machine_asks(address: str) -> bool:
    """The machine is outside of the cluster."""
    return not subprocess.run(['curl', '-s', '-o', '/dev/null', '-m', SECONDS, f'http://{address}']).returncode
