"""A file system that does not answer holds up the Pods that use it, and nobody else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dead_fuse import dead_fuse, is_there
from node_lab import Lab, running
from test_unruly_pods import another_pod_lives_and_dies

from netkube.api.resources import PODS
from netkube.node.hostfiles import HostFiles, NotAnswering

pytestmark = pytest.mark.skipif(not is_there(), reason='the kernel has no FUSE')
TYPES = ('', 'Directory', 'File', 'DirectoryOrCreate', 'FileOrCreate', 'Socket', 'CharDevice', 'BlockDevice')


@pytest.fixture
def dead(tmp_path: Path) -> Iterator[Path]:
    with dead_fuse(tmp_path / 'dead'):
        yield tmp_path / 'dead'


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HostFiles.__init__, '__defaults__', (lambda: None, 0.5))


def using(path: Path, type: str = '', **mount: Any) -> dict[str, Any]:
    volume = {'name': 'v', 'hostPath': {'path': str(path), 'type': type}}
    return {'volumeMounts': [{'name': 'v', 'mountPath': '/data', **mount}], 'spec': {'volumes': [volume]}}


async def test_a_path_is_waited_for_once(dead: Path):
    files = HostFiles(seconds=0.2)
    with pytest.raises(NotAnswering, match=f'{dead} does not answer'):
        await files.run(str(dead), lambda: os.stat(dead))
    files._seconds = 1000  # not again
    with pytest.raises(NotAnswering):
        await files.run(str(dead), lambda: os.stat(dead))
    assert await files.run('/', lambda: os.stat('/')) == os.stat('/')


async def test_more_pods_than_there_are_workers_wait_and_others_live_beside_them(kubelet: Lab, dead: Path):
    """All types, and files in it, and subPaths; there are 16 workers, and 6 threads in the pool on two cores."""
    uses = [using(dead / str(n) if n % 2 else dead, TYPES[n % len(TYPES)], **({'subPath': 'x'} if n % 3 else {}))
            for n in range(24)]  # fmt: skip
    names = [f'p{n}' for n in range(len(uses))]
    for name, fields in zip(names, uses, strict=True):
        await kubelet.create_pod('sleep', '1000', name=name, **fields)
    await another_pod_lives_and_dies(kubelet)
    message = f'MountVolume.SetUp failed for volume "v" : {dead} does not answer'
    await kubelet.has_event('Warning', 'FailedMount', message, 'p0')
    for name in names:
        await kubelet.client.delete(PODS, 'default', name, grace_period_seconds=1)
    for name in names:
        await kubelet.gone(name, timeout=30)


async def test_it_heals_when_the_file_system_answers(kubelet: Lab, tmp_path: Path):
    with dead_fuse(tmp_path / 'dead'):
        await kubelet.create_pod('sleep', '1000', **using(tmp_path / 'dead', 'Directory'))
        message = f'MountVolume.SetUp failed for volume "v" : {tmp_path / "dead"} does not answer'
        await kubelet.has_event('Warning', 'FailedMount', message)
    await kubelet.until(running, timeout=30)


async def test_what_hangs_in_it_can_be_killed(kubelet: Lab, tmp_path: Path):
    """A container's process, and its probe's: below a path that answers is one that does not."""
    (tmp_path / 'mnt').mkdir()
    probe = {'exec': {'command': ['stat', '/data/dead']}, 'periodSeconds': 1, 'timeoutSeconds': 1}
    with dead_fuse(tmp_path / 'mnt' / 'dead'):
        fields = {**using(tmp_path / 'mnt'), 'readinessProbe': probe}
        await kubelet.create_pod('sh', '-c', 'echo up; exec stat /data/dead', **fields, wait=True)
        await kubelet.prints('up')
        await another_pod_lives_and_dies(kubelet)
        await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=1)
        await kubelet.gone(timeout=30)
