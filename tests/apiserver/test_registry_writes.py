"""Create, update, patch: what every kind has in common."""

from __future__ import annotations

import re

import pytest

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import CONFIGMAPS, DEPLOYMENTS, ENDPOINTS, NAMESPACES, PODS
from netkube.apiserver.registry import Registry
from netkube.client.interface import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH


def configmap(name: str = 'cm', **data: str) -> Object:
    return {'metadata': {'name': name, 'namespace': 'default'}, 'data': data}


def deployment(name: str = 'web') -> Object:
    template = {'metadata': {'labels': {'app': name}}, 'spec': {'containers': [{'name': 'c', 'image': 'none'}]}}
    spec = {'replicas': 2, 'selector': {'matchLabels': {'app': name}}, 'template': template}
    return {'metadata': {'name': name, 'namespace': 'default'}, 'spec': spec}


async def test_create_fills_in_what_belongs_to_the_system(registry: Registry) -> None:
    created = await registry.create(CONFIGMAPS, configmap(a='b'))
    metadata = created['metadata']
    assert (created['apiVersion'], created['kind'], created['data']) == ('v1', 'ConfigMap', {'a': 'b'})
    assert re.fullmatch(r'[0-9a-f]{8}-[0-9a-f-]{27}', metadata['uid'])
    assert metadata['creationTimestamp'].endswith('Z') and metadata['resourceVersion'] == str(registry.store.revision)


async def test_what_the_caller_gives_is_not_changed(registry: Registry) -> None:
    given = configmap(a='b')
    await registry.create(CONFIGMAPS, given)
    assert given == configmap(a='b')


async def test_a_generated_name_is_a_base_and_five_letters(registry: Registry) -> None:
    obj = configmap()
    obj['metadata'] = {'generateName': 'base-', 'namespace': 'default'}
    names = {(await registry.create(CONFIGMAPS, obj))['metadata']['name'] for _ in range(20)}
    assert len(names) == 20
    assert all(re.fullmatch(r'base-[bcdfghjklmnpqrstvwxz2456789]{5}', name) for name in names)


