"""An operator of one's own: kopf in a Pod, with nothing but its ServiceAccount."""

from __future__ import annotations

import sys
import textwrap
from typing import Any

import pytest

from netkube.api.meta import Object
from netkube.testing import Cluster, eventually
from netkube.testing.objects import config_map, container, deployment

PATIENCE = 60.0  # seconds: kopf backs off after a refusal
# As in kopf's documentation, "Deployment": its own needs, and those of the handlers.
ACCESS = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: greeter, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: greeter-cluster}
rules:
- {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [list, watch]}
- {apiGroups: [''], resources: [namespaces], verbs: [list, watch]}
- {apiGroups: [example.com], resources: [greetings], verbs: [list, watch, patch]}
- {apiGroups: [example.com], resources: [greetings/status], verbs: [patch]}
- {apiGroups: [''], resources: [events], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: greeter-children, namespace: default}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [create, get, patch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: greeter-cluster}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: greeter-cluster}
subjects: [{kind: ServiceAccount, name: greeter, namespace: default}]
"""
BINDING = """
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: greeter-children, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: greeter-children}
subjects: [{kind: ServiceAccount, name: greeter}]
"""
CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: greetings.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: greetings, singular: greeting, kind: Greeting, shortNames: [gr], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Text, type: string, jsonPath: .spec.text}
    - {name: Said, type: string, jsonPath: .status.said}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [text]
            properties: {text: {type: string, maxLength: 20}, times: {type: integer, default: 1}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
GREETING = """
apiVersion: example.com/v1
kind: Greeting
metadata: {name: hello, namespace: default}
spec: {text: hello}
"""
OPERATOR = textwrap.dedent("""
    import kopf
    from kubernetes import client, config

    @kopf.on.startup()
    def configure(settings, **_):
        config.load_incluster_config()
        settings.batching.error_delays = settings.networking.error_backoffs = [0.2] * 100

    @kopf.on.create('greetings', backoff=0.5)
    @kopf.on.update('greetings', backoff=0.5)
    def reconcile(body, spec, name, namespace, patch, **_):
        core = client.CoreV1Api()
        child = {'metadata': {'name': name}, 'data': {'text': spec['text'] * spec['times']}}
        kopf.adopt(child)
        try:
            core.create_namespaced_config_map(namespace, child)
        except client.ApiException as error:
            if error.status != 409:
                raise
            core.patch_namespaced_config_map(name, namespace, child)
        patch.status['said'] = spec['text']
        kopf.info(body, reason='Greeted', message=f"said {spec['text']}")

    @kopf.on.delete('greetings')
    def forget(name, namespace, **_):
        core = client.CoreV1Api()
        core.patch_namespaced_config_map('farewell', namespace, {'data': {name: 'forgotten'}})
""")


def operator() -> Object:
    """The Deployment: the interpreter of the tests, which may be in a folder that Pods do not see, and the program."""
    python = {'name': 'python', 'hostPath': {'path': sys.prefix}}
    program = {'name': 'program', 'configMap': {'name': 'operator'}}
    mounts = [
        {'name': 'python', 'mountPath': sys.prefix, 'readOnly': True}, {'name': 'program', 'mountPath': '/srv/operator'}
    ]  # fmt: skip
    run = (sys.executable, '-m', 'kopf', 'run', '--all-namespaces', '--standalone', '--liveness=http://0.0.0.0:8080/',
           '/srv/operator/operator.py')  # fmt: skip
    probe = {'httpGet': {'path': '/', 'port': 8080}}
    made = deployment('greeter', container(*run, volumeMounts=mounts, readinessProbe={**probe, 'periodSeconds': 1}))
    made['spec']['template']['spec'] |= {'serviceAccountName': 'greeter', 'volumes': [python, program]}
    return made


@pytest.fixture(scope='module')
def greeter(shop: Cluster) -> Cluster:
    shop.kubectl('apply', '-f', '-', stdin='---'.join((ACCESS, CRD)))
    shop.kubectl('wait', '--for=condition=Established', 'crd/greetings.example.com', '--timeout=60s')
    shop.apply(config_map('operator', **{'operator.py': OPERATOR}), config_map('farewell'), operator())
    return shop


def status(cluster: Cluster) -> Any:
    return cluster.get('greetings', 'hello').get('status', {})


async def test_it_reconciles_in_a_pod_of_the_cluster(greeter: Cluster) -> None:
    greeter.kubectl('apply', '-f', '-', stdin=GREETING)
    refused = ('configmaps is forbidden: User \\"system:serviceaccount:default:greeter\\" cannot create resource '
               '\\"configmaps\\" in API group \\"\\" in the namespace \\"default\\"')  # fmt: skip
    await eventually(lambda: refused in logs(greeter), PATIENCE, 'the operator may not yet make ConfigMaps')
    assert 'said' not in status(greeter)
    greeter.kubectl('apply', '-f', '-', stdin=BINDING)
    await eventually(lambda: status(greeter).get('said') == 'hello', PATIENCE, 'allowed to, it goes on')
    child = greeter.get('configmap', 'hello')
    assert (child['data'], child['metadata']['ownerReferences'][0]['kind']) == ({'text': 'hello'}, 'Greeting')
    assert greeter.kubectl('get', 'gr').split()[-3:] == ['hello', 'hello', 'hello']

    greeter.kubectl('patch', 'gr', 'hello', '--type=merge', '-p', '{"spec": {"text": "ho", "times": 3}}')
    await eventually(lambda: status(greeter).get('said') == 'ho', PATIENCE, 'it sees the change')
    assert greeter.get('configmap', 'hello')['data'] == {'text': 'hohoho'}

    await eventually(lambda: 'said ho\n' in greeter.kubectl('events', '--for', 'greeting/hello'), PATIENCE)
    greeter.kubectl('delete', 'greeting', 'hello', f'--timeout={PATIENCE:.0f}s')
    assert greeter.get('configmap', 'farewell')['data'] == {'hello': 'forgotten'}
    await eventually(lambda: not greeter.get('configmap', '--field-selector', 'metadata.name=hello'), PATIENCE,
                     'what it owned goes with it')  # fmt: skip


def logs(cluster: Cluster) -> str:
    return cluster.kubectl('logs', 'deployment/greeter')
