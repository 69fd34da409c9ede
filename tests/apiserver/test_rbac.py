"""Who may do what: roles, bindings, and what a refusal says."""

from __future__ import annotations

import asyncio
import socket

import pytest
from asking import ADMIN, RBAC, Desk, rule, user

from netkube.api.resources import PODS as RESOURCE_PODS
from netkube.apiserver.rbac import Attributes, Rule
from netkube.apiserver.registry import Registry

JANE = user('jane')
PODS = '/api/v1/namespaces/default/pods'


@pytest.fixture
def desk(registry: Registry) -> Desk:
    return Desk(registry)


ANY = {'verbs': ['*'], 'apiGroups': ['*'], 'resources': ['*']}
URLS = {'verbs': ['get'], 'nonResourceURLs': ['/healthz/*', '/metrics']}


@pytest.mark.parametrize(
    'one, asked, expected',
    [
        (rule('get', 'pods'), Attributes('get', '', 'pods'), True),
        (rule('get', 'pods'), Attributes('list', '', 'pods'), False),
        (rule('get', 'pods'), Attributes('get', 'apps', 'pods'), False),
        (rule('get', 'pods'), Attributes('get', '', 'pods', 'log'), False),
        (rule('get', 'pods/log'), Attributes('get', '', 'pods', 'log'), True),
        (rule('get', 'pods/log'), Attributes('get', '', 'pods'), False),
        (rule('get', '*/scale', '*'), Attributes('get', 'apps', 'deployments', 'scale'), True),
        (rule('get', '*/scale', '*'), Attributes('get', 'apps', 'deployments'), False),
        (rule('get', 'pods', names='a b'), Attributes('get', '', 'pods', name='b'), True),
        (rule('get', 'pods', names='a b'), Attributes('get', '', 'pods', name='c'), False),
        (rule('list', 'pods', names='a'), Attributes('list', '', 'pods'), False),
        (ANY, Attributes('anything', 'any.group', 'things', 'part', 'ns', 'name'), True),
        (ANY, Attributes('get', path='/metrics'), False),
        (URLS, Attributes('get', path='/metrics'), True),
        (URLS, Attributes('get', path='/healthz/ping'), True),
        (URLS, Attributes('get', path='/healthz'), False),
        (URLS, Attributes('post', path='/metrics'), False),
    ],
)
def test_a_rule(one, asked, expected):
    assert Rule.of(one).allows(asked) is expected


@pytest.mark.parametrize(
    'method, path, message',
    [
        ('GET', PODS, 'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace '
                      '"default"'),
        ('GET', f'{PODS}?watch=1', 'pods is forbidden: User "jane" cannot watch resource "pods" in API group "" in the '
                                   'namespace "default"'),
        ('GET', f'{PODS}/a/log', 'pods "a" is forbidden: User "jane" cannot get resource "pods/log" in API group "" in '
                                 'the namespace "default"'),
        ('GET', '/api/v1/namespaces/team', 'namespaces "team" is forbidden: User "jane" cannot get resource '
                                           '"namespaces" in API group "" in the namespace "team"'),
        ('DELETE', '/apis/apps/v1/namespaces/x/deployments', 'deployments.apps is forbidden: User "jane" cannot '
         'deletecollection resource "deployments" in API group "apps" in the namespace "x"'),
        ('GET', '/api/v1/nodes', 'nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the '
                                 'cluster scope'),
        ('GET', '/metrics', 'forbidden: User "jane" cannot get path "/metrics"'),
        ('PATCH', '/api/v1/nodes/n', 'nodes "n" is forbidden: User "jane" cannot patch resource "nodes" in API group '
                                     '"" at the cluster scope'),
    ],
)  # fmt: skip
async def test_what_no_role_allows_is_refused_in_kubernetes_words(desk, method, path, message):
    said = await desk.ask(JANE, method, path)
    assert (said.code, said.json['reason'], said.message) == (403, 'Forbidden', message)


async def test_a_role_counts_in_its_namespace_only(desk: Desk) -> None:
    await desk.role('reader', rule('list', 'pods'), to='jane')
    assert (await desk.ask(JANE, 'GET', PODS)).code == 200
    assert (await desk.ask(JANE, 'GET', '/api/v1/namespaces/other/pods')).code == 403
    assert (await desk.ask(JANE, 'GET', '/api/v1/pods')).code == 403
    assert (await desk.ask(user('joe'), 'GET', PODS)).code == 403


