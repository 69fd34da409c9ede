"""A program in a Pod that uses the API, as client libraries do it."""

from __future__ import annotations

import json
import os
import sys

import pytest

from netkube.testing import Cluster, eventually
from netkube.testing.objects import container, pod

OPTIONS = ('--cluster-domain', 'mycompany.com')
ROLE = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: lister, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: lister, namespace: default}
rules: [{apiGroups: [''], resources: [pods], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: lister, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: lister}
subjects: [{kind: ServiceAccount, name: lister}]
"""
# Nothing but what the official client finds by itself: variables, token and CA.
CLIENT = """
import json
from kubernetes import client, config
config.load_incluster_config()
core = client.CoreV1Api()
names = [pod.metadata.name for pod in core.list_namespaced_pod('default').items]
try:
    core.list_node()
except client.ApiException as error:
    refused = json.loads(error.body)['message']
print(json.dumps({'pods': names, 'refused': refused}))
"""
API = 'https://kubernetes.default.svc/api/v1/namespaces/default/pods'
DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount'


@pytest.fixture(scope='module')
def lister(shop: Cluster) -> Cluster:
    shop('apply', '-f', '-', stdin=ROLE)
    # The interpreter of the tests may be in a folder that Pods do not see, such as /tmp.
    python = {'name': 'python', 'hostPath': {'path': sys.prefix}}
    mount = {'name': 'python', 'mountPath': sys.prefix, 'readOnly': True}
    lister = container('sleep', 'inf', volumeMounts=[mount])
    shop.apply(pod('lister', lister, serviceAccountName='lister', volumes=[python]), pod('nobody'))
    return shop


def test_the_official_python_client(lister: Cluster) -> None:
    said = json.loads(lister('exec', 'lister', '--', sys.executable, '-c', CLIENT))
    assert sorted(said['pods']) == ['lister', 'nobody']
    assert said['refused'] == ('nodes is forbidden: User "system:serviceaccount:default:lister" cannot list resource '
                               '"nodes" in API group "" at the cluster scope')  # fmt: skip


def fetch(cluster: Cluster, name: str, *headers: str, url: str = API) -> int:
    script = f'curl -s -o /dev/null -w "%{{http_code}}" --cacert {DIRECTORY}/ca.crt {" ".join(headers)} {url}'
    return int(cluster('exec', name, '--', 'sh', '-c', script))


BEARER = f'-H "Authorization: Bearer $(cat {DIRECTORY}/token)"'


def test_by_the_name_of_the_service(lister: Cluster) -> None:
    assert fetch(lister, 'lister', BEARER) == 200
    assert fetch(lister, 'lister', BEARER, url=API.replace('.svc', '.svc.mycompany.com')) == 200
    assert fetch(lister, 'nobody', BEARER) == 403
    assert fetch(lister, 'nobody') == 401
    assert fetch(lister, 'nobody', '-H "Authorization: Bearer x"') == 401


def test_the_issuer_is_the_cluster_s(lister: Cluster) -> None:
    found = lister('exec', 'lister', '--', 'sh', '-c',
                   f'curl -s --cacert {DIRECTORY}/ca.crt {BEARER} '
                   'https://kubernetes.default.svc/.well-known/openid-configuration')  # fmt: skip
    assert json.loads(found)['issuer'] == 'https://kubernetes.default.svc.mycompany.com'


def test_no_pod_reads_the_cluster_s_keys(lister: Cluster) -> None:
    for folder in (lister.state_dir, '/run/netkube', '/var/lib/netkube'):
        listed = lister.run('exec', 'lister', '--', 'sh', '-c', f'find {folder} -type f 2>/dev/null')
        assert listed.stdout == ''
    assert os.path.exists(f'{lister.state_dir}/pki/sa.key')


async def test_the_token_ends_with_its_pod(lister: Cluster) -> None:
    lister.apply(pod('short', container('sleep', 'inf'), serviceAccountName='lister'))
    token = lister('exec', 'short', '--', 'cat', f'{DIRECTORY}/token')
    bearer = f'-H "Authorization: Bearer {token}"'
    assert fetch(lister, 'nobody', bearer) == 200
    lister('delete', 'pod', 'short')
    await eventually(lambda: fetch(lister, 'nobody', bearer) == 401)


async def test_the_default_sums_are_filled_in(lister: Cluster) -> None:
    await eventually(lambda: lister.get('clusterrole', 'view')['rules'])
    lister.kubectl('create', 'rolebinding', 'viewer', '--clusterrole=view', '--user=jane')
    assert lister.kubectl('--as=jane', 'get', 'pods', '-o', 'name').count('pod/') >= 2
    assert lister.kubectl('--as=jane', 'auth', 'can-i', 'list', 'services') == 'yes\n'


def test_tokens_outlive_the_daemon(lister: Cluster) -> None:
    lister.kill('daemon')
    lister.up()
    assert fetch(lister, 'lister', BEARER) == 200
