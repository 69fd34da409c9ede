"""Nobody gives away what they do not have."""

from __future__ import annotations

import pytest
from asking import ADMIN, RBAC, Desk, rule, user

from netkube.apiserver.escalation import compacted, described, missing_rules
from netkube.apiserver.registry import Registry

JANE = user('jane')
WRITER = rule('*', 'roles rolebindings clusterroles clusterrolebindings', 'rbac.authorization.k8s.io')
ROLES, BINDINGS = f'{RBAC}/namespaces/default/roles', f'{RBAC}/namespaces/default/rolebindings'


@pytest.fixture
async def desk(registry: Registry) -> Desk:
    """Jane may write roles and bindings, but neither escalate nor bind, and get Pods."""
    made = Desk(registry)
    verbs = ['get', 'list', 'create', 'update', 'patch', 'delete']
    await made.role('writer', WRITER | {'verbs': verbs}, rule('get', 'pods'), namespace='', to='jane')
    return made


async def test_a_role_with_more_than_ones_own_rights(desk: Desk) -> None:
    role = {'metadata': {'name': 'x'}, 'rules': [rule('get', 'pods'), rule('delete list', 'pods secrets')]}
    said = await desk.ask(JANE, 'POST', ROLES, role)
    assert said.code == 403
    assert said.message == (
        'roles.rbac.authorization.k8s.io "x" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting '
        'to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "list"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["delete" "list"]}'
    )


async def test_a_role_with_ones_own_rights(desk: Desk) -> None:
    role = {'metadata': {'name': 'x'}, 'rules': [rule('get', 'pods')]}
    assert (await desk.ask(JANE, 'POST', ROLES, role)).code == 201


async def test_neither_update_nor_patch_go_around_it(desk: Desk) -> None:
    await desk.made(ROLES, {'metadata': {'name': 'x'}, 'rules': []})
    more = {'metadata': {'name': 'x'}, 'rules': [rule('get', 'secrets')]}
    assert (await desk.ask(JANE, 'PUT', f'{ROLES}/x', more)).code == 403
    merge = (('content-type', 'application/merge-patch+json'),)
    assert (await desk.ask(JANE, 'PATCH', f'{ROLES}/x', {'rules': more['rules']}, headers=merge)).code == 403


async def test_a_binding_to_a_role_with_more_than_ones_own_rights(desk: Desk) -> None:
    def binding(role: str) -> object:
        return {'metadata': {'name': 'x'}, 'roleRef': {'kind': 'ClusterRole', 'name': role},
                'subjects': [{'kind': 'User', 'name': 'jane'}]}  # fmt: skip

    said = await desk.ask(JANE, 'POST', BINDINGS, binding('cluster-admin'))
    assert said.code == 403
    assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}\n{NonResourceURLs:["*"], Verbs:["*"]}' in said.message
    missing = await desk.ask(JANE, 'POST', BINDINGS, binding('gone'))
    assert missing.message == 'clusterroles.rbac.authorization.k8s.io "gone" not found'
    await desk.role('may', rule('bind', 'clusterroles', 'rbac.authorization.k8s.io', 'cluster-admin'), to='jane')
    assert (await desk.ask(JANE, 'POST', BINDINGS, binding('cluster-admin'))).code == 201


async def test_escalate_allows_it(desk: Desk) -> None:
    await desk.role('may', rule('escalate', 'roles', 'rbac.authorization.k8s.io'), to='jane')
    role = {'metadata': {'name': 'x'}, 'rules': [rule('get', 'secrets')]}
    assert (await desk.ask(JANE, 'POST', ROLES, role)).code == 201


async def test_an_aggregation_rule_needs_everything(desk: Desk) -> None:
    aggregation = {'clusterRoleSelectors': [{'matchLabels': {'a': 'b'}}]}
    role = {'metadata': {'name': 'x'}, 'aggregationRule': aggregation}
    said = await desk.ask(JANE, 'POST', f'{RBAC}/clusterroles', role)
    assert said.message.endswith('must have cluster-admin privileges to use the aggregationRule')
    assert (await desk.ask(ADMIN, 'POST', f'{RBAC}/clusterroles', role)).code == 201


async def test_impersonating_does_not_go_around_it(desk: Desk) -> None:
    role = {'metadata': {'name': 'x'}, 'rules': [rule('get', 'secrets')]}
    assert (await desk.ask(ADMIN, 'POST', ROLES, role, headers=(('Impersonate-User', 'jane'),))).code == 403


@pytest.mark.parametrize(
    'owned, wanted, missing',
    [
        ([rule('*', '*', '*')], [rule('get', 'pods', names='a')], []),
        ([rule('get', 'pods', names='a')], [rule('get', 'pods')],
         ['{APIGroups:[""], Resources:["pods"], Verbs:["get"]}']),
        ([rule('get', 'pods', names='a')], [rule('get', 'pods', names='a b')],
         ['{APIGroups:[""], Resources:["pods"], ResourceNames:["b"], Verbs:["get"]}']),
        ([rule('get', '*/log')], [rule('get', 'pods/log')], []),
        ([rule('get', 'pods')], [rule('get', 'pods/log')], ['{APIGroups:[""], Resources:["pods/log"], Verbs:["get"]}']),
        ([rule('get', 'pods'), rule('list', 'pods')], [rule('get list', 'pods')], []),
        ([{'verbs': ['get'], 'nonResourceURLs': ['/api/*']}],
         [{'verbs': ['get'], 'nonResourceURLs': ['/api/v1', '/x']}],
         ['{NonResourceURLs:["/x"], Verbs:["get"]}']),
    ],
)  # fmt: skip
def test_what_is_not_covered(owned, wanted, missing):
    assert [described(one) for one in compacted(missing_rules(owned, wanted))] == missing