async def test_a_cluster_role_bound_everywhere_counts_everywhere(desk: Desk) -> None:
    await desk.role('reader', rule('list', 'pods nodes'), namespace='', to='jane')
    for path in (PODS, '/api/v1/pods', '/api/v1/nodes'):
        assert (await desk.ask(JANE, 'GET', path)).code == 200


async def test_a_cluster_role_bound_in_a_namespace_counts_there(desk: Desk) -> None:
    subjects = [{'kind': 'Group', 'name': 'devs'}]
    binding = {'metadata': {'name': 'v'}, 'roleRef': {'kind': 'ClusterRole', 'name': 'cluster-admin'}}
    await desk.made(f'{RBAC}/namespaces/default/rolebindings', binding | {'subjects': subjects})
    assert (await desk.ask(user('jane', 'devs'), 'GET', PODS)).code == 200
    assert (await desk.ask(user('jane', 'devs'), 'GET', '/api/v1/nodes')).code == 403


async def test_rights_end_with_the_binding_and_follow_the_role(desk: Desk) -> None:
    await desk.role('reader', rule('list', 'pods'), to='jane')
    assert (await desk.ask(JANE, 'GET', PODS)).code == 200
    role = {'metadata': {'name': 'reader'}, 'rules': [rule('list', 'services')]}
    await desk.ask(ADMIN, 'PUT', f'{RBAC}/namespaces/default/roles/reader', role)
    assert (await desk.ask(JANE, 'GET', PODS)).code == 403
    assert (await desk.ask(JANE, 'GET', '/api/v1/namespaces/default/services')).code == 200
    await desk.ask(ADMIN, 'DELETE', f'{RBAC}/namespaces/default/rolebindings/reader')
    assert (await desk.ask(JANE, 'GET', '/api/v1/namespaces/default/services')).code == 403


async def test_a_list_of_one_name_is_that_object_s(desk: Desk) -> None:
    await desk.role('one', rule('list watch', 'pods', names='a'), to='jane')
    assert (await desk.ask(JANE, 'GET', f'{PODS}?fieldSelector=metadata.name%3Da')).code == 200
    assert (await desk.ask(JANE, 'GET', f'{PODS}?fieldSelector=metadata.name%3Db')).code == 403


async def test_a_missing_role_is_named(desk: Desk) -> None:
    binding = {'metadata': {'name': 'v'}, 'roleRef': {'kind': 'ClusterRole', 'name': 'gone'},
               'subjects': [{'kind': 'User', 'name': 'jane'}]}  # fmt: skip
    await desk.made(f'{RBAC}/clusterrolebindings', binding)
    said = await desk.ask(JANE, 'GET', PODS)
    assert said.message.endswith('"default": RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found')


async def test_discovery_and_health_are_for_everyone_with_a_name(desk: Desk) -> None:
    for path in ('/api', '/apis', '/apis/apps/v1', '/version', '/livez', '/openapi/v3'):
        assert (await desk.ask(JANE, 'GET', path)).code == 200


@pytest.mark.parametrize('path, code', [('/livez', 200), ('/readyz', 200), ('/healthz', 200), ('/version', 200),
                                        ('/api', 401), ('/metrics', 401), (PODS, 401), ('/no/such', 401)])  # fmt: skip
async def test_who_has_no_name_gets_401(desk, path, code):
    said = await desk.ask(None, 'GET', path)
    assert said.code == code
    if code == 401:
        assert said.json == {'kind': 'Status', 'apiVersion': 'v1', 'metadata': {}, 'status': 'Failure',
                             'message': 'Unauthorized', 'reason': 'Unauthorized', 'code': 401}  # fmt: skip


async def test_exec_needs_create_as_well(desk: Desk) -> None:
    await desk.role('look', rule('get', 'pods/exec'), to='jane')
    said = await desk.ask(JANE, 'GET', f'{PODS}/a/exec?command=ls')
    assert said.code == 403 and 'cannot create resource "pods/exec"' in said.message


