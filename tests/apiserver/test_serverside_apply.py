"""Server-side apply over HTTP; most cases are those of kubernetes test/integration/apiserver/apply."""

from __future__ import annotations

import pytest
from applying import (
    APPLY,
    CONFIGMAP,
    DEPLOYMENT,
    JSON_PATCH,
    apply,
    configmap,
    deployment,
    managers,
    patch,
    with_container,
)
from served import POD, ServedApi

from netkube.api.resources import CONFIGMAPS, DEPLOYMENTS, PODS

PODS_PATH = '/api/v1/namespaces/default/pods'


async def test_apply_creates_what_is_not_there(api: ServedApi) -> None:
    answer = await api.request('PATCH', f'{CONFIGMAP}?fieldManager=a', configmap(k='v'), content_type=APPLY)
    assert answer.code == 201 and answer.json['data'] == {'k': 'v'}
    (entry,) = answer.json['metadata']['managedFields']
    assert entry.pop('time').endswith('Z')
    assert entry == {'manager': 'a', 'operation': 'Apply', 'apiVersion': 'v1', 'fieldsType': 'FieldsV1',
                     'fieldsV1': {'f:data': {'f:k': {}}}}  # fmt: skip
    service = {'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 's'},
               'spec': {'ports': [{'port': 8080, 'protocol': 'UDP'}]}}  # fmt: skip
    for manager in ('a', 'b'):
        made = await apply(api, '/api/v1/namespaces/default/services/s', service, manager)
        assert made['spec']['clusterIP'].startswith('10.96.')
    assert (await apply(api, f'{PODS_PATH}/a', POD))['status']['phase'] == 'Pending'


async def test_yaml_is_a_configuration_too(api: ServedApi) -> None:
    text = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, labels: {day: 2026-01-01}}\n'
    assert (await apply(api, CONFIGMAP, text))['metadata']['labels'] == {'day': '2026-01-01'}
    assert 'error decoding YAML: ' in (await apply(api, CONFIGMAP, 'a: [', code=400))['message']


async def test_who_applies_must_be_said(api: ServedApi) -> None:
    refused = await api.request('PATCH', CONFIGMAP, configmap(), content_type=APPLY)
    assert refused.code == 422
    assert refused.message == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )
    assert refused.json['details']['causes'][0]['field'] == 'fieldManager'
    long = await api.request('POST', f'{CONFIGMAP[:-2]}?fieldManager={"x" * 129}', configmap())
    assert long.code == 422 and 'fieldManager: Too long: may not be more than 128 bytes' in long.message
    forced = await api.request('PATCH', f'{CONFIGMAP}?force=true', {}, content_type='application/merge-patch+json')
    assert forced.code == 422 and 'force: Forbidden: may not be specified for non-apply patch' in forced.message


