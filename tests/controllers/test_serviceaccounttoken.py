"""Secrets that hold a ServiceAccount's token."""

from __future__ import annotations

import base64

from workload_cluster import Cluster

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import SECRETS, SERVICEACCOUNTS
from netkube.controllers.serviceaccounttoken import NAME, TOKEN_TYPE, UID, ServiceAccountTokenController
from netkube.testing import eventually

ACCOUNT = {'metadata': {'name': 'bot', 'namespace': 'default'}}


def secret(name: str, account: str = 'bot') -> Object:
    metadata = {'name': name, 'namespace': 'default', 'annotations': {NAME: account}}
    return {'metadata': metadata, 'type': TOKEN_TYPE}


async def start(cluster: Cluster) -> None:
    await cluster.start(ServiceAccountTokenController, ca='PEM', sign=cluster.api.tokens.legacy)


async def gone(cluster: Cluster, name: str) -> bool:
    try:
        await cluster.get(SECRETS, name)
    except ApiError as error:
        return error.code == 404
    return False


async def test_it_is_filled_in_and_goes_with_its_account(cluster: Cluster) -> None:
    await start(cluster)
    account = await cluster.api.create(SERVICEACCOUNTS, ACCOUNT)
    await cluster.api.create(SECRETS, secret('s'))

    async def filled() -> Object | None:
        found = await cluster.get(SECRETS, 's')
        return found if 'token' in (found.get('data') or {}) else None

    found = await eventually(filled)
    decoded = {key: base64.b64decode(value).decode() for key, value in found['data'].items()}
    assert (decoded['ca.crt'], decoded['namespace']) == ('PEM', 'default')
    assert found['metadata']['annotations'][UID] == account['metadata']['uid']
    user, _ = await cluster.api.tokens.authenticate(decoded['token'])
    assert user.name == 'system:serviceaccount:default:bot'
    await cluster.api.delete(SERVICEACCOUNTS, 'default', 'bot')
    await eventually(lambda: gone(cluster, 's'))


async def test_one_of_no_account_goes(cluster: Cluster) -> None:
    await start(cluster)
    await cluster.api.create(SECRETS, secret('s', 'nobody'))
    await cluster.api.create(SECRETS, {'metadata': {'name': 'plain', 'namespace': 'default'}})
    await eventually(lambda: gone(cluster, 's'))
    assert not await gone(cluster, 'plain')
