"""What root in an ordinary container tries against the machine, and what comes of it: on the real kernel."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Pods

from netkube.runtime import linux
from netkube.runtime.cri import NODE, Mount, NamespaceOption
from netkube.runtime.kernelfs import MASKED, READ_ONLY
from netkube.testing.waiting import eventually

LONG_PATH = '/n:' * 40000 + '/usr/bin:/bin'  # the look-up of a command takes a while: so long the process is ours
STALK = """
import os, signal
own, seen, met = os.getpid(), set(), set()
def read_memory(path):
    with open(path, 'rb') as file, open(path.replace('mem', 'maps')) as maps:
        file.seek(int(maps.readline().split('-')[0], 16))
        return file.read(4)
TRIALS = {
    'exe': os.readlink, 'cwd': os.listdir, 'root': os.listdir, 'mem': read_memory,
    'environ': lambda path: open(path).read()[0],
    'fd': lambda path: os.readlink(f'{path}/{os.listdir(path)[0]}'),
}
def attempt(pid, name):
    try:
        TRIALS[name](f'/proc/{pid}/{name}')
        seen.add(name)
    except (OSError, IndexError):  # refused, or it has just ended
        pass
print('ready', flush=True)
while len(met) < 3:
    for name in os.listdir('/proc'):
        if name.isdigit() and int(name) != own:
            met.add(name)
            for each in TRIALS:
                attempt(name, each)
print('reached', sorted(seen), flush=True)
signal.pause()
"""


async def test_a_process_that_joins_the_container_cannot_be_taken_over(pods: Pods) -> None:
    """An exec is a process of ours for a while, with our program, memory and descriptors (runc's CVE-2019-5736)."""
    container = await pods.start('/usr/bin/python3', '-c', STALK, env={'PATH': LONG_PATH})
    await eventually(lambda: 'ready' in pods.output(container.id))
    while 'reached' not in pods.output(container.id):
        await pods.client.exec_sync(container.id, ['no-such-command'])
    assert pods.output(container.id) == 'ready\nreached []\n'


WRITTEN = (
    '/proc/sys/kernel/core_pattern', '/proc/sys/kernel/modprobe', '/proc/sys/vm/drop_caches', '/proc/sysrq-trigger',
    '/proc/irq/default_smp_affinity', '/sys/kernel/uevent_helper', '/sys/power/state', '/sys/kernel/profiling',
    '/sys/module/kernel/parameters/panic', '/sys/fs/cgroup/cgroup.procs', '/sys/fs/cgroup/memory.max',
)  # fmt: skip
CALLS = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, *arguments):
    result = getattr(libc, name)(*arguments)
    print(name, errno.errorcode[ctypes.get_errno()] if result < 0 else result)
handle = (ctypes.c_char * 136)(8, 0, 0, 0, 1)
attempt('open_by_handle_at', -100, handle, 0)
attempt('mount', b'none', b'/mnt', b'tmpfs', 0, None)
attempt('mount', None, b'/', None, 32 | 4096, None)
attempt('umount2', b'/proc/sys', 2)
attempt('pivot_root', b'.', b'.')
attempt('unshare', 0x20000)
network = open('/proc/self/ns/net')
attempt('setns', network.fileno(), 0)
attempt('sethostname', b'x', 1)
attempt('swapon', b'/etc/passwd', 0)
attempt('acct', b'/etc/passwd')
attempt('reboot', 0)
attempt('settimeofday', (ctypes.c_long * 2)(0, 0), None)
"""


async def test_nothing_of_the_kernel_can_be_written(pods: Pods) -> None:
    script = 'for path; do (echo x > $path) 2>/dev/null && echo $path; done; echo tried'
    status = await pods.run('sh', '-c', script, 'sh', *filter(os.path.exists, WRITTEN))
    assert pods.output(status.id) == 'tried\n'


async def test_what_takes_a_capability_that_it_has_not(pods: Pods) -> None:
    status = await pods.run('python3', '-c', CALLS)
    lines = pods.output(status.id).splitlines()
    assert len(lines) == 12 and {line.split()[1] for line in lines} == {'EPERM'}, lines


IN_A_USER_NAMESPACE = """
    refused() { "$@" 2>/dev/null && echo "possible: $*" || true; }
    refused umount -l /proc/sys
    refused umount -l /proc/keys
    refused umount -l /etc/ssl
    refused umount -l /etc/passwd
    refused mount -o remount,bind,rw /proc/sys
    refused mount -t proc proc /mnt
    refused mount -t sysfs sysfs /mnt
    refused mount --bind / /mnt
    refused mount --bind /etc /mnt
    refused mount -t overlay none -o lowerdir=/,upperdir=/tmp/up,workdir=/tmp/work /mnt
    refused mount -t overlay none -o lowerdir=/etc,upperdir=/tmp/up,workdir=/tmp/work,userxattr /mnt
    mount -t tmpfs none /mnt
    refused mknod /mnt/disk b 8 0
    mkdir /mnt/cgroup
    for tree; do
        if mount -t cgroup -o $tree none /mnt/cgroup 2>/dev/null; then
            refused sh -c 'echo a > /mnt/cgroup/devices.allow'
            refused sh -c 'echo /bin/sh > /mnt/cgroup/release_agent'
            refused test -e /mnt/cgroup/$0
            umount /mnt/cgroup
        fi
    done
    echo tried
