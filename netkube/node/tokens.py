"""The tokens in the volumes of Pods: asked for when a Pod starts, and again before they end.

A token is renewed at four fifths of its life, or after a day. Source: kubernetes pkg/kubelet/token and
pkg/volume/projected.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

import msgspec

from netkube.api.errors import ApiError
from netkube.api.meta import Object, parse_timestamp
from netkube.api.resources import SERVICEACCOUNTS
from netkube.client.interface import Client

TokenKey = tuple[str, int]  # audience ('' is the API server) and seconds

MOST = timedelta(hours=24)
LAST_PART = 0.2  # of a token's life, in which it is renewed
JITTER_SECONDS = 10.0
RETRY = timedelta(seconds=10)


class PodToken(msgspec.Struct, frozen=True):
    text: str
    expires: datetime
    renew: datetime


def tokens_of(volumes: Iterable[Object]) -> Iterator[TokenKey]:
    """What projected volumes want."""
    for volume in volumes:
        for source in (volume.get('projected') or {}).get('sources') or ():
            if wanted := source.get('serviceAccountToken'):
                yield wanted.get('audience', ''), wanted['expirationSeconds']


def account_of(pod: Object) -> str:
    return pod['spec'].get('serviceAccountName') or 'default'


class TokenSource:
    """Asks the API server, on behalf of a Pod's ServiceAccount."""

    def __init__(self, client: Client, now: Callable[[], datetime]) -> None:
        self._client, self._now = client, now

    async def renewed(self, pod: Object, held: dict[TokenKey, PodToken]) -> dict[TokenKey, PodToken]:
        """All that the Pod wants: those it holds, while they are young. ApiError when one is missing or over.

        One that cannot be renewed yet is kept while it is good.
        """
        wanted = tokens_of(pod['spec'].get('volumes') or ())
        return {key: await self._current(pod, key, held.get(key)) for key in wanted}

    async def _current(self, pod: Object, key: TokenKey, held: PodToken | None) -> PodToken:
        now = self._now()
        if held is not None and now < held.renew:
            return held
        try:
            return await self._request(pod, key)
        except ApiError:
            if held is None or now >= held.expires:
                raise
            return PodToken(held.text, held.expires, now + RETRY)

    async def _request(self, pod: Object, key: TokenKey) -> PodToken:
        audience, seconds = key
        metadata = pod['metadata']
        bound = {'kind': 'Pod', 'apiVersion': 'v1', 'name': metadata['name'], 'uid': metadata['uid']}
        spec: Object = {'expirationSeconds': seconds, 'boundObjectRef': bound}
        if audience:
            spec['audiences'] = [audience]
        request = {'metadata': {'namespace': metadata['namespace'], 'name': account_of(pod)}, 'spec': spec}
        answer = await self._client.create(SERVICEACCOUNTS, request, 'token')
        expires = parse_timestamp(answer['status']['expirationTimestamp'])
        return PodToken(answer['status']['token'], expires, renewal(expires, answer['spec']['expirationSeconds']))


def renewal(expires: datetime, seconds: int) -> datetime:
    """When to ask for the next one; a few seconds are left to chance, so that Pods of one age do not ask at once."""
    issued, jitter = expires - timedelta(seconds=seconds), timedelta(seconds=random.random() * JITTER_SECONDS)
    return min(issued + MOST, expires - timedelta(seconds=seconds * LAST_PART)) - jitter
