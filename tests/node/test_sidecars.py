"""Sidecars (restartable init containers), on the real thing: they start first, end last, and do not count."""

from __future__ import annotations

from pathlib import Path

from node_lab import Lab, condition

from netkube.api.resources import PODS
from netkube.testing import eventually


def sidecar(name: str, journal: Path, **fields):
    return {
        'name': name, 'image': 'i', 'restartPolicy': 'Always', 'command': ['sh', '-c', waits(name)],
        'volumeMounts': [{'name': 'journal', 'mountPath': '/journal'}], **fields,
    }  # fmt: skip


def waits(name: str) -> str:
    """Says when it starts and when it is asked to end."""
    return f'trap "echo -{name} >> /journal/all; exit 0" TERM; echo +{name} >> /journal/all; sleep 1000 & wait'


def with_journal(folder: Path, *init, **spec):
    volume = {'name': 'journal', 'hostPath': {'path': str(folder)}}
    return {'volumes': [volume], 'initContainers': list(init), **spec}


def row_of(pod, name: str):
    return next(row for row in pod['status']['initContainerStatuses'] if row['name'] == name)


MOUNT = [{'name': 'journal', 'mountPath': '/journal'}]


async def test_a_job_ends_with_its_work_and_its_sidecars_after_it(kubelet: Lab, tmp_path) -> None:
    spec = with_journal(tmp_path, sidecar('a', tmp_path), sidecar('b', tmp_path), restartPolicy='Never')
    work = 'echo +c >> /journal/all; read x < /journal/go; echo -c >> /journal/all'
    (tmp_path / 'all').touch()
    await kubelet.create_pod('sh', '-c', f'mkfifo /journal/go; {work}', volumeMounts=MOUNT, spec=spec)
    await kubelet.until(lambda pod: condition(pod, 'Ready')['status'] == 'True')
    (tmp_path / 'go').write_text('go\n')
    ended = await kubelet.until(lambda pod: pod['status']['phase'] == 'Succeeded')
    assert (tmp_path / 'all').read_text().split() == ['+a', '+b', '+c', '-c', '-b', '-a']
    assert all('terminated' in row_of(ended, name)['state'] for name in 'ab')
    assert condition(ended, 'Ready')['reason'] == 'PodCompleted'


async def test_a_deleted_pod_ends_its_sidecars_last_within_the_grace_period(kubelet: Lab, tmp_path) -> None:
    hook = {'preStop': {'exec': {'command': ['sh', '-c', 'echo hook >> /journal/all']}}}
    spec = with_journal(tmp_path, sidecar('a', tmp_path, lifecycle=hook), sidecar('b', tmp_path))
    await kubelet.create_pod('sh', '-c', waits('c'), volumeMounts=MOUNT, spec=spec, wait=True)
    await eventually(lambda: '+c' in (tmp_path / 'all').read_text())
    await kubelet.client.delete(PODS, 'default', 'p')
    await kubelet.gone()
    assert (tmp_path / 'all').read_text().split() == ['+a', '+b', '+c', '-c', '-b', 'hook', '-a']


async def test_a_sidecar_that_is_not_ready_keeps_its_pod_from_being(kubelet: Lab, tmp_path) -> None:
    probe = {'exec': {'command': ['test', '-e', '/journal/ready']}, 'periodSeconds': 1}
    spec = with_journal(tmp_path, sidecar('a', tmp_path, readinessProbe=probe))
    await kubelet.create_pod('sleep', '1000', spec=spec)
    unready = await kubelet.until(lambda pod: condition(pod, 'Initialized')['status'] == 'True')
    assert 'unready status: [a' in condition(unready, 'ContainersReady')['message']
    (tmp_path / 'ready').touch()
    await kubelet.until(lambda pod: condition(pod, 'Ready')['status'] == 'True')


async def test_a_sidecar_is_restarted_whatever_the_pods_policy_is(kubelet: Lab, tmp_path) -> None:
    probe = {'exec': {'command': ['test', '!', '-e', '/journal/sick']}, 'periodSeconds': 1, 'failureThreshold': 1}
    spec = with_journal(tmp_path, sidecar('a', tmp_path, livenessProbe=probe), restartPolicy='Never')
    await kubelet.create_pod('sleep', '1000', spec=spec, wait=True)
    (tmp_path / 'sick').touch()
    await kubelet.has_event('Normal', 'Killing', 'Container a failed liveness probe, will be restarted')
    (tmp_path / 'sick').unlink()
    await kubelet.until(lambda pod: row_of(pod, 'a')['restartCount'] == 1 and row_of(pod, 'a')['ready'])
