"""Nothing in a Pod can hang the agent: beside each of these, another Pod starts, is probed and ends; then this one."""

from __future__ import annotations

from typing import Any

import pytest
from node_lab import Lab, condition, container, running

from netkube.api.resources import PODS

SERVER = 'import socket; s = socket.create_server(("", 8080))\nwhile True: s.accept()[0].close()'
PROBE = {'tcpSocket': {'port': 8080}, 'periodSeconds': 1}
THREADS = """
import _thread, os, signal
_thread.stack_size(32768)
closed = _thread.allocate_lock()
closed.acquire()
for _ in range(10_000): _thread.start_new_thread(closed.acquire, ())
while len(os.listdir('/proc/self/task')) < 10_000: os.sched_yield()
print('up', flush=True)
signal.pause()
"""


COUNTS = 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done'


def endless(*command: str) -> dict[str, Any]:
    return {'exec': {'command': list(command)}, 'periodSeconds': 1, 'timeoutSeconds': 1}


UNRULY: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    'stopped': (('sh', '-c', 'echo up; kill -STOP -1; kill -STOP $$; sleep 1000'), {}),
    'deaf': (('sh', '-c', 'trap "" TERM INT HUP; echo up; while :; do sleep 1; done'), {}),
    'forking twice': (('sh', '-c', '(setsid sh -c "trap \\"\\" TERM; sleep 1000" &); echo up; sleep 1000'), {}),
    'many threads': (('python3', '-c', THREADS), {}),
    'a probe that never ends': (('sh', '-c', 'echo up; sleep 1000'), {'readinessProbe': endless('sleep', '1000')}),
    'a probe that never stops talking': (('sh', '-c', 'echo up; sleep 1000'), {'readinessProbe': endless('yes')}),
    'a probe of a stopped process': (('sh', '-c', 'echo up; sleep 1000'), {
        'livenessProbe': {**endless('sh', '-c', 'kill -STOP $$'), 'failureThreshold': 1000}}),
}  # fmt: skip


async def another_pod_lives_and_dies(kubelet: Lab) -> None:
    await kubelet.create_pod('python3', '-c', SERVER, name='other', readinessProbe=PROBE)
    await kubelet.until(lambda pod: condition(pod, 'Ready')['status'] == 'True', 'other')
    await kubelet.client.delete(PODS, 'default', 'other', grace_period_seconds=1)
    await kubelet.gone('other')


@pytest.mark.parametrize('kind', UNRULY)
async def test_another_pod_lives_beside_it_and_it_can_be_deleted(kubelet: Lab, kind: str) -> None:
    command, fields = UNRULY[kind]
    await kubelet.create_pod(*command, **fields, wait=True)
    await kubelet.prints('up')
    await another_pod_lives_and_dies(kubelet)
    await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=1)
    await kubelet.gone()


async def test_a_process_that_writes_all_the_time_fills_no_disk_and_holds_nobody_up(kubelet: Lab) -> None:
    """``yes`` writes some hundred megabytes a second, if it is let. Beside it, in its very Pod, another is heard."""
    loud = {'name': 'c', 'image': 'i', 'command': ['yes', 'x' * 100]}
    probe = {'exec': {'command': ['test', '-e', '/tmp']}, 'periodSeconds': 1, 'timeoutSeconds': 10}
    quiet = {'name': 'quiet', 'image': 'i', 'command': ['sh', '-c', COUNTS], 'readinessProbe': probe}
    await kubelet.create_pod(spec={'containers': [loud, quiet]})
    pod = await kubelet.until(lambda pod: running(pod) and container(pod, 'quiet')['ready'])
    log = kubelet.config.log_file(pod['metadata']['uid'], 'c', 0)
    rotated = 5 * 10 * 2**20
    await kubelet.until(lambda pod: len(list(log.parent.glob(f'{log.name}*'))) > 2)
    said = int((await kubelet.logs(container='quiet')).split()[-1])
    await kubelet.prints(f'\n{said + 5}\n', container='quiet')
    await another_pod_lives_and_dies(kubelet)
    assert sum(file.stat().st_size for file in log.parent.iterdir()) < 1.5 * rotated
    assert running(await kubelet.pod())
    await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=1)
    await kubelet.gone()
