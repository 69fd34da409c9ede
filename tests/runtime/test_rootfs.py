"""The machine is the image: what a container sees of it, and what the machine sees of a container."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Pods, RunningServer, pods_on

from netkube.runtime.cri import Mount


async def test_writes_stay_in_the_container(pods: Pods) -> None:
    before = Path('/etc/passwd').read_bytes()
    script = 'echo mine > /etc/passwd; rm /etc/group; mkdir /opt/mine; cat /etc/passwd; test -e /etc/group || echo gone'
    assert await pods.sh(script) == 'mine\ngone\n'
    assert Path('/etc/passwd').read_bytes() == before
    assert Path('/etc/group').exists() and not Path('/opt/mine').exists()


async def test_two_containers_do_not_see_each_others_writes(pods: Pods) -> None:
    first = await pods.start('sh', '-c', 'echo 1 > /var/own; exec sleep 1000')
    await _exec(pods, first.id, 'until [ -s /var/own ]; do :; done')
    assert await pods.sh('ls /var/own 2>/dev/null || echo nothing') == 'nothing\n'
    assert await _exec(pods, first.id, 'cat /var/own') == '1\n'


async def test_the_root_looks_like_the_machines(pods: Pods) -> None:
    mode = stat.S_IMODE(os.stat('/').st_mode)
    expected = [f'{mode:o} 0 0', *sorted(os.listdir('/usr'))]
    assert (await pods.sh('stat -c "%a %u %g" /; ls /usr')).splitlines() == expected


@pytest.mark.parametrize('directory', ['/tmp', '/run'])
async def test_tmp_and_run_are_empty_and_private(pods: Pods, directory: str) -> None:
    theirs, ours = Path(directory, 'netkube-test-theirs'), Path(directory, 'netkube-test-ours')
    ours.touch()
    try:
        assert await pods.sh(f'ls -A {directory}; touch {theirs}') == ''
    finally:
        ours.unlink()
    assert not theirs.exists()


@pytest.mark.vm
async def test_hidden_paths_look_empty(pods: Pods, tmp_path: Path) -> None:
    hide = ('/etc/apt', '/etc/passwd', '/no/such/path')
    assert await pods.sh('ls -A /etc/apt; cat /etc/passwd; id -u', hide=hide) == '0\n'


async def test_a_read_only_root(pods: Pods) -> None:
    script = 'touch /x 2>/dev/null || echo no; touch /tmp/x && echo yes'
    assert await pods.sh(script, read_only_root=True) == 'no\nyes\n'


async def test_volumes_are_the_machines_directories(pods: Pods, tmp_path: Path) -> None:
    (tmp_path / 'read').mkdir()
    (tmp_path / 'write').mkdir()
    (tmp_path / 'read' / 'config').write_text('value\n')
    mounts = (Mount(f'{tmp_path}/read', '/etc/new/config', True), Mount(f'{tmp_path}/write', '/data'))
    script = 'cat /etc/new/config/config; touch /etc/new/config/x 2>&1 || true; echo result > /data/result'
    assert await pods.sh(script, mounts=mounts) == (
        "value\ntouch: cannot touch '/etc/new/config/x': Read-only file system\n"
    )
    assert (tmp_path / 'write' / 'result').read_text() == 'result\n'


async def test_a_volume_inside_a_volume_whatever_their_order(pods: Pods, tmp_path: Path) -> None:
    for name in ('outer', 'inner'):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    mounts = (Mount(f'{tmp_path}/inner', '/data/below'), Mount(f'{tmp_path}/outer', '/data'))
    assert await pods.sh('ls /data /data/below', mounts=mounts) == '/data:\nbelow\nouter\n\n/data/below:\ninner\n'


async def test_files_are_bound_over_files(pods: Pods, tmp_path: Path) -> None:
    hosts = tmp_path / 'hosts'
    hosts.write_text('10.0.0.1 me\n')
    mounts = (Mount(str(hosts), '/etc/hosts'), Mount(str(hosts), '/srv/new/hosts'))
    assert await pods.sh('cat /etc/hosts /srv/new/hosts', mounts=mounts) == '10.0.0.1 me\n' * 2
    assert not Path('/srv/new').exists()


async def test_a_symbolic_link_at_the_target_is_followed_inside_the_container(pods: Pods, tmp_path: Path) -> None:
    """As with systemd-resolved: /etc/resolv.conf points into /run, where a container has nothing."""
    resolv = tmp_path / 'resolv.conf'
    resolv.write_text('nameserver 10.0.0.10\n')
    link, victim = Path('/opt/netkube-test-link'), Path('/opt/netkube-test-victim')
    link.symlink_to('../run/systemd/resolve/stub-resolv.conf')
    victim.symlink_to('/../../run/outside')
    try:
        mounts = (Mount(str(resolv), str(link)), Mount(str(resolv), str(victim)))
        assert await pods.sh(f'cat {link} {victim} /run/outside', mounts=mounts) == 'nameserver 10.0.0.10\n' * 3
    finally:
        link.unlink()
        victim.unlink()
    assert not Path('/run/outside').exists() and not Path('/run/systemd').exists()


async def test_a_volume_below_a_hidden_path_is_seen(pods: Pods, tmp_path: Path) -> None:
    (tmp_path / 'volume').mkdir()
    (tmp_path / 'volume' / 'file').touch()
    mounts = (Mount(f'{tmp_path}/volume', '/etc/apt/volume'),)
    assert await pods.sh('ls -R /etc/apt', hide=('/etc/apt',), mounts=mounts) == (
        '/etc/apt:\nvolume\n\n/etc/apt/volume:\nfile\n'
    )


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    """A file system that counts as real (an overlay, as a container host has them), mounted below /mnt."""
    mount_point = Path('/mnt/netkube-test')
    mount_point.mkdir()
    for name in ('lower', 'upper', 'work'):
        (tmp_path / 'other' / name).mkdir(parents=True)
    (tmp_path / 'other/lower/file').write_text('theirs\n')
    options = ','.join(f'{name}dir={tmp_path}/other/{name}' for name in ('lower', 'upper', 'work'))
    subprocess.run(['mount', '-t', 'overlay', 'overlay', '-o', options, str(mount_point)], check=True)
    yield mount_point
    subprocess.run(['umount', '-l', str(mount_point)], check=True)
    mount_point.rmdir()


@pytest.mark.vm
async def test_other_file_systems_are_seen_and_written_privately_too(pods: Pods, other_file_system: Path) -> None:
    script = f'cat {other_file_system}/file; echo mine > {other_file_system}/file; cat {other_file_system}/file'
    assert await pods.sh(script) == 'theirs\nmine\n'
    assert (other_file_system / 'file').read_text() == 'theirs\n'


async def test_upper_layers_are_kept_in_memory_where_needed(other_file_system: Path, tmp_path: Path) -> None:
    """An overlay cannot hold another's upper layer: netkube inside of a container."""
    server = RunningServer(tmp_path, root=other_file_system / 'root')
    async with pods_on(server, tmp_path) as pods:
        script = 'echo mine > /etc/passwd; cat /etc/passwd; stat -f -c %T /'
        assert await pods.sh(script, hide=('/mnt',)) == 'mine\noverlayfs\n'


async def test_a_file_system_below_a_hidden_path_is_hidden(pods: Pods, other_file_system: Path) -> None:
    assert await pods.sh('ls -A /mnt', hide=('/mnt',)) == ''


async def test_the_mount_table_of_the_machine_does_not_change(pods: Pods) -> None:
    before = Path('/proc/self/mountinfo').read_text()
    await pods.start('sleep', '1000')
    assert Path('/proc/self/mountinfo').read_text() == before


async def _exec(pods: Pods, id: str, script: str) -> str:
    code, stdout, stderr = await pods.client.exec_sync(id, ['sh', '-euc', script], timeout=60)
    assert code == 0, stderr
    return stdout.decode()
