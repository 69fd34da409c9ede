"""Which way mounts below a volume travel between machine and container."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import Pods

from netkube.runtime.credentials import CAPABILITIES
from netkube.runtime.cri import BIDIRECTIONAL, HOST_TO_CONTAINER, PRIVATE, Mount
from netkube.testing.waiting import eventually


def run(*argv: object) -> None:
    subprocess.run([str(word) for word in argv], check=True)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory that is a shared mount, as a machine under systemd has it everywhere."""
    directory = tmp_path / 'shared'
    directory.mkdir()
    run('mount', '-t', 'tmpfs', 'tmpfs', directory)
    run('mount', '--make-shared', directory)
    (directory / 'below').mkdir()
    return directory


MOUNTING = 'mount -t tmpfs none /data/below; touch /data/below/mine; echo mounted; sleep 60'
WAITING = 'echo ready; until test -e /data/below/theirs; do sleep 0.05; done; echo seen; sleep 60'


async def says(pods: Pods, id: str, word: str) -> None:
    await eventually(lambda: word in pods.output(id))


@pytest.mark.parametrize('propagation', [PRIVATE, HOST_TO_CONTAINER])
async def test_a_mount_of_the_container_stays_there(pods: Pods, shared: Path, propagation: str) -> None:
    mount = Mount(str(shared), '/data', propagation=propagation)
    status = await pods.start('sh', '-c', MOUNTING, mounts=(mount,), privileged=True, capabilities=CAPABILITIES)
    await says(pods, status.id, 'mounted')
    assert not (shared / 'below/mine').exists()


@pytest.mark.vm
async def test_a_mount_of_the_container_reaches_the_machine_both_ways(pods: Pods, shared: Path) -> None:
    mount = Mount(str(shared), '/data', propagation=BIDIRECTIONAL)
    status = await pods.start('sh', '-c', MOUNTING, mounts=(mount,), privileged=True, capabilities=CAPABILITIES)
    await says(pods, status.id, 'mounted')
    assert (shared / 'below/mine').exists()


@pytest.mark.parametrize('propagation', [HOST_TO_CONTAINER, BIDIRECTIONAL])
async def test_a_mount_of_the_machine_reaches_the_container(pods: Pods, shared: Path, propagation: str) -> None:
    mount = Mount(str(shared), '/data', propagation=propagation)
    status = await pods.start('sh', '-c', WAITING, mounts=(mount,))
    await says(pods, status.id, 'ready')
    run('mount', '-t', 'tmpfs', 'tmpfs', shared / 'below')
    (shared / 'below/theirs').touch()
    await says(pods, status.id, 'seen')


async def test_a_mount_of_the_machine_does_not_reach_a_private_volume(pods: Pods, shared: Path) -> None:
    status = await pods.start('sleep', '60', mounts=(Mount(str(shared), '/data'),))
    run('mount', '-t', 'tmpfs', 'tmpfs', shared / 'below')
    (shared / 'below/theirs').touch()
    assert await pods.client.exec_sync(status.id, ['ls', '/data/below']) == (0, b'', b'')


@pytest.mark.parametrize(
    ('propagation', 'kinds'), [(HOST_TO_CONTAINER, 'a shared or slave'), (BIDIRECTIONAL, 'a shared')]
)
async def test_what_is_not_shared_is_refused(pods: Pods, shared: Path, propagation: str, kinds: str) -> None:
    run('mount', '--make-private', shared)
    status = await pods.run('true', mounts=(Mount(str(shared / 'below'), '/data', propagation=propagation),))
    assert status.reason == 'StartError'
    assert f'path "{shared}/below" is mounted on "{shared}" but it is not {kinds} mount' in status.message
