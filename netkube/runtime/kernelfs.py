"""What the kernel shows of itself inside a container: /proc, /sys, /dev; and its private /run and /tmp.

The tables are those of containerd (oci/mounts.go, oci/spec.go).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from netkube.runtime import linux
from netkube.runtime.rootfs import ensure_target

_READ_ONLY_AGAIN = linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY
_SAFE = linux.MS_NOSUID | linux.MS_NOEXEC | linux.MS_NODEV


class FileSystem(NamedTuple):
    path: str
    kind: str
    flags: int
    options: str = ''
    read_only: bool = False  # the mount, not the file system, which a privileged container mounts, too


FILE_SYSTEMS = (
    FileSystem('/proc', 'proc', _SAFE),
    FileSystem('/sys', 'sysfs', _SAFE, read_only=True),
    FileSystem('/dev', 'tmpfs', linux.MS_NOSUID | linux.MS_STRICTATIME, 'mode=755,size=65536k'),
    FileSystem('/dev/pts', 'devpts', linux.MS_NOSUID | linux.MS_NOEXEC, 'newinstance,ptmxmode=0666,mode=0620,gid=5'),
    FileSystem('/dev/mqueue', 'mqueue', _SAFE),
    FileSystem('/run', 'tmpfs', linux.MS_NOSUID | linux.MS_STRICTATIME | linux.MS_NODEV, 'mode=755,size=65536k'),
    FileSystem('/tmp', 'tmpfs', linux.MS_NOSUID | linux.MS_NODEV, 'mode=1777'),
)
CGROUP = FileSystem(  # where the machine has a tree for us: the container sees its own part of it
    '/sys/fs/cgroup', 'cgroup2', _SAFE, read_only=True
)

SHM = '/dev/shm'
SHARED_MEMORY = FileSystem(SHM, 'tmpfs', _SAFE, 'mode=1777,size=65536k')  # one for each Pod

DEVICES = (('null', 1, 3), ('zero', 1, 5), ('full', 1, 7), ('random', 1, 8), ('urandom', 1, 9), ('tty', 5, 0))
LINKS = (
    ('ptmx', 'pts/ptmx'), ('fd', '/proc/self/fd'), ('core', '/proc/kcore'),
    ('stdin', '/proc/self/fd/0'), ('stdout', '/proc/self/fd/1'), ('stderr', '/proc/self/fd/2'),
)  # fmt: skip

MASKED = (
    '/proc/acpi', '/proc/asound', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats',
    '/proc/timer_list', '/proc/timer_stats', '/proc/sched_debug', '/proc/scsi', '/sys/firmware',
    '/sys/devices/virtual/powercap',
)  # fmt: skip
READ_ONLY = ('/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger')


# Not a container's: those that it has of its own, and where there are no devices. containerd, oci.HostDevices
_NOT_DEVICES = frozenset(('pts', 'shm', 'fd', 'mqueue', 'console', '.lxc', '.lxd-mounts', '.udev'))


class Device(NamedTuple):
    """A device node of the machine, by its path below /dev."""

    path: str
    mode: int
    number: int
    uid: int
    gid: int


def find_devices(directory: str = '/dev') -> list[Device]:
    """All of the machine's, which a privileged container has."""
    found: list[Device] = []
    for entry in os.scandir(directory):
        if entry.name in _NOT_DEVICES:
            continue
        if entry.is_dir(follow_symlinks=False):
            found += find_devices(entry.path)
            continue
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            found.append(Device(entry.path, status.st_mode, status.st_rdev, status.st_uid, status.st_gid))
    return found


def make_devices(devices: Iterable[Device]) -> None:
    """Those that are not there yet."""
    for device in devices:
        if not os.path.lexists(device.path):
            os.makedirs(os.path.dirname(device.path), exist_ok=True)
            os.mknod(device.path, device.mode, device.number)
            os.chown(device.path, device.uid, device.gid)


def mount_file_systems(systems: Iterable[FileSystem], *, writable: bool) -> None:
    """``writable`` is what a privileged container gets."""
    for system in systems:
        if not os.path.isdir(system.path):
            ensure_target(system.path, is_directory=True)
        linux.mount(system.kind, system.path, system.kind, system.flags, system.options)
        if system.read_only and not writable:
            linux.mount('', system.path, flags=_READ_ONLY_AGAIN | system.flags)
        if system.path == '/dev':
            _fill_dev()


def _fill_dev() -> None:
    for name, major, minor in DEVICES:
        os.mknod(f'/dev/{name}', stat.S_IFCHR | 0o666, os.makedev(major, minor))
    for name, target in LINKS:
        os.symlink(target, f'/dev/{name}')


def forbid_devices() -> None:
    """Of all mounts only those of the usual few nodes, and of terminals, lead to a device: no new one can be made."""
    paths = ('/dev/pts', *(f'/dev/{name}' for name, _, _ in DEVICES))
    nodes = [(path, linux.open_tree(path, recursive=False)) for path in paths]
    root = os.open('/', os.O_PATH | os.O_CLOEXEC)
    linux.set_attributes(root, no_devices=True)
    for path, node in nodes:
        linux.attach_tree(node, path)
        os.close(node)
    os.close(root)


class Protection(NamedTuple):
    """Of the paths that tell about, or change, the whole machine: those that this kernel has."""

    masked: tuple[str, ...]
    read_only: tuple[str, ...]


def find_protection() -> Protection:
    return Protection(tuple(filter(os.path.exists, MASKED)), tuple(filter(os.path.exists, READ_ONLY)))


def protect_kernel(protection: Protection) -> None:
    for path in protection.masked:
        cover(path)
    for path in protection.read_only:
        tree = linux.open_tree(path, recursive=True)
        linux.set_attributes(tree, read_only=True)
        linux.attach_tree(tree, path)
        os.close(tree)


def cover(path: str) -> None:
    """Makes a directory or file look empty, and read-only."""
    if os.path.isdir(path):
        linux.mount('tmpfs', path, 'tmpfs', linux.MS_RDONLY, 'size=4k,mode=755')
    else:
        linux.mount('/dev/null', path, flags=linux.MS_BIND)


def hide(path: str) -> None:
    """As ``cover``, but volumes can be mounted below it. What is not there needs no hiding."""
    if os.path.isdir(path):
        linux.mount('tmpfs', path, 'tmpfs', linux.MS_NOSUID | linux.MS_NODEV, 'mode=755')
    elif os.path.exists(path):
        cover(path)