async def test_the_default_roles_come_back(desk: Desk) -> None:
    path = f'{RBAC}/clusterroles/system:discovery'
    await desk.ask(ADMIN, 'PUT', path, {'metadata': {'name': 'system:discovery'}, 'rules': []})
    assert (await desk.ask(JANE, 'GET', '/api')).code == 403
    again = Desk(desk.registry)
    assert (await again.ask(JANE, 'GET', '/api')).code == 200


async def test_a_default_role_may_be_taken_over(desk: Desk) -> None:
    kept = {'name': 'system:discovery', 'annotations': {'rbac.authorization.kubernetes.io/autoupdate': 'false'}}
    await desk.ask(ADMIN, 'PUT', f'{RBAC}/clusterroles/system:discovery', {'metadata': kept, 'rules': []})
    assert (await Desk(desk.registry).ask(JANE, 'GET', '/api')).code == 403


BINDING = {'metadata': {'name': 'b'}, 'roleRef': {'kind': 'Role', 'name': 'r'}}


@pytest.mark.parametrize(
    'kind, body, message',
    [
        ('roles', {'rules': [{'resources': ['pods'], 'apiGroups': [''], 'verbs': []}]},
         'rules[0].verbs: Required value: verbs must contain at least one value'),
        ('roles', {'rules': [{'resources': ['pods'], 'verbs': ['get']}]},
         'rules[0].apiGroups: Required value: resource rules must supply at least one api group'),
        ('roles', {'rules': [{'apiGroups': [''], 'verbs': ['get']}]},
         'rules[0].resources: Required value: resource rules must supply at least one resource'),
        ('roles', {'rules': [{'nonResourceURLs': ['/x'], 'verbs': ['get']}]},
         'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs'),
        ('rolebindings', {'roleRef': {'kind': 'Thing', 'name': 'r'}},
         'roleRef.kind: Unsupported value: "Thing": supported values: "Role", "ClusterRole"'),
        ('rolebindings', {'roleRef': {'kind': 'Role', 'name': ''}}, 'roleRef.name: Required value'),
        ('rolebindings', {'roleRef': {'kind': 'Role', 'name': 'a/b'}},
         'roleRef.name: Invalid value: "a/b": may not contain \'/\''),
        ('rolebindings', {'subjects': [{'kind': 'User', 'name': ''}]}, 'subjects[0].name: Required value'),
        ('rolebindings', {'subjects': [{'kind': 'Robot', 'name': 'x'}]},
         'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"'),
        ('rolebindings', {'subjects': [{'kind': 'ServiceAccount', 'name': 'x', 'apiGroup': 'g'}]},
         'subjects[0].apiGroup: Unsupported value: "g": supported values: ""'),
    ],
)  # fmt: skip
async def test_validation(desk, kind, body, message):
    complete = BINDING | body if kind == 'rolebindings' else {'metadata': {'name': 'b'}, **body}
    said = await desk.ask(ADMIN, 'POST', f'{RBAC}/namespaces/default/{kind}', complete)
    assert said.code == 422
    assert said.message.endswith(f'is invalid: {message}')


async def test_the_role_of_a_binding_is_for_life(desk: Desk) -> None:
    path = f'{RBAC}/namespaces/default/rolebindings'
    await desk.made(path, BINDING)
    said = await desk.ask(ADMIN, 'PUT', f'{path}/b', BINDING | {'roleRef': {'kind': 'Role', 'name': 'other'}})
    assert said.code == 422 and said.message.endswith(': cannot change roleRef')


async def test_impersonation(desk: Desk) -> None:
    as_jane = (('Impersonate-User', 'jane'),)
    assert (await desk.ask(ADMIN, 'GET', PODS, headers=as_jane)).message.startswith('pods is forbidden: User "jane"')
    masters = (*as_jane, ('Impersonate-Group', 'system:masters'))
    assert (await desk.ask(ADMIN, 'GET', PODS, headers=masters)).code == 200
    await desk.role('may', rule('impersonate', 'users', names='jane'), namespace='', to='joe')
    assert 'User "jane"' in (await desk.ask(user('joe'), 'GET', PODS, headers=as_jane)).message
    refused = await desk.ask(user('joe'), 'GET', PODS, headers=masters)
    assert refused.message == ('groups "system:masters" is forbidden: User "joe" cannot impersonate resource "groups" '
                               'in API group "" at the cluster scope')  # fmt: skip
    account = (('Impersonate-User', 'system:serviceaccount:default:bot'),)
    refused = await desk.ask(user('joe'), 'GET', PODS, headers=account)
    assert 'cannot impersonate resource "serviceaccounts" in API group "" in the namespace "default"' in refused.message
    extra = (*as_jane, ('Impersonate-Extra-Scopes', 'view'))
    refused = await desk.ask(user('joe'), 'GET', PODS, headers=extra)
    assert 'cannot impersonate resource "userextras/scopes" in API group "authentication.k8s.io"' in refused.message
    assert (await desk.ask(ADMIN, 'GET', PODS, headers=(('Impersonate-Group', 'x'),))).code == 400


