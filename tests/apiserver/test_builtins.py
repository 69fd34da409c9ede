"""The kinds that are stored: defaulted, validated, shown, and said to be stored only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from served import POD, ServedApi

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import (
    ALL,
    CRONJOBS,
    DAEMONSETS,
    HORIZONTALPODAUTOSCALERS,
    INGRESSES,
    JOBS,
    LIMITRANGES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODDISRUPTIONBUDGETS,
    PODS,
    PRIORITYCLASSES,
    RESOURCEQUOTAS,
    STATEFULSETS,
    STORAGECLASSES,
    STORED_AS,
    Resource,
)
from netkube.apiserver.registry import Registry

TEMPLATE = {'metadata': {'labels': {'app': 'a'}}, 'spec': {'containers': [{'name': 'c', 'image': 'none'}]}}
SELECTED = {'selector': {'matchLabels': {'app': 'a'}}, 'template': TEMPLATE}
ONCE = {'template': {'spec': {**TEMPLATE['spec'], 'restartPolicy': 'Never'}}}
RULE = {'paths': [{'path': '/', 'pathType': 'Prefix', 'backend': {'service': {'name': 's', 'port': {'number': 80}}}}]}
CLAIM = {'accessModes': ['ReadWriteOnce'], 'resources': {'requests': {'storage': '1Gi'}}}
TARGET = {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'name': 'web'}
VOLUME = {'capacity': {'storage': '1Gi'}, 'accessModes': ['ReadWriteOnce'], 'hostPath': {'path': '/x'}}
OBJECTS: list[tuple[Resource, Object]] = [
    (STATEFULSETS, {'spec': {**SELECTED, 'serviceName': 's'}}),
    (DAEMONSETS, {'spec': SELECTED}),
    (JOBS, {'spec': ONCE}),
    (CRONJOBS, {'spec': {'schedule': '*/5 * * * *', 'jobTemplate': {'spec': ONCE}}}),
    (HORIZONTALPODAUTOSCALERS, {'spec': {'scaleTargetRef': TARGET, 'maxReplicas': 3}}),
    (PODDISRUPTIONBUDGETS, {'spec': {'minAvailable': 1, 'selector': {'matchLabels': {'app': 'a'}}}}),
    (INGRESSES, {'spec': {'rules': [{'host': 'a.example.com', 'http': RULE}]}}),
    (PERSISTENTVOLUMECLAIMS, {'spec': CLAIM}),
    (PERSISTENTVOLUMES, {'spec': VOLUME}),
    (STORAGECLASSES, {'provisioner': 'example.com/disk'}),
    (PRIORITYCLASSES, {'value': 1000}),
    (RESOURCEQUOTAS, {'spec': {'hard': {'pods': '10', 'limits.cpu': '2'}}}),
    (LIMITRANGES, {'spec': {'limits': [{'type': 'Container', 'max': {'cpu': '1'}}]}}),
]


def named(resource: Resource, body: Object, name: str = 'a') -> Object:
    namespace = {'namespace': 'default'} if resource.namespaced else {}
    return {'apiVersion': resource.api_version, 'kind': resource.kind, 'metadata': {'name': name, **namespace}, **body}


async def test_kubectl_applies_and_shows_them(api: ServedApi) -> None:
    manifest = '\n---\n'.join(json.dumps(named(resource, body)) for resource, body in OBJECTS)
    applied = await api.kubectl('apply', '-f', '-', stdin=manifest)
    assert applied.count(' created') == len(OBJECTS)
    assert 'Warning: netkube stores StatefulSets but does not run them yet' in applied
    assert 'PriorityClasses but' not in applied
    again = await api.kubectl('apply', '-f', '-', stdin=manifest)
    # upstream, too, patches a budget's selector and a limit range's list each time: they are replaced as a whole
    assert again.count(' unchanged') == len(OBJECTS) - 2, again
    headers = {}
    for word in ('sts', 'ds', 'job', 'cronjob', 'hpa', 'pdb', 'ing', 'pvc', 'pv', 'sc', 'pc', 'quota'):
        headers[word] = (await api.kubectl('get', word)).splitlines()[0].split('  ')
    shown = {word: [cell.strip() for cell in cells if cell.strip()] for word, cells in headers.items()}
    assert shown['sts'] == ['NAME', 'READY', 'AGE'] and shown['pc'][:3] == ['NAME', 'VALUE', 'GLOBAL-DEFAULT']
    assert shown['ds'][:5] == ['NAME', 'DESIRED', 'CURRENT', 'READY', 'UP-TO-DATE']
    assert shown['job'] == ['NAME', 'STATUS', 'COMPLETIONS', 'DURATION', 'AGE']
    assert shown['cronjob'][:4] == ['NAME', 'SCHEDULE', 'TIMEZONE', 'SUSPEND']
    assert shown['ing'] == ['NAME', 'CLASS', 'HOSTS', 'ADDRESS', 'PORTS', 'AGE']
    assert shown['pvc'][:3] == ['NAME', 'STATUS', 'VOLUME'] and shown['pv'][:3] == ['NAME', 'CAPACITY', 'ACCESS MODES']
    assert shown['sc'][:3] == ['NAME', 'PROVISIONER', 'RECLAIMPOLICY']
    assert shown['hpa'][:3] == ['NAME', 'REFERENCE', 'TARGETS'] and shown['quota'][:3] == ['NAME', 'REQUEST', 'LIMIT']
    described = await api.kubectl('describe', 'sts/a')
    assert '1 desired | 0 total' in described
    await api.kubectl('scale', 'sts/a', '--replicas=2')


async def test_kubectl_creates_them_in_protobuf(api: ServedApi) -> None:
    for words in (
        'job j --image=none -- sleep 1', 'cronjob c --image=none --schedule=@hourly', 'quota q --hard=pods=1',
        'ingress i --rule=a.example.com/*=web:80', 'pdb p --selector=app=a --min-available=1',
        'priorityclass pc --value=10',
    ):  # fmt: skip
        assert ' created' in await api.kubectl('create', *words.split())
    await api.kubectl('create', 'deployment', 'web', '--image=none')
    assert 'autoscaled' in await api.kubectl('autoscale', 'deployment', 'web', '--max=3', '--cpu=50%')
    path = '{.spec.rules[0].http.paths[0].backend.service}'
    assert await api.kubectl('get', 'ingress/i', '-o', f'jsonpath={path}') == '{"name":"web","port":{"number":80}}'


@pytest.mark.parametrize('resource', [one for one in ALL if one not in STORED_AS], ids=str)
async def test_every_kind_answers_a_list_and_says_what_is_missing(api: ServedApi, resource: Resource) -> None:
    path = resource.path('default')
    listed = await api.request('GET', path)
    assert listed.code == 200 and listed.json['kind'] == resource.list_kind
    table = await api.request('GET', path, accept='application/json;as=Table;g=meta.k8s.io;v=v1')
    assert table.json['columnDefinitions'][0]['name'] in ('Name', 'Last Seen')
    answer = await api.request('POST', path, {'metadata': {'name': 'empty'}})
    assert answer.code in (201, 422), answer.body
    if answer.code == 201:
        table = await api.request('GET', path, accept='application/json;as=Table;g=meta.k8s.io;v=v1')
        assert table.code == 200


FAULTS: list[tuple[Resource, Object, str]] = [
    (STATEFULSETS, {'spec': {'template': TEMPLATE}}, 'spec.selector: Required value'),
    (DAEMONSETS, {'spec': {**SELECTED, 'updateStrategy': {'type': 'x'}}}, 'updateStrategy.type: Unsupported value'),
    (JOBS, {'spec': {'template': TEMPLATE}}, 'restartPolicy: Required value: valid values: "OnFailure", "Never"'),
    (CRONJOBS, {'spec': {'schedule': '61 * * * *', 'jobTemplate': {'spec': ONCE}}},
     'spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61'),
    (CRONJOBS, {'spec': {'schedule': '@hourly', 'timeZone': 'Mars/One', 'jobTemplate': {'spec': ONCE}}},
     'spec.timeZone: Invalid value: "Mars/One": unknown time zone Mars/One'),
    (HORIZONTALPODAUTOSCALERS, {'spec': {'scaleTargetRef': TARGET, 'maxReplicas': 0}},
     'spec.maxReplicas: Invalid value: 0: must be greater than 0'),
    (PODDISRUPTIONBUDGETS, {'spec': {'minAvailable': 1, 'maxUnavailable': 1}},
     'minAvailable and maxUnavailable cannot be both set'),
    (INGRESSES, {'spec': {}}, 'either `defaultBackend` or `rules` must be specified'),
    (PERSISTENTVOLUMECLAIMS, {'spec': {'accessModes': ['x']}}, 'spec.accessModes: Unsupported value: "x"'),
    (PERSISTENTVOLUMES, {'spec': {**VOLUME, 'nfs': {'server': 's', 'path': '/'}}}, 'may not specify more than 1'),
    (STORAGECLASSES, {}, 'provisioner: Required value'),
    (PRIORITYCLASSES, {'value': 2_000_000_000}, 'maximum allowed value of a user defined priority is 1000000000'),
    (RESOURCEQUOTAS, {'spec': {'hard': {'pods': '-1'}}}, 'must be greater than or equal to 0'),
    (LIMITRANGES, {'spec': {'limits': [{'type': 'Pod', 'min': {'cpu': '2'}, 'max': {'cpu': '1'}}]}},
     'min value 2 is greater than max value 1'),
]


@pytest.mark.parametrize('resource, body, fault', FAULTS)
async def test_what_is_wrong_is_said_in_kubernetes_words(
    registry: Registry, resource: Resource, body: Object, fault: str
) -> None:
    with pytest.raises(ApiError) as error:
        await registry.create(resource, named(resource, body))
    assert error.value.code == 422 and fault in error.value.message


async def test_defaults(registry: Registry) -> None:
    made = {resource: await registry.create(resource, named(resource, body)) for resource, body in OBJECTS}
    assert made[STATEFULSETS]['spec']['updateStrategy'] == {'type': 'RollingUpdate', 'rollingUpdate': {'partition': 0}}
    assert made[DAEMONSETS]['spec']['updateStrategy']['rollingUpdate'] == {'maxUnavailable': 1, 'maxSurge': 0}
    job: Any = made[JOBS]
    assert (job['spec']['backoffLimit'], job['spec']['completionMode']) == (6, 'NonIndexed')
    labels = job['spec']['template']['metadata']['labels']
    assert labels['batch.kubernetes.io/job-name'] == 'a'
    assert job['spec']['selector']['matchLabels'] == {'batch.kubernetes.io/controller-uid': job['metadata']['uid']}
    assert made[PERSISTENTVOLUMECLAIMS]['status'] == {'phase': 'Pending'}
    assert made[LIMITRANGES]['spec']['limits'][0]['defaultRequest'] == {'cpu': '1'}


async def test_a_pod_gets_the_priority_of_its_class(registry: Registry) -> None:
    await registry.create(PRIORITYCLASSES, named(PRIORITYCLASSES, {'value': 7, 'preemptionPolicy': 'Never'}, 'high'))
    body: Any = {**POD, 'metadata': {'name': 'p', 'namespace': 'default'}}
    body['spec'] = {**POD['spec'], 'priorityClassName': 'high'}
    pod = await registry.create(PODS, body)
    assert (pod['spec']['priority'], pod['spec']['preemptionPolicy']) == (7, 'Never')


async def test_the_system_has_its_priority_classes(api: ServedApi) -> None:
    shown = (await api.kubectl('get', 'pc', '--no-headers')).splitlines()
    assert [line.split()[:2] for line in shown] == [
        ['system-cluster-critical', '2000000000'], ['system-node-critical', '2000001000'],
    ]  # fmt: skip
    refused = await api.kubectl('delete', 'pc', 'system-node-critical', code=1)
    assert 'this is a system priority class and cannot be deleted' in refused


async def test_health_and_metrics(api: ServedApi) -> None:
    verbose = await api.request('GET', '/readyz?verbose')
    assert verbose.body.decode().splitlines() == ['[+]ping ok', '[+]log ok', '[+]etcd ok', 'readyz check passed']
    assert (await api.request('GET', '/livez/etcd')).body == b'ok'
    assert (await api.request('GET', '/livez/nothing')).code == 404
    await api.request('GET', '/api/v1/namespaces/default/pods')
    text = (await api.request('GET', '/metrics')).body.decode()
    assert (
        'apiserver_request_total{code="200",verb="LIST",group="",version="v1",resource="pods",subresource="",'
        'scope="namespace"} 1' in text
    )
    assert 'apiserver_storage_objects{resource="namespaces"} 4' in text and 'process_open_fds' in text
    assert 'apiserver_request_duration_seconds_bucket' in text
