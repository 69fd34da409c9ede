"""ServiceAccount tokens: what is in them, and how long they are good."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from asking import ADMIN, Desk, rule

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import NAMESPACES, NODES, PODS, SECRETS, SERVICEACCOUNTS
from netkube.apiserver.registry import DEFAULT_ISSUER, Registry
from netkube.apiserver.signing import InvalidToken, SigningKey
from netkube.store.store import Store

ACCOUNT = {'metadata': {'name': 'bot', 'namespace': 'default'}}
TOKENS = '/api/v1/namespaces/default/serviceaccounts/bot/token'
WHOAMI = '/apis/authentication.k8s.io/v1/selfsubjectreviews'
REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews'
POD = {'metadata': {'name': 'p', 'namespace': 'default'}, 'spec': {
    'serviceAccountName': 'bot', 'nodeName': 'n', 'containers': [{'name': 'c', 'image': 'i'}]}}  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def desk(clock: Clock) -> AsyncIterator[Desk]:
    """A namespace with the account ``bot`` and its Pod ``p`` on the Node ``n``."""
    store = Store(':memory:')
    registry = Registry(store, now=clock)
    await registry.create(NAMESPACES, {'metadata': {'name': 'default'}})
    await registry.create(NODES, {'metadata': {'name': 'n'}})
    await registry.create(SERVICEACCOUNTS, ACCOUNT)
    await registry.create(PODS, POD)
    yield Desk(registry)
    store.close()


async def token(desk: Desk, **spec: object) -> str:
    return str((await desk.made(TOKENS, {'spec': spec}))['status']['token'])


def claims(token: str) -> Object:
    payload = token.split('.')[1]
    return json.loads(base64.urlsafe_b64decode(payload + '=' * (-len(payload) % 4)))


async def uid(desk: Desk, *where: object) -> str:
    return (await desk.registry.get(*where))['metadata']['uid']  # type: ignore[arg-type]


def bound(kind: str, name: str, **more: str) -> Object:
    return {'kind': kind, 'apiVersion': 'v1', 'name': name, **more}


async def test_the_claims_are_kubernetes_own(desk: Desk, clock: Clock) -> None:
    said = await desk.made(TOKENS, {'spec': {'expirationSeconds': 600, 'boundObjectRef': bound('Pod', 'p')}})
    found, now = claims(said['status']['token']), int(clock.now.timestamp())
    assert said['status']['expirationTimestamp'] == '2026-01-01T00:10:00Z'
    assert (found['iss'], found['aud'], found['sub']) == (
        DEFAULT_ISSUER, [DEFAULT_ISSUER], 'system:serviceaccount:default:bot')  # fmt: skip
    assert (found['iat'], found['nbf'], found['exp']) == (now, now, now + 600)
    assert len(found['jti']) == 36
    assert found['kubernetes.io'] == {
        'namespace': 'default', 'node': {'name': 'n', 'uid': await uid(desk, NODES, '', 'n')},
        'pod': {'name': 'p', 'uid': await uid(desk, PODS, 'default', 'p')},
        'serviceaccount': {'name': 'bot', 'uid': await uid(desk, SERVICEACCOUNTS, 'default', 'bot')},
    }  # fmt: skip


async def test_whom_a_token_makes_of_its_bearer(desk: Desk) -> None:
    good = await token(desk, boundObjectRef=bound('Pod', 'p'))
    info = (await desk.ask(None, 'POST', WHOAMI, {}, token=good)).json['status']['userInfo']
    assert info['username'] == 'system:serviceaccount:default:bot'
    assert info['groups'] == ['system:serviceaccounts', 'system:serviceaccounts:default', 'system:authenticated']
    assert info['uid'] == await uid(desk, SERVICEACCOUNTS, 'default', 'bot')
    assert info['extra']['authentication.kubernetes.io/pod-name'] == ['p']
    assert info['extra']['authentication.kubernetes.io/node-name'] == ['n']
    assert info['extra']['authentication.kubernetes.io/credential-id'] == [f'JTI={claims(good)["jti"]}']


async def test_a_role_for_an_account(desk: Desk) -> None:
    good, pods = await token(desk), '/api/v1/namespaces/default/pods'
    assert (await desk.ask(None, 'GET', pods, token=good)).message == (
        'pods is forbidden: User "system:serviceaccount:default:bot" cannot list resource "pods" in API group "" in '
        'the namespace "default"')  # fmt: skip
    await desk.role('r', rule('list', 'pods'), to='system:serviceaccount:default:bot')
    assert (await desk.ask(None, 'GET', pods, token=good)).code == 200


async def test_a_token_ends(desk: Desk, clock: Clock) -> None:
    short = await token(desk, expirationSeconds=600)
    clock.passes(seconds=599)
    assert (await desk.ask(None, 'POST', WHOAMI, {}, token=short)).code == 201
    clock.passes(seconds=2)
    assert (await desk.ask(None, 'POST', WHOAMI, {}, token=short)).code == 401
    review = (await desk.made(REVIEWS, {'spec': {'token': short}}))['status']
    assert review['error'] == '[invalid bearer token, service account token has expired]'
    assert review['authenticated'] is False


async def test_the_token_of_a_pod_s_volume_lasts_for_clients_that_read_it_once(desk: Desk, clock: Clock) -> None:
    said = await desk.made(TOKENS, {'spec': {'expirationSeconds': 3607, 'boundObjectRef': bound('Pod', 'p')}})
    found, now = claims(said['status']['token']), int(clock.now.timestamp())
    assert said['status']['expirationTimestamp'] == '2026-01-01T01:00:07Z'
    assert (found['exp'], found['kubernetes.io']['warnafter']) == (now + 365 * 86400, now + 3607)


async def test_a_token_goes_with_what_it_is_bound_to(desk: Desk) -> None:
    of_pod, of_account = await token(desk, boundObjectRef=bound('Pod', 'p')), await token(desk)
    assert (await desk.ask(None, 'POST', WHOAMI, {}, token=of_pod)).code == 201
    await desk.registry.delete(PODS, 'default', 'p', grace_period_seconds=0)
    assert (await desk.ask(None, 'POST', WHOAMI, {}, token=of_pod)).code == 401
    await desk.registry.create(PODS, POD)
    assert (await desk.ask(None, 'POST', WHOAMI, {}, token=of_pod)).code == 401
    assert (await desk.ask(None, 'POST', WHOAMI, {}, token=of_account)).code == 201
    await desk.registry.delete(SERVICEACCOUNTS, 'default', 'bot')
    await desk.registry.create(SERVICEACCOUNTS, ACCOUNT)
    assert (await desk.ask(None, 'POST', WHOAMI, {}, token=of_account)).code == 401


async def test_a_pod_that_ends_keeps_its_token_for_a_minute_after_its_deadline(desk: Desk, clock: Clock) -> None:
    good = await token(desk, boundObjectRef=bound('Pod', 'p'))
    await desk.registry.delete(PODS, 'default', 'p', grace_period_seconds=30)
    clock.passes(seconds=80)
    assert (await desk.ask(None, 'POST', WHOAMI, {}, token=good)).code == 201
    clock.passes(seconds=20)
    assert (await desk.ask(None, 'POST', WHOAMI, {}, token=good)).code == 401


async def test_another_audience_is_for_others(desk: Desk) -> None:
    vault = await token(desk, audiences=['vault'])
    assert (await desk.ask(None, 'POST', WHOAMI, {}, token=vault)).code == 401
    for_vault = (await desk.made(REVIEWS, {'spec': {'token': vault, 'audiences': ['vault', 'x']}}))['status']
    assert (for_vault['authenticated'], for_vault['audiences']) == (True, ['vault'])
    assert (await desk.made(REVIEWS, {'spec': {'token': vault}}))['status']['authenticated'] is False


def forged(token: str, header: Object) -> str:
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b'=').decode()
    return '.'.join((encoded, *token.split('.')[1:]))


async def test_claims_of_somebody_else_need_another_signature(desk: Desk) -> None:
    """All of it right: issuer, times, objects, header. Only the key is another, or the signature another's."""
    await desk.registry.create(SERVICEACCOUNTS, {'metadata': {'name': 'boss', 'namespace': 'default'}})
    mine = await token(desk)
    boss = str((await desk.made(TOKENS.replace('bot', 'boss'), {}))['status']['token'])
    head, payload, signature = mine.split('.')
    _, wanted, _ = boss.split('.')
    thief = SigningKey()
    await thief.ready()
    thief._header = head.encode()
    resigned = thief.sign(claims(boss))
    assert resigned.split('.')[0] == head
    for forgery in (f'{head}.{wanted}.{signature}', resigned):
        assert (await desk.ask(None, 'POST', WHOAMI, {}, token=forgery)).code == 401
    assert (await desk.ask(None, 'POST', WHOAMI, {}, token=boss)).code == 201


