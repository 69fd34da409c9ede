"""A Pod that uses more of the disk than it may is evicted, as by the kubelet; beside it others go on."""

from __future__ import annotations

from typing import Any

from node_lab import Lab, condition, container, running

from netkube.api.meta import Object

WRITES = 'i=0; while :; do i=$((i+1)); head -c 300000 /dev/zero > $DIR/$i; sleep 0.1; done'
LIMITS = {'limits': {'ephemeral-storage': '2Mi'}}
VOLUME = {'name': 'v', 'emptyDir': {'sizeLimit': '2Mi'}}
EVERYWHERE = 'for file in /var/one /tmp/two /dev/stderr; do head -c 800000 /dev/zero > $file; done; sleep 1000'


def one(*command: str, directory: str = '', **fields: Any) -> Object:
    return {'name': 'c', 'image': 'i', 'command': list(command), 'env': [{'name': 'DIR', 'value': directory}], **fields}


def shell(script: str, directory: str = '', **fields: Any) -> Object:
    return one('sh', '-c', script, directory=directory, **fields)


ROOMY = one('sleep', '1000', resources={'limits': {'ephemeral-storage': '1Gi'}}) | {'name': 'roomy'}
MOUNTED = {'volumeMounts': [{'name': 'v', 'mountPath': '/data'}]}
GREEDY: dict[str, tuple[Object, str]] = {
    'volume': (
        {'containers': [shell(f'trap "" TERM; echo up; {WRITES}', '/data', **MOUNTED)], 'volumes': [VOLUME],
         'terminationGracePeriodSeconds': 3600},
        'Usage of EmptyDir volume "v" exceeds the limit "2Mi". '),
    'one-container': (
        {'containers': [shell(WRITES, '/var', resources=LIMITS), ROOMY]},
        'Container c exceeded its local ephemeral storage limit "2Mi". '),
    'all-together': (
        {'containers': [shell(EVERYWHERE, resources=LIMITS)]},
        'Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. '),
}  # fmt: skip


async def is_evicted(kubelet: Lab, name: str, message: str) -> Object:
    pod = await kubelet.until(lambda pod: pod['status']['phase'] == 'Failed', name, timeout=60)
    assert (pod['status']['reason'], pod['status']['message']) == ('Evicted', message)
    target = condition(pod, 'DisruptionTarget')
    assert (target['status'], target['reason'], target['message']) == ('True', 'TerminationByKubelet', message)
    assert condition(pod, 'Ready')['reason'] == 'PodFailed'
    await kubelet.has_event('Warning', 'Evicted', message, name)
    return pod


async def test_only_who_uses_more_than_it_may_is_evicted(kubelet: Lab):
    modest = 'head -c 1000000 /dev/zero > /var/file; sleep 1000'
    await kubelet.create_pod('sh', '-c', modest, name='modest', resources=LIMITS)
    for name, (spec, _) in GREEDY.items():
        await kubelet.create_pod(name=name, spec=spec)
    pods = {name: await is_evicted(kubelet, name, message) for name, (_, message) in GREEDY.items()}
    assert running(await kubelet.pod('modest'))
    # It is not restarted, its own grace period was not waited for, and nothing but its logs is left.
    pod = pods['volume']
    assert container(pod)['state']['terminated']['exitCode'] == 137
    assert container(pod)['restartCount'] == 0
    assert await kubelet.logs('volume') == 'up\n'
    files = kubelet.config.pod_dir(pod['metadata']['uid'])
    await kubelet.until(lambda pod: not (files / 'volumes').exists(), 'volume')
    assert not any(reason == 'NotHonoured' for _, reason, _ in await kubelet.events('volume'))