"""


OF_THE_MACHINE = f'netkube-test-{os.getpid()}'


@pytest.fixture
def trees() -> Iterator[list[str]]:
    """The controllers of cgroup v1, each with a cgroup of the machine's in its tree."""
    rows = [line.split() for line in Path('/proc/self/mountinfo').read_text().splitlines()]
    found = {row[4]: row[-1].split(',')[-1] for row in rows if row[-3] == 'cgroup' and 'name=' not in row[-1]}
    for place in found:
        Path(place, OF_THE_MACHINE).mkdir()
    yield list(found.values())
    for place in found:
        Path(place, OF_THE_MACHINE).rmdir()


async def test_a_user_namespace_uncovers_nothing(pods: Pods, trees: list[str]) -> None:
    """Which anyone may make where no seccomp profile says otherwise, and be root in; as with container runtimes."""
    command = ['unshare', '-UrmpfC', 'sh', '-c', IN_A_USER_NAMESPACE, OF_THE_MACHINE, *trees]
    before = 'mkdir /tmp/up /tmp/work; exec "$@"'
    status = await pods.run('sh', '-c', before, 'sh', *command, hide=('/etc/ssl', '/etc/passwd'))
    if 'unshare failed' in pods.output(status.id):
        pytest.skip('this machine lets nobody make user namespaces')
    assert pods.output(status.id) == 'tried\n'


MOUNT_PROC = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x10000000 | 0x20000 | 0x20000000) == 0
if os.fork() == 0:
    result = libc.mount(b'proc', b'/mnt', b'proc', 0, None)
    os.write(1, (errno.errorcode[ctypes.get_errno()] if result else 'mounted').encode())
    os._exit(0)
os.wait()
"""


async def test_a_volume_over_proc_uncovers_nothing(pods: Pods, tmp_path: Path) -> None:
    """The kernel gives a new /proc to those only who see all of the old one: the covered one still counts."""
    status = await pods.run('python3', '-c', MOUNT_PROC, mounts=(Mount(str(tmp_path), '/proc'),))
    assert pods.output(status.id) == 'EPERM\n'


async def test_links_in_a_volume_over_dev_lead_no_mask_elsewhere(pods: Pods, tmp_path: Path) -> None:
    """Files are masked by binding /dev/null (runc's CVE-2025-31133)."""
    (tmp_path / 'null').symlink_to('/proc/sys/kernel/core_pattern')
    script = 'stat -L -c %t:%T /proc/keys; test -w /dev/null || echo read-only'
    assert await pods.sh(script, mounts=(Mount(str(tmp_path), '/dev'),)) == '1:3\nread-only\n'


async def test_a_working_directory_is_in_the_container(pods: Pods) -> None:
    """Through /proc a path can lead to descriptors of ours, or another's root (runc's CVE-2024-21626)."""
    await pods.sandbox('host', namespaces=NamespaceOption(pid=NODE))
    script = 'stat -c %d:%i ../../../../../../../../.. /'
    for path in (*(f'/proc/self/fd/{fd}' for fd in range(3, 40)), '/proc/1/root/var', '/proc/1/cwd'):
        status = await pods.run('sh', '-c', script, working_dir=path, sandbox='host')
        lines = pods.output(status.id).splitlines()
        assert status.reason == 'StartError' or lines[0] == lines[1], (path, status, lines)


EXECUTED = """
import os, resource
print(sorted(os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')))
print([line.split()[1] for line in open('/proc/self/status') if line[:6] in ('SigBlk', 'SigIgn', 'Groups', 'CapEff')])
print(sorted(os.environ.keys() - {'LC_CTYPE'}),  # which Python adds
      oct(os.umask(0)), os.getcwd())
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


async def test_an_exec_inherits_nothing_but_what_the_container_has(pods: Pods) -> None:
    container = await pods.start('sh', '-c', 'sleep 9', env={'COLOUR': 'grey'})
    code, output, errors = await pods.client.exec_sync(container.id, ['python3', '-Sc', EXECUTED])
    direct = await pods.run('python3', '-Sc', EXECUTED, env={'COLOUR': 'grey'})
    assert output.decode() == pods.output(direct.id), errors
    fds, status, environment, _ = output.decode().splitlines()
    assert fds == "['0', '1', '2'] 4"  # and that of the listing
    assert "['COLOUR', 'HOME', 'HOSTNAME', 'PATH'] 0o22 /" in environment


SEARCH = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
found = libc.syscall(NUMBER, 10, -3, b'user', b'netkube-test', 0)
print('found' if found > 0 else errno.errorcode[ctypes.get_errno()])
"""


@pytest.fixture
def key() -> str:
    """A program that looks for a key of the session that the tests, and all that they start, are in."""
    linux.join_new_session_keyring()
    try:
        linux.call('add_key', b'user', b'netkube-test', b'secret', 6, -3)
    except OSError as error:
        pytest.skip(f'this kernel keeps no keys: {error}')
    program = SEARCH.replace('NUMBER', str(linux.OLD_CALLS['keyctl']))
    assert subprocess.run(['python3', '-c', program], capture_output=True, check=True).stdout == b'found\n'
    return program


async def test_the_keys_of_the_session_that_has_started_us_stay_there(key: str, pods: Pods) -> None:
    """Such as those of Kerberos, and of encrypted file systems."""
    container = await pods.start('sh', '-c', 'python3 -c "$0"; exec sleep 9', key)
    await eventually(lambda: pods.output(container.id) == 'ENOKEY\n')
    assert (await pods.client.exec_sync(container.id, ['python3', '-c', key]))[1] == b'ENOKEY\n'


async def test_the_machines_sockets_are_out_of_reach(pods: Pods) -> None:
    """Those without a file belong to a network namespace, those with one are in folders that it does not see."""
    files = Path('/run/netkube-test.sock')
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_UNIX) as named:
        abstract.bind('\0netkube-test')
        named.bind(str(files))
        abstract.listen()
        named.listen()
        script = """
import errno, socket
for name in ('\\0netkube-test', '/run/netkube-test.sock'):
    print(errno.errorcode[socket.socket(socket.AF_UNIX).connect_ex(name)])
"""
        status = await pods.run('python3', '-c', script)
        files.unlink()
    assert pods.output(status.id) == 'ECONNREFUSED\nENOENT\n'


