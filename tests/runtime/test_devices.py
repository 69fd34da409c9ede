"""Devices: a container has the usual few, whatever nodes it makes; enforced by whichever cgroup tree there is."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Pods, RunningServer, pods_on

from netkube.runtime import linux
from netkube.runtime.credentials import CAPABILITIES
from netkube.runtime.cri import Mount
from netkube.runtime.devices import ALLOWED, BPF, V1, render_v1

NOWHERE = ''
TRY = """
import os, stat, sys
for name in sys.argv[1:]:
    kind, major, minor = name.split(':')
    os.mknod('/x', {'b': stat.S_IFBLK, 'c': stat.S_IFCHR}[kind] | 0o600, os.makedev(int(major), int(minor)))
    try:
        os.close(os.open('/x', os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
        print('opened')
    except OSError as error:
        print(error.strerror)
    os.unlink('/x')
"""
KERNEL_LOG, MEMORY, NULL, PTMX = 'c:1:11', 'c:1:1', 'c:1:3', 'c:5:2'


def places() -> dict[str, str]:
    """Where the trees are mounted by which the list can be enforced."""
    rows = [line.split() for line in Path('/proc/self/mountinfo').read_text().splitlines()]
    v1 = [(V1, row[4]) for row in rows if row[-3] == 'cgroup' and 'devices' in row[-1].split(',')]
    return dict(v1 + [(BPF, row[4]) for row in rows if row[-3] == 'cgroup2'])


@contextmanager
def unmounted(path: str) -> Iterator[None]:
    tree = linux.open_tree(path, recursive=True)
    linux.umount(path, linux.MNT_DETACH)
    try:
        yield
    finally:
        linux.attach_tree(tree, path)
        os.close(tree)


def disk() -> str:
    """A block device of the machine that can be read."""
    for file in sorted(Path('/sys/class/block').glob('*/dev')):
        number = file.read_text().strip()
        node = Path('/tmp/netkube-test-disk')
        os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(*map(int, number.split(':'))))
        try:
            os.close(os.open(node, os.O_RDONLY))
        except OSError:
            continue
        finally:
            node.unlink()
        return f'b:{number}'
    pytest.skip('this machine has no block device that can be read')


@pytest.fixture(params=[BPF, V1, NOWHERE])
async def enforced(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pods]:
    """A server on a machine that has only this way to enforce the list."""
    found = places()
    if request.param and request.param not in found:
        pytest.skip(f'this machine has no {"cgroup v2 tree" if request.param == BPF else "devices controller of v1"}')
    with contextmanager(_without)([path for kind, path in found.items() if kind != request.param]):
        async with pods_on(RunningServer(tmp_path), tmp_path) as pods:
            if request.param == BPF and (await pods.client.version())['devices'] != BPF:
                pytest.skip('this kernel has no BPF programs for devices')
            assert (await pods.client.version())['devices'] == request.param
            yield pods


def _without(paths: list[str]) -> Iterator[None]:
    if not paths:
        yield
        return
    with unmounted(paths[0]), contextmanager(_without)(paths[1:]):
        yield


async def opened(pods: Pods, *devices: str, **fields: object) -> list[str]:
    status = await pods.run('python3', '-c', TRY, *devices, **fields)
    assert status.exit_code == 0, (status, pods.output(status.id))
    return pods.output(status.id).splitlines()


async def test_a_node_of_the_machines_disk_can_be_made_and_not_opened(enforced: Pods) -> None:
    refused = 'Operation not permitted' if (await enforced.client.version())['devices'] else 'Permission denied'
    assert await opened(enforced, disk(), KERNEL_LOG, MEMORY) == [refused] * 3
    everything = {'privileged': True, 'capabilities': CAPABILITIES}
    assert (await opened(enforced, disk(), KERNEL_LOG, **everything)) == ['opened'] * 2
    assert await opened(enforced, disk()) == [refused]  # also beside one that may


async def test_the_usual_devices_and_terminals_work(enforced: Pods) -> None:
    script = """
        head -c 2 /dev/zero | od -An -tx1; head -c 2 /dev/urandom | wc -c; head -c 1 /dev/random | wc -c
        echo gone > /dev/null; echo full > /dev/full 2>/dev/null || echo full
        python3 -c 'import os; print(os.ttyname(os.openpty()[1]))'
        echo kept > /dev/shm/x; cat /dev/shm/x
    """
    assert (await enforced.sh(script)).splitlines() == [' 00 00', '2', '1', 'full', '/dev/pts/0', 'kept']
    status = await enforced.run('sh', '-c', 'echo hello > /dev/tty', tty=True)
    assert enforced.output(status.id) == 'hello\n' and status.exit_code == 0


async def test_exec_is_held_to_the_containers_own(enforced: Pods) -> None:
    command = ['python3', '-c', TRY, disk()]
    usual = await enforced.start('sleep', '9')
    assert (await enforced.client.exec_sync(usual.id, command))[1] != b'opened\n'
    free = await enforced.start('sleep', '9', privileged=True, capabilities=CAPABILITIES)
    assert await enforced.client.exec_sync(free.id, command) == (0, b'opened\n', b'')


async def test_a_volume_gives_no_device(enforced: Pods, tmp_path: Path) -> None:
    """As in containerd, where a hostPath of type BlockDevice is mounted, and cannot be opened."""
    kind, major, minor = disk().split(':')
    os.mknod(tmp_path / 'disk', stat.S_IFBLK | 0o666, os.makedev(int(major), int(minor)))
    mounts = (Mount(f'{tmp_path}/disk', '/disk'), Mount(str(tmp_path), '/data'))
    for path in ('/disk', '/data/disk'):
        script = f'test -b {path}; head -c 1 {path} >/dev/null 2>&1 && echo read || echo refused'
        assert await enforced.sh(script, mounts=mounts) == 'refused\n'
        assert await enforced.sh(script, mounts=mounts, privileged=True, capabilities=CAPABILITIES) == 'read\n'


@pytest.mark.parametrize('enforced', [BPF, V1], indirect=True)
async def test_an_allowed_device_works_by_any_node_of_it(enforced: Pods, tmp_path: Path) -> None:
    os.mknod(tmp_path / 'zero', stat.S_IFCHR | 0o666, os.makedev(1, 5))
    mounts = (Mount(f'{tmp_path}/zero', '/volume-zero'),)
    assert await enforced.sh('head -c 1 /volume-zero | od -An -tx1', mounts=mounts) == ' 00\n'
    assert await opened(enforced, NULL) == ['opened']


async def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    """After an orderly end, and after a killed server."""
    found = places()
    with contextmanager(_without)([path for kind, path in found.items() if kind == BPF and V1 in found]):
        for end in ('shutdown', 'kill'):
            server = RunningServer(tmp_path)
            async with pods_on(server, tmp_path) as pods:
                await pods.start('sleep', '9', privileged=True, capabilities=CAPABILITIES)
                if end == 'shutdown':
                    await pods.client.shutdown()
                    server.process.wait(10)
                    assert not [path for path in found.values() if Path(path, server.cgroup_name).exists()]
            assert not [path for path in found.values() if Path(path, server.cgroup_name).exists()]


def test_the_list_in_v1s_words() -> None:
    assert render_v1(ALLOWED) == [
        'c *:* m', 'b *:* m', 'c 1:3 rwm', 'c 1:5 rwm', 'c 1:7 rwm', 'c 1:8 rwm', 'c 1:9 rwm', 'c 5:0 rwm', 'c 5:1 rwm',
        'c 5:2 rwm', 'c 136:* rwm', 'c 10:200 rwm',
    ]  # fmt: skip
