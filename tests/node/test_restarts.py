"""Who is started again, and how, on the real thing: policies, rules and signals of single containers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from node_lab import Lab, condition, container, running

from netkube.api.resources import PODS
from netkube.testing import eventually

MOUNT = [{'name': 'v', 'mountPath': '/v'}]


def rule(action: str, *codes: int) -> list[dict[str, Any]]:
    return [{'action': action, 'exitCodes': {'operator': 'In', 'values': list(codes)}}]


def shared(folder: Path, **spec: Any) -> dict[str, Any]:
    return {'volumes': [{'name': 'v', 'hostPath': {'path': str(folder)}}], **spec}


def terminated(row: dict[str, Any]) -> dict[str, Any]:
    return row['state'].get('terminated') or {}


async def test_a_container_has_a_policy_of_its_own(kubelet: Lab) -> None:
    once = {'name': 'once', 'image': 'i', 'command': ['false'], 'restartPolicy': 'Never'}
    again = {'name': 'again', 'image': 'i', 'command': ['false']}
    await kubelet.create_pod(spec={'containers': [once, again]})
    pod = await kubelet.until(lambda pod: container(pod, 'again')['restartCount'] == 1)
    assert container(pod, 'once')['restartCount'] == 0
    assert pod['status']['phase'] == 'Running'


async def test_a_rule_restarts_what_the_policy_would_leave(kubelet: Lab, tmp_path) -> None:
    script = 'if test -e /v/again; then exit 7; fi; touch /v/again; exit 42'
    fields = {'restartPolicy': 'Never', 'restartPolicyRules': rule('Restart', 42), 'volumeMounts': MOUNT}
    await kubelet.create_pod('sh', '-c', script, spec=shared(tmp_path), **fields)
    pod = await kubelet.until(lambda pod: pod['status']['phase'] == 'Failed')
    row = container(pod)
    assert row['restartCount'] == 1
    assert (row['lastState']['terminated']['exitCode'], terminated(row)['exitCode']) == (42, 7)


async def test_one_containers_exit_restarts_all_of_the_pod_in_its_place(kubelet: Lab, tmp_path) -> None:
    mount = {'image': 'i', 'volumeMounts': MOUNT}
    init = {'name': 'i', 'command': ['sh', '-c', 'echo i >> /v/all'], **mount}
    hook = {'preStop': {'exec': {'command': ['sh', '-c', 'echo hook >> /v/all']}}}
    other = {'name': 'o', 'command': ['sh', '-c', 'echo o >> /v/all; sleep 1000'], 'lifecycle': hook, **mount}
    watcher = {
        'name': 'w', 'command': ['sh', '-c', 'mkfifo /v/go 2> /dev/null; read x < /v/go; exit 42'],
        'restartPolicy': 'Never', 'restartPolicyRules': rule('RestartAllContainers', 42), **mount,
    }  # fmt: skip
    spec = shared(tmp_path, restartPolicy='Never', initContainers=[init], containers=[other, watcher])
    await kubelet.create_pod(spec=spec)
    before = await kubelet.until(lambda pod: running(pod, 'o') and running(pod, 'w'))
    assert condition(before, 'AllContainersRestarting')['status'] == 'False'
    await eventually((tmp_path / 'go').exists)
    (tmp_path / 'go').write_text('go\n')
    after = await kubelet.until(
        lambda pod: all(container(pod, name)['restartCount'] == 1 and running(pod, name) for name in 'ow')
    )
    assert (tmp_path / 'all').read_text().split() == ['i', 'o', 'i', 'o']
    assert after['status']['podIP'] == before['status']['podIP']
    assert container(after, 'w')['lastState']['terminated']['exitCode'] == 42
    assert after['status']['initContainerStatuses'][0]['restartCount'] == 1
    assert after['status']['phase'] == 'Running'


async def test_a_container_is_stopped_by_the_signal_it_asks_for(kubelet: Lab) -> None:
    script = 'trap "exit 3" USR1; trap "exit 4" TERM; echo up; sleep 1000 & wait'
    await kubelet.create_pod(
        'sh', '-c', script, lifecycle={'stopSignal': 'SIGUSR1'},
        spec={'os': {'name': 'linux'}, 'activeDeadlineSeconds': 1, 'restartPolicy': 'Never'},
    )  # fmt: skip
    pod = await kubelet.until(lambda pod: pod['status']['phase'] == 'Failed')
    assert terminated(container(pod))['exitCode'] == 3
    assert pod['status']['reason'] == 'DeadlineExceeded'


async def test_what_the_runtimes_end_took_is_the_last_state_of_what_follows(node_lab: Lab) -> None:
    async with node_lab.running_agent():
        before = await node_lab.create_pod('sleep', '1000', wait=True)
    await node_lab.stop_runtime()
    await node_lab.start_runtime()
    async with node_lab.running_agent():
        after = await node_lab.until(lambda pod: running(pod) and container(pod)['restartCount'] == 1)
    last = container(after)['lastState']['terminated']
    assert (last['exitCode'], last['reason']) == (137, 'ContainerStatusUnknown')
    assert last['containerID'] == container(before)['containerID']
    await node_lab.client.delete(PODS, 'default', 'p', grace_period_seconds=0)


async def test_a_pod_is_not_believed_ready_from_before_its_processes_ended(node_lab: Lab) -> None:
    """Once the Node is registered (which is what ``up`` waits for), nobody reads a Ready of an earlier life."""
    async with node_lab.running_agent():
        await node_lab.create_pod('sleep', '1000', readinessProbe={'tcpSocket': {'port': 9}, 'periodSeconds': 1})
        pod = await node_lab.until(running)
    now_ready = [row | {'status': 'True'} for row in pod['status']['conditions']]
    await node_lab.client.patch(PODS, 'default', 'p', {'status': {'conditions': now_ready}}, subresource='status')
    await node_lab.stop_runtime()
    await node_lab.start_runtime()
    async with node_lab.running_agent():
        assert condition(await node_lab.pod(), 'Ready')['status'] == 'False'
        assert condition(await node_lab.pod(), 'PodReadyToStartContainers')['status'] in ('True', 'False')
        await node_lab.has_event('Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.')
