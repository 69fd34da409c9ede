"""Namespaces: what each one is given, and how one ends."""

from __future__ import annotations

from typing import Any

import pytest
from workload_cluster import Cluster

from netkube.api.errors import ApiError
from netkube.api.meta import Object, utc_now
from netkube.api.resources import CONFIGMAPS, NAMESPACES, PODS, SECRETS, SERVICEACCOUNTS
from netkube.controllers.namespace import NamespaceController, Remaining, plan_conditions
from netkube.controllers.rootca import DESCRIPTION, RootCAController
from netkube.controllers.serviceaccount import ServiceAccountController
from netkube.testing import eventually


def named(kind: str, name: str, **body: Any) -> Object:
    return {'apiVersion': 'v1', 'kind': kind, 'metadata': {'name': name, 'namespace': 'team'}, **body}


async def exists(cluster: Cluster, *where: Any) -> bool:
    try:
        await cluster.api.get(*where)
    except ApiError as error:
        assert error.code == 404
        return False
    return True


async def make_team(cluster: Cluster) -> None:
    await cluster.api.create(NAMESPACES, {'apiVersion': 'v1', 'kind': 'Namespace', 'metadata': {'name': 'team'}})


async def test_each_namespace_has_a_default_account_and_the_ca(cluster: Cluster) -> None:
    await cluster.start(ServiceAccountController)
    await cluster.start(RootCAController, ca='PEM')
    await make_team(cluster)
    await eventually(lambda: exists(cluster, SERVICEACCOUNTS, 'team', 'default'))
    await eventually(lambda: exists(cluster, CONFIGMAPS, 'team', 'kube-root-ca.crt'))
    await eventually(lambda: exists(cluster, SERVICEACCOUNTS, 'default', 'default'))
    config_map = await cluster.api.get(CONFIGMAPS, 'team', 'kube-root-ca.crt')
    assert config_map['data'] == {'ca.crt': 'PEM'}
    assert config_map['metadata']['annotations'] == {'kubernetes.io/description': DESCRIPTION}


async def test_both_come_back(cluster: Cluster) -> None:
    await cluster.start(ServiceAccountController)
    await cluster.start(RootCAController, ca='PEM')
    await eventually(lambda: exists(cluster, SERVICEACCOUNTS, 'default', 'default'))
    await eventually(lambda: exists(cluster, CONFIGMAPS, 'default', 'kube-root-ca.crt'))
    await cluster.api.delete(SERVICEACCOUNTS, 'default', 'default')
    await cluster.api.patch(CONFIGMAPS, 'default', 'kube-root-ca.crt', {'data': {'ca.crt': 'forged'}})

    async def restored() -> bool:
        data = (await cluster.api.get(CONFIGMAPS, 'default', 'kube-root-ca.crt'))['data']
        return data == {'ca.crt': 'PEM'} and await exists(cluster, SERVICEACCOUNTS, 'default', 'default')

    await eventually(restored)


async def test_a_deleted_namespace_takes_its_content_with_it(cluster: Cluster) -> None:
    await cluster.start(NamespaceController, ServiceAccountController)
    await make_team(cluster)
    await eventually(lambda: exists(cluster, SERVICEACCOUNTS, 'team', 'default'))
    await cluster.api.create(CONFIGMAPS, named('ConfigMap', 'c'))
    await cluster.api.create(SECRETS, named('Secret', 's'))
    await cluster.api.create(PODS, named('Pod', 'p', spec={'containers': [{'name': 'main', 'image': 'none'}]}))
    await cluster.api.delete(NAMESPACES, '', 'team')

    async def gone() -> bool:
        return not await exists(cluster, NAMESPACES, '', 'team')

    await eventually(gone)
    for resource in (CONFIGMAPS, SECRETS, PODS, SERVICEACCOUNTS):
        assert (await cluster.api.list(resource, 'team')).items == []


async def test_waits_for_pods_and_finalizers_and_says_so(cluster: Cluster) -> None:
    await cluster.start(NamespaceController)
    await make_team(cluster)
    held = named('ConfigMap', 'c')
    held['metadata']['finalizers'] = ['example.com/hold']
    await cluster.api.create(CONFIGMAPS, held)
    spec = {'containers': [{'name': 'main', 'image': 'none'}], 'nodeName': 'node'}
    await cluster.api.create(PODS, named('Pod', 'p', spec=spec))
    await cluster.api.delete(NAMESPACES, '', 'team')

    async def condition(type: str) -> tuple[str, str]:
        status = (await cluster.api.get(NAMESPACES, '', 'team'))['status']
        found = {each['type']: (each['status'], each['message']) for each in status.get('conditions') or ()}
        return found.get(type, ('', ''))

    async def waits_for_pod() -> bool:
        text = 'Some resources are remaining: pods has 1 resource instances'
        return await condition('NamespaceContentRemaining') == ('True', text)

    async def waits_for_finalizer() -> bool:
        text = 'Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances'
        return await condition('NamespaceFinalizersRemaining') == ('True', text)

    async def gone() -> bool:
        return not await exists(cluster, NAMESPACES, '', 'team')

    await eventually(waits_for_pod)
    assert await exists(cluster, CONFIGMAPS, 'team', 'c')
    await cluster.api.delete(PODS, 'team', 'p', grace_period_seconds=0)
    await eventually(waits_for_finalizer)
    await cluster.api.patch(CONFIGMAPS, 'team', 'c', {'metadata': {'finalizers': None}})
    await eventually(gone)


@pytest.mark.parametrize('error', ['', 'it broke'])
def test_conditions_when_nothing_is_left(error: str) -> None:
    found = {each['type']: each['status'] for each in plan_conditions({'metadata': {}}, [], error, utc_now())}
    assert found == {
        'NamespaceDeletionDiscoveryFailure': 'False', 'NamespaceDeletionGroupVersionParsingFailure': 'False',
        'NamespaceDeletionContentFailure': str(bool(error)), 'NamespaceContentRemaining': 'False',
        'NamespaceFinalizersRemaining': 'False',
    }  # fmt: skip


def test_conditions_name_what_is_left() -> None:
    objects = ({'metadata': {'finalizers': ['a', 'b']}}, {'metadata': {'finalizers': ['a']}}, {'metadata': {}})
    found = {each['type']: each['message'] for each in
             plan_conditions({'metadata': {}}, [Remaining(PODS, objects)], '', utc_now())}  # fmt: skip
    assert found['NamespaceContentRemaining'] == 'Some resources are remaining: pods has 3 resource instances'
    assert found['NamespaceFinalizersRemaining'] == (
        'Some content in the namespace has finalizers remaining: a in 2 resource instances, b in 1 resource instances'
    )
