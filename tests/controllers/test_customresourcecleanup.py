"""Custom resources under the controllers: collected, emptied with their namespace, deleted with their definition."""

from __future__ import annotations

from typing import Any

from workload_cluster import Cluster

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import CONFIGMAPS, CUSTOMRESOURCEDEFINITIONS, NAMESPACES, Resource
from netkube.controllers.customresourcecleanup import CustomResourceCleanup
from netkube.controllers.garbagecollector import GarbageCollector
from netkube.controllers.namespace import NamespaceController
from netkube.testing import eventually

WIDGETS = Resource('example.com', 'v1', 'widgets', 'Widget', True)
SCHEMA = {'type': 'object', 'x-kubernetes-preserve-unknown-fields': True}
CRD: Object = {
    'metadata': {'name': 'widgets.example.com'},
    'spec': {
        'group': 'example.com', 'scope': 'Namespaced', 'names': {'plural': 'widgets', 'kind': 'Widget'},
        'versions': [{'name': 'v1', 'served': True, 'storage': True, 'schema': {'openAPIV3Schema': SCHEMA}}],
    },
}  # fmt: skip


def widget(name: str, namespace: str = 'default', **metadata: Any) -> Object:
    return {'apiVersion': 'example.com/v1', 'kind': 'Widget',
            'metadata': {'name': name, 'namespace': namespace, **metadata}}  # fmt: skip


def owned_by(owner: Object) -> list[Object]:
    return [{'apiVersion': owner['apiVersion'], 'kind': owner['kind'], 'name': owner['metadata']['name'],
             'uid': owner['metadata']['uid']}]  # fmt: skip


async def gone(cluster: Cluster, resource: Resource, namespace: str, name: str) -> bool:
    try:
        await cluster.api.get(resource, namespace, name)
    except ApiError as error:
        return error.code == 404
    return False


async def test_a_custom_owner_takes_its_dependents_with_it(cluster: Cluster) -> None:
    await cluster.start(GarbageCollector)
    await cluster.api.create(CUSTOMRESOURCEDEFINITIONS, CRD)
    owner = await cluster.api.create(WIDGETS, widget('owner'))
    metadata = {'name': 'c', 'namespace': 'default', 'ownerReferences': owned_by(owner)}
    config_map = await cluster.api.create(CONFIGMAPS, {'metadata': metadata})
    await cluster.api.create(WIDGETS, widget('child', ownerReferences=owned_by(config_map)))
    await cluster.api.delete(WIDGETS, 'default', 'owner')
    await eventually(lambda: gone(cluster, CONFIGMAPS, 'default', 'c'))
    await eventually(lambda: gone(cluster, WIDGETS, 'default', 'child'))


async def test_a_namespace_is_emptied_of_custom_resources(cluster: Cluster) -> None:
    await cluster.start(NamespaceController)
    await cluster.api.create(CUSTOMRESOURCEDEFINITIONS, CRD)
    await cluster.api.create(NAMESPACES, {'metadata': {'name': 'team'}})
    await cluster.api.create(WIDGETS, widget('w', 'team'))
    await cluster.api.delete(NAMESPACES, '', 'team')
    await eventually(lambda: gone(cluster, NAMESPACES, '', 'team'))
    assert await gone(cluster, WIDGETS, 'team', 'w')


async def test_a_definition_goes_after_its_objects(cluster: Cluster) -> None:
    await cluster.start(CustomResourceCleanup)
    await cluster.api.create(CUSTOMRESOURCEDEFINITIONS, CRD)
    await cluster.api.create(WIDGETS, widget('plain'))
    await cluster.api.create(WIDGETS, widget('held', finalizers=['example.com/hold']))
    await cluster.api.delete(CUSTOMRESOURCEDEFINITIONS, '', 'widgets.example.com')

    async def waits() -> bool:
        crd = await cluster.api.get(CUSTOMRESOURCEDEFINITIONS, '', 'widgets.example.com')
        return 'Terminating' in [one['type'] for one in crd['status']['conditions']]

    await eventually(waits)
    assert await gone(cluster, WIDGETS, 'default', 'plain')
    await cluster.api.patch(WIDGETS, 'default', 'held', {'metadata': {'finalizers': None}})
    await eventually(lambda: gone(cluster, CUSTOMRESOURCEDEFINITIONS, '', 'widgets.example.com'))


async def test_a_definition_that_comes_back_is_collected_again(cluster: Cluster) -> None:
    await cluster.start(GarbageCollector, CustomResourceCleanup)
    for _ in range(2):
        await cluster.api.create(CUSTOMRESOURCEDEFINITIONS, CRD)
        owner = await cluster.api.create(WIDGETS, widget('owner'))
        await cluster.api.create(WIDGETS, widget('child', ownerReferences=owned_by(owner)))
        await cluster.api.delete(WIDGETS, 'default', 'owner')
        await eventually(lambda: gone(cluster, WIDGETS, 'default', 'child'))
        await cluster.api.delete(CUSTOMRESOURCEDEFINITIONS, '', 'widgets.example.com')
        await eventually(lambda: gone(cluster, CUSTOMRESOURCEDEFINITIONS, '', 'widgets.example.com'))