async def test_what_is_not_ours_is_401(desk: Desk) -> None:
    good, other = await token(desk), Desk(Registry(Store(':memory:')))
    await other.registry.create(NAMESPACES, {'metadata': {'name': 'default'}})
    await other.registry.create(SERVICEACCOUNTS, ACCOUNT)
    head, payload, signature = good.split('.')
    changed = payload[:20] + ('A' if payload[20] != 'A' else 'B') + payload[21:]
    bad = [
        await token(other), f'{head}.{changed}.{signature}', f'{head}.{payload}.', f'{head}.{payload}',
        forged(good, {'alg': 'none'}), forged(good, {'alg': 'HS256'}), 'x', 'a.b.c', '\x80.\xff.x', good + 'A',
        f'{good}.x',
    ]  # fmt: skip
    for one in bad:
        assert (await desk.ask(None, 'POST', WHOAMI, {}, token=one)).code == 401, one
    assert (await desk.ask(None, 'POST', WHOAMI, {}, token=good)).code == 201
    basic = (('Authorization', 'Basic eDp5'),)
    assert (await desk.ask(None, 'POST', WHOAMI, {}, headers=basic)).code == 401


@pytest.mark.parametrize(
    'body, code, message',
    [
        ({'spec': {'expirationSeconds': 599}}, 422, 'TokenRequest.authentication.k8s.io "" is invalid: '
         'spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes'),
        ({'spec': {'expirationSeconds': (1 << 32) + 1}}, 422, 'TokenRequest.authentication.k8s.io "" is invalid: '
         'spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds'),
        ({'spec': {'boundObjectRef': bound('Deployment', 'd')}}, 400,
         'cannot bind token to object of type /v1, Kind=Deployment'),
        ({'spec': {'boundObjectRef': bound('Pod', 'none')}}, 404, 'pods "none" not found'),
        ({'spec': {'boundObjectRef': bound('Pod', 'p', uid='x')}}, 409, 'Operation cannot be fulfilled on pods "p": '
         'the UID in the bound object reference (x) does not match the UID in record. The object might have been '
         'deleted and then recreated'),
    ],
)  # fmt: skip
async def test_what_a_token_request_may_not_say(desk, body, code, message):
    said = await desk.ask(ADMIN, 'POST', TOKENS, body)
    assert (said.code, said.message.replace(await uid(desk, PODS, 'default', 'p'), 'UID')) == (code, message)


