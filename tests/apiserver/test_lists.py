"""Lists and watches as API Concepts describes them: snapshots, versions, pages, old paths, compression."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from served import ServedApi

from netkube.api.resources import CONFIGMAPS

PATH = '/api/v1/namespaces/default/configmaps'


async def make(api: ServedApi, *names: str, **data: str) -> None:
    for name in names:
        body: dict[str, Any] = {'metadata': {'name': name, 'namespace': 'default'}, 'data': data}
        await api.registry.create(CONFIGMAPS, body)


def names(document: Any) -> list[str]:
    return [item['metadata']['name'] for item in document['items']]


async def test_later_pages_show_the_revision_of_the_first(api: ServedApi) -> None:
    await make(api, 'a', 'b', 'c', 'd')
    first = (await api.request('GET', f'{PATH}?limit=2')).json
    await make(api, 'bb')
    await api.registry.delete(CONFIGMAPS, 'default', 'c')
    await api.registry.patch(CONFIGMAPS, 'default', 'd', {'data': {'new': 'yes'}})
    second = (await api.request('GET', f'{PATH}?limit=2&continue={first["metadata"]["continue"]}')).json
    assert (names(first), names(second)) == (['a', 'b'], ['c', 'd'])
    assert 'new' not in second['items'][1].get('data', {})
    assert second['metadata']['resourceVersion'] == first['metadata']['resourceVersion']


async def test_a_token_that_is_too_old_comes_back_with_another(api: ServedApi) -> None:
    await make(api, 'a', 'b', 'c')
    token = (await api.request('GET', f'{PATH}?limit=1')).json['metadata']['continue']
    await make(api, 'bb')
    api.registry.store.compact(api.registry.store.revision)
    answer = await api.request('GET', f'{PATH}?limit=1&continue={token}')
    assert answer.code == 410 and 'continue parameter is too old' in answer.message
    fresh = answer.json['metadata']['continue']
    assert names((await api.request('GET', f'{PATH}?continue={fresh}')).json) == ['b', 'bb', 'c']


async def test_an_exact_older_version(api: ServedApi) -> None:
    await make(api, 'a')
    version = api.registry.store.revision
    await make(api, 'b')
    query = f'?resourceVersion={version}&resourceVersionMatch=Exact'
    listed = (await api.request('GET', PATH + query)).json
    assert names(listed) == ['a'] and listed['metadata']['resourceVersion'] == str(version)
    assert names((await api.request('GET', f'{PATH}?resourceVersion={version}')).json) == ['a', 'b']
    api.registry.store.compact(version + 1)
    assert (await api.request('GET', PATH + query)).code == 410


@pytest.mark.parametrize(
    'query, code, message',
    [
        ('resourceVersionMatch=Exact', 422, 'resourceVersionMatch is forbidden unless resourceVersion is provided'),
        ('resourceVersion=0&resourceVersionMatch=Exact', 422, 'is forbidden for resourceVersion "0"'),
        ('resourceVersion=1&resourceVersionMatch=x', 422, 'Unsupported value: "x"'),
        ('sendInitialEvents=true', 422, 'sendInitialEvents is forbidden for list'),
        ('resourceVersion=99999', 504, 'Too large resource version: 99999'),
        ('resourceVersion=x', 400, 'strconv.ParseUint: parsing "x": invalid syntax'),
        ('continue=x', 400, 'continue key is not valid'),
        ('watch=true&sendInitialEvents=true', 422, 'requires setting resourceVersionMatch to NotOlderThan'),
        ('watch=true&resourceVersion=1&resourceVersionMatch=NotOlderThan', 422, 'forbidden for watch unless'),
        ('fieldSelector=spec.x=1', 400, 'is not a known field selector: only "metadata.name", "metadata.namespace"'),
        ('labelSelector=a(b', 400, 'unable to parse requirement'),
    ],
)
async def test_options_are_validated(api: ServedApi, query: str, code: int, message: str) -> None:
    answer = await api.request('GET', f'{PATH}?{query}')
    assert answer.code == code and message in answer.message


async def test_the_old_watch_paths(api: ServedApi) -> None:
    await make(api, 'a', 'b')
    for path, expected in (
        ('/api/v1/watch/namespaces/default/configmaps', ['a', 'b']),
        ('/api/v1/watch/configmaps', ['a', 'b']),
        ('/api/v1/watch/namespaces/default/configmaps/b', ['b']),
    ):
        lines = (await api.request('GET', f'{path}?timeoutSeconds=1')).body.splitlines()
        assert [json.loads(line)['object']['metadata']['name'] for line in lines] == expected


async def test_a_streaming_list_ends_with_an_annotated_bookmark(api: ServedApi) -> None:
    await make(api, 'a')
    query = 'watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true'
    lines = (await api.request('GET', f'{PATH}?{query}&timeoutSeconds=1')).body.splitlines()
    added, bookmark = map(json.loads, lines)
    assert (added['type'], bookmark['type']) == ('ADDED', 'BOOKMARK')
    assert bookmark['object']['metadata']['annotations'] == {'k8s.io/initial-events-end': 'true'}


async def test_big_answers_are_compressed_for_those_who_accept_it(api: ServedApi) -> None:
    await make(api, 'small')
    assert 'content-encoding' not in (await api.request('GET', PATH, accept_encoding='gzip')).headers
    await make(api, 'big', text='x' * 200_000)
    answer = await api.request('GET', PATH, accept_encoding='deflate, gzip')
    assert answer.headers['content-encoding'] == 'gzip' and len(answer.body) < 10_000
    assert names(json.loads(gzip.decompress(answer.body))) == ['big', 'small']
    assert 'content-encoding' not in (await api.request('GET', PATH)).headers


async def test_metadata_only(api: ServedApi) -> None:
    await make(api, 'a', key='value')
    accept = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'
    listed = (await api.request('GET', PATH, accept=accept)).json
    assert listed['kind'] == 'PartialObjectMetadataList'
    assert set(listed['items'][0]) == {'apiVersion', 'kind', 'metadata'}


async def test_two_versions_of_an_event_are_one(api: ServedApi) -> None:
    event = {
        'metadata': {'name': 'e', 'namespace': 'default'}, 'regarding': {'kind': 'Pod', 'name': 'p',
        'namespace': 'default'}, 'note': 'hello', 'reason': 'Why', 'type': 'Normal', 'action': 'Act',
        'reportingController': 'example.com/c', 'reportingInstance': 'i', 'eventTime': '2026-01-01T00:00:00.000000Z',
    }  # fmt: skip
    made = await api.request('POST', '/apis/events.k8s.io/v1/namespaces/default/events', event)
    assert made.code == 201, made.body
    core = (await api.request('GET', '/api/v1/namespaces/default/events/e')).json
    assert (core['apiVersion'], core['message'], core['involvedObject']['name']) == ('v1', 'hello', 'p')
    found = (await api.request('GET', '/apis/events.k8s.io/v1/events?fieldSelector=regarding.name=p')).json
    assert [one['note'] for one in found['items']] == ['hello']
    assert 'hello' in await api.kubectl('events')


async def test_two_versions_of_an_autoscaler_are_one(api: ServedApi) -> None:
    body = {'metadata': {'name': 'h'}, 'spec': {'scaleTargetRef': {'apiVersion': 'apps/v1', 'kind': 'Deployment',
            'name': 'web'}, 'maxReplicas': 3, 'targetCPUUtilizationPercentage': 60}}  # fmt: skip
    path = '/namespaces/default/horizontalpodautoscalers'
    made = await api.request('POST', f'/apis/autoscaling/v1{path}', body)
    assert made.json['spec']['targetCPUUtilizationPercentage'] == 60
    assert 'netkube stores HorizontalPodAutoscalers but does not scale by them yet' in made.headers['warning']
    second = (await api.request('GET', f'/apis/autoscaling/v2{path}/h')).json
    target = {'type': 'Utilization', 'averageUtilization': 60}
    assert second['spec']['metrics'] == [{'type': 'Resource', 'resource': {'name': 'cpu', 'target': target}}]
    assert 'cpu: <unknown>/60%' in await api.kubectl('get', 'hpa')


async def test_a_watcher_that_does_not_read_is_dropped_with_410(api: ServedApi) -> None:
    await make(api, 'a')
    reader, writer = await asyncio.open_unix_connection(str(api.socket), limit=1 << 24)
    query = f'watch=true&resourceVersion={api.registry.store.revision}'
    writer.write(f'GET {PATH}?{query} HTTP/1.1\r\nhost: x\r\n\r\n'.encode())
    await reader.readuntil(b'\r\n\r\n')
    writer.transport.pause_reading()
    for number in range(300):
        await api.registry.patch(CONFIGMAPS, 'default', 'a', {'data': {'text': str(number) + 'x' * 100_000}})
        await api.registry.store.durable(api.registry.store.revision)
        await asyncio.sleep(0)
    writer.transport.resume_reading()
    seen, last = 0, b''
    while b'"ERROR"' not in last:
        last = await asyncio.wait_for(reader.readuntil(b'\n'), 60)
        seen += b'"MODIFIED"' in last
    assert b'"reason":"Expired","code":410' in last and seen < 300
    writer.close()
