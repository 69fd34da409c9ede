"""Mutated requests: whatever comes, the answer is no 5xx, and it comes."""

from __future__ import annotations

import asyncio
import copy
import json
import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netkube.api.meta import Object
from netkube.api.resources import ALL, CUSTOMRESOURCEDEFINITIONS
from netkube.apiserver.http import HttpApi
from netkube.apiserver.protocol import ROOT
from netkube.apiserver.server import no_kubelet
from netkube.testing import memory_api

REQUESTS = int(os.environ.get('NETKUBE_FUZZ_REQUESTS', '5000'))  # scripts/nightly sends 100,000
SECONDS = 60
# 504: a version that is still to come; 501 and 503: nobody is there who could do it.
ALLOWED_5XX = {501, 503, 504}

SCHEMA = {'type': 'object', 'properties': {'spec': {'type': 'object', 'properties': {
    'size': {'type': 'integer', 'default': 1}, 'list': {'type': 'array', 'items': {'type': 'string'}}}}}}  # fmt: skip
CRD: Object = {
    'metadata': {'name': 'widgets.example.com'},
    'spec': {
        'group': 'example.com', 'scope': 'Namespaced', 'names': {'plural': 'widgets', 'kind': 'Widget'},
        'versions': [{
            'name': 'v1', 'served': True, 'storage': True, 'schema': {'openAPIV3Schema': SCHEMA},
            'subresources': {'status': {}, 'scale': {'specReplicasPath': '.spec.size', 'statusReplicasPath':
                                                     '.status.size'}},
            'additionalPrinterColumns': [{'name': 'Size', 'type': 'integer', 'jsonPath': '.spec.size'}]}],
    },
}  # fmt: skip
CONTAINER = {'name': 'c', 'image': 'none', 'ports': [{'containerPort': 80}], 'env': [{'name': 'A', 'value': 'b'}]}
TEMPLATE = {'metadata': {'labels': {'a': 'b'}}, 'spec': {'containers': [CONTAINER], 'restartPolicy': 'Always'}}
SEEDS: list[Object] = [
    {'metadata': {'name': 'a', 'labels': {'a': 'b'}}, **body}
    for body in (
        {'spec': TEMPLATE['spec']},
        {'spec': {'replicas': 1, 'selector': {'matchLabels': {'a': 'b'}}, 'template': TEMPLATE}},
        {'spec': {'schedule': '* * * * *', 'jobTemplate': {'spec': {'template': TEMPLATE}}}},
        {'spec': {'ports': [{'port': 80}], 'selector': {'a': 'b'}, 'type': 'NodePort'}},
        {'data': {'a': 'b'}},
        {'spec': {'size': 1, 'list': ['a']}},
        {'spec': {'rules': [{'host': 'a', 'http': {'paths': [{'path': '/', 'pathType': 'Prefix', 'backend': {}}]}}]}},
        {'spec': {'accessModes': ['ReadWriteOnce'], 'resources': {'requests': {'storage': '1Gi'}}}},
        {'spec': {'scaleTargetRef': {'kind': 'D', 'name': 'a'}, 'maxReplicas': 2, 'metrics': [{'type': 'Resource'}]}},
        {'spec': {'minAvailable': '50%', 'limits': [{'type': 'Pod'}], 'hard': {'pods': '1'}}},
        CRD,
        {'spec': {'replicas': 2}}, {'target': {'name': 'n'}}, {'gracePeriodSeconds': 0},
    )
]  # fmt: skip
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=12),
    st.just('50%'), st.just('-1Gi'), st.just('2026-01-01T00:00:00Z'), st.just([]), st.just({}), st.just([None]),
    st.just({'a': None}), st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=5), st.none()),
)  # fmt: skip
PATHS = sorted(
    {path for one in ALL for path in (one.path(), one.path('default'), one.path('default', 'a'))}
    | {one.path('default', 'a', subresource) for one in ALL for subresource in one.subresources}
    | {'/apis/example.com/v1/namespaces/default/widgets' + end for end in ('', '/a', '/a/status', '/a/scale')}
    | {'/', '/api', '/apis', '/apis/apps', '/openapi/v3', '/version', '/readyz', '/metrics', '/api/v1/watch/pods'}
)  # fmt: skip
QUERIES = {
    'limit': ['1', '0', '-1', 'x', str(2**70)], 'continue': ['x', 'e30', 'eyJydiI6MSwiYWZ0ZXIiOiIifQ', '\x00'],
    'resourceVersion': ['0', '1', '-1', 'x', str(2**70)], 'resourceVersionMatch': ['Exact', 'NotOlderThan', 'x'],
    'fieldSelector': ['metadata.name=a', 'x=y', '=', 'a=\\', 'status.phase!=Running'], 'watch': ['true', 'x'],
    'labelSelector': ['a=b', 'a in (', '!', 'a notin (b)', '((', 'a>1'], 'dryRun': ['All', 'x'],
    'fieldValidation': ['Strict', 'Ignore', 'x'], 'timeoutSeconds': ['0', '-1', 'x', '1'], 'pretty': ['true'],
    'sendInitialEvents': ['true', 'x'], 'allowWatchBookmarks': ['true'], 'gracePeriodSeconds': ['0', 'x', '-5'],
    'propagationPolicy': ['Orphan', 'x'], 'orphanDependents': ['true', 'x'], 'fieldManager': ['m', 'm' * 200],
}  # fmt: skip
ACCEPTS = ['application/json', 'application/yaml', 'text/html', '', 'application/json;as=Table;g=meta.k8s.io;v=v1',
           'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1', ';;=', '*/*']  # fmt: skip
