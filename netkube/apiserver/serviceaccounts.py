"""The tokens of ServiceAccounts: made by TokenRequest, and looked at again with every request that carries one.

A token is good while its signature, its times, its ServiceAccount and the object that it is bound to are: what is
deleted takes its tokens with it at once. pkg/serviceaccount (claims.go, legacy.go),
pkg/registry/core/serviceaccount/storage/token.go.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from netkube.api.errors import ApiError, bad_request, conflict, invalid
from netkube.api.fielderrors import invalid as invalid_field
from netkube.api.meta import Object, parse_timestamp, timestamp
from netkube.api.resources import NODES, PODS, SECRETS, SERVICEACCOUNTS, Resource
from netkube.apiserver.signing import KEPT_TOKENS, InvalidToken, SigningKey
from netkube.apiserver.storage import Storage
from netkube.apiserver.user import AUTHENTICATED, CREDENTIAL_ID, User, account_groups, account_username

DEFAULT_SECONDS, LEAST_SECONDS, MOST_SECONDS = 3600, 600, 1 << 32
# What the ServiceAccount admission asks for. Such a token is good for a year, for clients that do not read it again.
PROJECTED_SECONDS, EXTENDED_SECONDS = 3607, 365 * 86400
LEEWAY = timedelta(minutes=1)
PRIVATE = 'kubernetes.io'
LEGACY_ISSUER, LEGACY = 'kubernetes/serviceaccount', 'kubernetes.io/serviceaccount/'
BINDABLE = {('v1', 'Pod'): PODS, ('v1', 'Secret'): SECRETS, ('v1', 'Node'): NODES}
BOUND = (('secret', SECRETS), ('pod', PODS), ('node', NODES))
EXTRA = 'authentication.kubernetes.io/'
TOKEN_REQUEST = Resource('authentication.k8s.io', 'v1', 'tokenrequests', 'TokenRequest', True)


class ServiceAccountTokens:
    """``issuer`` is also the audience of a token that does not name one."""

    def __init__(self, storage: Storage, key: SigningKey, issuer: str) -> None:
        self.key, self.issuer = key, issuer
        self._storage = storage
        self._users: dict[str, User] = {}  # by the token's id

    async def request(self, namespace: str, name: str, asked: Object) -> Object:
        """A TokenRequest with its status. ApiError 400, 404, 409, 422."""
        await self.key.ready()
        account = self._storage.object(self._storage.get(SERVICEACCOUNTS, namespace, name))
        spec = dict(asked.get('spec') or {})
        _check_metadata(asked.get('metadata') or {}, namespace, name)
        spec.setdefault('expirationSeconds', DEFAULT_SECONDS)
        spec['audiences'] = spec.get('audiences') or [self.issuer]
        _check_expiration(spec['expirationSeconds'])
        bound = self._bound_claims(namespace, name, spec)
        now = self._storage.now()
        seconds = spec['expirationSeconds']
        token = self.key.sign(self._claims(account, spec['audiences'], seconds, bound, now))
        metadata = {'name': name, 'namespace': namespace, 'creationTimestamp': timestamp(now)}
        status = {'token': token, 'expirationTimestamp': timestamp(now + timedelta(seconds=seconds))}
        return {'kind': 'TokenRequest', 'apiVersion': TOKEN_REQUEST.api_version, 'metadata': metadata, 'spec': spec,
                'status': status}  # fmt: skip

    async def authenticate(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, list[str]]:
        """Whose it is, and for which of ``audiences`` (the API server itself when there are none). InvalidToken."""
        await self.key.ready()
        claims = self.key.verify(token)
        if claims.get('iss') == LEGACY_ISSUER:
            return self._legacy_user(claims, token), list(audiences) or [self.issuer]
        if claims.get('iss') != self.issuer:
            raise InvalidToken('the token is of another issuer')
        self._check_times(claims)
        wanted = audiences or [self.issuer]
        good = [one for one in wanted if one in claims['aud']]
        if not good:
            raise InvalidToken(f'token audiences {_listed(claims["aud"])} is invalid for the target audiences '
                               f'{_listed(wanted)}')  # fmt: skip
        return self._user(claims), good

    async def legacy(self, account: Object, secret: Object) -> str:
        """The token of a Secret of type kubernetes.io/service-account-token: without expiry, as long as the Secret."""
        await self.key.ready()
        namespace, name = account['metadata']['namespace'], account['metadata']['name']
        return self.key.sign({
            'iss': LEGACY_ISSUER, 'sub': account_username(namespace, name), f'{LEGACY}namespace': namespace,
            f'{LEGACY}secret.name': secret['metadata']['name'], f'{LEGACY}service-account.name': name,
            f'{LEGACY}service-account.uid': account['metadata']['uid'],
        })  # fmt: skip

    # making

    def _bound_claims(self, namespace: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        reference = spec.get('boundObjectRef')
        if not reference:
            return {}
        kind, version = reference.get('kind', ''), reference.get('apiVersion', '')
        resource = BINDABLE.get((version, kind))
        if resource is None:
            group, _, short = version.rpartition('/')
            raise bad_request(f'cannot bind token to object of type {group}/{short}, Kind={kind}')
        found = self._storage.object(self._storage.get(resource, namespace, reference.get('name', '')))
        uid = found['metadata']['uid']
        if reference.get('uid', '') not in ('', uid):
            why = (f'the UID in the bound object reference ({reference["uid"]}) does not match the UID in record. '
                   'The object might have been deleted and then recreated')  # fmt: skip
            raise conflict(resource, reference['name'], why)
        claims = {kind.lower(): {'name': found['metadata']['name'], 'uid': uid}}
        return claims | (self._node_claim(found, name) if resource is PODS else {})

    def _node_claim(self, pod: Object, account: str) -> dict[str, Any]:
        if pod['spec'].get('serviceAccountName') != account:
            raise bad_request(
                f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.')
        node = pod['spec'].get('nodeName')
        entry = self._storage.find(NODES, None, node) if node else None
        if not node:
            return {}
        known = {'uid': self._storage.object(entry)['metadata']['uid']} if entry else {}
        return {'node': {'name': node, **known}}

    def _claims(
        self, account: Object, audiences: list[str], seconds: int, bound: dict[str, Any], now: datetime
    ) -> dict[str, Any]:
        metadata, issued = account['metadata'], int(now.timestamp())
        private: dict[str, Any] = {'namespace': metadata['namespace'], **bound}
        private['serviceaccount'] = {'name': metadata['name'], 'uid': metadata['uid']}
        if seconds == PROJECTED_SECONDS and 'pod' in bound and audiences == [self.issuer]:
            private['warnafter'] = issued + seconds
            seconds = EXTENDED_SECONDS
        return {'iss': self.issuer, 'sub': account_username(metadata['namespace'], metadata['name']), 'aud': audiences,
                'exp': issued + seconds, 'nbf': issued, 'iat': issued, 'jti': str(uuid4()),
                PRIVATE: private}  # fmt: skip

    # judging

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = self._storage.now().timestamp()
        if claims['nbf'] > now + LEEWAY.total_seconds():
            raise InvalidToken('service account token is not valid yet')
        if claims['exp'] < now:
            raise InvalidToken('service account token has expired')

    def _user(self, claims: dict[str, Any]) -> User:
        private = claims[PRIVATE]
        namespace, account = private['namespace'], private['serviceaccount']
        self._check_object(SERVICEACCOUNTS, namespace, account, 'service account')
        for kind, resource in BOUND:
            reference = private.get(kind)
            if reference is not None and (kind != 'node' or 'pod' not in private):
                self._check_object(resource, namespace, reference, kind)
        user = self._users.get(claims['jti'])
        if user is None:
            if len(self._users) >= KEPT_TOKENS:
                self._users.clear()
            user = self._users[claims['jti']] = _bound_user(claims)
        return user

    def _check_object(self, resource: Resource, namespace: str, reference: dict[str, str], word: str) -> None:
        entry = self._storage.find(resource, namespace, reference['name'])
        metadata = self._storage.object(entry)['metadata'] if entry else None
        if metadata is None or metadata['uid'] != reference['uid']:
            raise InvalidToken('service account token has been invalidated')
        deleted = metadata.get('deletionTimestamp')
        if deleted and parse_timestamp(deleted) < self._storage.now() - LEEWAY:
            raise InvalidToken(f'{word} {namespace}/{reference["name"]} has been deleted')

    def _legacy_user(self, claims: dict[str, Any], token: str) -> User:
        namespace, name = claims[f'{LEGACY}namespace'], claims[f'{LEGACY}service-account.name']
        uid = claims[f'{LEGACY}service-account.uid']
        self._check_object(SERVICEACCOUNTS, namespace, {'name': name, 'uid': uid}, 'service account')
        entry = self._storage.find(SECRETS, namespace, claims[f'{LEGACY}secret.name'])
        data = (self._storage.object(entry).get('data') or {}) if entry else {}
        if data.get('token') != base64.b64encode(token.encode()).decode():
            raise InvalidToken('service account token has been invalidated')
        return _account_user(namespace, name, uid)


def _bound_user(claims: dict[str, Any]) -> User:
    """What the claims say, where they are true."""
    private = claims[PRIVATE]
    extra = [(CREDENTIAL_ID, (f'JTI={claims["jti"]}',))]
    for kind in ('pod', 'node'):  # a Pod's token names its Node, and is bound to the Pod alone
        reference = private.get(kind, {})
        extra += [(f'{EXTRA}{kind}-{field}', (reference[field],)) for field in ('name', 'uid') if field in reference]
    account = private['serviceaccount']
    return _account_user(private['namespace'], account['name'], account['uid'], tuple(sorted(extra)))


def _account_user(
    namespace: str, name: str, uid: str, extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
) -> User:
    groups = (*account_groups(namespace), AUTHENTICATED)
    return User(account_username(namespace, name), groups, uid, extra)


def _check_metadata(metadata: dict[str, Any], namespace: str, name: str) -> None:
    for field, expected, what in (('name', name, 'name'), ('namespace', namespace, 'namespace')):
        given = metadata.get(field) or expected
        if given != expected:
            message = f'must match the service account {what} if specified'
            raise invalid(TOKEN_REQUEST, given, [invalid_field(f'metadata.{field}', given, message)])


def _check_expiration(seconds: int) -> None:
    path = 'spec.expirationSeconds'
    if seconds < LEAST_SECONDS:
        raise _out_of_range(invalid_field(path, seconds, 'may not specify a duration less than 10 minutes'))
    if seconds > MOST_SECONDS:
        raise _out_of_range(invalid_field(path, seconds, 'may not specify a duration larger than 2^32 seconds'))


def _out_of_range(error: Any) -> ApiError:
    return invalid(TOKEN_REQUEST, '', [error])


def _listed(values: Sequence[str]) -> str:
    """Go's %q of a list."""
    return '[' + ' '.join(f'"{value}"' for value in values) + ']'