@pytest.mark.parametrize(
    ('change', 'code', 'message'),
    [
        ({'apiVersion': 'v2'}, 400, 'Incorrect version specified in apply patch. Specified patch version: v2, '
                                    'expected: v1'),
        ({'kind': 'Secret'}, 400, 'Secret cannot be applied as a ConfigMap'),
        ({'metadata': {'name': 'd'}}, 400, 'the name of the object (d based on URL) does not match the name on the URL '
                                           '(c)'),
        ({'metadata': {'name': 'c', 'managedFields': []}}, 400, 'metadata.managedFields must be nil'),
        ({'metadata': {'name': 'c', 'uid': 'x'}}, 409, 'uid mismatch: the provided object specified uid x, and no '
                                                       'existing object was found'),
        ({'data': {'k': 1}}, 500, 'failed to create typed patch object (default/c; /v1, Kind=ConfigMap): .data.k: '
                                  'expected string, got &value.valueUnstructured{Value:1}'),
        ({'dta': {}}, 500, '.dta: field not declared in schema'),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
async def test_what_cannot_be_applied(api: ServedApi, change: dict[str, object], code: int, message: str) -> None:
    refused = await apply(api, CONFIGMAP, configmap() | change, code=code)
    assert refused['message'].endswith(message)
    assert (await api.request('GET', CONFIGMAP)).code == 404


async def test_items_of_a_list_are_known_by_their_keys(api: ServedApi) -> None:
    twice = with_container(deployment(), env=[{'name': 'A', 'value': '1'}, {'name': 'A', 'value': '2'}])
    refused = await apply(api, DEPLOYMENT, twice, code=500)
    assert refused['message'].endswith(
        '.spec.template.spec.containers[name="web"].env: duplicate entries for key [name="A"]'
    )


async def test_a_conflict_names_the_manager_and_the_field(api: ServedApi) -> None:
    await apply(api, DEPLOYMENT, deployment())
    await patch(api, DEPLOYMENT, {'spec': {'replicas': 5}}, manager='', user_agent='scaler/1.0 (linux)')
    refused = await apply(api, DEPLOYMENT, deployment(), code=409)
    assert refused['reason'] == 'Conflict'
    assert refused['message'] == (
        'Apply failed with 1 conflict: conflict with "scaler" using apps/v1: .spec.replicas'
    )
    assert refused['details'] == {'causes': [
        {'reason': 'FieldManagerConflict', 'message': 'conflict with "scaler" using apps/v1', 'field': '.spec.replicas'}
    ]}  # fmt: skip
    forced = await apply(api, DEPLOYMENT, deployment(), query='&force=true')
    assert forced['spec']['replicas'] == 3
    assert [one['manager'] for one in forced['metadata']['managedFields']] == ['a']


async def test_several_conflicts_are_listed_by_manager(api: ServedApi) -> None:
    await apply(api, CONFIGMAP, configmap(one='1', two='2'), 'a')
    await apply(api, CONFIGMAP, configmap(three='3'), 'b')
    refused = await apply(api, CONFIGMAP, configmap(one='x', two='x', three='x'), 'c', code=409)
    assert refused['message'] == (
        'Apply failed with 3 conflicts: conflicts with "a":\n- .data.one\n- .data.two\nconflicts with "b":\n'
        '- .data.three'
    )


async def test_scale_takes_the_replicas(api: ServedApi) -> None:
    await apply(api, DEPLOYMENT, deployment())
    await patch(api, f'{DEPLOYMENT}/scale', {'spec': {'replicas': 7}}, 'scaler')
    found = await managers(api, DEPLOYMENT)
    assert found['scaler', 'Update', 'scale'] == {'f:spec': {'f:replicas': {}}}
    assert 'f:replicas' not in found['a', 'Apply', '']['f:spec']
    refused = await apply(api, DEPLOYMENT, deployment(), code=409)
    assert 'conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas' in refused['message']
    scale = {'apiVersion': 'autoscaling/v1', 'kind': 'Scale', 'metadata': {'name': 'web'}, 'spec': {'replicas': 2}}
    refused = await apply(api, f'{DEPLOYMENT}/scale', scale, 'hpa', code=409)
    assert refused['details']['causes'][0]['field'] == '.spec.replicas'
    assert (await apply(api, f'{DEPLOYMENT}/scale', scale, 'hpa', '&force=true'))['spec'] == {'replicas': 2}
    assert (await managers(api, DEPLOYMENT))['hpa', 'Apply', 'scale'] == {'f:spec': {'f:replicas': {}}}


async def test_a_controller_in_process_takes_what_it_changes(api: ServedApi) -> None:
    await apply(api, DEPLOYMENT, deployment())
    obj = await api.registry.get(DEPLOYMENTS, 'default', 'web')
    await api.registry.update(DEPLOYMENTS, obj | {'spec': obj['spec'] | {'replicas': 9}})
    refused = await apply(api, DEPLOYMENT, deployment(), code=409)
    assert 'conflict with "netkube" using apps/v1: .spec.replicas' in refused['message']


async def test_a_controller_owns_the_annotation_it_writes_with_the_status(api: ServedApi) -> None:
    await apply(api, DEPLOYMENT, deployment())
    obj = await api.registry.get(DEPLOYMENTS, 'default', 'web')
    metadata = obj['metadata'] | {'annotations': {'revision': '1'}}
    await api.registry.update(DEPLOYMENTS, obj | {'metadata': metadata, 'status': {'replicas': 1}}, 'status')
    annotations = {'f:metadata': {'f:annotations': {'.': {}, 'f:revision': {}}}}
    assert (await managers(api, DEPLOYMENT))['netkube', 'Update', 'status'] == annotations


async def test_what_was_made_in_process_has_no_managers_until_it_is_applied(api: ServedApi) -> None:
    await api.registry.create(CONFIGMAPS, configmap(k='v', other='o') | {'metadata': {'name': 'c', 'namespace':
                                                                                     'default'}})  # fmt: skip
    await patch(api, CONFIGMAP, {'data': {'k': 'w'}})
    assert await managers(api, CONFIGMAP) == {}
    refused = await apply(api, CONFIGMAP, configmap(k='x'), code=409)
    assert 'conflict with "before-first-apply" using v1: .data.k' in refused['message']
    await apply(api, CONFIGMAP, configmap(k='w'))
    found = await managers(api, CONFIGMAP)
    assert found['a', 'Apply', ''] == {'f:data': {'f:k': {}}}
    assert found['before-first-apply', 'Update', '']['f:data'] == {'.': {}, 'f:k': {}, 'f:other': {}}


async def test_the_same_value_is_owned_together(api: ServedApi) -> None:
    for manager in ('a', 'b'):
        await apply(api, CONFIGMAP, configmap(shared='1', **{manager: '1'}), manager)
    await apply(api, CONFIGMAP, configmap(a='1'), 'a')
    assert (await api.request('GET', CONFIGMAP)).json['data'] == {'shared': '1', 'a': '1', 'b': '1'}
    await apply(api, CONFIGMAP, configmap(b='1'), 'b')
    assert (await api.request('GET', CONFIGMAP)).json['data'] == {'a': '1', 'b': '1'}


async def test_what_is_no_longer_applied_goes(api: ServedApi) -> None:
    ports = [{'containerPort': 80}, {'containerPort': 81}]
    await apply(api, DEPLOYMENT, with_container(deployment(), ports=ports, env=[{'name': 'A', 'value': '1'}]))
    await apply(api, DEPLOYMENT, with_container(deployment(), env=[{'name': 'B', 'value': '1'}]), 'b')
    changed = await apply(api, DEPLOYMENT, with_container(deployment(), ports=ports[:1]))
    (container,) = changed['spec']['template']['spec']['containers']
    assert [port['containerPort'] for port in container['ports']] == [80]
    assert [one['name'] for one in container['env']] == ['B']


async def test_a_default_comes_back_when_its_field_is_dropped(api: ServedApi) -> None:
    await apply(api, DEPLOYMENT, deployment(revisionHistoryLimit=2, replicas=5))
    changed = await apply(api, DEPLOYMENT, deployment(replicas=None))
    assert (changed['spec']['replicas'], changed['spec']['revisionHistoryLimit']) == (1, 10)


async def test_the_order_of_the_last_applier_holds(api: ServedApi) -> None:
    def named(*names: str) -> list[dict[str, str]]:
        return [{'name': name, 'value': 'x'} for name in names]

    await apply(api, DEPLOYMENT, with_container(deployment(), env=named('A', 'B', 'C')))
    changed = await apply(api, DEPLOYMENT, with_container(deployment(), env=named('D', 'C', 'A')), 'b')
    env = changed['spec']['template']['spec']['containers'][0]['env']
    assert ''.join(one['name'] for one in env) == 'BDCA'


async def test_the_same_again_writes_nothing(api: ServedApi) -> None:
    first = await apply(api, DEPLOYMENT, deployment())
    tomorrow = api.registry.storage.now().replace(year=2099)
    api.registry.storage.now = lambda: tomorrow
    assert await apply(api, DEPLOYMENT, deployment()) == first
    again = await api.request('PUT', f'{DEPLOYMENT}?fieldManager=u', first)
    assert again.json == first
    await patch(api, DEPLOYMENT, {'metadata': {'labels': {'x': 'y'}}})
    times = {e['manager']: e['time'] for e in (await api.request('GET', DEPLOYMENT)).json['metadata']['managedFields']}
    assert times['u'].startswith('2099-') and not times['a'].startswith('2099-')


async def test_dry_run_writes_nothing(api: ServedApi) -> None:
    assert (await apply(api, CONFIGMAP, configmap(k='v'), query='&dryRun=All'))['data'] == {'k': 'v'}
    assert (await api.request('GET', CONFIGMAP)).code == 404
    first = await apply(api, CONFIGMAP, configmap(k='v'))
    assert (await apply(api, CONFIGMAP, configmap(k='w'), query='&dryRun=All'))['data'] == {'k': 'w'}
    assert (await api.request('GET', CONFIGMAP)).json == first


async def test_a_resource_version_is_a_precondition(api: ServedApi) -> None:
    first = await apply(api, CONFIGMAP, configmap(k='v'))
    config = configmap(k='w')
    config['metadata'] = {'name': 'c', 'resourceVersion': first['metadata']['resourceVersion']}
    await apply(api, CONFIGMAP, config)
    config['data'] = {'k': 'x'}
    refused = await apply(api, CONFIGMAP, config, code=409)
    assert 'the object has been modified' in refused['message']
    config['metadata'] = {'name': 'c', 'uid': 'other'}
    assert 'Precondition failed: UID' in (await apply(api, CONFIGMAP, config, code=409))['message']


async def test_status_is_applied_apart(api: ServedApi) -> None:
    config = deployment() | {'status': {'replicas': 4}}
    await apply(api, DEPLOYMENT, config)
    assert 'f:status' not in (await managers(api, DEPLOYMENT))['a', 'Apply', '']
    condition = {'type': 'Mine', 'status': 'True', 'lastTransitionTime': '2026-01-01T00:00:00Z',
                 'lastUpdateTime': '2026-01-01T00:00:00Z'}  # fmt: skip
    status = {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'web'},
              'spec': {'replicas': 8}, 'status': {'conditions': [condition]}}  # fmt: skip
    changed = await apply(api, f'{DEPLOYMENT}/status', status, 's')
    assert changed['status']['conditions'] == [condition] and changed['spec']['replicas'] == 3
    found = await managers(api, DEPLOYMENT)
    assert found['s', 'Apply', 'status'].keys() == {'f:status'}
    assert found['s', 'Apply', 'status']['f:status']['f:conditions'].keys() == {'k:{"type":"Mine"}'}
    assert (await api.request('PATCH', f'{DEPLOYMENT}x/status?fieldManager=s', status | {'metadata': {'name': 'webx'}},
                              content_type=APPLY)).code == 404  # fmt: skip


async def test_the_components_status_conflicts(api: ServedApi) -> None:
    await api.request('POST', PODS_PATH, POD)
    pod = await api.registry.get(PODS, 'default', 'a')
    await api.registry.update(PODS, pod | {'status': {'phase': 'Running'}}, 'status')
    assert not any(key[2] for key in await managers(api, f'{PODS_PATH}/a'))
    config = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'a'}, 'status': {'phase': 'Failed'}}
    refused = await apply(api, f'{PODS_PATH}/a/status', config, code=409)
    assert refused['message'].endswith('conflict with "netkube" with subresource "status" using v1: .status.phase')