async def refusal(awaitable: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value


async def test_a_name_is_taken_once(registry: Registry) -> None:
    await registry.create(CONFIGMAPS, configmap())
    error = await refusal(registry.create(CONFIGMAPS, configmap()))
    assert (error.code, error.reason, str(error)) == (409, 'AlreadyExists', 'configmaps "cm" already exists')


async def test_what_is_created_needs_its_namespace(registry: Registry) -> None:
    obj = configmap()
    obj['metadata']['namespace'] = 'nowhere'
    error = await refusal(registry.create(CONFIGMAPS, obj))
    assert (error.code, str(error)) == (404, 'namespaces "nowhere" not found')


async def test_nothing_is_created_in_a_namespace_that_is_going(registry: Registry) -> None:
    await registry.create(NAMESPACES, {'metadata': {'name': 'going'}})
    await registry.delete(NAMESPACES, '', 'going')
    obj = configmap()
    obj['metadata']['namespace'] = 'going'
    error = await refusal(registry.create(CONFIGMAPS, obj))
    why = 'unable to create new content in namespace going because it is being terminated'
    assert (error.code, str(error)) == (403, f'configmaps "cm" is forbidden: {why}')
    assert error.details is not None and error.details['causes'][0]['reason'] == 'NamespaceTerminating'


async def test_an_invalid_object_is_refused_with_the_path_of_the_fault(registry: Registry) -> None:
    error = await refusal(registry.create(CONFIGMAPS, configmap('Not_A_Name')))
    assert (error.code, error.reason) == (422, 'Invalid')
    assert str(error).startswith('ConfigMap "Not_A_Name" is invalid: metadata.name: Invalid value: "Not_A_Name"')


async def test_an_update_from_an_old_version_is_a_conflict(registry: Registry) -> None:
    first = await registry.create(CONFIGMAPS, configmap(a='1'))
    await registry.update(CONFIGMAPS, {**first, 'data': {'a': '2'}})
    error = await refusal(registry.update(CONFIGMAPS, {**first, 'data': {'a': '3'}}))
    assert (error.code, error.reason) == (409, 'Conflict')
    assert (await registry.get(CONFIGMAPS, 'default', 'cm'))['data'] == {'a': '2'}


async def test_an_update_without_a_version_is_unconditional(registry: Registry) -> None:
    first = await registry.create(CONFIGMAPS, configmap(a='1'))
    second = await registry.update(CONFIGMAPS, configmap(a='2'))
    assert second['metadata']['uid'] == first['metadata']['uid'] and second['data'] == {'a': '2'}


async def test_an_update_for_another_object_of_the_same_name_is_a_conflict(registry: Registry) -> None:
    await registry.create(CONFIGMAPS, configmap())
    other = configmap(a='2')
    other['metadata']['uid'] = 'other'
    error = await refusal(registry.update(CONFIGMAPS, other))
    assert error.code == 409 and 'UID in precondition: other' in str(error)


async def test_an_update_that_changes_nothing_keeps_the_version(registry: Registry) -> None:
    first = await registry.create(DEPLOYMENTS, deployment())
    assert await registry.update(DEPLOYMENTS, deployment()) is first
    patch = {'spec': {'replicas': 2}}
    assert await registry.patch(DEPLOYMENTS, 'default', 'web', patch) is first


async def test_an_update_of_what_is_not_there_is_not_found_but_for_the_kinds_that_it_creates(
    registry: Registry,
) -> None:
    assert (await refusal(registry.update(CONFIGMAPS, configmap()))).code == 404
    created = await registry.update(ENDPOINTS, {'metadata': {'name': 'e', 'namespace': 'default'}})
    assert created['metadata']['uid']


async def test_the_generation_follows_the_spec_and_the_status_has_its_own_door(registry: Registry) -> None:
    obj = await registry.create(DEPLOYMENTS, {**deployment(), 'status': {'replicas': 9}})
    assert obj['metadata']['generation'] == 1 and not obj.get('status')
    obj = await registry.update(DEPLOYMENTS, {**obj, 'spec': {**obj['spec'], 'replicas': 3}, 'status': {'replicas': 9}})
    assert obj['metadata']['generation'] == 2 and not obj.get('status')
    changed = {**obj, 'spec': {**obj['spec'], 'replicas': 7}, 'status': {'replicas': 3}}
    obj = await registry.update(DEPLOYMENTS, changed, 'status')
    assert (obj['metadata']['generation'], obj['spec']['replicas'], obj['status']) == (2, 3, {'replicas': 3})


async def test_the_three_patches(registry: Registry) -> None:
    await registry.create(DEPLOYMENTS, deployment())
    patched = await registry.patch(DEPLOYMENTS, 'default', 'web', {'metadata': {'labels': {'a': 'b'}}})
    assert patched['metadata']['labels'] == {'a': 'b'}
    operations = [{'op': 'replace', 'path': '/spec/replicas', 'value': 5}]
    patched = await registry.patch(DEPLOYMENTS, 'default', 'web', operations, JSON_PATCH)
    assert patched['spec']['replicas'] == 5
    containers = [{'name': 'c', 'image': 'new'}, {'name': 'd', 'image': 'second'}]
    patch = {'spec': {'template': {'spec': {'containers': containers}}}}
    patched = await registry.patch(DEPLOYMENTS, 'default', 'web', patch, STRATEGIC_MERGE_PATCH)
    images = {one['name']: one['image'] for one in patched['spec']['template']['spec']['containers']}
    assert images == {'c': 'new', 'd': 'second'}


async def test_a_patch_may_carry_the_version_it_was_made_for(registry: Registry) -> None:
    await registry.create(CONFIGMAPS, configmap())
    error = await refusal(registry.patch(CONFIGMAPS, 'default', 'cm', {'metadata': {'resourceVersion': '1'}}))
    assert error.code == 409


async def test_a_patch_cannot_rename(registry: Registry) -> None:
    await registry.create(CONFIGMAPS, configmap())
    assert (await refusal(registry.patch(CONFIGMAPS, 'default', 'cm', {'metadata': {'name': 'x'}}))).code == 400


async def test_a_pod_gets_the_clusters_defaults(registry: Registry) -> None:
    spec = {'containers': [{'name': 'c', 'image': 'none'}]}
    pod = await registry.create(PODS, {'metadata': {'name': 'p', 'namespace': 'default'}, 'spec': spec})
    assert (pod['spec']['serviceAccountName'], pod['spec']['priority']) == ('default', 0)
    assert [one['tolerationSeconds'] for one in pod['spec']['tolerations']] == [300, 300]
    assert pod['status']['phase'] == 'Pending'


async def test_a_pod_with_an_unknown_service_account_is_forbidden(registry: Registry) -> None:
    spec = {'containers': [{'name': 'c', 'image': 'none'}], 'serviceAccountName': 'robot'}
    error = await refusal(registry.create(PODS, {'metadata': {'name': 'p', 'namespace': 'default'}, 'spec': spec}))
    why = 'error looking up service account default/robot: serviceaccount "robot" not found'
    assert str(error) == f'pods "p" is forbidden: {why}'


@pytest.mark.parametrize('content_type', [MERGE_PATCH, STRATEGIC_MERGE_PATCH])
async def test_scale_is_patched(registry: Registry, content_type: str) -> None:
    await registry.create(DEPLOYMENTS, deployment())
    await registry.patch(DEPLOYMENTS, 'default', 'web', {'spec': {'replicas': 3}}, content_type, 'scale')
    assert (await registry.get(DEPLOYMENTS, 'default', 'web'))['spec']['replicas'] == 3


async def test_scale_sets_replicas_and_nothing_else(registry: Registry) -> None:
    obj = await registry.create(DEPLOYMENTS, deployment())
    scale = {'metadata': {'name': 'web', 'namespace': 'default'}, 'spec': {'replicas': 7}}
    scaled = await registry.update(DEPLOYMENTS, scale, 'scale')
    assert scaled['spec'] == {**obj['spec'], 'replicas': 7}
    scale['metadata']['resourceVersion'] = obj['metadata']['resourceVersion']
    assert (await refusal(registry.update(DEPLOYMENTS, scale, 'scale'))).code == 409
