"""Hooks, grace periods, and what logs and exec say when there is nothing to give."""

from __future__ import annotations

import pytest
from node_lab import Lab, container, running

from netkube.api.errors import ApiError
from netkube.api.resources import PODS

FOREVER = ('sleep', 'infinity')
MOUNT = [{'name': 'v', 'mountPath': '/scratch'}]


def sh(script: str) -> dict:
    return {'exec': {'command': ['sh', '-c', script]}}


def scratch(tmp_path) -> dict:
    return {'volumes': [{'name': 'v', 'hostPath': {'path': str(tmp_path / 'scratch')}}]}


async def test_the_pre_stop_hook_runs_before_the_container_is_asked_to_end(kubelet: Lab, tmp_path) -> None:
    script = 'trap "echo term >> /scratch/order; exit 0" TERM; echo up; while :; do sleep 0.05; done'
    hook = {'preStop': sh('sleep 0.2; echo hook >> /scratch/order')}
    spec = scratch(tmp_path)
    await kubelet.create_pod('sh', '-c', script, lifecycle=hook, volumeMounts=MOUNT, spec=spec, wait=True)
    await kubelet.prints('up')
    await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=5)
    await kubelet.gone()
    assert (tmp_path / 'scratch' / 'order').read_text() == 'hook\nterm\n'


async def test_a_container_has_not_started_before_its_post_start_hook_has_ended(kubelet: Lab, tmp_path) -> None:
    hook = {'postStart': sh('while ! test -e /scratch/go; do sleep 0.02; done')}
    await kubelet.create_pod(*FOREVER, lifecycle=hook, volumeMounts=MOUNT, spec=scratch(tmp_path))
    pod = await kubelet.until(running)
    assert not container(pod)['started'] and not container(pod)['ready']
    (tmp_path / 'scratch' / 'go').touch()
    await kubelet.until(lambda pod: container(pod)['started'] and container(pod)['ready'])


async def test_a_post_start_hook_that_fails_ends_the_container(kubelet: Lab) -> None:
    script = 'trap "exit 0" TERM; while :; do sleep 0.05; done'
    await kubelet.create_pod('sh', '-c', script, lifecycle={'postStart': sh('echo no; exit 1')})
    await kubelet.until(lambda pod: container(pod)['restartCount'] == 1)
    await kubelet.has_event('Warning', 'FailedPostStartHook', 'PostStartHook failed: no\n')


async def test_a_grace_period_can_be_made_shorter(kubelet: Lab) -> None:
    await kubelet.create_pod('sh', '-c', 'trap "" TERM; echo up; while :; do sleep 0.05; done', wait=True)
    await kubelet.prints('up')
    await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=1000)
    await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=1)
    await kubelet.gone()


async def test_a_name_can_be_used_again_at_once(kubelet: Lab) -> None:
    first = await kubelet.create_pod('sh', '-c', 'trap "" TERM; while :; do sleep 0.05; done', wait=True)
    await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=0)
    second = await kubelet.create_pod(*FOREVER, wait=True)
    assert first['metadata']['uid'] != second['metadata']['uid']
    assert first['status']['podIP'] != second['status']['podIP']


async def test_logs_and_exec_of_what_is_not_there(kubelet: Lab) -> None:
    await kubelet.create_pod(*FOREVER, wait=True)
    await kubelet.create_pod(name='waiting')
    await kubelet.until(lambda pod: 'waiting' in container(pod)['state'], 'waiting')
    for arguments, code, message in (
        ({'name': 'nobody'}, 404, 'pods "nobody" not found'),
        ({'container': 'x'}, 400, 'container x is not valid for pod p'),
        ({'previous': True}, 400, 'previous terminated container "c" in pod "p" not found'),
        ({'name': 'waiting'}, 400, 'container "c" in pod "waiting" is waiting to start: ErrImageNeverPull'),
    ):
        with pytest.raises(ApiError, match=message) as error:
            await kubelet.logs(**arguments)
        assert error.value.code == code
    with pytest.raises(ApiError, match='container not found'):
        await kubelet.agent.serving.exec('default', 'waiting', 'c', ['true'])