@pytest.fixture
def mounted_below(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / 'volume'
    (directory / 'below').mkdir(parents=True)
    subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', directory / 'below'], check=True)
    yield directory
    subprocess.run(['umount', '-l', directory / 'below'], check=True)


async def test_a_read_only_volume_is_so_with_all_that_is_mounted_below(pods: Pods, mounted_below: Path) -> None:
    script = 'for place in /data /data/below; do touch $place/x 2>/dev/null && echo written || echo refused; done'
    assert await pods.sh(script, mounts=(Mount(str(mounted_below), '/data', True),)) == 'refused\nrefused\n'


@pytest.mark.parametrize('link', ['volume/sub', 'volume/sub/path'])
async def test_a_link_that_takes_the_place_of_a_sub_path_is_not_followed(
    pods: Pods, tmp_path: Path, link: str
) -> None:
    """Another container may rename things in a volume between the look at a subPath and its mount (CVE-2021-25741)."""
    (tmp_path / link).parent.mkdir(parents=True)
    (tmp_path / link).symlink_to('/etc')
    mount = Mount(f'{tmp_path}/volume/sub/path', '/data', within=f'{tmp_path}/volume')
    status = await pods.run('ls', '/data', mounts=(mount,))
    assert status.reason == 'StartError' and 'too many levels of symbolic links' in status.message
    (tmp_path / link).unlink()
    (tmp_path / 'volume/sub/path/file').mkdir(parents=True)
    assert await pods.sh('ls /data', mounts=(mount,)) == 'file\n'


async def test_with_the_machines_process_ids_their_files_are_not_reached(pods: Pods) -> None:
    """Of who has more capabilities than the container, as netkube has."""
    await pods.sandbox('host', namespaces=NamespaceOption(pid=NODE))
    names = ' '.join(f'/proc/{os.getpid()}/{name}' for name in ('root/etc/passwd', 'environ', 'maps', 'exe', 'fd/0'))
    script = f'cat {names} 2>&1; ls /proc/{os.getpid()}/cwd/ 2>&1; true'
    status = await pods.run('sh', '-c', script, sandbox='host')
    lines = pods.output(status.id).splitlines()
    assert len(lines) == 6 and all('Permission denied' in line for line in lines), lines


def test_what_is_masked_is_what_the_kubelet_asks_for() -> None:
    """kubernetes pkg/securitycontext/util.go, and moby's /proc/interrupts."""
    kubelet = 'asound acpi kcore keys latency_stats timer_list timer_stats sched_debug scsi interrupts'
    assert {*MASKED} == {
        *(f'/proc/{name}' for name in kubelet.split()), '/sys/firmware', '/sys/devices/virtual/powercap'
    }  # fmt: skip
    assert {*READ_ONLY} == {f'/proc/{name}' for name in ('bus', 'fs', 'irq', 'sys', 'sysrq-trigger')}
