"""A Pod fills the disk under the Node's state: what needs room waits and says so, the rest goes on, and it heals."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from node_lab import Lab, lab, running, waiting_reason

from netkube.api.resources import CONFIGMAPS, PODS
from netkube.node import actions, agent
from netkube.testing import eventually

COUNTS = 'i=0; while :; do i=$((i+1)); echo $i; echo $i > /tmp/new; mv /tmp/new /tmp/count; sleep 0.02; done'
FILLS = 'cat /dev/zero > /data/filler; sleep 1000'
VOLUME = {'volumeMounts': [{'name': 'v', 'mountPath': '/data'}], 'spec': {'volumes': [{'name': 'v', 'emptyDir': {}}]}}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(['umount', '--lazy', str(tmp_path)], check=True)


@pytest.fixture
async def kubelet(small_disk: Path) -> AsyncIterator[Lab]:
    async with lab(small_disk) as made, made.running_agent():
        yield made


def is_full(disk: Path) -> bool:
    try:
        (disk / 'probe').write_bytes(bytes(4096))
    except OSError:
        return True
    finally:
        (disk / 'probe').unlink(missing_ok=True)
    return False


async def test_a_full_disk(kubelet: Lab, small_disk: Path, monkeypatch: pytest.MonkeyPatch):
    for module in (actions, agent):
        monkeypatch.setattr(module, 'RETRY', timedelta(seconds=1))
    probe = {'exec': {'command': ['test', '-e', '/tmp/count']}, 'periodSeconds': 1}
    await kubelet.create_pod('sh', '-c', COUNTS, name='counter', readinessProbe=probe, wait=True)
    await kubelet.create_pod('sh', '-c', FILLS, name='filler', **VOLUME, wait=True)
    await kubelet.until(lambda pod: is_full(small_disk), 'filler', timeout=30)

    # What runs goes on; what it prints is lost.
    before = int(await kubelet.sh('cat /tmp/count', 'counter'))

    async def counts_on() -> bool:
        return int(await kubelet.sh('cat /tmp/count', 'counter')) > before

    await eventually(counts_on)

    # What is new waits, and says for what.
    await kubelet.create_pod('sleep', '1000', name='new')
    await kubelet.until(lambda pod: waiting_reason(pod) == 'CreateContainerError', 'new')
    assert any('No space left on device' in message for _, _, message in await kubelet.events('new'))
    settings = {'metadata': {'name': 'settings', 'namespace': 'default'}, 'data': {'key': 'x' * 10_000}}
    await kubelet.client.create(CONFIGMAPS, settings)
    volume = {**VOLUME, 'spec': {'volumes': [{'name': 'v', 'configMap': {'name': 'settings'}}]}}
    await kubelet.create_pod('sleep', '1000', name='mounting', **volume)
    await kubelet.until(lambda pod: waiting_reason(pod) == 'ContainerCreating', 'mounting')

    # A deletion makes room.
    await kubelet.client.delete(PODS, 'default', 'filler', grace_period_seconds=1)
    await kubelet.gone('filler')
    last = await kubelet.sh('cat /tmp/count', 'counter')
    await kubelet.prints(f'\n{int(last) + 5}\n', 'counter')
    for name in ('new', 'mounting'):
        await kubelet.until(running, name, timeout=30)
