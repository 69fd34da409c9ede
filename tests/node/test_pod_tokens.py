"""The tokens in Pods: what they look like there, and when they are renewed."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta

import pytest
from node_lab import Lab, container
from pods import NOW
from pods import container as make_container
from pods import pod as make_pod

from netkube.api.errors import ApiError
from netkube.api.meta import Object, timestamp
from netkube.api.resources import PODS, SERVICEACCOUNTS
from netkube.node.tokens import MOST, TokenSource, renewal
from netkube.node.volumes import VolumeContext, payload_of, user_of
from netkube.testing import eventually

FOREVER = ('sleep', 'infinity')
MOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    'seconds, after',
    [(3600, timedelta(minutes=48)), (600, timedelta(minutes=8)), (7 * 86400, MOST), (86400, timedelta(hours=19.2))],
)
def test_a_token_is_renewed_at_four_fifths_of_its_life_or_after_a_day(seconds, after):
    due = renewal(NOW + timedelta(seconds=seconds), seconds)
    assert NOW + after - timedelta(seconds=10) <= due <= NOW + after


class Api:
    """Answers TokenRequests, until told not to."""

    def __init__(self) -> None:
        self.now, self.asked, self.fails = NOW, 0, False

    async def create(self, resource: object, request: Object, subresource: str) -> Object:
        assert (resource, subresource) == (SERVICEACCOUNTS, 'token')
        if self.fails:
            raise ApiError(500, 'InternalError', 'out of order')
        self.asked += 1
        spec = request['spec']
        expires = self.now + timedelta(seconds=spec['expirationSeconds'])
        return {'spec': spec, 'status': {'token': f't{self.asked}', 'expirationTimestamp': timestamp(expires)}}


TOKEN = {'serviceAccountToken': {'path': 'token', 'expirationSeconds': 3600}}
VOLUME = {'name': 'v', 'projected': {'defaultMode': 0o644, 'sources': [TOKEN]}}


async def test_renewal_goes_by_the_clock_and_survives_an_api_that_is_away_for_a_while():
    api, pod = Api(), make_pod(volumes=[VOLUME])
    source = TokenSource(api, lambda: api.now)  # type: ignore[arg-type]
    held = await source.renewed(pod, {})
    api.now += 0.7 * HOUR
    assert await source.renewed(pod, held) == held
    api.now += 0.1 * HOUR
    newer = await source.renewed(pod, held)
    assert [token.text for token in newer.values()] == ['t2']
    api.fails = True
    api.now += 0.9 * HOUR
    kept = await source.renewed(pod, newer)
    assert [token.text for token in kept.values()] == ['t2']
    api.now += 0.2 * HOUR
    with pytest.raises(ApiError):
        await source.renewed(pod, kept)


@pytest.mark.parametrize(
    'users, of_pod, expected',
    [([None], None, None), ([5], None, 5), ([5, 5], None, 5), ([5, 6], None, None), ([5, None], None, None),
     ([None, None], 7, 7), ([5, None], 5, 5)],
)  # fmt: skip
def test_the_one_user_of_all_containers(users, of_pod, expected):
    containers = [make_container(f'c{n}', securityContext={'runAsUser': user} if user else {})
                  for n, user in enumerate(users)]  # fmt: skip
    assert user_of(make_pod(*containers, securityContext={'runAsUser': of_pod} if of_pod else {})) == expected


@pytest.mark.parametrize(
    'security, mode, uid', [({}, 0o644, -1), ({'runAsUser': 5}, 0o600, 5), ({'fsGroup': 9}, 0o600, -1)]
)
async def test_whose_the_file_is(security, mode, uid):
    pod, api = make_pod(volumes=[VOLUME], securityContext=security), Api()
    tokens = await TokenSource(api, lambda: api.now).renewed(pod, {})  # type: ignore[arg-type]
    payload = payload_of(VOLUME, VolumeContext(pod, None, None, tokens))  # type: ignore[arg-type]
    assert payload is not None
    assert payload['token'] == (b't1', mode, uid)


def claims(token: str) -> Object:
    payload = token.split('.')[1]
    return json.loads(base64.urlsafe_b64decode(payload + '=' * (-len(payload) % 4)))


async def test_every_pod_has_its_own(kubelet: Lab) -> None:
    pod = await kubelet.create_pod(*FOREVER, wait=True)
    files = await kubelet.sh(f'cd {MOUNT}; for f in token ca.crt namespace; do cat $f; echo; done')
    token, ca, namespace = files.splitlines()
    assert (ca, namespace) == ('a certificate', 'default')
    assert claims(token)['kubernetes.io']['pod'] == {'name': 'p', 'uid': pod['metadata']['uid']}
    user, _ = await kubelet.client.tokens.authenticate(token)  # type: ignore[attr-defined]
    assert user.name == 'system:serviceaccount:default:default'
    assert await kubelet.sh(f'stat -Lc "%a %u" {MOUNT}/token') == '644 0\n'
    assert 'Read-only' in await kubelet.sh(f'touch {MOUNT}/x 2>&1 || true')


async def test_a_user_of_a_container_owns_its_token(kubelet: Lab) -> None:
    security = {'runAsUser': 1234, 'fsGroup': 77}
    await kubelet.create_pod(*FOREVER, spec={'securityContext': security}, wait=True)
    assert await kubelet.sh(f'stat -Lc "%a %u %g" {MOUNT}/token') == '640 1234 77\n'
    assert (await kubelet.sh(f'cat {MOUNT}/token')).count('.') == 2


async def test_who_does_not_want_one_has_none(kubelet: Lab) -> None:
    pod = await kubelet.create_pod(*FOREVER, spec={'automountServiceAccountToken': False}, wait=True)
    assert 'volumes' not in pod['spec']
    assert await kubelet.sh(f'ls -d {MOUNT} 2>/dev/null || echo none') == 'none\n'


async def test_another_audience_and_time(kubelet: Lab) -> None:
    source = {'serviceAccountToken': {'path': 'vault', 'audience': 'vault', 'expirationSeconds': 600}}
    volume, mounts = {'name': 'v', 'projected': {'sources': [source]}}, [{'name': 'v', 'mountPath': '/tokens'}]
    await kubelet.create_pod(*FOREVER, volumeMounts=mounts, spec={'volumes': [volume]}, wait=True)
    found = claims(await kubelet.sh('cat /tokens/vault'))
    assert (found['aud'], found['exp'] - found['iat']) == (['vault'], 600)


async def test_a_pod_waits_for_its_account(kubelet: Lab) -> None:
    await kubelet.client.delete(SERVICEACCOUNTS, 'default', 'default')
    await kubelet.create_pod(*FOREVER)
    name = (await kubelet.pod())['spec']['volumes'][0]['name']
    why = 'failed to fetch token: serviceaccounts "default" not found'
    await kubelet.has_event('Warning', 'FailedMount', f'MountVolume.SetUp failed for volume "{name}" : {why}')
    await kubelet.client.create(SERVICEACCOUNTS, {'metadata': {'name': 'default', 'namespace': 'default'}})
    await kubelet.until(lambda pod: 'running' in container(pod)['state'])


async def test_a_renewed_token_replaces_the_old_one_at_once(node_lab: Lab) -> None:
    async with node_lab.running_agent() as agent:
        await node_lab.create_pod(*FOREVER, wait=True)
        first = await node_lab.sh(f'cat {MOUNT}/token')
        record = next(iter(agent._records.all()))
        record.tokens = {key: type(held)(held.text, held.expires, datetime.fromisoformat('2000-01-01T00:00:00+00:00'))
                         for key, held in record.tokens.items()}  # fmt: skip
        await node_lab.client.patch(PODS, 'default', 'p', {'metadata': {'labels': {'look': 'again'}}})

        async def another() -> str:
            found = await node_lab.sh(f'cat {MOUNT}/token')
            return found if found != first else ''

        second = await eventually(another)
    assert claims(first)['sub'] == claims(second)['sub'] and claims(first)['jti'] != claims(second)['jti']
