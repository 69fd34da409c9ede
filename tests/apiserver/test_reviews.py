"""May I? Questions about access, and the real kubectl asking them."""

from __future__ import annotations

import pytest
from asking import ADMIN, Desk, rule, user
from served import ServedApi

from netkube.apiserver.registry import Registry

AUTHORIZATION = '/apis/authorization.k8s.io/v1'
JANE = user('jane')
GET_PODS = {'verb': 'get', 'resource': 'pods', 'namespace': 'default'}


@pytest.fixture
async def desk(registry: Registry) -> Desk:
    made = Desk(registry)
    await made.role('reader', rule('get', 'pods'), to='jane')
    return made


async def test_own_access(desk: Desk) -> None:
    path = f'{AUTHORIZATION}/selfsubjectaccessreviews'
    for attributes, allowed in ((GET_PODS, True), (GET_PODS | {'verb': 'delete'}, False),
                                (GET_PODS | {'namespace': 'x'}, False), (GET_PODS | {'subresource': 'log'}, False)):
        said = await desk.ask(JANE, 'POST', path, {'spec': {'resourceAttributes': attributes}})
        assert (said.code, said.json['status']['allowed']) == (201, allowed)
    url = {'spec': {'nonResourceAttributes': {'verb': 'get', 'path': '/api'}}}
    assert (await desk.ask(JANE, 'POST', path, url)).json['status'] == {'allowed': True}


async def test_the_access_of_somebody_else(desk: Desk) -> None:
    question = {'spec': {'user': 'jane', 'resourceAttributes': GET_PODS}}
    path = f'{AUTHORIZATION}/subjectaccessreviews'
    assert (await desk.ask(ADMIN, 'POST', path, question)).json['status']['allowed'] is True
    assert (await desk.ask(JANE, 'POST', path, question)).code == 403
    local = f'{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews'
    assert (await desk.ask(ADMIN, 'POST', local, question)).json['status']['allowed'] is True


async def test_what_is_no_question(desk: Desk) -> None:
    path = f'{AUTHORIZATION}/subjectaccessreviews'
    nobody = await desk.ask(ADMIN, 'POST', path, {'spec': {'resourceAttributes': GET_PODS}})
    assert nobody.message.endswith('spec.user: Invalid value: "": at least one of user or group must be specified')
    nothing = await desk.ask(ADMIN, 'POST', path, {'spec': {'user': 'x'}})
    assert 'exactly one of nonResourceAttributes or resourceAttributes must be specified' in nothing.message
    local = f'{AUTHORIZATION}/namespaces/other/localsubjectaccessreviews'
    elsewhere = await desk.ask(ADMIN, 'POST', local, {'spec': {'user': 'x', 'resourceAttributes': GET_PODS}})
    assert elsewhere.message.endswith('must match metadata.namespace')
    assert (await desk.ask(ADMIN, 'GET', path)).code == 405
    no_namespace = await desk.ask(JANE, 'POST', f'{AUTHORIZATION}/selfsubjectrulesreviews', {'spec': {}})
    assert (no_namespace.code, no_namespace.message) == (400, 'no namespace on request')
    assert (await desk.ask(ADMIN, 'POST', '/apis/authentication.k8s.io/v1/tokenreviews', {'spec': {}})).code == 400


async def test_own_rules(desk: Desk) -> None:
    said = await desk.ask(JANE, 'POST', f'{AUTHORIZATION}/selfsubjectrulesreviews', {'spec': {'namespace': 'default'}})
    assert {'verbs': ['get'], 'apiGroups': [''], 'resources': ['pods']} in said.json['status']['resourceRules']
    assert any('/api' in one['nonResourceURLs'] for one in said.json['status']['nonResourceRules'])
    assert said.json['status']['incomplete'] is False


async def test_kubectl_asks(api: ServedApi) -> None:
    await api.kubectl('create', 'serviceaccount', 'bot')
    token = (await api.kubectl('create', 'token', 'bot')).strip()
    as_bot = ('--kubeconfig=/dev/null', f'--server=https://127.0.0.1:{api.port}', f'--token={token}',
              f'--certificate-authority={api.pki.ca.certificate}')  # fmt: skip
    assert 'system:serviceaccount:default:bot' in await api.kubectl(*as_bot, 'auth', 'whoami')
    admin = await api.kubectl('auth', 'whoami')
    assert 'kubernetes-admin' in admin and 'X509SHA256=' in admin
    assert await api.kubectl('auth', 'can-i', '*', '*') == 'yes\n'
    assert await api.kubectl(*as_bot, 'auth', 'can-i', 'list', 'pods', code=1) == 'no\n'
    await api.kubectl('create', 'role', 'reader', '--verb=get,list', '--resource=pods')
    await api.kubectl('create', 'rolebinding', 'reader', '--role=reader', '--serviceaccount=default:bot')
    assert await api.kubectl(*as_bot, 'auth', 'can-i', 'list', 'pods') == 'yes\n'
    assert await api.kubectl(*as_bot, 'get', 'pods') == 'No resources found in default namespace.\n'
    assert '[get list]' in await api.kubectl(*as_bot, 'auth', 'can-i', '--list')
    assert await api.kubectl('--as=system:serviceaccount:default:bot', 'auth', 'can-i', 'list', 'pods') == 'yes\n'
    assert 'User "jane" cannot list resource "pods"' in await api.kubectl('--as=jane', 'get', 'pods', code=1)
    wide = await api.kubectl('get', 'roles,rolebindings', '-o', 'wide')
    assert 'CREATED AT' in wide and 'Role/reader' in wide and 'default/bot' in wide
    assert 'ServiceAccount  bot   default' in await api.kubectl('describe', 'rolebinding', 'reader')
    assert 'less than 10 minutes' in await api.kubectl('create', 'token', 'bot', '--duration=1m', code=1)
    assert 'You must be logged in' in await api.kubectl(*as_bot[:2], as_bot[3], '--token=x', 'get', 'pods', code=1)


RECONCILED = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r, namespace: default}
rules: [{apiGroups: [''], resources: [pods], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: r, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}
subjects: [{kind: ServiceAccount, name: bot, namespace: default}]
"""


async def test_kubectl_reconciles(api: ServedApi) -> None:
    await api.kubectl('create', 'role', 'r', '--verb=watch', '--resource=pods')
    said = await api.kubectl('auth', 'reconcile', '-f', '-', stdin=RECONCILED)
    assert 'role.rbac.authorization.k8s.io/r reconciled' in said
    assert 'rolebinding.rbac.authorization.k8s.io/r reconciled' in said
    verbs = await api.kubectl('get', 'role', 'r', '-o', 'jsonpath={.rules[*].verbs}')
    assert all(verb in verbs for verb in ('watch', 'get', 'list'))
