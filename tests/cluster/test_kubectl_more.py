"""The real kubectl: who may do what, the kinds that are only stored, server-side apply."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from netkube.testing import Cluster
from netkube.testing.objects import config_map, container, deployment, pod, server, service
from netkube.testing.tools import tool


def kubectl(shop: Cluster, *words: str, stdin: str = '') -> subprocess.CompletedProcess[str]:
    command = [str(tool('kubectl')), *words]
    return subprocess.run(command, env=shop.clients, input=stdin, text=True, capture_output=True, timeout=180)


def found(shop: Cluster, *words: str) -> Any:
    return json.loads(shop.kubectl('get', *words, '-o', 'json'))


def manifest(*objects: Any) -> str:
    return yaml.safe_dump_all(objects)


class TestServerSideApply:
    def test_a_conflict_is_told_and_may_be_forced(self, shop: Cluster) -> None:
        apply = ('apply', '--server-side', '-f', '-')
        one, two = config_map('shared', a='1'), config_map('shared', a='2')
        assert shop.kubectl(*apply, '--field-manager=first', stdin=manifest(one)) == (
            'configmap/shared serverside-applied\n'
        )
        refused = kubectl(shop, *apply, '--field-manager=second', stdin=manifest(two))
        assert 'Apply failed with 1 conflict: conflict with "first": .data.a' in refused.stderr
        shop.kubectl(*apply, '--field-manager=second', '--force-conflicts', stdin=manifest(two))
        assert found(shop, 'configmap', 'shared')['data'] == {'a': '2'}
        assert kubectl(shop, 'diff', '--server-side', '-f', '-', stdin=manifest(two)).returncode == 0


class TestAccess:
    def test_auth_can_i_and_whoami(self, shop: Cluster) -> None:
        assert shop.kubectl('auth', 'can-i', '*', '*') == 'yes\n'
        no = kubectl(shop, 'auth', 'can-i', 'list', 'pods', '--as=system:serviceaccount:default:default')
        assert (no.stdout, no.returncode) == ('no\n', 1)
        rules = shop.kubectl('auth', 'can-i', '--list', '--as=jane')
        assert 'selfsubjectaccessreviews.authorization.k8s.io' in rules
        who = json.loads(shop.kubectl('auth', 'whoami', '-o', 'json', '--as=jane', '--as-group=red'))
        assert (who['status']['userInfo']['username'], who['status']['userInfo']['groups']) == (
            'jane', ['red', 'system:authenticated']
        )  # fmt: skip

    def test_create_role_and_its_binding_for_a_token(self, shop: Cluster) -> None:
        made = {
            'create role reader --verb=get,list --resource=pods': 'role.rbac.authorization.k8s.io/reader created\n',
            'create rolebinding reader --role=reader --serviceaccount=default:robot':
                'rolebinding.rbac.authorization.k8s.io/reader created\n',
            'create clusterrole watcher --verb=get,list,watch --resource=nodes':
                'clusterrole.rbac.authorization.k8s.io/watcher created\n',
            'create clusterrolebinding watcher --clusterrole=watcher --user=jane':
                'clusterrolebinding.rbac.authorization.k8s.io/watcher created\n',
            'create serviceaccount robot': 'serviceaccount/robot created\n',
        }  # fmt: skip
        for words, said in made.items():
            assert shop.kubectl(*words.split()) == said
        token = shop.kubectl('create', 'token', 'robot', '--duration=10m').strip()
        config = yaml.safe_load(Path(shop('kubeconfig').strip()).read_text())
        config['users'][0]['user'] = {'token': token}
        robot = Path(shop.state_dir).with_name('robot.yaml')
        robot.write_text(yaml.safe_dump(config))
        assert kubectl(shop, '--kubeconfig', str(robot), 'get', 'pods').returncode == 0
        assert 'cannot list resource "nodes"' in kubectl(shop, '--kubeconfig', str(robot), 'get', 'nodes').stderr
        assert shop.kubectl('auth', 'can-i', 'watch', 'nodes', '--as=jane') == 'yes\n'

    def test_auth_reconcile_adds_rules_and_keeps_the_others(self, shop: Cluster) -> None:
        shop.kubectl('create', 'role', 'grown', '--verb=get', '--resource=pods')
        rule = {'apiGroups': [''], 'resources': ['secrets'], 'verbs': ['list']}
        role = {'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'Role',
                'metadata': {'name': 'grown', 'namespace': 'default'}, 'rules': [rule]}  # fmt: skip
        said = shop.kubectl('auth', 'reconcile', '-f', '-', stdin=manifest(role))
        assert said.startswith('role.rbac.authorization.k8s.io/grown reconciled')
        assert len(found(shop, 'role', 'grown')['rules']) == 2


class TestStoredOnly:
    """The object is there, and kubectl shows who does nothing about it."""

    @pytest.mark.parametrize(
        'words, made, kinds',
        [
            ('create job made --image=none -- true', 'job.batch/made', 'Jobs'),
            ('create cronjob made --image=none --schedule=@daily -- true', 'cronjob.batch/made', 'CronJobs'),
            ('create ingress made --rule=a.com/=web:80', 'ingress.networking.k8s.io/made', 'Ingresses'),
            ('create quota made --hard=pods=1', 'resourcequota/made', 'ResourceQuotas'),
        ],
    )  # fmt: skip
    def test_create(self, shop: Cluster, words: str, made: str, kinds: str) -> None:
        done = kubectl(shop, *words.split())
        assert done.stdout == f'{made} created\n'
        assert f'Warning: netkube stores {kinds} but does not' in done.stderr
        assert shop.kubectl('get', *made.split('/'), '-o', 'name') == f'{made}\n'

    def test_autoscale(self, shop: Cluster) -> None:
        shop.apply(deployment('scaled', container('sleep', 'inf'), replicas=0), wait=False)
        done = kubectl(shop, 'autoscale', 'deployment', 'scaled', '--max=3', '--cpu=50%')
        assert done.stdout == 'horizontalpodautoscaler.autoscaling/scaled autoscaled\n'
        assert 'stores HorizontalPodAutoscalers but does not scale by them' in done.stderr

    def test_priorityclass_is_behaviour(self, shop: Cluster) -> None:
        done = kubectl(shop, 'create', 'priorityclass', 'urgent', '--value=1000')
        assert (done.stdout, done.stderr) == ('priorityclass.scheduling.k8s.io/urgent created\n', '')
        shop.apply(pod('hurried', priorityClassName='urgent'))
        assert found(shop, 'pod', 'hurried')['spec']['priority'] == 1000

    def test_a_disruption_budget_holds_an_eviction_back(self, shop: Cluster) -> None:
        shop.apply(pod('held'))
        made = kubectl(shop, 'create', 'pdb', 'held', '--selector=app=held', '--min-available=1')
        assert (made.stdout, made.stderr) == ('poddisruptionbudget.policy/held created\n', '')
        counted = ('wait', 'pdb/held', '--for=jsonpath={.status.currentHealthy}=1', '--timeout=60s')
        shop.kubectl(*counted)
        eviction = json.dumps({'apiVersion': 'policy/v1', 'kind': 'Eviction', 'metadata': {'name': 'held'}})
        evict = ('create', '--raw', '/api/v1/namespaces/default/pods/held/eviction', '-f', '-')
        refused = kubectl(shop, *evict, stdin=eviction)
        assert "Cannot evict pod as it would violate the pod's disruption budget." in refused.stderr
        shop.kubectl('patch', 'pdb', 'held', '-p', '{"spec": {"minAvailable": 0}}')
        shop.kubectl('wait', 'pdb/held', '--for=jsonpath={.status.disruptionsAllowed}=1', '--timeout=60s')
        assert kubectl(shop, *evict, stdin=eviction).returncode == 0

    def test_a_chart_s_whole_set(self, shop: Cluster) -> None:
        """CRD, its object, RBAC, Service, NetworkPolicy, PodDisruptionBudget and autoscaler in one go."""
        crd = {
            'apiVersion': 'apiextensions.k8s.io/v1', 'kind': 'CustomResourceDefinition',
            'metadata': {'name': 'sets.example.com'},
            'spec': {'group': 'example.com', 'scope': 'Namespaced', 'names': {'plural': 'sets', 'kind': 'Set'},
                     'versions': [{'name': 'v1', 'served': True, 'storage': True, 'schema': {'openAPIV3Schema': {
                         'type': 'object', 'x-kubernetes-preserve-unknown-fields': True}}}]},
        }  # fmt: skip
        named = {'metadata': {'name': 'whole', 'namespace': 'default'}}
        policy = {'podSelector': {'matchLabels': {'app': 'whole'}}, 'policyTypes': ['Ingress'], 'ingress': [{}]}
        target = {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'name': 'whole'}
        kinds = [
            {'apiVersion': 'v1', 'kind': 'ServiceAccount', **named},
            {'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'Role', **named, 'rules': []},
            {'apiVersion': 'networking.k8s.io/v1', 'kind': 'NetworkPolicy', **named, 'spec': policy},
            {'apiVersion': 'policy/v1', 'kind': 'PodDisruptionBudget', **named, 'spec': {'maxUnavailable': 1}},
            {'apiVersion': 'autoscaling/v2', 'kind': 'HorizontalPodAutoscaler', **named,
             'spec': {'scaleTargetRef': target, 'maxReplicas': 2}},
            service('whole', 80), deployment('whole', server(), serviceAccountName='whole'),
        ]  # fmt: skip
        shop.kubectl('apply', '-f', '-', stdin=manifest(crd))
        own = {'apiVersion': 'example.com/v1', 'kind': 'Set', **named}
        for _ in ('created', 'unchanged'):
            done = kubectl(shop, 'apply', '-f', '-', stdin=manifest(*kinds, own))
            assert done.returncode == 0, done.stderr
        assert 'Warning' not in kubectl(shop, 'apply', '-f', '-', stdin=manifest(kinds[2])).stderr
        shop.kubectl('rollout', 'status', 'deployment/whole', '--timeout=60s')
        said = kubectl(shop, 'delete', '-f', '-', stdin=manifest(*kinds, own, crd))
        assert (said.returncode, len(said.stdout.splitlines())) == (0, 9)


class TestWhatIsNotThere:
    def test_debug_is_refused_in_words(self, shop: Cluster) -> None:
        shop.apply(pod('patient'))
        refused = kubectl(shop, 'debug', 'patient', '--image=none', '--', 'true')
        assert refused.returncode == 1, refused.stderr
        assert 'ephemeral containers are disabled for this cluster' in refused.stderr

    def test_top(self, shop: Cluster) -> None:
        refused = kubectl(shop, 'top', 'pods')
        assert (refused.returncode, refused.stderr) == (1, 'error: Metrics API not available\n')

    def test_certificate_approve_and_deny_are_kept(self, shop: Cluster) -> None:
        key = ('openssl', 'req', '-new', '-newkey', 'ed25519', '-nodes', '-keyout', '/dev/null', '-subj', '/CN=jane')
        request = subprocess.run(key, check=True, capture_output=True).stdout
        spec = {'request': base64.b64encode(request).decode(), 'signerName': 'example.com/own',
                'usages': ['client auth']}  # fmt: skip
        csr = {'apiVersion': 'certificates.k8s.io/v1', 'kind': 'CertificateSigningRequest',
               'metadata': {'name': 'jane'}, 'spec': spec}  # fmt: skip
        done = kubectl(shop, 'create', '-f', '-', stdin=manifest(csr))
        assert 'stores CertificateSigningRequests but does not sign them' in done.stderr, done.stderr
        assert shop.kubectl('certificate', 'approve', 'jane').endswith('jane approved\n')
        assert 'Approved' in shop.kubectl('get', 'csr', 'jane')


def test_proxy(shop: Cluster) -> None:
    command = [str(tool('kubectl')), 'proxy', '--port=0']
    proxy = subprocess.Popen(command, env=shop.clients, stdout=subprocess.PIPE, text=True)
    try:
        assert proxy.stdout
        address = proxy.stdout.readline().rsplit(' ', 1)[1].strip()
        with urllib.request.urlopen(f'http://{address}/api/v1/namespaces/default', timeout=60) as answer:
            assert json.load(answer)['metadata']['name'] == 'default'
    finally:
        proxy.terminate()
        proxy.communicate()
