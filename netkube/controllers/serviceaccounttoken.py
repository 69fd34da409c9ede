"""Tokens in Secrets of type ``kubernetes.io/service-account-token``, for those who want one that does not end.

Such a Secret is filled in when its ServiceAccount exists, and goes with it. Source: pkg/controller/serviceaccount
tokens_controller.go.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, is_deleting, key_of, utc_now
from netkube.api.resources import SECRETS, SERVICEACCOUNTS
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers

TOKEN_TYPE = 'kubernetes.io/service-account-token'
NAME, UID = 'kubernetes.io/service-account.name', 'kubernetes.io/service-account.uid'

Sign = Callable[[Object, Object], Awaitable[str]]


class ServiceAccountTokenController:
    component = 'tokens-controller'

    def __init__(
        self,
        informers: Informers,
        recorder: EventRecorder,
        now: Callable[[], datetime] = utc_now,
        *,
        ca: str,
        sign: Sign,
    ) -> None:
        """``sign(account, secret)`` makes a token; ``ca``: the cluster's CA certificate, PEM."""
        self._client = informers.client
        self._ca, self._sign = ca, sign
        self._secrets, self._accounts = informers[SECRETS], informers[SERVICEACCOUNTS]
        self._controller = Controller('serviceaccounttoken', informers, self._sync)
        self._controller.watch(SECRETS, _key_of_token)
        self._controller.watch(SERVICEACCOUNTS, self._keys_of_account)

    async def run(self) -> None:
        await self._controller.run()

    def _keys_of_account(self, account: Object) -> Iterable[Key]:
        namespace, name = key_of(account)
        return [key_of(secret) for secret in self._secrets.list(namespace) if _account_name(secret) == name]

    async def _sync(self, key: Key) -> None:
        secret = self._secrets.get(key)
        if secret is None or is_deleting(secret) or not _account_name(secret):
            return
        account = self._accounts.get((key[0], _account_name(secret)))
        wanted_uid = (secret['metadata'].get('annotations') or {}).get(UID)
        try:
            if account is None or wanted_uid not in (None, account['metadata']['uid']):
                await self._client.delete(SECRETS, *key, uid=secret['metadata']['uid'])
            else:
                await self._fill(account, secret)
        except ApiError as error:
            if error.reason != 'NotFound':
                raise

    async def _fill(self, account: Object, secret: Object) -> None:
        data, metadata = secret.get('data') or {}, secret['metadata']
        wanted = {'ca.crt': _encoded(self._ca), 'namespace': _encoded(metadata['namespace'])}
        annotations = {**(metadata.get('annotations') or {}), UID: account['metadata']['uid']}
        if 'token' in data and wanted.items() <= data.items() and annotations == metadata.get('annotations'):
            return
        if 'token' not in data:
            wanted['token'] = _encoded(await self._sign(account, secret))
        new = {**secret, 'metadata': {**metadata, 'annotations': annotations}, 'data': {**data, **wanted}}
        await self._client.update(SECRETS, new)


def _account_name(secret: Object) -> str:
    """'' for a Secret of another type."""
    if secret.get('type') != TOKEN_TYPE:
        return ''
    return str((secret['metadata'].get('annotations') or {}).get(NAME, ''))


def _key_of_token(secret: Object) -> Iterable[Key]:
    return (key_of(secret),) if _account_name(secret) else ()


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
