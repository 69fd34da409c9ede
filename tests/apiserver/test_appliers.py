"""Server-side apply by those who use it: kubectl, helm, the official Python client."""

from __future__ import annotations

import asyncio
import os
import textwrap
from pathlib import Path
from typing import Any

import yaml
from applying import DEPLOYMENT, deployment, managers
from served import ServedApi

from netkube.testing.tools import tool

CHART = Path(__file__).parents[1] / 'data' / 'shop'
WEB = textwrap.dedent("""
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web, labels: {tier: front}}
    spec:
      replicas: 2
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec:
          containers:
          - {name: web, image: one, ports: [{containerPort: 80}], env: [{name: A, value: b}]}
    """)


async def test_kubectl_applies(api: ServedApi) -> None:
    applied = 'deployment.apps/web serverside-applied\n'
    assert await api.kubectl('apply', '--server-side', '-f', '-', stdin=WEB) == applied
    version = await api.kubectl('get', 'deploy/web', '-o', 'jsonpath={.metadata.resourceVersion}')
    assert await api.kubectl('apply', '--server-side', '-f', '-', stdin=WEB) == applied
    assert await api.kubectl('get', 'deploy/web', '-o', 'jsonpath={.metadata.resourceVersion}') == version
    without = WEB.replace(', env: [{name: A, value: b}]', '').replace('tier: front', '')
    await api.kubectl('apply', '--server-side', '-f', '-', stdin=without)
    left = '{.spec.template.spec.containers[0].env}{.metadata.labels}'
    assert await api.kubectl('get', 'deploy/web', '-o', f'jsonpath={left}') == ''
    unknown = await api.kubectl('apply', '--server-side', '-f', '-', stdin=WEB.replace('replicas', 'replcas'), code=1)
    assert '.spec.replcas: field not declared in schema' in unknown


async def test_kubectl_meets_a_conflict_and_forces_it(api: ServedApi) -> None:
    await api.kubectl('apply', '--server-side', '-f', '-', stdin=WEB)
    await api.kubectl('scale', 'deploy/web', '--replicas=5')
    refused = await api.kubectl('apply', '--server-side', '-f', '-', stdin=WEB, code=1)
    assert refused.startswith(
        'error: Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using apps/v1: '
        '.spec.replicas\nPlease review the fields above'
    )
    await api.kubectl('apply', '--server-side', '--force-conflicts', '-f', '-', stdin=WEB)
    assert await api.kubectl('get', 'deploy/web', '-o', 'jsonpath={.spec.replicas}') == '2'


async def test_kubectl_goes_from_client_side_to_server_side_and_back(api: ServedApi) -> None:
    await api.kubectl('apply', '-f', '-', stdin=WEB)
    assert ('kubectl-client-side-apply', 'Update', '') in await managers(api, DEPLOYMENT)
    await api.kubectl('apply', '--server-side', '-f', '-', stdin=WEB.replace('image: one', 'image: two'))
    found = await managers(api, DEPLOYMENT)
    assert {key[:2] for key in found} == {('kubectl', 'Apply'), ('kubectl-last-applied', 'Apply')}
    record = (await api.request('GET', DEPLOYMENT)).json['metadata']['annotations']
    assert '"image":"two"' in record['kubectl.kubernetes.io/last-applied-configuration']
    await api.kubectl('apply', '--server-side', '-f', '-', stdin=WEB.replace(', env: [{name: A, value: b}]', ''))
    assert await api.kubectl('get', 'deploy/web', '-o', 'jsonpath={.spec.template.spec.containers[0].env}') == ''
    back = await api.kubectl('apply', '-f', '-', stdin=WEB)
    assert 'deployment.apps/web configured' in back


async def test_another_client_sides_fields_conflict_when_they_changed(api: ServedApi) -> None:
    """What kubectl applied from the client is its own to take, as long as nobody changed it."""
    await api.kubectl('create', '-f', '-', stdin=WEB)
    changed = WEB.replace('image: one', 'image: two')
    refused = await api.kubectl('apply', '--server-side', '-f', '-', stdin=changed, code=1)
    assert 'conflict with "kubectl-create" using apps/v1: .spec.template.spec.containers[name="web"].image' in refused


async def test_kubectl_shows_the_difference(api: ServedApi) -> None:
    await api.kubectl('apply', '--server-side', '-f', '-', stdin=WEB)
    assert await api.kubectl('diff', '--server-side', '-f', '-', stdin=WEB) == ''
    shown = await api.kubectl(
        'diff', '--server-side', '-f', '-', stdin=WEB.replace('image: one', 'image: two'), code=1
    )
    assert '-      - env:' not in shown and '+        image: two' in shown
    assert (await api.request('GET', DEPLOYMENT)).json['spec']['template']['spec']['containers'][0]['image'] == 'one'


