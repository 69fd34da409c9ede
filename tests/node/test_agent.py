"""What a user sees of Pods on a Node: real processes, real namespaces, the real API."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from node_lab import Lab, condition, container, running, waiting_reason

from netkube.api.resources import LEASES, NODES, PODS
from netkube.runtime.credentials import CAPABILITIES
from netkube.runtime.limits import find_controllers
from netkube.runtime.linux import permitted_capabilities
from netkube.testing import eventually

SERVER = ('python3', '-m', 'http.server', '80')
FOREVER = ('sleep', 'infinity')


async def test_a_pod_with_a_readiness_probe_becomes_ready(kubelet: Lab) -> None:
    await kubelet.create_pod(*SERVER, readinessProbe={'httpGet': {'path': '/', 'port': 80}})
    pod = await kubelet.until(lambda pod: condition(pod, 'Ready')['status'] == 'True')
    status = pod['status']
    assert status['phase'] == 'Running'
    assert status['podIP'] == '10.244.0.2' and status['podIPs'] == [{'ip': '10.244.0.2'}]
    assert status['hostIP'] == '10.244.240.2'
    assert status['qosClass'] == 'BestEffort'
    assert {c['type']: c['status'] for c in status['conditions']} == {
        'PodReadyToStartContainers': 'True', 'Initialized': 'True', 'Ready': 'True', 'ContainersReady': 'True',
    }  # fmt: skip
    row = container(pod)
    assert row['ready'] and row['started'] and row['restartCount'] == 0
    assert row['image'] == 'kangaroo' and row['containerID'].startswith('netkube://')


async def test_a_pod_that_is_not_ready_says_which_container(kubelet: Lab) -> None:
    await kubelet.create_pod(*FOREVER, readinessProbe={'tcpSocket': {'port': 80}, 'periodSeconds': 1})
    pod = await kubelet.until(running)
    assert not container(pod)['ready'] and container(pod)['started']
    for type in ('Ready', 'ContainersReady'):
        assert condition(pod, type)['reason'] == 'ContainersNotReady'
        assert condition(pod, type)['message'] == 'containers with unready status: [c]'
    await kubelet.has_event(
        'Warning', 'Unhealthy', 'Readiness probe failed: dial tcp 10.244.0.2:80: connect: connection refused'
    )


async def test_the_status_is_written_only_when_it_changes(kubelet: Lab) -> None:
    pod = await kubelet.create_pod(*FOREVER, wait=True)
    kubelet.agent._controller.queue.add(('default', 'p'))
    await kubelet.create_pod(*FOREVER, name='later', wait=True)
    assert (await kubelet.pod())['metadata']['resourceVersion'] == pod['metadata']['resourceVersion']


async def test_containers_that_complete_make_a_pod_succeeded(kubelet: Lab) -> None:
    await kubelet.create_pod('sh', '-c', 'echo done', spec={'restartPolicy': 'Never'})
    pod = await kubelet.until(lambda pod: pod['status']['phase'] == 'Succeeded')
    ended = container(pod)['state']['terminated']
    assert ended['exitCode'] == 0 and ended['reason'] == 'Completed' and ended['startedAt'] <= ended['finishedAt']
    assert condition(pod, 'Ready')['reason'] == 'PodCompleted'
    pod = await kubelet.until(lambda pod: condition(pod, 'PodReadyToStartContainers')['status'] == 'False')
    assert pod['status']['phase'] == 'Succeeded'
    assert await kubelet.logs() == 'done\n'
    assert not await kubelet.agent._runtime.list_pod_sandboxes()


async def test_a_container_that_is_killed_makes_a_pod_failed(kubelet: Lab) -> None:
    await kubelet.create_pod(*FOREVER, spec={'restartPolicy': 'Never'}, wait=True)
    [status] = await kubelet.agent._runtime.list_containers()
    os.kill(status.pid, signal.SIGKILL)
    pod = await kubelet.until(lambda pod: pod['status']['phase'] == 'Failed')
    ended = container(pod)['state']['terminated']
    assert (ended['exitCode'], ended['signal'], ended['reason']) == (137, 9, 'Error')
    assert condition(pod, 'Ready')['reason'] == 'PodFailed'


async def test_a_failing_container_is_restarted_once_and_then_backed_off(kubelet: Lab) -> None:
    pod = await kubelet.create_pod('sh', '-c', 'echo try; exit 3')
    uid = pod['metadata']['uid']
    pod = await kubelet.until(lambda pod: waiting_reason(pod) == 'CrashLoopBackOff')
    row = container(pod)
    message = f'back-off 10s restarting failed container=c pod=p_default({uid})'
    assert row['state']['waiting']['message'] == message
    assert row['restartCount'] == 1 and row['lastState']['terminated']['exitCode'] == 3
    assert pod['status']['phase'] == 'Running'
    await kubelet.has_event('Warning', 'BackOff', f'Back-off restarting failed container c in pod p_default({uid})')
    assert await kubelet.logs(previous=True) == 'try\n'


async def test_a_command_that_does_not_exist_is_a_start_error(kubelet: Lab) -> None:
    await kubelet.create_pod('/no/such/program')
    pod = await kubelet.until(lambda pod: container(pod)['restartCount'] == 1)
    ended = container(pod)['lastState']['terminated']
    assert ended['reason'] == 'StartError' and ended['exitCode'] == 128
    assert 'no such file or directory' in ended['message'].lower()
    assert container(pod)['state']['waiting']['reason'] == 'CrashLoopBackOff'
    await kubelet.has_event('Warning', 'Failed', f'Error: {ended["message"]}')


async def test_a_container_without_a_command_waits_and_says_what_to_do(kubelet: Lab) -> None:
    await kubelet.create_pod(args=['only', 'args'])
    pod = await kubelet.until(lambda pod: 'waiting' in container(pod)['state'])
    waiting = container(pod)['state']['waiting']
    assert waiting['reason'] == 'ErrImageNeverPull'
    assert 'netkube has no images' in waiting['message'] and 'Give container "c" a command' in waiting['message']
    assert pod['status']['phase'] == 'Pending'


async def test_a_deleted_pod_gets_its_grace_period(kubelet: Lab) -> None:
    script = 'trap "echo asked; sleep 0.2; echo ready to go; exit 7" TERM; echo up; while :; do sleep 0.05; done'
    await kubelet.create_pod('sh', '-c', script, wait=True)
    await kubelet.prints('up')
    uid = (await kubelet.pod())['metadata']['uid']
    follow = asyncio.create_task(kubelet.logs(follow=True))
    await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=1000)
    assert (await kubelet.pod())['metadata']['deletionTimestamp']
    await kubelet.gone()
    assert (await follow).splitlines() == ['up', 'asked', 'ready to go']
    await kubelet.has_event('Normal', 'Killing', 'Stopping container c')
    assert not kubelet.config.pod_dir(uid).exists()
    assert not kubelet.config.pod_memory_dir(uid).exists()
    assert not await kubelet.agent._runtime.list_pod_sandboxes()
    assert not await kubelet.agent._network.ports()
    await eventually(lambda: not kubelet.agent._controller.queue._later)  # its token would be renewed in an hour


async def test_who_ignores_the_request_is_killed_when_the_grace_period_ends(kubelet: Lab) -> None:
    await kubelet.create_pod('sh', '-c', 'trap "" TERM; echo up; while :; do sleep 0.05; done', wait=True)
    await kubelet.prints('up')
    await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=2)
    await kubelet.gone()


async def test_the_last_status_of_a_deleted_pod_has_its_exit_codes(kubelet: Lab) -> None:
    await kubelet.create_pod('sh', '-c', 'trap "exit 7" TERM; echo up; while :; do sleep 0.05; done', wait=True)
    await kubelet.prints('up')
    seen = []

    async def watch() -> None:
        async for event in kubelet.client.watch(PODS, 'default'):
            seen.append(event)
            if event.type == 'DELETED':
                return

    watching = asyncio.create_task(watch())
    await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=5)
    await asyncio.wait_for(watching, 60)
    last = seen[-1].object
    assert container(last)['state']['terminated']['exitCode'] == 7
    assert last['status']['phase'] == 'Failed'


async def test_a_failed_liveness_probe_restarts_the_container(kubelet: Lab) -> None:
    probe = {'exec': {'command': ['sh', '-c', 'echo gone; false']}, 'periodSeconds': 1, 'failureThreshold': 1}
    await kubelet.create_pod('sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.05; done', livenessProbe=probe)
    await kubelet.until(lambda pod: container(pod)['restartCount'] == 1)
    await kubelet.has_event('Warning', 'Unhealthy', 'Liveness probe failed: gone\n')
    await kubelet.has_event('Normal', 'Killing', 'Container c failed liveness probe, will be restarted')


async def test_exec_runs_beside_the_container(kubelet: Lab) -> None:
    await kubelet.create_pod(*FOREVER, env=[{'name': 'COLOUR', 'value': 'red'}], wait=True)
    assert await kubelet.sh('echo $COLOUR $(hostname) $HOSTNAME') == 'red p p\n'


async def test_etc_hosts_and_resolv_conf(kubelet: Lab) -> None:
    await kubelet.create_pod(*FOREVER, wait=True)
    assert '10.244.0.2\tp\n' in await kubelet.sh('cat /etc/hosts')
    resolv_conf = await kubelet.sh('cat /etc/resolv.conf')
    assert 'nameserver 10.96.0.10\n' in resolv_conf and 'options ndots:5\n' in resolv_conf
    assert resolv_conf.startswith('search default.svc.cluster.local svc.cluster.local cluster.local')


async def test_init_containers_run_one_after_the_other_before_the_rest(kubelet: Lab) -> None:
    mount = [{'name': 'scratch', 'mountPath': '/scratch'}]
    steps = [
        {'name': name, 'image': 'i', 'command': ['sh', '-c', f'echo {name} >> /scratch/steps'], 'volumeMounts': mount}
        for name in ('first', 'second')
    ]
    spec = {'initContainers': steps, 'volumes': [{'name': 'scratch', 'emptyDir': {}}]}
    pod = await kubelet.create_pod(*FOREVER, volumeMounts=mount, spec=spec, wait=True)
    assert await kubelet.sh('cat /scratch/steps') == 'first\nsecond\n'
    assert [row['state']['terminated']['reason'] for row in pod['status']['initContainerStatuses']] == ['Completed'] * 2


async def test_an_init_container_that_fails_keeps_the_pod_pending(kubelet: Lab) -> None:
    init = [{'name': 'i', 'image': 'i', 'command': ['false']}]
    await kubelet.create_pod(*FOREVER, spec={'initContainers': init})
    pod = await kubelet.until(lambda pod: pod['status']['initContainerStatuses'][0]['restartCount'] == 1)
    assert pod['status']['phase'] == 'Pending'
    assert condition(pod, 'Initialized')['message'] == 'containers with incomplete status: [i]'
    assert container(pod)['state']['waiting']['reason'] == 'PodInitializing'


async def test_what_is_not_honoured_is_said(kubelet: Lab) -> None:
    await kubelet.create_pod(*FOREVER, spec={'hostUsers': False}, wait=True)
    message = 'netkube does not act on these fields yet: spec.hostUsers'
    await kubelet.has_event('Warning', 'NotHonoured', message)


async def test_a_pod_past_its_active_deadline_fails(kubelet: Lab) -> None:
    await kubelet.create_pod(
        'sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.05; done', spec={'activeDeadlineSeconds': 1}
    )
    pod = await kubelet.until(lambda pod: pod['status']['phase'] == 'Failed')
    assert pod['status']['reason'] == 'DeadlineExceeded'
    message = 'Pod was active on the node longer than the specified deadline'
    await kubelet.has_event('Normal', 'DeadlineExceeded', message)


async def test_a_pod_that_was_removed_by_force_is_torn_down(kubelet: Lab) -> None:
    await kubelet.create_pod('sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.05; done', wait=True)
    await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=0)

    async def nothing_left() -> bool:
        return not await kubelet.agent._runtime.list_pod_sandboxes()

    await eventually(nothing_left)


async def test_the_node_is_registered_with_a_lease(kubelet: Lab) -> None:
    node = await kubelet.client.get(NODES, '', 'node-1')
    assert node['spec']['podCIDR'] == '10.244.0.0/20'
    conditions = {c['type']: c for c in node['status']['conditions']}
    assert conditions['Ready']['status'] == 'True' and conditions['Ready']['reason'] == 'KubeletReady'
    assert node['status']['nodeInfo']['kubeletVersion'] == 'v1.37.0+netkube'

    async def renewed() -> bool:
        return bool((await kubelet.client.list(LEASES, 'kube-node-lease')).items)

    await eventually(renewed)
    lease = await kubelet.client.get(LEASES, 'kube-node-lease', 'node-1')
    assert lease['spec']['leaseDurationSeconds'] == 40 and lease['spec']['holderIdentity'] == 'node-1'


async def test_a_pod_with_resources_of_its_own(kubelet: Lab) -> None:
    """They make its class, are shown in its status, and hold its containers."""
    resources = {'limits': {'cpu': '500m', 'memory': '64Mi'}}
    pod = await kubelet.create_pod('sleep', 'infinity', spec={'resources': resources}, wait=True)
    both = resources | {'requests': resources['limits']}
    assert pod['status']['qosClass'] == 'Guaranteed'
    assert (pod['status']['resources'], pod['status']['allocatedResources']) == (both, both['requests'])
    may = permitted_capabilities() >> CAPABILITIES.index('SYS_RESOURCE') & 1
    assert await kubelet.sh('cat /proc/self/oom_score_adj') == ('-997\n' if may else '0\n')
    assert not [event for event in await kubelet.events() if event[1] == 'NotHonoured']


async def test_a_pod_has_its_part_of_the_cpu(kubelet: Lab) -> None:
    """Of all its containers together; which share of it each has, the kernel knows, too."""
    if (cpu := find_controllers(kubelet.name).get('cpu')) is None:
        pytest.skip('this machine has no cgroup controller of the CPU')
    asked = {'resources': {'requests': {'cpu': '500m'}, 'limits': {'cpu': '1'}}}
    pod = await kubelet.create_pod('sleep', 'infinity', **asked, wait=True, spec={'overhead': {'cpu': '500m'}})
    folder = Path(cpu.root, kubelet.name, pod['metadata']['uid'])
    own = folder / container(pod)['containerID'].removeprefix('netkube://')
    v1 = cpu.version == 1
    names = ('cpu.shares', 'cpu.cfs_quota_us') if v1 else ('cpu.weight', 'cpu.max')
    found = [(each / name).read_text().split()[0] for each in (folder, own) for name in names]
    assert found == (['1024', '150000', '512', '100000'] if v1 else ['100', '150000', '59', '100000'])


async def test_what_a_container_is_and_runs_as(kubelet: Lab) -> None:
    security = {'runAsUser': 1234, 'runAsGroup': 77, 'supplementalGroups': [9], 'fsGroup': 8}
    row = container(await kubelet.create_pod('sleep', 'infinity', spec={'securityContext': security}, wait=True))
    assert row['imageID'] == 'machine:///'
    assert row['user'] == {'linux': {'uid': 1234, 'gid': 77, 'supplementalGroups': [77, 9, 8]}}
    assert await kubelet.sh('cat /proc/self/oom_score_adj') == '1000\n'


async def test_what_the_node_can_do(kubelet: Lab) -> None:
    status = (await kubelet.client.get(NODES, '', 'node-1'))['status']
    assert status['features'] == {'supplementalGroupsPolicy': True}
    assert [handler.get('name', '') for handler in status['runtimeHandlers']] == ['']
