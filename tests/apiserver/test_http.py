"""The API over HTTP, answer by answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import yaml
from served import POD, ServedApi

from netkube.api.resources import CONFIGMAPS, PODS

CM = '/api/v1/namespaces/default/configmaps'
PODS_PATH = '/api/v1/namespaces/default/pods'
DEPLOYMENTS_PATH = '/apis/apps/v1/namespaces/default/deployments'
UNRECOGNIZED = 'the object provided is unrecognized (must be of type Deployment)'
MERGE_PATCH = 'application/merge-patch+json'
TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json'


def configmap(name: str = 'c', **data: str) -> dict[str, Any]:
    return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': name}, 'data': data}


def deployment(**spec: Any) -> dict[str, Any]:
    template = {'metadata': {'labels': {'a': 'b'}}, 'spec': {'containers': [{'name': 'c', 'image': 'none'}]}}
    spec = {'selector': {'matchLabels': {'a': 'b'}}, 'template': template, **spec}
    return {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'd'}, 'spec': spec}


async def test_the_life_of_an_object(api: ServedApi) -> None:
    created = await api.request('POST', CM, configmap(a='1'))
    assert (created.code, created.headers['content-type']) == (201, 'application/json')
    assert created.json['metadata']['namespace'] == 'default'
    read = await api.request('GET', f'{CM}/c')
    assert (read.code, read.json) == (200, created.json)
    updated = await api.request('PUT', f'{CM}/c', {**read.json, 'data': {'a': '2'}})
    assert (updated.code, updated.json['data']) == (200, {'a': '2'})
    stale = await api.request('PUT', f'{CM}/c', {**read.json, 'data': {'a': '3'}})
    assert (stale.code, stale.json['reason']) == (409, 'Conflict')
    assert stale.json['details'] == {'name': 'c', 'kind': 'configmaps'}
    patched = await api.request('PATCH', f'{CM}/c', {'data': {'b': '1'}}, content_type=MERGE_PATCH)
    assert (patched.code, patched.json['data']) == (200, {'a': '2', 'b': '1'})
    deleted = await api.request('DELETE', f'{CM}/c')
    details = {'name': 'c', 'kind': 'configmaps', 'uid': created.json['metadata']['uid']}
    assert (deleted.code, deleted.json['status'], deleted.json['details']) == (200, 'Success', details)
    gone = await api.request('GET', f'{CM}/c')
    assert gone.json == {
        'kind': 'Status', 'apiVersion': 'v1', 'metadata': {}, 'status': 'Failure', 'reason': 'NotFound', 'code': 404,
        'message': 'configmaps "c" not found', 'details': {'name': 'c', 'kind': 'configmaps'},
    }  # fmt: skip


@pytest.mark.parametrize(
    ('method', 'path', 'code', 'reason'),
    [
        ('GET', '/nothing', 404, 'NotFound'),
        ('GET', '/api/v1/nothings', 404, 'NotFound'),
        ('GET', '/apis/apps/v2/deployments', 404, 'NotFound'),
        ('GET', '/api/v1/pods/p', 404, 'NotFound'),
        ('GET', '/api/v1/namespaces/default/configmaps/c/status', 404, 'NotFound'),
        ('PUT', CM, 405, 'MethodNotAllowed'),
        ('POST', f'{CM}/c', 405, 'MethodNotAllowed'),
        ('POST', '/version', 405, 'MethodNotAllowed'),
        ('GET', f'{CM}?limit=x', 400, 'BadRequest'),
        ('GET', f'{CM}?labelSelector=a%3D%3D%3D', 400, 'BadRequest'),
        ('GET', f'{CM}?resourceVersion=x', 400, 'BadRequest'),
    ],
)
async def test_every_refusal_is_a_status(api: ServedApi, method: str, path: str, code: int, reason: str) -> None:
    answer = await api.request(method, path)
    status = answer.json
    assert (answer.code, status['kind'], status['reason'], status['code']) == (code, 'Status', reason, code)


@pytest.mark.parametrize(
    ('body', 'code', 'message'),
    [
        ('{"metadata": ', 400, f"{UNRECOGNIZED}: couldn't get version/kind; json parse error: "),
        ('', 400, UNRECOGNIZED),
        ('[]', 400, UNRECOGNIZED),
        (json.dumps({**deployment(), 'kind': 'Service', 'apiVersion': 'v1'}), 400,
         'Service in version "v1" cannot be handled as a Deployment: '),
        (json.dumps({**deployment(), 'apiVersion': 'apps/v2'}), 400,
         'the API version in the data (apps/v2) does not match the expected API version (apps/v1)'),
        (json.dumps({**deployment(), 'metadata': {'name': 'd', 'namespace': 'other'}}), 400,
         'the namespace of the provided object does not match the namespace sent on the request'),
        (json.dumps(deployment(replicas='three')), 400,
         'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into '
         'Go struct field DeploymentSpec.spec.replicas of type int32'),
        (json.dumps(deployment(replicas=-1)), 422,
         'Deployment.apps "d" is invalid: spec.replicas: Invalid value: -1: '),
        (json.dumps({**deployment(), 'metadata': {}}), 422,
         'Deployment.apps "" is invalid: metadata.name: Required value: name or generateName is required'),
    ],
)  # fmt: skip
async def test_a_bad_body_is_refused_in_kubernetes_words(api: ServedApi, body: str, code: int, message: str) -> None:
    answer = await api.request('POST', DEPLOYMENTS_PATH, body)
    assert (answer.code, answer.message[: len(message)]) == (code, message)
    assert (await api.request('GET', DEPLOYMENTS_PATH)).json['items'] == []


async def test_the_name_in_the_path_is_the_objects(api: ServedApi) -> None:
    await api.request('POST', CM, configmap())
    answer = await api.request('PUT', f'{CM}/c', configmap('other'))
    assert answer.message == 'the name of the object (other) does not match the name on the URL (c)'


async def test_unknown_fields_are_refused_named_or_dropped(api: ServedApi) -> None:
    body = deployment(foo=1)
    strict = await api.request('POST', f'{DEPLOYMENTS_PATH}?fieldValidation=Strict', body)
    assert strict.code == 400 and 'strict decoding error: unknown field "spec.foo"' in strict.message
    warned = await api.request('POST', f'{DEPLOYMENTS_PATH}?dryRun=All', body)
    assert (warned.code, warned.headers['warning']) == (201, '299 - "unknown field \\"spec.foo\\""')
    ignored = await api.request('POST', f'{DEPLOYMENTS_PATH}?fieldValidation=Ignore', body)
    assert ignored.code == 201 and 'warning' not in ignored.headers and 'foo' not in ignored.json['spec']


async def test_unknown_fields_of_a_patch_too(api: ServedApi) -> None:
    await api.request('POST', DEPLOYMENTS_PATH, deployment())
    path, patch = f'{DEPLOYMENTS_PATH}/d', {'spec': {'foo': 1}}
    strict = await api.request('PATCH', f'{path}?fieldValidation=Strict', patch, content_type=MERGE_PATCH)
    assert strict.code == 422 and strict.message.endswith('strict decoding error: unknown field "spec.foo"')
    warned = await api.request('PATCH', path, patch, content_type=MERGE_PATCH)
    assert (warned.code, warned.headers['warning']) == (200, '299 - "unknown field \\"spec.foo\\""')


TWICE = '{"kind": "ConfigMap", "metadata": {"name": "c", "name": "c"}, "data": {"a": "1", "b": "2", "a": "3"}}'


async def test_duplicate_fields_are_refused_named_or_ignored(api: ServedApi) -> None:
    faults = 'duplicate field "metadata.name"', 'duplicate field "data.a"'
    strict = await api.request('POST', f'{CM}?fieldValidation=Strict', TWICE)
    assert strict.code == 400 and strict.message.endswith(f'strict decoding error: {", ".join(faults)}')
    ignored = await api.request('POST', f'{CM}?fieldValidation=Ignore&dryRun=All', TWICE)
    assert ignored.code == 201 and 'warning' not in ignored.headers
    warned = await api.request('POST', CM, TWICE)
    assert warned.code == 201 and warned.json['data'] == {'a': '3', 'b': '2'}
    assert warned.headers['warning'].count('duplicate field') >= 1
    path, patch = f'{CM}/c?fieldValidation=Strict', '{"data": {"a": "1", "a": "2"}}'
    refused = await api.request('PATCH', path, patch, content_type=MERGE_PATCH)
    assert refused.code == 422 and refused.message.endswith('strict decoding error: duplicate field "data.a"')


async def test_duplicate_keys_of_yaml_too(api: ServedApi) -> None:
    text = 'kind: ConfigMap\nmetadata: {name: c}\ndata:\n  a: "1"\n  a: "2"\napiVersion: v1\n'
    fault = 'yaml: unmarshal errors:\n  line 5: key "a" already set in map'
    refused = await api.request('POST', f'{CM}?fieldValidation=Strict', text, content_type='application/yaml')
    assert refused.code == 400 and refused.message.endswith(f'strict decoding error: {fault}')
    path, apply = f'{CM}/c?fieldManager=a&fieldValidation=Strict', 'application/apply-patch+yaml'
    refused = await api.request('PATCH', path, text, content_type=apply)
    assert refused.code == 400
    assert refused.message == f'error strict decoding YAML: error converting YAML to JSON: {fault}'
    assert (await api.request('PATCH', f'{CM}/c?fieldManager=a', text, content_type=apply)).code == 201


async def test_yaml_comes_in_and_goes_out(api: ServedApi) -> None:
    body = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: "1"}\n'
    assert (await api.request('POST', CM, body, content_type='application/yaml')).code == 201
    answer = await api.request('GET', f'{CM}/c', accept='application/yaml')
    assert answer.headers['content-type'] == 'application/yaml' and b'kind: ConfigMap' in answer.body


async def test_other_formats_are_refused(api: ServedApi) -> None:
    for content_type in ('application/cbor', 'text/plain'):
        assert (await api.request('POST', CM, 'x', content_type=content_type)).json['reason'] == 'UnsupportedMediaType'
    assert (await api.request('GET', CM, accept='image/png')).json['reason'] == 'NotAcceptable'
    both = await api.request('GET', CM, accept='application/vnd.kubernetes.protobuf,application/json')
    assert both.headers['content-type'] == 'application/json'
    await api.request('POST', CM, configmap())
    cbor = await api.request('PATCH', f'{CM}/c', '{}', content_type='application/apply-patch+cbor')
    assert cbor.code == 415 and 'application/apply-patch+yaml' in cbor.message


async def test_the_items_of_a_list_leave_out_what_they_are(api: ServedApi) -> None:
    await api.request('POST', CM, configmap())
    for accept in ('application/json', 'application/yaml'):
        listed = yaml.safe_load((await api.request('GET', CM, accept=accept)).body)
        assert (listed['kind'], listed['apiVersion']) == ('ConfigMapList', 'v1')
        assert not {'kind', 'apiVersion'} & listed['items'][0].keys()


async def test_dry_run_answers_and_stores_nothing(api: ServedApi) -> None:
    answer = await api.request('POST', f'{CM}?dryRun=All', configmap())
    assert answer.code == 201 and answer.json['metadata']['uid']
    assert (await api.request('GET', CM)).json['items'] == []
    await api.request('POST', CM, configmap())
    assert (await api.request('DELETE', f'{CM}/c?dryRun=All')).code == 200
    assert (await api.request('GET', f'{CM}/c')).code == 200


async def test_pages_cover_a_list_once(api: ServedApi) -> None:
    for number in range(7):
        await api.request('POST', CM, configmap(f'c{number}'))
    first = (await api.request('GET', f'{CM}?limit=3')).json
    assert first['metadata']['remainingItemCount'] == 4
    await api.request('DELETE', f'{CM}/c5')
    names, token, versions = [], '', set()
    for _ in range(2):
        page = (await api.request('GET', f'{CM}?limit=3&continue={token}')).json
        names += [item['metadata']['name'] for item in page['items']]
        versions.add(page['metadata']['resourceVersion'])
        token = page['metadata'].get('continue', '')
    assert (names, token, len(versions)) == (['c0', 'c1', 'c2', 'c3', 'c4', 'c6'], '', 1)
    assert (await api.request('GET', f'{CM}?continue=x')).code == 400


async def test_tables_and_partial_objects(api: ServedApi) -> None:
    await api.request('POST', PODS_PATH, POD)
    table = (await api.request('GET', PODS_PATH, accept=TABLE)).json
    assert (table['kind'], table['apiVersion']) == ('Table', 'meta.k8s.io/v1')
    assert [column['name'] for column in table['columnDefinitions']][:3] == ['Name', 'Ready', 'Status']
    assert table['rows'][0]['cells'][:3] == ['a', '0/1', 'Pending']
    assert table['rows'][0]['object']['kind'] == 'PartialObjectMetadata'
    whole = (await api.request('GET', f'{PODS_PATH}/a?includeObject=Object', accept=TABLE)).json
    assert whole['rows'][0]['object']['kind'] == 'Pod'
    accept = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io'
    partial = (await api.request('GET', PODS_PATH, accept=accept)).json
    assert partial['kind'] == 'PartialObjectMetadataList' and 'spec' not in partial['items'][0]


async def test_delete_collection_takes_what_is_selected(api: ServedApi) -> None:
    for name in ('a', 'b'):
        await api.request('POST', CM, {**configmap(name), 'metadata': {'name': name, 'labels': {'name': name}}})
    deleted = await api.request('DELETE', f'{CM}?labelSelector=name%3Da')
    assert [item['metadata']['name'] for item in deleted.json['items']] == ['a']
    assert [item['metadata']['name'] for item in (await api.request('GET', CM)).json['items']] == ['b']


async def test_subresources(api: ServedApi) -> None:
    await api.request('POST', DEPLOYMENTS_PATH, deployment(replicas=2))
    scale = (await api.request('GET', f'{DEPLOYMENTS_PATH}/d/scale')).json
    assert (scale['kind'], scale['spec']) == ('Scale', {'replicas': 2})
    assert scale['status'] == {'replicas': 0, 'selector': 'a=b'}
    scaled = await api.request('PUT', f'{DEPLOYMENTS_PATH}/d/scale', {**scale, 'spec': {'replicas': 4}})
    assert (scaled.code, scaled.json['spec']) == (200, {'replicas': 4})
    five = {'spec': {'replicas': 5}}
    patched = await api.request('PATCH', f'{DEPLOYMENTS_PATH}/d/scale', five, content_type=MERGE_PATCH)
    assert patched.json['spec'] == {'replicas': 5}
    await api.request('POST', PODS_PATH, POD)
    binding = {'metadata': {'name': 'a'}, 'target': {'kind': 'Node', 'name': 'n'}}
    bound = await api.request('POST', f'{PODS_PATH}/a/binding', binding)
    assert (bound.code, bound.json['status']) == (201, 'Success')
    status = await api.request('GET', f'{PODS_PATH}/a/status')
    assert status.json['spec']['nodeName'] == 'n'
    eviction = {'apiVersion': 'policy/v1', 'kind': 'Eviction', 'metadata': {'name': 'a'}}
    assert (await api.request('POST', f'{PODS_PATH}/a/eviction', eviction)).code == 201
    assert 'deletionTimestamp' in (await api.request('GET', f'{PODS_PATH}/a')).json['metadata']


async def test_delete_options_come_in_the_body_or_in_the_query(api: ServedApi) -> None:
    for where in ('body', 'query'):
        await api.request('POST', DEPLOYMENTS_PATH, deployment())
        body = {'propagationPolicy': 'Foreground'} if where == 'body' else None
        query = '' if body else '?propagationPolicy=Foreground'
        going = await api.request('DELETE', f'{DEPLOYMENTS_PATH}/d{query}', body)
        assert going.json['metadata']['finalizers'] == ['foregroundDeletion']
        released = {'metadata': {'finalizers': None}}
        await api.request('PATCH', f'{DEPLOYMENTS_PATH}/d', released, content_type=MERGE_PATCH)
    mistyped = await api.request('DELETE', f'{DEPLOYMENTS_PATH}/d', {'gracePeriodSeconds': 'soon'})
    assert mistyped.code == 400 and 'cannot unmarshal string' in mistyped.message
    bad = await api.request('DELETE', f'{DEPLOYMENTS_PATH}/d', {'propagationPolicy': 'Sometimes'})
    assert bad.code == 400 and 'Unsupported value: "Sometimes"' in bad.message


async def test_a_defect_is_a_500_with_a_log_line(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError('oh')

    monkeypatch.setattr(api.registry.storage, 'get', broken)
    answer = await api.request('GET', f'{CM}/c')
    assert (answer.code, answer.message) == (500, 'Internal error occurred: ZeroDivisionError: oh')
    assert 'GET /api/v1/namespaces/default/configmaps/c' in caplog.text


async def test_a_body_has_a_limit(api: ServedApi) -> None:
    answer = await api.request('POST', CM, 'x' * (4 << 20))
    assert (answer.code, answer.json['reason']) == (413, 'RequestEntityTooLarge')


async def test_what_http_shows_is_on_the_disk(api: ServedApi) -> None:
    """In-process writes are visible at once in process, over HTTP when they are durable."""
    await api.registry.create(CONFIGMAPS, {**configmap(), 'metadata': {'name': 'c', 'namespace': 'default'}})
    revision = api.registry.store.revision
    assert api.registry.store.durable_revision < revision
    assert (await api.request('GET', f'{CM}/c')).code == 200
    assert api.registry.store.durable_revision >= revision


async def watch_lines(api: ServedApi, path: str, count: int) -> list[Any]:
    """The first lines of a watch; the connection is closed then."""
    reader, writer = await asyncio.open_unix_connection(str(api.socket))
    try:
        writer.write(f'GET {path} HTTP/1.1\r\nhost: x\r\n\r\n'.encode())
        await reader.readuntil(b'\r\n\r\n')
        lines: list[Any] = []
        while len(lines) < count:
            size = int(await reader.readline(), 16)
            if size == 0:
                break
            chunk = await reader.readexactly(size + 2)
            lines += [json.loads(line) for line in chunk.strip().split(b'\n')]
        return lines
    finally:
        writer.close()


def shown(lines: list[Any]) -> list[tuple[str, str]]:
    return [(line['type'], line['object']['metadata'].get('name', '')) for line in lines]


async def test_watch_lines(api: ServedApi) -> None:
    await api.request('POST', CM, configmap('a'))
    version = (await api.request('GET', CM)).json['metadata']['resourceVersion']
    watching = asyncio.create_task(watch_lines(api, f'{CM}?watch=true&resourceVersion={version}', 3))
    await api.request('POST', CM, configmap('b'))
    await api.request('PUT', f'{CM}/b', configmap('b', x='y'))
    await api.request('DELETE', f'{CM}/a')
    assert shown(await watching) == [('ADDED', 'b'), ('MODIFIED', 'b'), ('DELETED', 'a')]


async def test_a_watch_list_ends_its_beginning_with_a_bookmark(api: ServedApi) -> None:
    await api.request('POST', CM, configmap('a'))
    query = 'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true'
    lines = await watch_lines(api, f'{CM}?{query}', 2)
    assert shown(lines) == [('ADDED', 'a'), ('BOOKMARK', '')]
    assert lines[1]['object']['metadata']['annotations'] == {'k8s.io/initial-events-end': 'true'}


async def test_a_watch_sends_bookmarks(api: ServedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('netkube.apiserver.watchstream.BOOKMARK_SECONDS', 0.01)
    version = (await api.request('GET', CM)).json['metadata']['resourceVersion']
    lines = await watch_lines(api, f'{CM}?watch=1&allowWatchBookmarks=true&resourceVersion={version}', 1)
    assert lines[0]['type'] == 'BOOKMARK' and lines[0]['object']['metadata']['resourceVersion'] == version


async def test_a_watch_ends_at_its_timeout(api: ServedApi) -> None:
    assert await watch_lines(api, f'{CM}?watch=1&timeoutSeconds=1&resourceVersion=1', 1) == []


async def test_a_watch_from_a_forgotten_version_says_gone(api: ServedApi) -> None:
    await api.request('POST', CM, configmap('a'))
    api.registry.store.compact(api.registry.store.revision)
    (line,) = await watch_lines(api, f'{CM}?watch=1&resourceVersion=1', 1)
    assert (line['type'], line['object']['code'], line['object']['reason']) == ('ERROR', 410, 'Expired')


async def test_an_event_is_encoded_once_for_all_watches(api: ServedApi) -> None:
    path = f'{PODS_PATH}?watch=1&resourceVersion={api.registry.store.revision}'
    watching = [asyncio.create_task(watch_lines(api, path, 1)) for _ in range(3)]
    await api.request('POST', PODS_PATH, POD)
    assert [shown(lines) for lines in await asyncio.gather(*watching)] == [[('ADDED', 'a')]] * 3
    (event,) = api.registry.store.watch(f'{PODS.plural}/', api.registry.store.revision - 1).pending()
    assert len(event.encoded) == 1


async def test_a_watch_whose_client_has_gone_is_forgotten(api: ServedApi) -> None:
    from netkube.testing import eventually

    await api.request('POST', CM, configmap('a'))
    await watch_lines(api, f'{CM}?watch=1', 1)
    await eventually(lambda: not api.registry.store._watches)