async def test_kubectls_other_writers_have_names(api: ServedApi) -> None:
    await api.kubectl('apply', '--server-side', '-f', '-', stdin=WEB)
    await api.kubectl('label', 'deploy/web', 'a=b', '--field-manager=labeller')
    await api.kubectl('annotate', 'deploy/web', 'a=b')
    await api.kubectl('patch', 'deploy/web', '-p', '{"spec":{"paused":true}}', '--field-manager=patcher')
    await api.kubectl('set', 'image', 'deploy/web', 'web=two')
    api.environment['EDITOR'] = "sed -i 's/revisionHistoryLimit: 10/revisionHistoryLimit: 3/'"
    await api.kubectl('edit', 'deploy/web', '--field-manager=editor')
    found = {key[0]: fields for key, fields in (await managers(api, DEPLOYMENT)).items() if key[1] == 'Update'}
    assert found['labeller'] == {'f:metadata': {'f:labels': {'f:a': {}}}}
    assert found['kubectl-annotate'] == {'f:metadata': {'f:annotations': {'.': {}, 'f:a': {}}}}
    assert found['patcher'] == {'f:spec': {'f:paused': {}}}
    assert found['editor'] == {'f:spec': {'f:revisionHistoryLimit': {}}}
    image = {'f:spec': {'f:containers': {'k:{"name":"web"}': {'f:image': {}}}}}
    assert found['kubectl-set'] == {'f:spec': {'f:template': image}}


async def helm(api: ServedApi, *arguments: str, code: int = 0) -> str:
    process = await asyncio.create_subprocess_exec(
        str(tool('helm')), *arguments, env=os.environ | api.environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == code, output.decode()
    return output.decode()


async def container(api: ServedApi) -> Any:
    path = '/apis/apps/v1/namespaces/default/deployments/shop'
    return (await api.request('GET', path)).json['spec']['template']['spec']['containers'][0]


async def test_helm_installs_upgrades_rolls_back_and_uninstalls(api: ServedApi) -> None:
    assert 'hello from shop' in await helm(api, 'install', 'shop', str(CHART))
    shop = '/apis/apps/v1/namespaces/default/deployments/shop'
    assert list(await managers(api, shop)) == [('helm', 'Apply', '')]
    more = ('--set', 'extraEnv[0].name=A', '--set', 'extraEnv[0].value=b', '--set', 'service.port=81')
    await helm(api, 'upgrade', 'shop', str(CHART), '--set', 'greeting=bye', *more)
    assert [one['name'] for one in (await container(api))['env']] == ['GREETING', 'A']
    ports = 'jsonpath={.spec.ports[*].port}'
    assert await api.kubectl('get', 'service/shop', '-o', ports) == '81'
    await helm(api, 'rollback', 'shop', '1')
    assert [one['name'] for one in (await container(api))['env']] == ['GREETING']
    assert await api.kubectl('get', 'service/shop', '-o', ports) == '80'
    assert await api.kubectl('get', 'configmap/shop', '-o', 'jsonpath={.data.greeting}') == 'hello'
    assert await api.kubectl('get', 'configmap/shop-before', '-o', 'jsonpath={.data.revision}') == '2'
    await helm(api, 'uninstall', 'shop')
    left = await api.kubectl('get', 'deployments,services,serviceaccounts,secrets', '-o', 'name')
    assert 'shop' not in left


async def test_helm_respects_what_others_changed(api: ServedApi) -> None:
    await helm(api, 'install', 'shop', str(CHART))
    await api.kubectl('scale', 'deploy/shop', '--replicas=5')
    refused = await helm(api, 'upgrade', 'shop', str(CHART), code=1)
    assert 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas' in refused
    await helm(api, 'upgrade', 'shop', str(CHART), '--force-conflicts')
    assert await api.kubectl('get', 'deploy/shop', '-o', 'jsonpath={.spec.replicas}') == '2'


def python_client_applies(kubeconfig: str) -> list[str]:
    from kubernetes import client, config
    from kubernetes.dynamic import DynamicClient

    api_client = config.new_client_from_config(kubeconfig)
    deployments = DynamicClient(api_client).resources.get(api_version='apps/v1', kind='Deployment')
    deployments.server_side_apply(body=deployment(), namespace='default', field_manager='dynamic')
    typed = client.AppsV1Api(api_client)
    typed.patch_namespaced_deployment(
        'web', 'default', deployment(replicas=5), field_manager='typed', force=True,
        _content_type='application/apply-patch+yaml',
    )  # fmt: skip
    read = typed.read_namespaced_deployment('web', 'default')
    assert read.spec.replicas == 5
    return [entry.manager for entry in read.metadata.managed_fields]


async def test_the_python_client_applies(api: ServedApi) -> None:
    kubeconfig = api.directory / 'kubeconfig'
    assert yaml.safe_load(kubeconfig.read_text())
    assert sorted(await asyncio.to_thread(python_client_applies, str(kubeconfig))) == ['dynamic', 'typed']
    found = await managers(api, DEPLOYMENT)
    assert 'f:replicas' not in found['dynamic', 'Apply', '']['f:spec']