async def test_managed_fields_can_be_cleared_and_set(api: ServedApi) -> None:
    await apply(api, CONFIGMAP, configmap(k='v'))
    await patch(api, CONFIGMAP, {'metadata': {'managedFields': []}})
    assert ('a', 'Apply', '') in await managers(api, CONFIGMAP)
    await patch(api, CONFIGMAP, {'metadata': {'managedFields': [{}]}})
    assert await managers(api, CONFIGMAP) == {}
    entry = {'manager': 'm', 'operation': 'Update', 'apiVersion': 'v1', 'fieldsType': 'FieldsV1',
             'fieldsV1': {'f:data': {'f:k': {'.': {}}}}}  # fmt: skip
    operations = [{'op': 'add', 'path': '/metadata/managedFields', 'value': [entry]}]
    await patch(api, CONFIGMAP, operations, content_type=JSON_PATCH)
    assert await managers(api, CONFIGMAP) == {('m', 'Update', ''): {'f:data': {'f:k': {}}}}


@pytest.mark.parametrize(
    'fault',
    [{'operation': 'Delete'}, {'apiVersion': ''}, {'fieldsType': 'FieldsV2'}, {'fieldsV1': {'x:k': {}}},
     {'fieldsV1': {'k:{': {}}}],
    ids=str,
)  # fmt: skip
async def test_managed_fields_that_cannot_be_read_are_not_taken(api: ServedApi, fault: dict[str, object]) -> None:
    before = (await apply(api, CONFIGMAP, configmap(k='v')))['metadata']['managedFields']
    entry = {'manager': 'm', 'operation': 'Update', 'apiVersion': 'v1', 'fieldsType': 'FieldsV1', 'fieldsV1': {}}
    answer = await patch(api, CONFIGMAP, {'metadata': {'managedFields': [entry | fault]}})
    assert answer.json['metadata']['managedFields'] == before