async def test_an_update_that_creates_needs_create_as_well(desk: Desk) -> None:
    path = '/apis/coordination.k8s.io/v1/namespaces/default/leases/x'
    lease = {'metadata': {'name': 'x'}, 'spec': {'holderIdentity': 'me'}}
    await desk.role('holder', rule('update', 'leases', 'coordination.k8s.io'), to='jane')
    said = await desk.ask(JANE, 'PUT', path, lease)
    assert said.code == 403 and 'cannot create resource "leases"' in said.message
    assert (await desk.ask(ADMIN, 'PUT', path, lease)).code == 201
    assert (await desk.ask(JANE, 'PUT', path, lease)).code == 200


async def test_an_apply_that_creates_needs_create_as_well(desk: Desk) -> None:
    path = '/api/v1/namespaces/default/configmaps/x?fieldManager=me'
    config = {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'x'}, 'data': {'a': '1'}}
    apply = (('content-type', 'application/apply-patch+yaml'),)
    await desk.role('applier', rule('patch', 'configmaps'), to='jane')
    said = await desk.ask(JANE, 'PATCH', path, config, headers=apply)
    assert said.code == 403 and 'cannot create resource "configmaps"' in said.message
    assert (await desk.ask(ADMIN, 'PATCH', path, config, headers=apply)).code == 201
    assert (await desk.ask(JANE, 'PATCH', path, config, headers=apply)).code == 200


class Echo:
    """A kubelet whose Pods all answer with the request that they got."""

    async def connect(self, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=theirs)
        self.answering = asyncio.create_task(self._answer(reader, writer))
        return await asyncio.open_connection(sock=ours)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b'\r\n\r\n')
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b' % (len(request), request))
        await writer.drain()
        writer.close()


async def test_no_proxied_pod_sees_credentials(registry: Registry) -> None:
    echo = Echo()
    desk = Desk(registry, lambda node: echo)
    spec = {'nodeName': 'n', 'containers': [{'name': 'c', 'image': 'i'}]}
    await registry.create(RESOURCE_PODS, {'metadata': {'name': 'p', 'namespace': 'default'}, 'spec': spec})
    status = {'phase': 'Running', 'podIP': '10.0.0.1', 'podIPs': [{'ip': '10.0.0.1'}]}
    await registry.patch(RESOURCE_PODS, 'default', 'p', {'status': status}, subresource='status')
    headers = (('Authorization', 'Bearer secret'), ('Impersonate-User', 'jane'),
               ('Impersonate-Group', 'system:masters'), ('X-Else', 'stays'))  # fmt: skip
    said = await desk.ask(ADMIN, 'GET', f'{PODS}/p/proxy/', headers=headers)
    assert said.code == 200, said.json
    assert 'x-else: stays' in said.json
    assert 'secret' not in said.json and 'jane' not in said.json and 'masters' not in said.json


async def test_who_impersonates_is_what_whoami_says(desk: Desk) -> None:
    headers = (('Impersonate-User', 'system:serviceaccount:ns:bot'), ('Impersonate-Uid', '7'),
               ('Impersonate-Extra-Scopes', 'a'), ('Impersonate-Extra-Scopes', 'b'))  # fmt: skip
    path = '/apis/authentication.k8s.io/v1/selfsubjectreviews'
    said = await desk.ask(ADMIN, 'POST', path, {}, headers=headers)
    assert said.json['status']['userInfo'] == {
        'username': 'system:serviceaccount:ns:bot', 'uid': '7', 'extra': {'scopes': ['a', 'b']},
        'groups': ['system:serviceaccounts', 'system:serviceaccounts:ns', 'system:authenticated'],
    }  # fmt: skip
