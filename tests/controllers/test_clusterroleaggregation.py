"""ClusterRoles that are the sum of others."""

from __future__ import annotations

from workload_cluster import Cluster

from netkube.api.meta import Object
from netkube.api.resources import CLUSTERROLES
from netkube.apiserver.defaultroles import ensure_default_roles
from netkube.controllers.clusterroleaggregation import ClusterRoleAggregationController, aggregated_rules
from netkube.testing import eventually

PODS = {'apiGroups': [''], 'resources': ['pods'], 'verbs': ['get']}
NODES = {'apiGroups': [''], 'resources': ['nodes'], 'verbs': ['get']}


def role(name: str, *rules: Object, **labels: str) -> Object:
    return {'metadata': {'name': name, 'labels': labels}, 'rules': list(rules)}


SUM = {'metadata': {'name': 'sum'}, 'aggregationRule': {'clusterRoleSelectors': [
    {'matchLabels': {'to': 'sum'}}, {'matchLabels': {'also': 'sum'}}]}}  # fmt: skip


def test_the_rules_of_all_that_match_each_once_in_order_of_names():
    roles = [SUM, role('b', NODES, PODS, to='sum'), role('a', PODS, also='sum'), role('c', NODES, to='other')]
    assert aggregated_rules(SUM, roles) == [PODS, NODES]


async def rules(cluster: Cluster, name: str) -> list[Object]:
    return (await cluster.api.get(CLUSTERROLES, '', name)).get('rules') or []


async def test_a_sum_follows_its_parts(cluster: Cluster) -> None:
    await cluster.start(ClusterRoleAggregationController)
    await cluster.api.create(CLUSTERROLES, SUM)
    await cluster.api.create(CLUSTERROLES, role('a', PODS, to='sum'))

    async def sum_is(*expected: Object) -> None:
        async def holds() -> bool:
            return await rules(cluster, 'sum') == list(expected)

        await eventually(holds)

    await sum_is(PODS)
    await cluster.api.create(CLUSTERROLES, role('b', NODES, also='sum'))
    await sum_is(PODS, NODES)
    await cluster.api.patch(CLUSTERROLES, '', 'a', {'metadata': {'labels': {'to': None}}})
    await sum_is(NODES)
    await cluster.api.delete(CLUSTERROLES, '', 'b')
    await sum_is()


async def test_the_default_sums(cluster: Cluster) -> None:
    """view < edit < admin, as their labels say."""
    ensure_default_roles(cluster.api.storage)
    await cluster.start(ClusterRoleAggregationController)

    async def has(name: str, resource: str, verb: str) -> bool:
        return any(resource in one.get('resources', ()) and verb in one['verbs'] for one in await rules(cluster, name))

    async def summed_up() -> bool:
        return await has('admin', 'pods', 'get') and await has('admin', 'roles', 'create')

    await eventually(summed_up)
    assert await has('edit', 'pods', 'get') and await has('edit', 'pods', 'create')
    assert not await has('edit', 'roles', 'create')
    assert await has('view', 'pods', 'get') and not await has('view', 'pods', 'create')
    assert not await has('view', 'secrets', 'get')