async def test_subresources_do_not_set_managed_fields(api: ServedApi) -> None:
    before = (await apply(api, DEPLOYMENT, deployment()))['metadata']['managedFields']
    answer = await patch(api, f'{DEPLOYMENT}/status', {'metadata': {'managedFields': [{}]}})
    assert answer.json['metadata']['managedFields'] == before


async def test_updates_are_remembered_by_at_most_ten_managers(api: ServedApi) -> None:
    await apply(api, CONFIGMAP, configmap(k='v'))
    for number in range(14):
        await patch(api, CONFIGMAP, {'data': {f'k{number}': 'v'}}, f'u{number:02}')
    found = await managers(api, CONFIGMAP)
    assert len(found) == 11
    assert found['ancient-changes', 'Update', '']['f:data'].keys() == {f'f:k{n}' for n in range(5)}
    assert found['u13', 'Update', ''] == {'f:data': {'f:k13': {}}}


async def test_what_an_update_removes_is_nobodys(api: ServedApi) -> None:
    await apply(api, CONFIGMAP, configmap(k='v', other='o'))
    await patch(api, CONFIGMAP, {'data': {'k': None}})
    assert await managers(api, CONFIGMAP) == {('a', 'Apply', ''): {'f:data': {'f:other': {}}}}


async def test_a_selector_is_one_field(api: ServedApi) -> None:
    service = {'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 's'},
               'spec': {'selector': {'a': '1'}, 'ports': [{'port': 1}]}}  # fmt: skip
    path = '/api/v1/namespaces/default/services/s'
    await apply(api, path, service)
    more = {**service, 'spec': {'selector': {'a': '1', 'b': '2'}}}
    assert '.spec.selector' in (await apply(api, path, more, 'b', code=409))['message']
    assert (await apply(api, path, more, 'b', '&force=true'))['spec']['selector'] == {'a': '1', 'b': '2'}


