"""A new agent over a runtime that went on without one: kernel state is found again, nothing is disturbed."""

from __future__ import annotations

import os
import signal

from node_lab import Lab, condition, container, waiting_reason

from netkube.api.resources import PODS
from netkube.testing import eventually

FOREVER = ('sleep', 'infinity')
SERVER = ('python3', '-m', 'http.server', '80')


async def test_running_containers_are_found_again_without_a_restart(node_lab: Lab) -> None:
    async with node_lab.running_agent() as agent:
        await node_lab.create_pod(*SERVER, readinessProbe={'httpGet': {'port': 80}})
        before = await node_lab.until(lambda pod: condition(pod, 'Ready')['status'] == 'True')
        [process] = await agent._runtime.list_containers()
    async with node_lab.running_agent() as agent:
        await node_lab.create_pod(*FOREVER, name='later', wait=True)
        after = await node_lab.pod()
        assert after['status'] == before['status'], 'readiness must not flap'
        assert process.pid in [status.pid for status in await agent._runtime.list_containers()]
        assert (await node_lab.pod('later'))['status']['podIP'] != before['status']['podIP']
        os.kill(process.pid, signal.SIGKILL)
        await node_lab.until(lambda pod: container(pod)['restartCount'] == 1)


async def test_an_exit_that_happened_meanwhile_is_noted(node_lab: Lab) -> None:
    async with node_lab.running_agent() as agent:
        await node_lab.create_pod(*FOREVER, wait=True)
        [process] = await agent._runtime.list_containers()
    os.kill(process.pid, signal.SIGTERM)  # pid 1 of its namespace: only SIGKILL reaches it
    os.kill(process.pid, signal.SIGKILL)
    async with node_lab.running_agent():
        pod = await node_lab.until(lambda pod: container(pod)['restartCount'] == 1)
        assert container(pod)['lastState']['terminated']['exitCode'] == 137


async def test_the_back_off_goes_on_where_it_was(node_lab: Lab) -> None:
    async with node_lab.running_agent():
        await node_lab.create_pod('false')
        before = await node_lab.until(lambda pod: waiting_reason(pod) == 'CrashLoopBackOff')
    async with node_lab.running_agent():
        await node_lab.create_pod(*FOREVER, name='later', wait=True)
        assert (await node_lab.pod())['status'] == before['status']


async def test_a_pod_that_was_deleted_meanwhile_is_torn_down(node_lab: Lab) -> None:
    async with node_lab.running_agent():
        pod = await node_lab.create_pod('sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.05; done', wait=True)
    await node_lab.client.delete(PODS, 'default', 'p', grace_period_seconds=0)
    async with node_lab.running_agent() as agent:

        async def nothing_left() -> bool:
            assert not node_lab.config.pod_dir(pod['metadata']['uid']).exists()
            return not await agent._runtime.list_pod_sandboxes() and not await agent._network.ports()

        await eventually(nothing_left)


async def test_files_of_pods_that_nobody_knows_are_removed(node_lab: Lab) -> None:
    orphan = node_lab.config.pod_dir('nobody') / 'logs'
    orphan.mkdir(parents=True)
    async with node_lab.running_agent():
        await eventually(lambda: not orphan.exists())


async def test_pods_of_a_lost_runtime_are_started_again(node_lab: Lab) -> None:
    async with node_lab.running_agent():
        await node_lab.create_pod(*FOREVER, wait=True)
        await node_lab.create_pod('sh', '-c', 'exit 4', name='done', spec={'restartPolicy': 'Never'})
        await node_lab.until(lambda pod: pod['status']['phase'] == 'Failed', 'done')
    await node_lab.stop_runtime()
    await node_lab.start_runtime()
    async with node_lab.running_agent():
        pod = await node_lab.until(lambda pod: container(pod)['restartCount'] == 1)
        assert container(pod)['lastState']['terminated']['reason'] == 'ContainerStatusUnknown'
        assert (await node_lab.pod('done'))['status']['phase'] == 'Failed'
