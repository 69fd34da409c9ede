"""The real kubectl and the official Python client against a served API."""

from __future__ import annotations

import asyncio
import textwrap
from typing import Any

from served import POD, ServedApi

MANIFEST = textwrap.dedent("""
    apiVersion: v1
    kind: Namespace
    metadata: {name: team}
    ---
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web, namespace: team}
    spec:
      replicas: 3
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec:
          containers: [{name: c, image: none, command: [sleep, "1"]}]
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: team}
    spec: {selector: {app: web}, ports: [{port: 80}], clusterIP: 10.96.0.80}
    """)


async def test_apply_get_change_delete(api: ServedApi) -> None:
    applied = await api.kubectl('apply', '-f', '-', stdin=MANIFEST)
    assert applied.splitlines() == ['namespace/team created', 'deployment.apps/web created', 'service/web created']
    again = await api.kubectl('apply', '-f', '-', stdin=MANIFEST)
    assert again.splitlines() == ['namespace/team unchanged', 'deployment.apps/web unchanged', 'service/web unchanged']
    wide = (await api.kubectl('get', 'deploy,svc', '-n', 'team', '-o', 'wide')).splitlines()
    assert wide[0].split() == ['NAME', 'READY', 'UP-TO-DATE', 'AVAILABLE', 'AGE', 'CONTAINERS', 'IMAGES', 'SELECTOR']
    assert wide[1].split()[:2] == ['deployment.apps/web', '0/3'] and wide[4].split()[2] == '10.96.0.80'
    changed = await api.kubectl('apply', '-f', '-', stdin=MANIFEST.replace('replicas: 3', 'replicas: 4'))
    assert 'deployment.apps/web configured' in changed
    await api.kubectl('scale', 'deploy/web', '-n', 'team', '--replicas=2')
    replicas = await api.kubectl('get', 'deploy/web', '-n', 'team', '-o', 'jsonpath={.spec.replicas}')
    assert replicas == '2'
    deleted = await api.kubectl('delete', '-f', '-', '--wait=false', stdin=MANIFEST)
    assert 'deployment.apps "web" deleted' in deleted
    assert 'Terminating' in await api.kubectl('get', 'ns', 'team')


async def test_create_sends_protobuf(api: ServedApi) -> None:
    for words in (
        'namespace team', 'configmap c --from-literal=a=b', 'secret generic s --from-literal=a=b', 'serviceaccount sa',
        'service clusterip one --tcp=80:http', 'service nodeport two --tcp=81:8081 --node-port=30080',
        'service externalname three --external-name=example.com',
        'deployment web --image=none --replicas=2 --port=80 -- sleep 1',
    ):  # fmt: skip
        assert (await api.kubectl('create', *words.split())).endswith(' created\n')
    assert await api.kubectl('get', 'secret/s', '-o', 'jsonpath={.data} {.type}') == '{"a":"Yg=="} Opaque'
    ports = await api.kubectl('get', 'services', '-o', 'jsonpath={.items[*].spec.ports[*].targetPort}')
    assert ports == 'http 8081'
    path = '{.spec.replicas} {.spec.strategy.rollingUpdate.maxSurge} {.spec.template.spec.containers[0].ports[0]}'
    web = await api.kubectl('get', 'deployment/web', '-o', f'jsonpath={path}')
    assert web == '2 25% {"containerPort":80,"protocol":"TCP"}'
    assert 'configmaps "c" already exists' in await api.kubectl('create', 'configmap', 'c', code=1)


async def test_errors_are_kubernetes_own(api: ServedApi) -> None:
    bad = MANIFEST.replace('replicas: 3', 'replicas: three')
    assert 'json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32' in (
        await api.kubectl('apply', '-f', '-', stdin=bad, code=1)
    )
    unknown = MANIFEST.replace('replicas: 3', 'replica: 3')
    assert 'strict decoding error: unknown field "spec.replica"' in (
        await api.kubectl('apply', '-f', '-', stdin=unknown, code=1)
    )
    await api.kubectl('apply', '-f', '-', stdin=MANIFEST)
    second = 'apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {clusterIP: 10.96.0.80, ports: [{port: 1}]}\n'
    assert 'failed to allocate IP 10.96.0.80: provided IP is already allocated' in (
        await api.kubectl('create', '-f', '-', stdin=second, code=1)
    )
    assert await api.kubectl('get', 'pod', 'x', code=1) == 'Error from server (NotFound): pods "x" not found\n'


async def test_explain_and_api_resources(api: ServedApi) -> None:
    explained = await api.kubectl('explain', 'pod.spec.containers.livenessProbe')
    assert 'FIELD: livenessProbe <Probe>' in explained
    listed = await api.kubectl('api-resources', '--no-headers')
    assert len(listed.splitlines()) == 25
    assert 'Server Version: v1.37.0+netkube' in await api.kubectl('version')


async def test_logs_and_exec_of_a_pod_without_a_node(api: ServedApi) -> None:
    await api.request('POST', '/api/v1/namespaces/default/pods', POD)
    assert 'pod a does not have a host assigned' in await api.kubectl('logs', 'a', code=1)
    assert 'pod a does not have a host assigned' in await api.kubectl('exec', 'a', '--', 'ls', code=1)


async def test_the_official_python_client_watches(api: ServedApi) -> None:
    events = await asyncio.to_thread(watch_with_the_official_client, api)
    assert events == [('ADDED', 'a'), ('MODIFIED', 'a'), ('DELETED', 'a')]


def watch_with_the_official_client(api: ServedApi) -> list[Any]:
    from kubernetes import client, config, watch

    core = client.CoreV1Api(config.new_client_from_config(api.environment['KUBECONFIG']))
    version = core.list_namespaced_pod('default').metadata.resource_version
    core.create_namespaced_pod('default', POD)
    core.patch_namespaced_pod('a', 'default', {'metadata': {'labels': {'x': 'y'}}})
    core.delete_namespaced_pod('a', 'default')
    stream = watch.Watch().stream(core.list_namespaced_pod, 'default', resource_version=version, timeout_seconds=1)
    return [(event['type'], event['object'].metadata.name) for event in stream]