async def test_a_secrets_string_data_is_applied_again_and_again(api: ServedApi) -> None:
    secret = {'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': 's'}, 'stringData': {'a': 'b'}}
    path = '/api/v1/namespaces/default/secrets/s'
    first = await apply(api, path, secret)
    assert first['data'] == {'a': 'Yg=='} and first['type'] == 'Opaque'
    assert await apply(api, path, secret) == first


async def test_finalizers_are_a_set(api: ServedApi) -> None:
    for manager in ('a', 'b'):
        config = configmap()
        config['metadata'] = {'name': 'c', 'finalizers': [f'x.io/{manager}']}
        made = await apply(api, CONFIGMAP, config, manager)
    assert made['metadata']['finalizers'] == ['x.io/a', 'x.io/b']
    assert (await managers(api, CONFIGMAP))['b', 'Apply', ''] == {'f:metadata': {'f:finalizers': {'v:"x.io/b"': {}}}}
    gone = await apply(api, CONFIGMAP, configmap(), 'a')
    assert gone['metadata']['finalizers'] == ['x.io/b']


async def test_lists_and_tables_carry_the_managers(api: ServedApi) -> None:
    await apply(api, CONFIGMAP, configmap(k='v'))
    (item,) = (await api.request('GET', CONFIGMAP[:-2])).json['items']
    assert item['metadata']['managedFields'][0]['manager'] == 'a'
    table = await api.request('GET', CONFIGMAP[:-2], accept='application/json;as=Table;v=v1;g=meta.k8s.io')
    (row,) = table.json['rows']
    assert row['object']['metadata']['managedFields'][0]['manager'] == 'a'
