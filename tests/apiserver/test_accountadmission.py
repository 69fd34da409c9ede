"""What the admission of ServiceAccounts adds to a Pod."""

from __future__ import annotations

from typing import Any

import pytest

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import PODS, SERVICEACCOUNTS
from netkube.apiserver.accountadmission import MOUNT_PATH
from netkube.apiserver.registry import Registry


async def create(registry: Registry, *containers: Object, **spec: Any) -> Object:
    named = [{'name': f'c{n}', 'image': 'i', **one} for n, one in enumerate(containers or ({},))]
    pod = {'metadata': {'generateName': 'p', 'namespace': 'default'}, 'spec': {'containers': named, **spec}}
    return (await registry.create(PODS, pod))['spec']


async def account(registry: Registry, **fields: Any) -> None:
    await registry.create(SERVICEACCOUNTS, {'metadata': {'name': 'bot', 'namespace': 'default'}, **fields})


async def test_the_volume_is_kubernetes_own(registry: Registry) -> None:
    spec = await create(registry, {}, {})
    (volume,) = spec['volumes']
    assert volume['name'].startswith('kube-api-access-') and len(volume['name']) == len('kube-api-access-') + 5
    assert volume['projected'] == {
        'defaultMode': 0o644,
        'sources': [
            {'serviceAccountToken': {'expirationSeconds': 3607, 'path': 'token'}},
            {'configMap': {'name': 'kube-root-ca.crt', 'items': [{'key': 'ca.crt', 'path': 'ca.crt'}]}},
            {'downwardAPI': {'items': [
                {'path': 'namespace', 'fieldRef': {'apiVersion': 'v1', 'fieldPath': 'metadata.namespace'}}]}},
        ],
    }  # fmt: skip
    mount = {'name': volume['name'], 'readOnly': True, 'mountPath': MOUNT_PATH}
    assert [one['volumeMounts'] for one in spec['containers']] == [[mount], [mount]]
    assert (spec['serviceAccountName'], spec['serviceAccount']) == ('default', 'default')


async def test_a_container_s_own_mount_stays(registry: Registry) -> None:
    own = {'name': 'own', 'mountPath': MOUNT_PATH}
    spec = await create(registry, {'volumeMounts': [own]}, {}, volumes=[{'name': 'own', 'emptyDir': {}}])
    assert spec['containers'][0]['volumeMounts'] == [own]
    assert spec['containers'][1]['volumeMounts'][0]['name'].startswith('kube-api-access-')
    alone = await create(registry, {'volumeMounts': [own]}, volumes=[{'name': 'own', 'emptyDir': {}}])
    assert [volume['name'] for volume in alone['volumes']] == ['own']


async def test_a_volume_of_that_name_is_used(registry: Registry) -> None:
    spec = await create(registry, {}, volumes=[{'name': 'kube-api-access-mine', 'emptyDir': {}}])
    assert [volume['name'] for volume in spec['volumes']] == ['kube-api-access-mine']
    assert spec['containers'][0]['volumeMounts'][0]['name'] == 'kube-api-access-mine'


@pytest.mark.parametrize(
    'of_account, of_pod, mounted',
    [(None, None, True), (False, None, False), (True, False, False), (False, True, True), (None, False, False)],
)
async def test_the_pod_s_word_counts_before_its_account_s(registry, of_account, of_pod, mounted):
    await account(registry, **({} if of_account is None else {'automountServiceAccountToken': of_account}))
    own = {} if of_pod is None else {'automountServiceAccountToken': of_pod}
    spec = await create(registry, serviceAccountName='bot', **own)
    assert ('volumes' in spec) is mounted


async def test_image_pull_secrets_are_copied_unless_the_pod_has_some(registry: Registry) -> None:
    await account(registry, imagePullSecrets=[{'name': 'a'}])
    assert (await create(registry, serviceAccountName='bot'))['imagePullSecrets'] == [{'name': 'a'}]
    own = await create(registry, serviceAccountName='bot', imagePullSecrets=[{'name': 'b'}])
    assert own['imagePullSecrets'] == [{'name': 'b'}]


async def test_an_account_that_is_not_there(registry: Registry) -> None:
    with pytest.raises(ApiError) as refused:
        await create(registry, serviceAccountName='none')
    assert refused.value.message.endswith(
        'is forbidden: error looking up service account default/none: serviceaccount "none" not found')
