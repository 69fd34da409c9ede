"""Clients that send too much, too deep, too slowly, or half: a 4xx with a Status, and no connection that hangs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from served import POD, ServedApi

from netkube.api.resources import CUSTOMRESOURCEDEFINITIONS

CM = '/api/v1/namespaces/default/configmaps'
POST = f'POST {CM} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'.encode()
YAML = 'application/yaml'
CRD = {
    'metadata': {'name': 'trees.example.com'},
    'spec': {'group': 'example.com', 'scope': 'Namespaced', 'names': {'plural': 'trees', 'kind': 'Tree'},
             'versions': [{'name': 'v1', 'served': True, 'storage': True, 'schema': {'openAPIV3Schema': {
                 'type': 'object', 'x-kubernetes-preserve-unknown-fields': True}}}]},
}  # fmt: skip
TREES = '/apis/example.com/v1/namespaces/default/trees'


async def raw(api: ServedApi, data: bytes, half: bool = False) -> tuple[int, Any]:
    """The answer's code and body to these bytes; (0, None) when the server hangs up without one."""
    reader, writer = await asyncio.open_unix_connection(str(api.socket))
    try:
        writer.write(data)
        if half:
            writer.write_eof()
        head = await asyncio.wait_for(reader.readuntil(b'\r\n\r\n'), 60)
        length = int(head.lower().partition(b'content-length: ')[2].split(b'\r')[0])
        return int(head.split()[1]), json.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0, None
    finally:
        writer.close()


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {'a': value}
    return value


class TestHeads:
    async def test_thousands_of_headers_are_read(self, api: ServedApi) -> None:
        headers = ''.join(f'x-{number}: y\r\n' for number in range(5_000))
        assert (await raw(api, f'GET {CM} HTTP/1.1\r\nhost: x\r\n{headers}\r\n'.encode()))[0] == 200

    @pytest.mark.parametrize('head', ['x: ' + 'a' * (3 << 20), 'x: a\r\n' * 400_000], ids=['long', 'many'])
    async def test_more_than_a_megabyte_is_431(self, api: ServedApi, head: str) -> None:
        code, status = await raw(api, f'GET {CM} HTTP/1.1\r\n{head}\r\n\r\n'.encode())
        assert (code, status and status['kind']) in [(431, 'Status'), (0, None)]  # it may hang up while one writes

    @pytest.mark.parametrize('data', [b'\x00 nonsense\r\n\r\n', POST + b'content-length: -5\r\n\r\n',
                                      POST + b'transfer-encoding: chunked\r\n\r\nzz\r\n'])  # fmt: skip
    async def test_what_is_no_http_is_400(self, api: ServedApi, data: bytes) -> None:
        code, status = await raw(api, data)
        assert (code, status['kind'], status['reason']) == (400, 'Status', 'BadRequest')

    async def test_a_head_that_does_not_come(self, api: ServedApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr('netkube.apiserver.protocol.HEAD_SECONDS', 0.1)
        assert await raw(api, b'GET / HTTP/1.1\r\nho') == (0, None)
        whole = b'GET /version HTTP/1.1\r\nhost: x\r\n\r\n'
        reader, writer = await asyncio.open_unix_connection(str(api.socket))
        writer.write(whole + b'GET /vers')  # nor that of the next request
        assert (await asyncio.wait_for(reader.read(), 60)).count(b'HTTP/1.1 200') == 1
        writer.close()


class TestBodies:
    async def test_one_that_does_not_come(self, api: ServedApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr('netkube.apiserver.request.BODY_SECONDS', 0.1)
        code, status = await raw(api, POST + b'content-length: 100\r\n\r\n{')
        assert (code, status['kind'], status['reason']) == (408, 'Status', 'Timeout')

    async def test_half_closed_streams(self, api: ServedApi) -> None:
        assert (await raw(api, f'GET {CM} HTTP/1.1\r\nhost: x\r\n\r\n'.encode(), half=True))[0] == 200
        assert await raw(api, POST + b'content-length: 100\r\n\r\n{', half=True) == (0, None)

    @pytest.mark.parametrize('levels', [129, 1_000, 100_000])
    @pytest.mark.parametrize('form', ['{"a":%s}', '[%s]'])
    async def test_deep_nesting_is_400(self, api: ServedApi, levels: int, form: str) -> None:
        before, after = form.split('%s')
        deep = before * levels + '1' + after * levels
        body = '{"metadata": {"name": "a"}, "x": %s}' % deep  # noqa: UP031
        assert (await api.request('POST', CM, body)).json['message'].startswith('exceeded max depth')
        if levels <= 1_000:
            flow = deep.replace('"a":', 'a: ')
            refused = await api.request('POST', CM, f'metadata: {{name: a}}\nx: {flow}', content_type=YAML)
            assert refused.code == 400

    async def test_as_deep_as_may_be_works_everywhere(self, api: ServedApi) -> None:
        await api.registry.create(CUSTOMRESOURCEDEFINITIONS, CRD)
        tree = {'apiVersion': 'example.com/v1', 'kind': 'Tree', 'metadata': {'name': 'a'}, 'spec': nested(125)}
        assert (await api.request('POST', TREES, tree)).code == 201
        for accept in ('application/yaml', 'application/json;as=Table;v=v1;g=meta.k8s.io', 'application/json'):
            assert (await api.request('GET', f'{TREES}/a', accept=accept)).code == 200
        apply = await api.request('PATCH', f'{TREES}/a?fieldManager=m&force=true', tree,
                                  content_type='application/apply-patch+yaml')  # fmt: skip
        assert apply.code == 200
        patch = [{'op': 'copy', 'from': '/spec', 'path': '/spec/a/b'}]
        deeper = await api.request('PATCH', f'{TREES}/a', patch, content_type='application/json-patch+json')
        assert (deeper.code, deeper.message[:18]) == (400, 'exceeded max depth')

    async def test_aliases_of_yaml(self, api: ServedApi) -> None:
        few = 'kind: ConfigMap\napiVersion: v1\nmetadata: {name: c, labels: &a {x: y}, annotations: *a}\n'
        assert (await api.request('POST', CM, few, content_type=YAML)).code == 201
        lines = ['a: &a [x, x, x, x, x, x, x, x, x]']
        for old, new in zip('abcdefgh', 'bcdefghi', strict=True):
            lines.append(f'{new}: &{new} [{", ".join([f"*{old}"] * 9)}]')
        for text in ('\n'.join(lines), 'a: &a {b: *a}', '&a [*a]'):
            refused = await api.request('POST', CM, text, content_type=YAML)
            assert (refused.code, refused.json['reason']) == (400, 'BadRequest')

    async def test_sizes(self, api: ServedApi) -> None:
        notes = {'metadata': {'name': 'c', 'annotations': {'a': 'x' * 262_144}}}
        refused = await api.request('POST', CM, notes)
        assert refused.code == 422 and 'metadata.annotations: Too long: may not be more than 262144 bytes' in (
            refused.message
        )
        pod = json.loads(json.dumps(POD))
        pod['spec']['containers'][0]['args'] = ['x' * 1_600_000]
        large = await api.request('POST', '/api/v1/namespaces/default/pods', pod)
        assert (large.code, large.json['reason']) == (413, 'RequestEntityTooLarge')
