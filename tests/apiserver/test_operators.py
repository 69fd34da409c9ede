"""kopf and kr8s, the clients operators are written with, against a served API."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

from served import ServedApi

from netkube.api.meta import Object
from netkube.api.resources import CONFIGMAPS, CUSTOMRESOURCEDEFINITIONS, Resource
from netkube.testing import eventually

GREETINGS = Resource('example.com', 'v1', 'greetings', 'Greeting', True)
SCHEMA = {
    'type': 'object',
    'properties': {
        'spec': {'type': 'object', 'properties': {'text': {'type': 'string'}}},
        'status': {'type': 'object', 'x-kubernetes-preserve-unknown-fields': True},
    },
}  # fmt: skip
CRD: Object = {
    'metadata': {'name': 'greetings.example.com'},
    'spec': {
        'group': 'example.com', 'scope': 'Namespaced', 'names': {'plural': 'greetings', 'kind': 'Greeting'},
        'versions': [{'name': 'v1', 'served': True, 'storage': True, 'schema': {'openAPIV3Schema': SCHEMA},
                      'subresources': {'status': {}}}],
    },
}  # fmt: skip
OPERATOR = textwrap.dedent("""
    import kopf, kubernetes

    @kopf.on.create('example.com', 'v1', 'greetings')
    @kopf.on.update('example.com', 'v1', 'greetings')
    def reconcile(spec, name, namespace, patch, **_):
        kubernetes.config.load_kube_config()
        core = kubernetes.client.CoreV1Api()
        body = {'metadata': {'name': name}, 'data': {'text': spec['text']}}
        kopf.adopt(body)
        try:
            core.create_namespaced_config_map(namespace, body)
        except kubernetes.client.ApiException as error:
            assert error.status == 409
            core.patch_namespaced_config_map(name, namespace, body)
        patch.status['said'] = spec['text']

    @kopf.on.delete('example.com', 'v1', 'greetings')
    def forget(name, namespace, **_):
        kubernetes.config.load_kube_config()
        kubernetes.client.CoreV1Api().delete_namespaced_config_map(name, namespace)
""")


async def test_a_kopf_operator_reconciles_a_custom_resource(api: ServedApi, tmp_path: Path) -> None:
    await api.registry.create(CUSTOMRESOURCEDEFINITIONS, CRD)
    (tmp_path / 'operator.py').write_text(OPERATOR)
    options = ('--namespace=default', '--standalone', str(tmp_path / 'operator.py'))
    command = (sys.executable, '-m', 'kopf', 'run', *options)
    log = (tmp_path / 'kopf.log').open('wb')
    process = await asyncio.create_subprocess_exec(
        *command, env=os.environ | api.environment, stdout=log, stderr=asyncio.subprocess.STDOUT
    )
    try:
        metadata = {'name': 'g', 'namespace': 'default'}
        await api.registry.create(GREETINGS, {'metadata': metadata, 'spec': {'text': 'hello'}})
        await eventually(lambda: says(api, 'hello'), 30, 'the operator sees the new object')
        await api.registry.patch(GREETINGS, 'default', 'g', {'spec': {'text': 'bye'}})
        await eventually(lambda: says(api, 'bye'), 30, 'the operator sees the change')
        held = await api.registry.delete(GREETINGS, 'default', 'g')
        assert held['metadata']['finalizers'] == ['kopf.zalando.org/KopfFinalizerMarker']

        async def gone() -> bool:
            return not (await api.registry.list(GREETINGS)).items and not (await api.registry.list(CONFIGMAPS)).items

        await eventually(gone, 30, 'the operator lets go')
    except AssertionError as error:
        raise AssertionError(f'{error}\n{(tmp_path / "kopf.log").read_text()}') from error
    finally:
        process.terminate()
        await process.wait()


async def says(api: ServedApi, text: str) -> bool:
    maps = (await api.registry.list(CONFIGMAPS)).items
    status: Any = (await api.registry.get(GREETINGS, 'default', 'g')).get('status') or {}
    return [one['data']['text'] for one in maps] == [text] and status.get('said') == text


KR8S = textwrap.dedent("""
    import kr8s
    from kr8s.objects import ConfigMap, new_class

    Greeting = new_class('Greeting', 'example.com/v1')
    api = kr8s.api()
    Greeting({'metadata': {'name': 'k', 'namespace': 'default'}, 'spec': {'text': 'hi'}}).create()
    found = Greeting.get('k', namespace='default')
    found.patch({'spec': {'text': 'ho'}})
    print(found.spec.text, [one.name for one in kr8s.get('greetings.example.com', namespace='default')])
    ConfigMap({'metadata': {'name': 'c', 'namespace': 'default'}, 'data': {'a': 'b'}}).create()
    print([one.name for one in kr8s.get('configmaps', namespace='default', field_selector='metadata.name=c')])
    found.delete()
    print(api.version()['gitVersion'])
""")


async def test_kr8s(api: ServedApi) -> None:
    await api.registry.create(CUSTOMRESOURCEDEFINITIONS, CRD)
    process = await asyncio.create_subprocess_exec(
        sys.executable, '-c', KR8S, env=os.environ | api.environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert output.decode().splitlines() == ["ho ['k']", "['c']", 'v1.37.0+netkube'], errors.decode()