async def test_a_pod_of_another_account_is_no_binding(desk: Desk) -> None:
    await desk.registry.create(SERVICEACCOUNTS, {'metadata': {'name': 'other', 'namespace': 'default'}})
    request = {'spec': {'boundObjectRef': bound('Pod', 'p')}}
    said = await desk.ask(ADMIN, 'POST', TOKENS.replace('bot', 'other'), request)
    refusal = 'cannot bind token for serviceaccount "other" to pod running with different serviceaccount name.'
    assert (said.code, said.message) == (400, refusal)


async def test_only_who_may_create_tokens_gets_them(desk: Desk) -> None:
    good = await token(desk)
    said = await desk.ask(None, 'POST', TOKENS, {}, token=good)
    assert said.code == 403 and 'cannot create resource "serviceaccounts/token"' in said.message


async def test_a_legacy_token_lasts_as_long_as_its_secret(desk: Desk, clock: Clock) -> None:
    account = await desk.registry.get(SERVICEACCOUNTS, 'default', 'bot')
    secret = {'metadata': {'name': 's', 'namespace': 'default',
                           'annotations': {'kubernetes.io/service-account.name': 'bot'}},
              'type': 'kubernetes.io/service-account-token'}  # fmt: skip
    legacy = await desk.registry.tokens.legacy(account, secret)
    data = {'token': base64.b64encode(legacy.encode()).decode()}
    await desk.registry.create(SECRETS, {**secret, 'data': data})
    clock.passes(days=10_000)
    assert (await desk.ask(None, 'POST', WHOAMI, {}, token=legacy)).code == 201
    await desk.registry.delete(SECRETS, 'default', 's')
    assert (await desk.ask(None, 'POST', WHOAMI, {}, token=legacy)).code == 401


async def test_others_can_check_a_token_by_the_published_key(desk: Desk) -> None:
    """RFC 7517 and 7518, with nothing of ours but the documents."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    def number(text: str) -> int:
        return int.from_bytes(base64.urlsafe_b64decode(text + '=' * (-len(text) % 4)), 'big')

    good = await token(desk)
    configuration = await desk.ask(None, 'GET', '/.well-known/openid-configuration', token=good)
    assert configuration.json['jwks_uri'] == f'{DEFAULT_ISSUER}/openid/v1/jwks'
    (key,) = (await desk.ask(None, 'GET', '/openid/v1/jwks', token=good)).json['keys']
    signed, _, signature = good.rpartition('.')
    raw = number(signature)
    public = ec.EllipticCurvePublicNumbers(number(key['x']), number(key['y']), ec.SECP256R1()).public_key()
    public.verify(encode_dss_signature(raw >> 256, raw & (1 << 256) - 1), signed.encode(), ec.ECDSA(hashes.SHA256()))


async def test_in_process_there_is_the_same_message(desk: Desk) -> None:
    with pytest.raises(ApiError, match='serviceaccounts "none" not found'):
        await desk.registry.create(SERVICEACCOUNTS, {'metadata': {'name': 'none', 'namespace': 'default'}}, 'token')
    with pytest.raises(InvalidToken):
        await desk.registry.tokens.authenticate('x')
