"""Requests of server-side apply, and what managedFields say."""

from __future__ import annotations

import copy
import json
from typing import Any

from served import Answer, ServedApi

APPLY = 'application/apply-patch+yaml'
MERGE = 'application/merge-patch+json'
JSON_PATCH = 'application/json-patch+json'
CONFIGMAP = '/api/v1/namespaces/default/configmaps/c'
DEPLOYMENT = '/apis/apps/v1/namespaces/default/deployments/web'


def configmap(**data: str) -> dict[str, Any]:
    return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'c'}} | ({'data': data} if data else {})


def deployment(**spec: Any) -> dict[str, Any]:
    labels = {'app': 'web'}
    template = {'metadata': {'labels': labels}, 'spec': {'containers': [{'name': 'web', 'image': 'one'}]}}
    spec = {'replicas': 3, 'selector': {'matchLabels': labels}, 'template': template} | spec
    spec = {key: value for key, value in spec.items() if value is not None}
    return {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'web'}, 'spec': spec}


def with_container(obj: dict[str, Any], **fields: Any) -> dict[str, Any]:
    changed = copy.deepcopy(obj)
    changed['spec']['template']['spec']['containers'][0] |= fields
    return changed


async def apply(api: ServedApi, path: str, config: Any, manager: str = 'a', query: str = '', code: int = 0) -> Any:
    """The answer's JSON; its code must be 200 or 201 unless another is wanted."""
    answer = await api.request('PATCH', f'{path}?fieldManager={manager}{query}', config, content_type=APPLY)
    assert answer.code == code if code else answer.code in (200, 201), answer.body
    return answer.json


async def patch(
    api: ServedApi, path: str, body: Any, manager: str = 'u', content_type: str = MERGE, **headers: str
) -> Answer:
    query = f'?fieldManager={manager}' if manager else ''
    answer = await api.request('PATCH', path + query, body, content_type=content_type, **headers)
    assert answer.code == 200, answer.body
    return answer


async def managers(api: ServedApi, path: str) -> dict[tuple[str, str, str], Any]:
    """{(manager, operation, subresource): fieldsV1}."""
    obj = (await api.request('GET', path)).json
    entries = obj['metadata'].get('managedFields', [])
    assert len(json.dumps(entries)) < 100_000
    return {(one.get('manager', ''), one['operation'], one.get('subresource', '')): one['fieldsV1'] for one in entries}