TYPES = ['application/json', 'application/yaml', 'application/merge-patch+json', 'application/json-patch+json',
         'application/strategic-merge-patch+json', 'application/apply-patch+yaml', 'x', '',
         'application/vnd.kubernetes.protobuf']  # fmt: skip


@st.composite
def bodies(draw: Any) -> bytes:
    value = copy.deepcopy(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 3))):
        _mutate(draw, value)
    if draw(st.integers(0, 9)) == 0:
        value = copy.deepcopy(draw(st.one_of(JUNK, st.just([{'op': 'replace', 'path': '/spec', 'value': 1}]))))
    body = json.dumps(value).encode()
    if draw(st.integers(0, 19)) == 0:
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=4)) + body[at:]
    return body


def _mutate(draw: Any, value: Any) -> None:
    """Replace, drop or add something somewhere."""
    while isinstance(value, dict | list) and value:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = draw(st.sampled_from(keys))
        if isinstance(value[key], dict | list) and value[key] and draw(st.booleans()):
            value = value[key]
            continue
        match draw(st.sampled_from(('replace', 'drop', 'add'))):
            case 'replace':
                value[key] = copy.deepcopy(draw(JUNK))
            case 'drop':
                del value[key]
            case _ if isinstance(value, dict):
                value[draw(st.text(max_size=8))] = copy.deepcopy(draw(JUNK))
        return


# Where each seed belongs, by its place in SEEDS.
HOMES = ['/api/v1/namespaces/default/pods', '/apis/apps/v1/namespaces/default/deployments',
         '/apis/batch/v1/namespaces/default/cronjobs', '/api/v1/namespaces/default/services',
         '/api/v1/namespaces/default/configmaps', '/apis/example.com/v1/namespaces/default/widgets',
         '/apis/networking.k8s.io/v1/namespaces/default/ingresses',
         '/api/v1/namespaces/default/persistentvolumeclaims',
         '/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers',
         '/apis/policy/v1/namespaces/default/poddisruptionbudgets',
         '/apis/apiextensions.k8s.io/v1/customresourcedefinitions']  # fmt: skip


@st.composite
def requests(draw: Any) -> tuple[str, str, str, dict[bytes, bytes], bytes]:
    """Two of three are sensible but for their bodies; the others are anything."""
    names = draw(st.lists(st.sampled_from(sorted(QUERIES)), max_size=3, unique=True))
    query = '&'.join(f'{name}={draw(st.sampled_from(QUERIES[name]))}' for name in names)
    if draw(st.integers(0, 2)) == 0:
        method = draw(st.sampled_from(('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'BREW')))
        path, type_, body = draw(st.sampled_from(PATHS)), draw(st.sampled_from(TYPES)), draw(bodies())
    else:
        number = draw(st.integers(0, len(HOMES) - 1))
        method = draw(st.sampled_from(('POST', 'POST', 'POST', 'PUT', 'PATCH', 'GET', 'DELETE')))
        path = HOMES[number] + ('' if method == 'POST' or draw(st.integers(0, 5)) == 0 else '/a')
        type_ = draw(st.sampled_from(TYPES[2:5])) if method == 'PATCH' else TYPES[0]
        value = copy.deepcopy(SEEDS[number])
        for _ in range(draw(st.integers(0, 2))):
            _mutate(draw, value)
        body = json.dumps(value).encode() if method != 'DELETE' else b''
        query = query if draw(st.integers(0, 3)) == 0 else ''
    headers = {b'accept': draw(st.sampled_from(ACCEPTS)).encode(), b'content-type': type_.encode(),
               b'accept-encoding': b'gzip'}  # fmt: skip
    return method, path, query, headers, body


async def ask(api: HttpApi, method: str, path: str, query: str, headers: dict[bytes, bytes], body: bytes) -> int:
    """The answer's code; the client leaves after it has sent its request."""
    messages = [{'type': 'http.request', 'body': body, 'more_body': False}]
    codes: list[int] = []

    async def receive() -> Any:
        return messages.pop() if messages and not codes else {'type': 'http.disconnect'}

    async def send(message: Any) -> None:
        if message['type'] == 'http.response.start':
            codes.append(message['status'])

    scope = {'type': 'http', 'method': method, 'path': path, 'raw_path': path.encode(), 'query_string': query.encode(),
             'headers': list(headers.items()), 'state': {'user': ROOT}}  # fmt: skip
    await asyncio.wait_for(api(scope, receive, send), SECONDS)
    return codes[0]


def test_mutated_requests_are_answered() -> None:
    loop = asyncio.new_event_loop()
    context = memory_api()
    registry = loop.run_until_complete(context.__aenter__())
    loop.run_until_complete(registry.create(CUSTOMRESOURCEDEFINITIONS, CRD))
    api = HttpApi(registry, no_kubelet)

    @settings(max_examples=REQUESTS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(requests())
    def fuzz(request: tuple[str, str, str, dict[bytes, bytes], bytes]) -> None:
        code = loop.run_until_complete(ask(api, *request))
        assert code < 500 or code in ALLOWED_5XX, code

    try:
        fuzz()
    finally:
        loop.run_until_complete(context.__aexit__(None, None, None))
        loop.close()
